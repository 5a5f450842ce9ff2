"""The client library in Node: SSE in the place of WebSocket, positions that outlive a process, many rooms."""

import pytest

from harness import ALLOWED_ORIGIN, PATIENCE, TIMEOUT, wait_until
from library import TRANSPORTS, Library, Network, Publisher, needs_node

pytestmark = needs_node


# -- SSE in the place of WebSocket --------------------------------------------------------------------------

def test_falls_back_to_sse_and_returns_to_websocket(gateway, room, clients):
    with Network(gateway.port) as network:
        network.refuse_upgrades = True
        client = clients(network.url, retryWebSocket=1500)
        client.subscribe({"pattern": "open:*"}, "pattern", ready=False)
        client.subscribe(room)
        look = client.look()
        assert look["transport"] == "sse" and look["state"] == "open"
        with Publisher(gateway, room, pause=0.002) as publisher:
            publisher.at_least(20)
            assert client.call("publish", room, 1)["code"] == "unavailable"
            assert client.call("presence", room)["code"] == "unavailable"
            assert client.call("history", room)["code"] == "unavailable"
            assert client.wait(on="error", where=lambda one: one["as"] == "pattern")["value"]["code"] \
                == "unavailable"
            # It looked once more at once, and the failure changed nothing.
            wait_until(lambda: sum("/ws" in head for head in network.heads) >= 3, what="a probe")
            assert client.look()["transport"] == "sse"
            network.refuse_upgrades = False
            client.wait(event="open", where=lambda one: one["value"]["transport"] == "websocket")
            client.wait(ready="pattern")
            publisher.more(20)
            count = publisher.stop()
        client.wait_offset(room, count)
        assert client.offsets(room) == list(range(1, count + 1))
        assert not client.all(on="lost") and not client.all(event="close")[2:]
        assert "offset" in client.call("publish", room, "by WebSocket")


def test_uses_sse_where_there_is_no_websocket(gateway, room, clients):
    client = clients(gateway.url, webSocket=False)
    client.subscribe(room, options={"last": 10})
    gateway.publish(room, 1)
    client.wait_offset(room, 1)
    assert client.look()["transport"] == "sse"
    assert not client.all(event="close")


def test_another_choice_of_rooms_loses_and_repeats_nothing(gateway, tag, clients):
    room = f"open:{tag}:main"
    client = clients(gateway.url, transport="sse")
    client.subscribe(room)
    with Publisher(gateway, room) as publisher:
        for n in range(6):
            gateway.publish(f"open:{tag}:{n}", "before")
            client.subscribe(f"open:{tag}:{n}", options={"last": 3} if n % 2 else {})
            publisher.more(20)
            if n >= 2:
                client.tell("unsubscribe", **{"as": f"open:{tag}:{n - 2}"})
                publisher.more(20)
        count = publisher.stop()
    client.wait_offset(room, count)
    assert client.offsets(room) == list(range(1, count + 1))
    assert not client.all(on="lost") and not client.all(event="close")
    for n in range(6):
        assert client.offsets(f"open:{tag}:{n}") == ([1] if n % 2 else [])
    gateway.wait_subscribers(f"open:{tag}:0", 0)
    # To nothing, and back.
    client.tell("unsubscribe", **{"as": room})
    for n in (4, 5):
        client.tell("unsubscribe", **{"as": f"open:{tag}:{n}"})
    client.wait(event="state", where=lambda one: one["value"]["state"] == "idle")
    client.subscribe(room, "again")
    last = gateway.publish(room, "again")["offset"]
    client.wait_offset("again", last)


def test_a_stream_without_a_cursor_asks_for_as_much_as_it_misses(gateway, tag, clients):
    rooms = [f"open:{tag}:a", f"open:{tag}:b"]      # keep 5,000
    with Network(gateway.port) as network:
        client = clients(network.url, transport="sse")
        client.subscribe(rooms[0])
        gateway.publish(rooms[0], 1)
        client.wait_offset(rooms[0], 1)
        network.cut()
        gateway.publish_many(rooms[0], range(2, 3001))
        client.wait(event="close")
        client.subscribe(rooms[1], ready=False)     # now it is another URL, whose cursor there is not
        network.restore()
        client.wait_offset(rooms[0], 3000)
        assert client.offsets(rooms[0]) == list(range(1, 3001))
        assert not client.all(on="lost")
        # More than is kept.
        network.cut()
        gateway.publish_many(rooms[0], range(3001, 9001))
        client.tell("unsubscribe", **{"as": rooms[1]})
        network.restore()
        lost = client.wait(on="lost", timeout=6 * TIMEOUT)["value"]
        assert lost["reason"] == "trimmed" and lost["missed"] == 1000
        client.wait_offset(rooms[0], 9000)
        assert client.offsets(rooms[0])[3000:] == list(range(4001, 9001))


def test_ephemeral_messages_are_not_doubled_when_streams_change(gateway, tag, clients):
    room = f"open:{tag}:main"
    client = clients(gateway.url, transport="sse")
    client.subscribe(room)
    sent = 0
    for n in range(4):
        client.subscribe(f"open:{tag}:{n}", ready=False)
        for _ in range(40):
            sent += 1
            gateway.publish(room, sent, ephemeral=True)
        client.wait(ready=f"open:{tag}:{n}")
    gateway.publish(room, "end")
    client.wait_offset(room, 1)
    seen = [one["data"] for one in client.messages(room) if one["ephemeral"]]
    # What is on its way in the old stream may be lost with it, as ephemeral messages may.
    assert seen == sorted(set(seen)) and len(seen) >= sent - 8


def test_a_stream_has_32_rooms_and_the_33rd_waits(gateway, tag, clients):
    client = clients(gateway.url, transport="sse")
    rooms = [f"open:{tag}:{n}" for n in range(33)]
    for one in rooms:
        client.subscribe(one, ready=False)
    for one in rooms[:32]:
        client.wait(ready=one)
    error = client.wait(on="error")
    assert error["as"] == rooms[32] and error["value"]["code"] == "limit_reached"
    gateway.publish(rooms[31], "last of the stream")
    client.wait_offset(rooms[31], 1)
    client.tell("unsubscribe", **{"as": rooms[0]})
    client.wait(ready=rooms[32])
    gateway.publish(rooms[32], "has a place")
    client.wait_offset(rooms[32], 1)


# -- positions that outlive the process ------------------------------------------------------------------------

@pytest.mark.parametrize("transport", TRANSPORTS)
def test_goes_on_in_another_process_where_the_first_was(gateway, room, tmp_path, transport):
    store = str(tmp_path / "positions.json")
    with Library(gateway.url, transport=transport, store=store) as client:
        client.subscribe(room, options={"last": 10})
        gateway.publish_many(room, range(1, 4))
        client.wait_offset(room, 3)
        client.ends()
    gateway.publish_many(room, range(4, 7))
    with Library(gateway.url, transport=transport, store=store) as client:
        client.subscribe(room, options={"last": 10})
        gateway.publish(room, 7)
        client.wait_offset(room, 7)
        assert client.offsets(room) == [4, 5, 6, 7]
        assert all(one["replayed"] for one in client.messages(room)[:3])
        # Positions are written now and then. Killed at any moment it may repeat, and never misses.
        wait_until(lambda: '\\"offset\\":7' in open(store, encoding="utf-8").read(), what="the write")
        gateway.publish_many(room, range(8, 20))
        client.wait_offset(room, 19)
    with Library(gateway.url, transport=transport, store=store) as client:
        client.subscribe(room)
        gateway.publish(room, 20)
        client.wait_offset(room, 20)
        first = client.offsets(room)[0]
        assert 8 <= first <= 20 and client.offsets(room) == list(range(first, 21))
    with Library(gateway.url, transport=transport, store=store) as client:
        client.subscribe(room, options={"since": None})
        gateway.publish(room, 21)
        client.wait_offset(room, 21)
        assert client.offsets(room) == [21]


def test_a_stored_position_of_another_life_is_lost(start, tag, tmp_path):
    room, store = f"open:{tag}", str(tmp_path / "positions.json")
    gateway = start()
    with Library(gateway.url, store=store) as client:
        client.subscribe(room)
        gateway.publish(room, 1)
        client.wait_offset(room, 1)
        client.ends()
    gateway.kill()
    gateway.start()
    for transport in TRANSPORTS:
        with Library(gateway.url, store=store, transport=transport) as client:
            client.subscribe(room)
            assert client.wait(on="lost")["value"]["reason"] == "epoch"
            client.call("close")
        if transport == "websocket":      # give the stream the old position, too
            (tmp_path / "positions.json").write_text(
                '{"fanfare:%s":"{\\"epoch\\":\\"AAAAAAAA\\",\\"offset\\":1}"}' % room)


# -- limits -------------------------------------------------------------------------------------------------

def test_many_rooms_are_joined_within_the_rate_limit(start, tag, clients):
    gateway = start({"clients": {"rate": {"messages": 20, "per": "500ms"}}})
    with Network(gateway.port) as network:
        client = clients(network.url, transport="websocket")
        rooms = [f"open:{tag}:{n}" for n in range(100)]
        for one in rooms:
            client.subscribe(one, ready=False)
        for one in rooms:
            client.wait(ready=one, timeout=30 * PATIENCE)
        assert not client.all(event="close") and not client.all(on="error")


def test_a_page_of_another_origin_may_ask_by_stream(gateway):
    """The library sends an Authorization header with fetch: a preflight must allow it."""
    answer = gateway.http("OPTIONS", "/sse?room=x", headers={
        "Origin": ALLOWED_ORIGIN, "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, last-event-id"})
    assert answer.status == 204
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert "authorization" in allowed and "last-event-id" in allowed
    answer = gateway.http("OPTIONS", "/sse/ack", headers={
        "Origin": ALLOWED_ORIGIN, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type"})
    assert "content-type" in answer.headers["Access-Control-Allow-Headers"].lower()
