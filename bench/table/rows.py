"""The rows of the benchmark table: what is run, and which figure is taken from the report.

A row that has a floor alternates gateway and floor, fresh processes each time, and shows medians; the
ratio is the median of the pairs' ratios with their extremes, since neighbours in time share what else
the machine was doing. A row without a floor says in words what its figure is compared with.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent / "samples"
# More clients than one address has ports to spare for.
ADDRESSES = ("--source-addresses", "127.0.0.1,127.0.0.2,127.0.0.3")


@dataclass
class Line:
    what: str
    figure: str
    floor: str = "–"
    ratio: str = "–"


class Bench:
    """What a row needs: processes, how often, how large."""

    def __init__(self, processes, pairs, quick):
        self.processes = processes
        self.pairs = 1 if quick else pairs
        self.quick = quick

    def pick(self, full, quick):
        return quick if self.quick else full

    def gateway(self, **arguments):
        return self.processes.serve_gateway(**arguments)

    def floor(self, **arguments):
        return self.processes.serve_floor(**arguments)

    def load(self, server, *arguments, **options):
        return self.processes.run_load(server, "--settle", self.pick(0.5, 0.1), "--connect-rate",
                                       5000, *ADDRESSES, *arguments, **options)

    def alternate(self, *sides):
        """Each side in turn, `pairs` times; the results of each side, in order."""
        results = [[] for _ in sides]
        for _ in range(self.pairs):
            for side, taken in zip(sides, results):
                taken.append(side())
        return results


# -- memory ---------------------------------------------------------------------------------------

def memory(bench, transport, what):
    few, many = bench.pick((2_000, 15_000), (100, 600))

    def slope(server):
        """User bytes, and the kernel's, per connection between the two plateaus."""
        with bench.processes.hold_load(server, f"--{transport}", few, "--connect-rate", 5000,
                                       *ADDRESSES, label=f"the first {few} connections"):
            before = kernel_objects()
            more = (f"--{transport}", many - few, "--connect-rate", 5000, "--settle", 1, *ADDRESSES)
            with bench.processes.hold_load(server, *more, label=f"up to {many}"):
                # Both ends of each connection are on this machine.
                kernel = kernel_bytes_per_socket(before, kernel_objects(), 2 * (many - few))
            report = bench.processes.runs[-1]["report"]
            return report["server"]["user_bytes_per_connection"], kernel

    with bench.gateway() as server:
        user, kernel = slope(server)
    with bench.floor() as server:
        floor, _ = slope(server)
    figure = f"{user:.0f} B"
    if kernel > 0:
        figure += f"; kernel {kernel / 1000:.2f} kB"
    return [Line(f"{what}, {few:,} → {many:,}", figure, f"{floor:.0f} B")]


def kernel_objects():
    """Kernel objects in use by cache, (count, size); empty where only root may know."""
    try:
        with open("/proc/slabinfo", encoding="ascii") as slabs:
            lines = [line.split() for line in slabs][2:]
    except (PermissionError, FileNotFoundError):
        return {}
    return {name: (int(active), int(size)) for name, active, _, size, *_ in lines}


def kernel_bytes_per_socket(before, after, sockets):
    """One object of each cache that grew by at least one per socket: the socket, its inode, file,
    epoll entry and the like. What else the machine did meanwhile grows no cache by that much, or is
    cut off; buffers are not in it, since nothing is queued."""
    return sum(size for name, (count, size) in after.items()
               if count - before.get(name, (0, 0))[0] >= 0.98 * sockets)


# -- fan-out --------------------------------------------------------------------------------------

def fan_out(bench, what, *arguments, batch=False, versus=None):
    """Deliveries per CPU-second of the server. `versus`: the gateway with these arguments instead of
    the floor."""
    seconds = ("--duration", bench.pick(2, 0.3))

    def gateway():
        with bench.gateway() as server:
            return bench.load(server, *arguments, *seconds)["server"]

    def other():
        with (bench.floor(batch=batch) if versus is None else bench.gateway()) as server:
            return bench.load(server, *(versus or arguments), *seconds)["server"]

    ours, floor = bench.alternate(gateway, other)

    def show(side):
        rate = statistics.median(run["deliveries_per_cpu_s"] for run in side)
        # The kernel samples user time by its tick: too coarse for a median of single runs.
        user = statistics.mean(run["user_us_per_delivery"] for run in side)
        return f"{thousands(rate)}/CPU-s; {user:.2f} µs user"

    name = "" if versus is None else "without: "
    return [Line(what, show(ours), name + show(floor),
                 ratio(ours, floor, lambda run: run["deliveries_per_cpu_s"]))]


def fan_out_room(bench, transport, name):
    clients = bench.pick(5_000, 100)
    return fan_out(bench, f"deliveries, one room of {clients:,} {name}", f"--{transport}", clients)


def fan_out_deflate(bench):
    clients = bench.pick(5_000, 100)
    plain = ("--ws", clients, "--payload", 1024)
    return fan_out(bench, f"deliveries of 1 KiB compressed, one room of {clients:,} WebSockets",
                   *plain, "--deflate", versus=plain)


def fan_out_burst(bench):
    clients = bench.pick(5_000, 100)
    return fan_out(bench, f"deliveries, one room of {clients:,}, 8 publishers; floor batches too",
                   "--ws", clients, "--publishers", 8, batch=True)


def small_rooms(bench):
    rooms = bench.pick(1_000, 20)
    return fan_out(bench, f"deliveries, {rooms:,} rooms of 5, 16 publishers",
                   "--ws", 5 * rooms, "--rooms", rooms, "--publishers", 16)


def last_receive(bench, clients, rate):
    clients = bench.pick(clients, clients // 50)
    messages = rate * bench.pick(6, 1)

    def run(serve):
        with serve() as server:
            report = bench.load(server, "--ws", clients, "--rate", rate, "--messages", messages)
            return report["last_receive_us"]

    ours, floor = run(bench.gateway), run(bench.floor)
    return [Line(f"publish to last receive of {clients:,} WebSockets, {messages} messages: p50 · p99",
                 milliseconds(ours, "p50", "p99"), milliseconds(floor, "p50", "p99"),
                 times(ours, floor, "p50", "p99"))]


# -- publish --------------------------------------------------------------------------------------

def publish(bench):
    def run(serve):
        with serve() as server:
            return bench.load(server, "--mode", "publish", "--publishers", 16,
                              "--duration", bench.pick(2, 0.3))["server"]

    ours, floor = bench.alternate(lambda: run(bench.gateway), lambda: run(bench.floor))

    def show(side):
        return thousands(statistics.median(one["publishes_per_cpu_s"] for one in side)) + "/CPU-s"

    return [Line("publishes, 16 keep-alive connections, no subscriber; floor: fixed answer",
                 show(ours), show(floor), ratio(ours, floor, lambda one: one["publishes_per_cpu_s"]))]


def publish_batch(bench):
    lines = []
    for form, options in (("JSON arrays", ()), ("NDJSON", ("--ndjson",))):
        with bench.gateway() as server:
            report = bench.load(server, "--mode", "publish", "--publishers", 4, "--batch", 100,
                                "--duration", bench.pick(2, 0.3), *options)
        lines.append(Line(f"publishes in {form} of 100, 4 connections",
                          thousands(report["server"]["publishes_per_cpu_s"]) + "/CPU-s"))
    return lines


# -- latency, compression ------------------------------------------------------------------------

POLL_SECONDS = 5


def latency(bench):
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
                          f"−{100 * (1 - compressed / plain):.0f} %"))
    return lines


# -- how figures are written ----------------------------------------------------------------------

def thousands(value):
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.{0 if value >= 1e5 else 1}f} k"


def milliseconds(histogram, *quantiles):
    return " · ".join(f"{histogram[name] / 1000:.2f}" for name in quantiles) + " ms"


def times(ours, floor, *quantiles):
    return " · ".join(f"{ours[name] / max(floor[name], 0.001):.2f}" for name in quantiles)


def ratio(ours, floor, value):
    ratios = [value(one) / max(value(other), 0.001) for one, other in zip(ours, floor)]
    middle = f"{statistics.median(ratios):.2f}"
    return middle if len(ratios) == 1 else f"{middle} ({min(ratios):.2f}–{max(ratios):.2f})"


# Rows whose figures do not depend on what else the machine is doing.
UNTIMED = ("memory-ws", "memory-sse", "compression")

ROWS = {
    "memory-ws": lambda bench: memory(bench, "ws", "user memory per idle WebSocket in one room"),
    "memory-sse": lambda bench: memory(bench, "sse", "user memory per idle SSE stream"),
    "fan-out-ws": lambda bench: fan_out_room(bench, "ws", "WebSockets"),
    "fan-out-sse": lambda bench: fan_out_room(bench, "sse", "SSE streams"),
    "fan-out-deflate": fan_out_deflate,
    "fan-out-burst": fan_out_burst,
    "small-rooms": small_rooms,
    "last-receive-1000": lambda bench: last_receive(bench, 1_000, 50),
    "last-receive-10000": lambda bench: last_receive(bench, 10_000, 4),
    "publish": publish,
    "publish-batch": publish_batch,
    "latency": latency,
    "compression": compression,
}
