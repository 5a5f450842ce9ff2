"""Rows of publishing over REST without subscribers."""

from bench import Line, Row, thousands
from judging import at_least, ratios, spread


def per_cpu_second(report):
    return report["server"]["publishes_per_cpu_s"]


def single(bench):
    def run(serve):
        with serve() as server:
            return bench.load(server, "--mode", "publish", "--publishers", 16,
                              "--duration", bench.pick(2, 0.3))

    ours, floor = bench.alternate(lambda: run(bench.gateway), lambda: run(bench.floor))

    def show(side):
        return thousands(spread(map(per_cpu_second, side)).median) + "/CPU-s"

    ratio = ratios(ours, floor, per_cpu_second)
    return [Line("publishes of JSON with a key into a room with history, 16 keep-alive connections, no "
                 "subscriber; floor: fixed answer", show(ours), show(floor), str(ratio),
                 at_least(0.80), ratio)]


def batches(bench):
    lines = []
    for form, options in (("JSON arrays", ()), ("NDJSON", ("--ndjson",))):
        with bench.gateway() as server:
            report = bench.load(server, "--mode", "publish", "--publishers", 4, "--batch", 100,
                                "--duration", bench.pick(2, 0.3), *options)
        lines.append(Line(f"publishes in {form} of 100, 4 connections",
                          thousands(per_cpu_second(report)) + "/CPU-s"))
    return lines


ROWS = {
    "publish": Row(single),
    "publish-batch": Row(batches, floor=False),
}
