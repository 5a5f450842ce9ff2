"""Rows of connections that come, stay and return: accepting, heartbeats, the resume storm."""

import tempfile
from pathlib import Path

from bench import Line, Row, thousands
from judging import at_least, at_most, ratios, spread
from processes import Failed


def accepting(bench):
    clients = bench.pick(15_000, 300)

    def run(serve):
        with serve() as server:
            return bench.load(server, "--mode", "idle", "--ws", clients, "--connecting-max", 1000,
                              "--hold", 0, connect_rate=0)["server"]

    def rate(side):
        return side["connects_per_cpu_s"]

    ours, floor = bench.alternate(lambda: run(bench.gateway), lambda: run(bench.floor))
    ratio = ratios(ours, floor, rate)
    shown = [thousands(spread(map(rate, side)).median) + "/CPU-s" for side in (ours, floor)]
    return [Line(f"accept, upgrade and subscribe, {clients:,} WebSockets; floor: accept, upgrade and "
                 "one answer", *shown, str(ratio), at_least(0.8), ratio)]


def heartbeat(bench):
    clients, seconds = bench.pick((18_000, 60), (500, 1))
    with bench.gateway() as server:
        report = bench.load(server, "--mode", "idle", "--ws", clients, "--hold", seconds,
                            timeout=seconds + 60)
    share = 100 * report["server"]["cpu_share"]
    pings = report["connections"]["others"].get("ping", 0)
    if not bench.quick and pings < 1.9 * clients:
        raise Failed(f"{pings} pings for {clients} clients in {seconds} s: not the default heartbeat")
    return [Line(f"{clients:,} idle WebSockets at the default heartbeat of 30 s, {seconds} s: CPU of "
                 f"one core ({pings:,} pings answered)", f"{share:.2f} %", bar=at_most(2, unit=" %"),
                 judged=spread([share]))]


# -- resume storm ---------------------------------------------------------------------------------

STEADY_CLIENTS = 50
QUIET_MARGIN_S = 0.2


def resume_storm(bench):
    """All clients lose their connections, miss 20 messages each, and return at once, while a room of
    its own goes on at a fixed rate. That room has a load generator of its own, which shares the core of
    the storm's; so its latencies end where the kernel has the message: the core's own queue is not in
    them, the server's is."""
    clients, rooms, quiet_s, rate = bench.pick((15_000, 100, 4, 200), (300, 10, 0.6, 100))
    missed = 20

    def run(serve, *more):
        with serve() as server, tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory:
            samples = Path(directory) / "samples"
            steady = ("--ws", STEADY_CLIENTS, "--room-prefix", "steady", "--rate", rate,
                      # So many that one is free whenever a message is due, also while the server
                      # keeps others waiting: else its worst moments would be left out.
                      "--publishers", 64, "--settle", 0.1, "--duration", 50, "--kernel-timestamps",
                      "--samples", samples)
            with bench.processes.background_load(server, *steady, phase="publishing",
                                                 label="the steady room"):
                report = bench.load(server, "--mode", "storm", "--ws", clients, "--rooms", rooms,
                                    "--messages", missed * rooms, "--publishers", 4,
                                    "--away", 0.5, "--connecting-max", 4000, "--connect-timeout",
                                    30, *more, settle=quiet_s, spin=False, nice=10,
                                    label="the storm")
            return report | steady_latency(report["storm"], samples.read_text(encoding="ascii"),
                                           quiet_s)

    ours, floor = bench.alternate(lambda: run(bench.gateway),
                                  # It has no history: it tells who returns that nothing is kept.
                                  lambda: run(bench.floor, "--allow-unrecovered"))
    for report in ours:
        if report["messages"]["replayed"] != missed * clients:
            raise Failed(f"{report['messages']['replayed']} replays of {missed * clients}")

    def middle(side, value):
        return spread(map(value, side)).median

    def seconds(report):
        return report["storm"]["seconds"]

    def blur(report):
        return report["p99_storm_ms"] / report["p99_quiet_ms"]

    longer, blurred = ratios(ours, floor, seconds), spread(map(blur, ours))
    shown = [f"{middle(side, lambda r: r['p99_storm_ms']):.2f} ms; quiet: "
             f"{middle(side, lambda r: r['p99_quiet_ms']):.2f} ms" for side in (ours, floor)]
    return [Line(f"resume storm: {clients:,} WebSockets in {rooms} rooms return at once, each replays "
                 f"{missed} messages: until all have them; floor: until all are connected",
                 f"{middle(ours, seconds):.2f} s", f"{middle(floor, seconds):.2f} s", str(longer),
                 at_most(2), longer),
            Line(f"meanwhile a steady room of {STEADY_CLIENTS}, {rate} publishes/s: p99 of publish to "
                 "receive ÷ quiet", *shown, str(blurred), at_most(3), blurred)]


def steady_latency(storm, text, quiet_s):
    """The 99th percentiles, in ms, while all were connected and quiet, and during the storm."""
    samples = [tuple(map(int, line.split())) for line in text.splitlines()]
    margin = int(QUIET_MARGIN_S * 1e9)
    quiet_end = storm["left_ns"] - margin
    quiet_begin = storm["left_ns"] - int(quiet_s * 1e9) + margin
    storm_end = storm["begin_ns"] + int(storm["seconds"] * 1e9)
    return {"p99_quiet_ms": p99(samples, quiet_begin, quiet_end),
            "p99_storm_ms": p99(samples, storm["begin_ns"], storm_end)}


def p99(samples, begin_ns, end_ns):
    taken = sorted(latency for sent, latency in samples if begin_ns <= sent < end_ns)
    if not taken:
        raise Failed("the steady room has no message in the time looked at")
    return taken[min(len(taken) - 1, int(0.99 * len(taken)))] / 1e6


ROWS = {
    "connects": Row(accepting),
    "heartbeat": Row(heartbeat, floor=False),
    "resume-storm": Row(resume_storm),
}
