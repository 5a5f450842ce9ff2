"""Order and resume under concurrent publishers: one order for all, no hole, no duplicate (§2)."""

import asyncio
import http.client
import json
import random
import threading

from client import asynchronous, connect, off_loop
from harness import ALL_KEY, PATIENCE
from wire import Sse

PUBLISHERS = 4


class Publishers:
    """Threads that publish into one room over connections of their own, until they are joined."""

    def __init__(self, gateway, room, each):
        self.gateway, self.room, self.each = gateway, room, each
        self.failures = []
        self.answers = [[] for _ in range(PUBLISHERS)]
        self.threads = [threading.Thread(target=self._run, args=(n,)) for n in range(PUBLISHERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures[0]

    @property
    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def _run(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
        headers = {"X-API-Key": ALL_KEY, "Content-Type": "application/json"}
        try:
            for n in range(self.each):
                body = json.dumps({"room": self.room, "data": [number, n]})
                connection.request("POST", "/api/v1/publish", body, headers)
                answer = connection.getresponse()
                result = json.loads(answer.read())
                assert answer.status == 200, result
                self.answers[number].append((result["offset"], [number, n]))
        except Exception as failure:  # pylint: disable=broad-except; reported by __exit__
            self.failures.append(failure)
        finally:
            connection.close()


@asynchronous
async def test_every_subscriber_sees_the_one_order_of_four_publishers(gateway, room):
    each, total = 250, 250 * PUBLISHERS
    sockets = [connect(gateway, compression="deflate" if n % 2 else None) for n in range(12)]
    clients = [await socket.__aenter__() for socket in sockets]
    streams = [await off_loop(Sse, gateway, [room]) for _ in range(4)]
    try:
        for client in clients:
            await client.subscribe(room)
        for stream in streams:
            await off_loop(stream.ready)

        async def by_socket(client):
            return [(m["offset"], m["data"])
                    for m in await client.messages(total, timeout=30 * PATIENCE)]

        def by_stream(stream):
            return [(e.json()["offset"], e.json()["data"])
                    for e in stream.messages(total, timeout=30 * PATIENCE)]

        def publish():
            with Publishers(gateway, room, each) as publishers:
                pass
            return publishers.answers

        answers, *seen = await asyncio.gather(
            off_loop(publish), *(by_socket(client) for client in clients),
            *(off_loop(by_stream, stream) for stream in streams))
    finally:
        for socket in sockets:
            await socket.__aexit__(None, None, None)
        for stream in streams:
            stream.close()

    assert [offset for offset, _ in seen[0]] == list(range(1, total + 1))
    assert all(one == seen[0] for one in seen[1:])
    # What the publishers were told is what the subscribers saw, each publisher's own in its order.
    assert sorted(answer for one in answers for answer in one) == seen[0]
    assert all(one == sorted(one) for one in answers)


@asynchronous
async def test_subscribing_with_since_while_publishers_run_leaves_no_hole(gateway, room):
    seed = random.randrange(1 << 32)
    print(f"\nseed {seed}")
    choice = random.Random(seed)
    epoch = gateway.publish(room, "first")["epoch"]
    tries = 0
    with Publishers(gateway, room, 400) as publishers:
        async with connect(gateway) as client:
            newest = 1
            while publishers.running:
                since = choice.randint(max(0, newest - 50), newest)
                reply = await client.subscribe(room, since={"epoch": epoch, "offset": since})
                assert reply["recovered"] is True
                newest = reply["offset"]
                # All of the replay, then as many live ones as come until the room is left.
                got = [m["offset"] for m in await client.messages(reply["offset"] - since)]
                await client.ok("unsubscribe", room=room)
                got += [frame["offset"] for frame in client.backlog if frame["op"] == "message"]
                client.backlog.clear()
                assert got == list(range(since + 1, since + 1 + len(got))), (since, got)
                newest = max([newest, *got])
                tries += 1
    print(f"{tries} tries while {400 * PUBLISHERS} messages were published")
    assert tries > 10


def test_event_stream_that_resumes_while_publishers_run_leaves_no_hole(gateway, tag):
    room = f"open:{tag}"
    cursor, offsets = None, []
    with Publishers(gateway, room, 250):
        while len(offsets) < 250 * PUBLISHERS:
            with Sse(gateway, [room], last_event_id=cursor) as stream:
                ready = stream.ready()
                if cursor is None:
                    offsets = list(range(1, ready["rooms"][room]["offset"] + 1))
                else:
                    assert ready["rooms"][room]["recovered"] is True
                cursor = stream.last_event_id
                count = min(37, 250 * PUBLISHERS - len(offsets))
                for event in stream.messages(count, timeout=20 * PATIENCE):
                    offsets.append(event.json()["offset"])
                    cursor = event.id
    assert offsets == list(range(1, 250 * PUBLISHERS + 1))
