"""Rows of deliveries per CPU-second of the server: one room, many rooms, bursts, compression."""

from bench import FLOOR_USER_US_MAX, Line, Row, is_surely_above, thousands, user_per_delivery
from judging import at_least, at_most, ratios, spread

USER_BAR = at_most(0.25, unit=" µs")


def per_cpu_second(report):
    return report["server"]["deliveries_per_cpu_s"]


def fan_out(bench, what, arguments, bar, *, batch=False, plain=None, serve=None, to_many=True,
            user_bar=None):
    """`plain`: the gateway with these arguments instead of the floor. `serve`: another server in the
    gateway's place. `to_many`: each message has so many subscribers that what the publish itself costs
    does not show, so that the floor's user time tells whether it is one."""
    seconds = ("--duration", bench.pick(2, 0.3))

    def run(server, options):
        return bench.load(server, *options, *seconds)

    def ours():
        with (serve or bench.gateway)() as server:
            return run(server, arguments)

    def other():
        with bench.floor(batch=batch) if plain is None else bench.gateway() as server:
            return run(server, arguments if plain is None else plain)

    gateway, floor = bench.alternate(ours, other)
    user, floor_user = user_per_delivery(gateway), user_per_delivery(floor)

    def show(reports, its_user):
        rate = thousands(spread(map(per_cpu_second, reports)).median)
        return f"{rate}/CPU-s; {its_user.median:.2f} µs user"

    void = []
    if plain is None and to_many and is_surely_above(floor_user, FLOOR_USER_US_MAX):
        void.append(f"floor has {floor_user.median:.2f} user µs per delivery")
    ratio = ratios(gateway, floor, per_cpu_second)
    versus = "" if plain is None else "without: "
    lines = [Line(what, show(gateway, user), versus + show(floor, floor_user), str(ratio), bar, ratio,
                  void)]
    if user_bar is not None:
        lines.append(Line("the same runs: user time per delivery, with its sampling error",
                          f"{user.median:.2f} µs ({user.low:.2f}–{user.high:.2f})",
                          f"{floor_user.median:.2f} µs", bar=user_bar, judged=user, void=list(void)))
    return lines


def one_room(bench, transport, name, *, bar, serve=None, user_bar=None):
    clients = bench.pick(5_000, 100)
    return fan_out(bench, f"deliveries, one room of {clients:,} {name}", (f"--{transport}", clients),
                   bar, serve=serve, user_bar=user_bar)


def burst(bench):
    clients = bench.pick(5_000, 100)
    return fan_out(bench, f"deliveries, one room of {clients:,}, 8 publishers; floor batches too",
                   ("--ws", clients, "--publishers", 8), at_least(0.95), batch=True)


def small_rooms(bench):
    rooms = bench.pick(1_000, 20)
    return fan_out(bench, f"deliveries, {rooms:,} rooms of 5, 16 publishers",
                   ("--ws", 5 * rooms, "--rooms", rooms, "--publishers", 16),
                   at_least(0.90, aim=1.1), to_many=False)


def deflate(bench, *, rooms, clients, publishers, where, bar):
    plain = ("--ws", clients, "--rooms", rooms, "--publishers", publishers, "--payload", 1024)
    return fan_out(bench, f"deliveries of 1 KiB of JSON compressed, {where}", (*plain, "--deflate"),
                   bar, plain=plain)


def deflate_one_room(bench):
    clients = bench.pick(5_000, 100)
    return deflate(bench, rooms=1, clients=clients, publishers=1, bar=at_least(0.95),
                   where=f"one room of {clients:,} WebSockets")


def deflate_small_rooms(bench):
    rooms = bench.pick(1_000, 20)
    return deflate(bench, rooms=rooms, clients=5 * rooms, publishers=16, bar=at_least(0.4),
                   where=f"{rooms:,} rooms of 5, 16 publishers")


def batch(bench):
    """A room whose server keeps up, so that no turn merges by itself; with and without `batch`."""
    clients, rate, wait = bench.pick((5_000, 40, "100ms"), (100, 40, "100ms"))

    def run(waiting):
        with bench.gateway(batch=waiting) as server:
            return bench.load(server, "--ws", clients, "--rate", rate, "--publishers", 4,
                              "--duration", bench.pick(3, 0.5))

    waited, at_once = bench.alternate(lambda: run(wait), lambda: run("0s"))

    def show(reports):
        latency = spread(report["latency_us"]["p50"] for report in reports).median
        return f"{thousands(spread(map(per_cpu_second, reports)).median)}/CPU-s; p50 {latency / 1000:.0f} ms"

    return [Line(f"deliveries, one room of {clients:,} WebSockets, {rate} publishes/s, `batch: {wait}`",
                 show(waited), "without: " + show(at_once), str(ratios(waited, at_once, per_cpu_second)))]


ROWS = {
    "fan-out-ws": Row(lambda bench: one_room(bench, "ws", "WebSockets", bar=at_least(0.93, aim=0.97),
                                             user_bar=USER_BAR)),
    "fan-out-sse": Row(lambda bench: one_room(bench, "sse", "SSE streams", bar=at_least(0.93))),
    "fan-out-burst": Row(burst),
    "small-rooms": Row(small_rooms),
    "fan-out-deflate": Row(deflate_one_room, floor=False),
    "small-rooms-deflate": Row(deflate_small_rooms, floor=False),
    "batch": Row(batch, floor=False),
}
