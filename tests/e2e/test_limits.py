"""Bounds of the whole gateway: connections, descriptors, rooms, positions (§1, §3, §4, §6)."""

import asyncio
import resource
import time

from client import asynchronous, connect, off_loop
from harness import assert_problem, wait_until
from wire import RawHttp, RawWs, Sse


@asynchronous
async def test_above_max_connections_newcomers_are_told_and_those_who_are_in_stay(start, room):
    gateway = start({"server": {"max_connections": 4}})
    async with connect(gateway) as first, connect(gateway) as second:
        await first.subscribe(room)
        await second.subscribe(room)
        # Two more fill it; kept open, so that every further connection is one too many.
        fill = [RawWs(gateway), RawWs(gateway)]
        for socket in fill:
            assert socket.welcome

        with RawHttp(gateway) as raw:
            raw.send(raw.request("GET", "/ws", "Upgrade: websocket", "Connection: Upgrade",
                                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                 "Sec-WebSocket-Version: 13"))
            refused = raw.answer()
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) >= 1
            assert raw.at_end()
        with RawHttp(gateway) as raw:
            raw.send(raw.request("GET", f"/sse?room={room}"))
            polite = raw.answer()
            assert polite.status == 200
            assert polite.headers["Content-Type"].startswith("text/event-stream")
            retry = int(polite.body.decode().split("retry:")[1].split()[0])
            assert 2000 <= retry <= 30000
            assert raw.at_end()
        assert gateway.http("GET", "/health").status == 200

        # Someone leaves, someone may come: the publish needs a connection of its own.
        fill[0].close()
        fill[1].close()
        wait_until(lambda: gateway.api("POST", "/publish", {"room": room, "data": 1}).status == 200,
                   what="a place for the publisher")
        assert (await first.message())["data"] == 1
        assert (await second.message())["data"] == 1


@asynchronous
async def test_running_out_of_descriptors_costs_newcomers_only(start, room):
    gateway = start()
    async with connect(gateway) as client:
        await client.subscribe(room)
        in_use = len(list((gateway.directory / f"/proc/{gateway.pid}/fd").iterdir()))
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (in_use + 4, in_use + 4))
        crowd = []
        for _ in range(20):
            raw = RawHttp(gateway)
            crowd.append(raw)
            raw.send_if_open(raw.request("GET", "/health"))
        await client.pong()
        for raw in crowd:
            raw.close()
        # With descriptors free again the listening socket works as before.
        wait_until(lambda: _publishes(gateway, room), what="a publish after the crowd has left")
        assert (await client.message())["data"] == "after"
        assert "accept_refused" in gateway.log()


def _publishes(gateway, room):
    try:
        return gateway.api("POST", "/publish", {"room": room, "data": "after"}).status == 200
    except OSError:
        return False


@asynchronous
async def test_the_oldest_idle_room_makes_place_and_comes_back_with_a_new_epoch(start, tag):
    gateway = start({"rooms_max": 4, "server": {"reactors": 1}})
    busy = f"open:{tag}:busy"
    async with connect(gateway) as client:
        await client.subscribe(busy)
        before = [gateway.publish(f"open:{tag}:{n}", n) for n in range(3)]
        # The next one is one too many: room 0 has waited longest.
        gateway.publish(f"open:{tag}:3", 3)
        reply = await client.ok("history", room=f"open:{tag}:1")
        assert reply["epoch"] == before[1]["epoch"] and reply["offset"] == 1
        again = gateway.publish(f"open:{tag}:0", "again")
        assert again["epoch"] != before[0]["epoch"] and again["offset"] == 1
        gateway.publish(busy, "still here")
        assert (await client.message(busy))["data"] == "still here"


@asynchronous
async def test_a_room_full_of_busy_rooms_refuses_another_one(start, tag):
    gateway = start({"rooms_max": 2, "server": {"reactors": 1}})
    async with connect(gateway) as client:
        await client.subscribe(f"open:{tag}:1")
        await client.subscribe(f"open:{tag}:2")
        await client.refused("limit_reached", "subscribe", room=f"open:{tag}:3")
        response = gateway.api("POST", "/publish", {"room": f"open:{tag}:3", "data": 1})
        assert_problem(response, 409, "limit_reached")
        gateway.publish(f"open:{tag}:1", "fine")
        assert (await client.message())["data"] == "fine"


@asynchronous
async def test_a_position_outlives_its_history_and_then_ends(start, tag):
    room = f"open:{tag}"
    gateway = start({"position_ttl": "1500ms", "rooms": [
        {"match": "open:*", "subscribe": "anyone", "publish": "server",
         "history": {"size": 10, "ttl": "300ms"}}]})
    first = gateway.publish(room, 1)
    async with connect(gateway) as client:
        async def history():
            return await client.ok("history", room=room)
        while (await history())["messages"]:
            await asyncio.sleep(0.05)
        # Nothing is kept any more, but the numbering goes on: newest is always recovered.
        reply = await client.ok("subscribe", room=room,
                                since={"epoch": first["epoch"], "offset": 1})
        assert reply["recovered"] is True
        await client.ok("unsubscribe", room=room)
        ended = time.monotonic() + 20
        while (await history())["epoch"] == first["epoch"]:
            assert time.monotonic() < ended, "the position never ended"
            await asyncio.sleep(0.1)
        reply = await client.ok("subscribe", room=room,
                                since={"epoch": first["epoch"], "offset": 1})
        assert reply["recovered"] is False and reply["offset"] == 0


@asynchronous
async def test_an_anonymous_session_that_signs_in_is_known_everywhere(gateway, tag):
    from harness import token
    room, user = f"open:{tag}", f"u-{tag}"
    async with connect(gateway) as client:
        await client.subscribe(room)
        reply = await client.ok("auth", token=token(user))
        assert reply["user"] == user
        info = gateway.api("GET", f"/users/{user}").json()
        assert info["online"] and len(info["sessions"]) == 1
        stream = await off_loop(Sse, gateway, [room])
        await off_loop(stream.ready)
        gateway.publish(room, "both")
        assert (await client.message())["data"] == "both"
        stream.close()
