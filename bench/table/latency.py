"""Rows of latency, and of bytes on the wire."""

from pathlib import Path

from bench import Line, Row, milliseconds, times
from judging import at_most, ratios, spread

SAMPLES = Path(__file__).resolve().parent / "samples"
POLL_SECONDS = 5


def paced(bench):
    """One room at half the rate that the floor reaches: the publisher never waits for the server, so
    that the latency is the server's own and not that of a queue."""
    clients = bench.pick(500, 50)
    with bench.floor() as server:
        saturated = bench.load(server, "--ws", clients, "--duration", bench.pick(2, 0.3))
    rate = max(1, int(saturated["rates"]["publishes_per_s"] / 2))

    def run(serve):
        with serve() as server:
            # Enough publishers for one to be idle whenever a message is due.
            return bench.load(server, "--ws", clients, "--publishers", 8, "--rate", rate,
                              "--duration", bench.pick(4, 0.5))["latency_us"]

    ours, floor = bench.alternate(lambda: run(bench.gateway), lambda: run(bench.floor))
    lines = []
    for quantile, bar in (("p50", 1.15), ("p99", 1.5)):
        ratio = ratios(ours, floor, lambda report, quantile=quantile: report[quantile])
        medians = [spread(one[quantile] for one in side).median / 1000 for side in (ours, floor)]
        lines.append(Line(f"publish to receive, one room of {clients}, {rate:,} publishes/s (half of "
                          f"what the floor can): {quantile}", f"{medians[0]:.3f} ms",
                          f"{medians[1]:.3f} ms", str(ratio), at_most(bar), ratio))
    return lines


def last_receive(bench, clients, rate):
    clients = bench.pick(clients, clients // 50)
    messages = rate * bench.pick(6, 1)

    def run(serve):
        with serve() as server:
            return bench.load(server, "--ws", clients, "--rate", rate, "--messages",
                              messages)["last_receive_us"]

    ours, floor = run(bench.gateway), run(bench.floor)
    return [Line(f"publish to last receive of {clients:,} WebSockets, {messages} messages: p50 · p99",
                 milliseconds(ours, "p50", "p99"), milliseconds(floor, "p50", "p99"),
                 times(ours, floor, "p50", "p99"))]


def unpinned(bench):
    clients, rooms, rate = bench.pick((1_000, 100, 1_000), (100, 10, 100))

    def run(serve):
        with serve() as server:
            return bench.load(server, "--ws", clients, "--rooms", rooms, "--rate", rate,
                              "--publishers", 16, "--duration", bench.pick(10, 0.7),
                              pinned=False)["latency_us"]

    ours = run(lambda: bench.gateway(pinned=False, reactors=0))
    floor = run(lambda: bench.floor(pinned=False))
    shown = ("p50", "p99", "p99_9")
    polled = POLL_SECONDS / 2 * 1e6
    return [Line(f"publish to receive, {clients:,} WebSockets in {rooms} rooms, {rate:,} publishes/s, "
                 "nothing pinned: p50 · p99 · p99.9", milliseconds(ours, *shown),
                 milliseconds(floor, *shown), times(ours, floor, *shown)),
            Line(f"the same, against asking every {POLL_SECONDS} s: mean wait",
                 f"{ours['mean'] / 1e3:.2f} ms", f"polling: {polled / 1e3:,.0f} ms",
                 f"1/{polled / ours['mean']:,.0f}")]


def compression(bench):
    clients, messages = bench.pick((100, 200), (20, 20))
    lines = []
    for sample in sorted(SAMPLES.glob("*.json")):
        arguments = ("--ws", clients, "--messages", messages, "--data-file", sample)

        def run(*more):
            with bench.gateway() as server:
                return bench.load(server, *arguments, *more)["bytes_received"] / clients / messages

        compressed, plain = run("--deflate"), run()
        lines.append(Line(f"bytes on the wire per message, compressed, sample {sample.name}",
                          f"{compressed:,.0f} B", f"without: {plain:,.0f} B",
                          f"−{100 * (1 - compressed / plain):.0f} %", timed=False))
    return lines


ROWS = {
    "latency-paced": Row(paced),
    "last-receive-1000": Row(lambda bench: last_receive(bench, 1_000, 50)),
    "last-receive-10000": Row(lambda bench: last_receive(bench, 10_000, 4)),
    "latency": Row(unpinned),
    "compression": Row(compression, floor=False),
}
