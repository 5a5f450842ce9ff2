"""Rows of user memory: what an idle session, a subscription and a room cost, and what a burst leaves."""

import time

from bench import FLOOR_BYTES_MAX, Line, Row
from judging import at_most, spread
from processes import Failed, anonymous_bytes, await_quiet

IDLE_BAR = at_most(480, aim=384, unit=" B")


def idle_slope(bench, server, few, many, *arguments, transport="ws"):
    """User bytes per connection, and the kernel's, between two plateaus of one process."""
    with bench.hold(server, f"--{transport}", few, *arguments, label=f"the first {few} connections"):
        before = kernel_objects()
        with bench.hold(server, f"--{transport}", many - few, *arguments, label=f"up to {many}"):
            # Both ends of each connection are on this machine.
            kernel = kernel_bytes_per_socket(before, kernel_objects(), 2 * (many - few))
        report = bench.processes.runs[-1]["report"]
        return report["server"]["user_bytes_per_connection"], kernel


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


def idle(bench, transport, name, serve=None, bar=IDLE_BAR):
    few, many = bench.pick((2_000, 18_000), (100, 600))
    with (serve or bench.gateway)() as server:
        user, kernel = idle_slope(bench, server, few, many, transport=transport)
    with bench.floor() as server:
        floor, _ = idle_slope(bench, server, few, many, transport=transport)
    figure = f"{user:.0f} B"
    if kernel > 0:
        figure += f"; kernel {kernel / 1000:.2f} kB"
    void = [] if floor <= FLOOR_BYTES_MAX else [f"floor has {floor:.0f} idle bytes"]
    return [Line(f"user memory per idle {name}, {few:,} → {many:,}", figure, f"{floor:.0f} B",
                 bar=bar, judged=spread([user]), timed=False, void=void)]


def subscriptions(bench):
    """Two slopes over clients, so that what a process and a room cost once drops out of both; their
    difference over the further rooms."""
    few, many = bench.pick((1_000, 4_000), (50, 200))
    rooms = bench.pick(128, 16)

    def session(count):
        # A client asks for all its rooms at once, more than the usual rate allows.
        with bench.gateway(client_messages=10_000) as server:
            options = ("--rooms", count) + (("--all-rooms",) if count > 1 else ())
            return idle_slope(bench, server, few, many, *options)[0]

    full, one = session(rooms), session(1)
    further = (full - one) / (rooms - 1)
    return [Line(f"user memory per further subscription: a WebSocket session in {rooms} rooms, "
                 f"{few:,} → {many:,}", f"{further:.1f} B; the session {full:,.0f} B",
                 f"in one room: {one:.0f} B", bar=at_most(48, unit=" B"), judged=spread([further]),
                 timed=False)]


def after_burst(bench):
    clients, messages, payload = bench.pick((18_000, 20, 1024), (500, 5, 1024))
    publishers = 8
    # As many messages as are kept, so that a second cycle adds none to the history.
    with bench.gateway(history=messages) as server:
        empty = anonymous_bytes(server.pid)

        def per_client():
            await_quiet(server.pid)
            time.sleep(bench.pick(1, 0.1))
            return (anonymous_bytes(server.pid) - empty) / clients

        def cycle():
            bench.load(server, "--mode", "publish", "--publishers", publishers, "--messages",
                       messages, "--payload", payload)
            return per_client()

        with bench.hold(server, "--ws", clients) as held:
            idle_bytes, once, twice = per_client(), cycle(), cycle()
    if held[0]["messages"]["deliveries"] != 2 * messages * clients:
        raise Failed(f"{held[0]['messages']['deliveries']} deliveries of {2 * messages * clients}")
    what = (f"user memory per WebSocket after a burst of {messages} messages of {payload:,} bytes to "
            f"all {clients:,}")
    return [Line(f"{what} ÷ idle", f"{once:.0f} B", f"idle: {idle_bytes:.0f} B",
                 f"{once / idle_bytes:.3f}", at_most(1.10), spread([once / idle_bytes]), timed=False),
            Line("a second burst adds", f"{twice - once:.1f} B", f"after the first: {once:.0f} B",
                 f"{(twice - once) / once:+.1%}", at_most(2, unit=" %"),
                 spread([100 * (twice - once) / once]), timed=False)]


def rooms(bench):
    """Many rooms with one message each against few: bytes per room, CPU time per publish."""
    many, few = bench.pick((1_000_000, 100), (5_000, 20))
    messages, payload = bench.pick(300_000, 2_000), 128

    def run(count, published):
        with bench.gateway() as server:
            return bench.load(server, "--mode", "publish", "--publishers", 16, "--rooms", count,
                              "--messages", published, "--payload", payload, timeout=120)

    ours, others = bench.alternate(lambda: run(many, many), lambda: run(few, messages))

    def room_bytes(report):
        server = report["server"]
        grown = server["after"]["anonymous_bytes"] - server["plateau"]["anonymous_bytes"]
        return grown / many - payload

    def cpu_us(report):
        return 1e6 / report["server"]["publishes_per_cpu_s"]

    held = spread(map(room_bytes, ours))
    slower = spread(cpu_us(one) / cpu_us(other) for one, other in zip(ours, others))
    return [Line(f"{many:,} rooms with one message of {payload} bytes: user memory per room beyond it",
                 f"{held.median:.0f} B", bar=at_most(400, unit=" B"), judged=held, timed=False),
            Line("the same: CPU time per publish", f"{spread(map(cpu_us, ours)).median:.2f} µs",
                 f"{few} rooms: {spread(map(cpu_us, others)).median:.2f} µs", str(slower),
                 at_most(1.5), slower)]


ROWS = {
    # Their own floor's bytes decide, whatever its user time.
    "memory-ws": Row(lambda bench: idle(bench, "ws", "WebSocket in one room"), floor=False),
    "memory-sse": Row(lambda bench: idle(bench, "sse", "SSE stream"), floor=False),
    "memory-rooms": Row(subscriptions, floor=False),
    "memory-burst": Row(after_burst, floor=False),
    "rooms": Row(rooms, floor=False),
}
