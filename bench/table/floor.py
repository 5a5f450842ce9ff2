"""The floor looks at itself: a table counts only if the floor of its run was one."""

from bench import (FLOOR_BYTES_MAX, FLOOR_USER_US_MAX, Line, Row, is_surely_above, thousands,
                   user_per_delivery)
from judging import at_most, spread
from memory import idle_slope


def soundness(bench):
    clients = bench.pick(5_000, 100)
    with bench.floor() as server:
        report = bench.load(server, "--ws", clients, "--duration", bench.pick(4, 0.3))
    with bench.floor() as server:
        idle, _ = idle_slope(bench, server, *bench.pick((2_000, 8_000), (100, 600)))
    user = user_per_delivery([report])
    rate = thousands(report["server"]["deliveries_per_cpu_s"])
    return [Line(f"the floor itself, one room of {clients:,} WebSockets: user time per delivery",
                 "–", f"{user.median:.3f} µs ({user.low:.3f}–{user.high:.3f}); {rate}/CPU-s",
                 bar=at_most(FLOOR_USER_US_MAX, unit=" µs"), judged=user),
            Line("the floor itself: user memory per idle WebSocket", "–", f"{idle:.1f} B",
                 bar=at_most(FLOOR_BYTES_MAX, unit=" B"), judged=spread([idle]), timed=False)]


def unsound(lines):
    """Why a table with this floor means nothing; empty if it means something."""
    return [f"floor unsound: {line.floor}" for line in lines
            if is_surely_above(line.judged, line.bar.limit)]


ROWS = {"floor": Row(soundness, floor=False)}
