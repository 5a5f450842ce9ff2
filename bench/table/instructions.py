"""User instructions of the gateway per delivery, per publish, per connect: counted, not timed.

    python3 bench/table/instructions.py             counts, and compares with what is recorded
    python3 bench/table/instructions.py --record    counts, and records

The figures are those of the release build with one reactor unless they say otherwise, on Debian 12, on
any CPU with AVX2 (README.md, "Instructions"). They are recorded in instructions.json and guarded by
tests/e2e/test_instructions.py. Exit status: 0 all within 5 % of the recorded, 1 one is not, 2 usage.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import lockstep
from lockstep import Publisher, SseClient, WebSocketClient
from processes import Failed

RECORDED = Path(__file__).with_suffix(".json")
RECORD_COMMAND = "python3 bench/table/instructions.py --record"
TOLERANCE = 0.05
TOLERANCE_INSTRUCTIONS = 2          # of a figure so small that 5 % of it are less than one

FIGURES = {
    "ws_connect": "a WebSocket session: accept, upgrade, subscribe; 20 at a time",
    "sse_connect": "an SSE stream: accept, request, subscribe; 20 at a time",
    "ws_delivery": "a delivery to a WebSocket, one room, one message a turn",
    "ws_message": "the rest of such a message: its publish, answer, encoding and turns",
    "sse_delivery": "a delivery to an SSE stream, one room, one message a turn",
    "sse_message": "the rest of such a message",
    "burst_delivery": "a delivery to a WebSocket, one room, 8 publishers' messages a turn",
    "small_rooms_delivery": "a delivery with its share of the publish: 16 messages a turn, each to another room of 5",
    "publish": "an authenticated publish, 16 a turn, no subscribers, full history",
    "publish_few_rooms": "the same, to 100 rooms",
    "publish_many_rooms": "the same, to 100 of {rooms:,} rooms",
    "two_reactors_delivery": "two reactors: as ws_delivery, about half of the subscribers on each",
    "two_reactors_message": "two reactors: as ws_message; publisher and room on different ones",
}


def measure(rooms=20_000):
    """Name → Cost of every figure. `rooms`: how many are many. Raises Failed."""
    raise_descriptor_limit()
    costs = {}
    with lockstep.run(reactors=1) as gateway:
        publishers = [Publisher(gateway) for _ in range(16)]
        costs.update(fan_out(gateway, publishers, WebSocketClient, "ws", burst=True))
        costs.update(fan_out(gateway, publishers, SseClient, "sse"))
        costs["small_rooms_delivery"] = small_rooms(gateway, publishers)
        costs.update(publish(gateway, publishers, rooms))
    with lockstep.run(reactors=2) as gateway:
        costs.update(two_reactors(gateway))
    assert costs.keys() == FIGURES.keys()
    return costs


# -- loads ----------------------------------------------------------------------------------------

FEW, MANY = 100, 300            # subscribers between which a slope is taken
WARM_UP = 40                    # messages after which every buffer of the gateway has its size
# A turn looks up the next timer in a wheel of 64 slots, 25 ms each, and what that costs depends on how
# far the wheel has turned. Where it would show, the turns are spread over a revolution.
REVOLUTION_TURNS = 64
REVOLUTION_SECONDS = 64 * 0.025


def fan_out(gateway, publishers, kind, name, burst=False):
    room = f"fan-out:{name}"
    fill(publishers[0], [room] * 200)
    costs = {}
    subscribers = connect(gateway, kind, room, 20)
    costs[f"{name}_connect"] = counted(gateway, FEW - 20, lambda: subscribers.extend(
        connect(gateway, kind, room, FEW - 20)))
    one, eight = {}, {}
    for size in (FEW, MANY):
        subscribers += connect(gateway, kind, room, size - len(subscribers))
        deliver(gateway, publishers[:1], subscribers, WARM_UP)
        one[size] = deliver_for_a_revolution(gateway, publishers[0], subscribers)
        if burst:
            deliver(gateway, publishers[:8], subscribers, WARM_UP)
            eight[size] = counted(gateway, 80, lambda: deliver(gateway, publishers[:8], subscribers, 80))
    costs[f"{name}_delivery"], costs[f"{name}_message"] = slope(one)
    if burst:
        costs["burst_delivery"], _ = slope(eight)
    close(gateway, subscribers)
    return costs


def small_rooms(gateway, publishers):
    rooms = [f"small:{i:02}" for i in range(2 * len(publishers))]
    groups = {room: connect(gateway, WebSocketClient, room, 5) for room in rooms}

    def run(rounds):
        for i in range(rounds):
            begin = i % 2 * len(publishers)
            chosen = rooms[begin:begin + len(publishers)]
            post(gateway, zip(publishers, chosen))
            for room in chosen:
                for subscriber in groups[room]:
                    subscriber.read_messages(1)

    run(2 * WARM_UP)
    cost = counted(gateway, 20 * len(publishers) * 5, lambda: run(20))
    close(gateway, [subscriber for group in groups.values() for subscriber in group])
    return cost


def publish(gateway, publishers, rooms):
    def run(names, rounds, apart=0):
        begun = time.monotonic()
        for i in range(rounds):
            time.sleep(max(0, begun + i * apart - time.monotonic()))
            begin = i * len(publishers)
            post(gateway, [(publisher, names[(begin + k) % len(names)])
                           for k, publisher in enumerate(publishers)])

    def cost(names):
        return counted(gateway, 25 * len(publishers), lambda: run(names, 25, REVOLUTION_SECONDS / 25))

    run(["publish"], 4)
    costs = {"publish": cost(["publish"])}
    names = [f"room:{i:07}" for i in range(rooms)]
    chosen = names[:100]
    fill(publishers[0], chosen)
    for name in ("publish_few_rooms", "publish_many_rooms"):
        # Each room has one message before, so that the histories of both grow in the same way.
        run(chosen, 25)
        # Round and round: 25 rounds of 16 are four messages to each of 100 rooms.
        costs[name] = cost(chosen)
        if name == "publish_few_rooms":
            with gateway.uncounted():
                fill(publishers[0], names[100:])
            step = (rooms - 100) // 100
            chosen = names[100::step][:100]
    return costs


def fill(publisher, names):
    """One message to each room; those of a room have three-digit offsets and a full history afterwards
    if it is named 200 times."""
    for begin in range(0, len(names), 1000):
        publisher.socket.sendall(publisher.request(names[begin:begin + 1000]))
        publisher.read_answer()


def two_reactors(gateway):
    publisher = next(one for one in (Publisher(gateway) for _ in range(64))
                     if gateway.reactor_of(one) == 0)
    # Without subscribers the other reactor wakes for nothing but a room that is at home there.
    room = next(name for name in (f"fan-out:{i}" for i in range(64))
                if 1 in gateway.woken_by(lambda: post(gateway, [(publisher, name)])))
    fill(publisher, [room] * 200)
    subscribers = connect_evenly(gateway, WebSocketClient, room, 20)
    deliver(gateway, [publisher], subscribers, WARM_UP)
    costs = {20: deliver_for_a_revolution(gateway, publisher, subscribers)}
    with gateway.uncounted():
        # By chance about as many on each.
        subscribers += connect(gateway, WebSocketClient, room, 1980)
    deliver(gateway, [publisher], subscribers, 8)
    costs[2000] = counted(gateway, 16, lambda: deliver(gateway, [publisher], subscribers, 16))
    delivery, message = slope(costs)
    return {"two_reactors_delivery": delivery, "two_reactors_message": message}


# -- their steps ----------------------------------------------------------------------------------

def connect(gateway, kind, room, count):
    """Clients that are subscribed; 20 at a time are in the same turns."""
    clients = []
    while len(clients) < count:
        with gateway.stopped():
            some = [kind(gateway, room) for _ in range(min(20, count - len(clients)))]
            for client in some:
                client.socket.sendall(client.opening())
        for client in some:
            client.read_opening()
        subscribe(gateway, some)
        clients += some
    return clients


def connect_evenly(gateway, kind, room, count):
    """The same, as many on one of two reactors as on the other; the kernel deals them out at random."""
    chosen = {0: [], 1: []}
    surplus = []
    while any(len(clients) < count // 2 for clients in chosen.values()):
        client = kind(gateway, room)
        reactor = gateway.reactor_of(client)
        kept = reactor is not None and len(chosen[reactor]) < count // 2
        (chosen[reactor] if kept else surplus).append(client)
    close(gateway, surplus)
    clients = chosen[0] + chosen[1]
    gateway.feed(*((client, client.opening()) for client in clients))
    for client in clients:
        client.read_opening()
    subscribe(gateway, clients)
    return clients


def subscribe(gateway, clients):
    """An SSE stream says in its opening what it subscribes to."""
    clients = [client for client in clients if isinstance(client, WebSocketClient)]
    if clients:
        gateway.feed(*((client, client.subscribing()) for client in clients))
        for client in clients:
            client.read_subscribing()


def post(gateway, publishes):
    """Publishes in one turn, pairs of publisher and room."""
    publishes = list(publishes)
    gateway.feed(*((publisher, publisher.request([room])) for publisher, room in publishes))
    for publisher, _ in publishes:
        publisher.read_answer()


def deliver_for_a_revolution(gateway, publisher, subscribers):
    """The cost of a message, one a turn."""
    return counted(gateway, REVOLUTION_TURNS, lambda: deliver(
        gateway, [publisher], subscribers, REVOLUTION_TURNS, REVOLUTION_SECONDS / REVOLUTION_TURNS))


def deliver(gateway, publishers, subscribers, messages, apart=0):
    """Publishes so many messages, one of each publisher a turn, the turns at least `apart` seconds
    apart; every subscriber reads them."""
    begun = time.monotonic()
    for turn in range(messages // len(publishers)):
        time.sleep(max(0, begun + turn * apart - time.monotonic()))
        post(gateway, ((publisher, subscribers[0].room) for publisher in publishers))
        for subscriber in subscribers:
            subscriber.read_messages(len(publishers))


def close(gateway, clients):
    for client in clients:
        client.close()
    gateway.fall_asleep()


def counted(gateway, divisor, run):
    """The cost of `run()` divided by `divisor`."""
    with gateway.counted() as costs:
        run()
    return costs[0] / divisor


def slope(costs):
    """Of the costs of a message by the number of its deliveries: of a delivery, and of what is left."""
    (few, low), (many, high) = sorted(costs.items())
    each = (high - low) / (many - few)
    return each, low - each * few


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# -- the record -----------------------------------------------------------------------------------

def read_recorded():
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def record(counted_now):
    RECORDED.write_text(json.dumps(counted_now, indent=1) + "\n", encoding="utf-8")


def rounded(costs):
    """What is recorded of the costs: name → instructions."""
    return {name: round(cost.instructions, 1) for name, cost in costs.items()}


def judge(name, now, recorded):
    """What is wrong with a figure, None if nothing is. An improvement is recorded, too: otherwise a
    later change could lose it unseen."""
    if name not in recorded:
        return f"{name}: not recorded yet: {RECORD_COMMAND}"
    change = now / recorded[name] - 1
    if abs(change) <= TOLERANCE or abs(now - recorded[name]) <= TOLERANCE_INSTRUCTIONS:
        return None
    advice = "what has become dearer?" if change > 0 else f"record the improvement: {RECORD_COMMAND}"
    return f"{name}: {now:,.1f} instructions, recorded {recorded[name]:,.1f} ({change:+.1%}): {advice}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help=f"write the figures into {RECORDED.name}")
    parser.add_argument("--rooms", type=int, default=20_000, metavar="N",
                        help="how many rooms are many (20,000; 1,000,000 take some minutes)")
    arguments = parser.parse_args()
    if arguments.rooms < 1000:
        parser.error("--rooms: at least 1000")
    try:
        costs = measure(arguments.rooms)
    except Failed as failure:
        print(f"instructions: {failure}", file=sys.stderr)
        return 1
    now = rounded(costs)
    recorded = read_recorded() if RECORDED.exists() else {}
    for name, cost in costs.items():
        before = f"{now[name] / recorded[name] - 1:+.1%}" if name in recorded else "new"
        print(f"{name:22} {now[name]:>10,.1f} {before:>7} {sum(cost.locked.values()):8.2f} locked "
              f"{sum(cost.syscalls.values()):6.2f} system calls  "
              f"{FIGURES[name].format(rooms=arguments.rooms)}")
    if arguments.record:
        record(now)
        return 0
    faults = [fault for name in now if (fault := judge(name, now[name], recorded))]
    if faults:
        print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
