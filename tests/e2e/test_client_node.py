"""The client library in Node against the real gateway: rooms, requests and lost connections (docs/clients.md)."""

import json
import shutil
import subprocess
import time

import pytest

from harness import PATIENCE, TIMEOUT, token, wait_until
from library import (MODULE, SCRIPTS, STREAM_RETURN, TRANSPORTS, Library, Network, Publisher,
                     needs_node)

pytestmark = needs_node


# -- requests ---------------------------------------------------------------------------------------

def test_subscribes_publishes_and_asks(gateway, tag, clients):
    room = f"chat:{tag}"
    client = clients(gateway.url, token=token("ada", info={"name": "Ada"}))
    opened = client.opened()
    assert opened["user"] == "ada" and opened["transport"] == "websocket"
    answer = client.subscribe(room)
    assert answer["room"] == room and answer["offset"] == 0

    published = client.call("publish", room, {"text": "hé", "big": 12345678901}, {"event": "said"})
    assert published["offset"] == 1 and published["epoch"] == answer["epoch"]
    client.wait_offset(room, 1)
    assert client.messages(room) == [{
        "room": room, "offset": 1, "epoch": answer["epoch"], "event": "said", "from": "ada",
        "data": {"text": "hé", "big": 12345678901}, "ephemeral": False, "replayed": False}]
    assert client.call("presence", room)["members"] == [
        {"user": "ada", "sessions": 1, "info": {"name": "Ada"}}]
    gateway.publish_many(room, range(2, 6))
    page = client.call("history", room, {"limit": 2, "reverse": True})
    assert [one["offset"] for one in page["messages"]] == [5, 4]
    assert all(one["replayed"] and one["time"] for one in page["messages"])
    assert page["more"] is True

    assert client.call("publish", "durable:x", 1)["code"] == "forbidden"
    assert client.call("publish", "nowhere:x", 1)["code"] == "not_found"
    assert client.call("ack", "@me", 1)["code"] == "bad_request"      # nothing of it was sent to this session
    look = client.look()
    assert look["state"] == "open" and look["user"] == "ada" and look["session"] == opened["session"]


def test_joins_and_leaves_are_told(gateway, tag, clients):
    room = f"chat:{tag}"
    watchers = clients(gateway.url, kinds=TRANSPORTS, token=token("ada"))
    for one in watchers:
        one.subscribe(room)
    with Library(gateway.url, token=token("bob")) as other:
        other.subscribe(room)
        for one in watchers:
            assert one.wait(on="join")["value"] == {"room": room, "user": "bob"}
    for one in watchers:
        assert one.wait(on="leave")["value"] == {"room": room, "user": "bob"}


def test_several_subscriptions_to_a_room_are_one_on_the_wire(gateway, room, clients):
    client = clients(gateway.url)
    gateway.publish_many(room, range(1, 6))
    client.subscribe(room, "first", options={"last": 2})
    client.wait_offset("first", 5)
    # The second one gets its own past, then the same live messages.
    client.subscribe(room, "second", options={"last": 4})
    epoch = client.messages("first")[0]["epoch"]
    client.subscribe(room, "third", options={"since": {"epoch": epoch, "offset": 1}})
    client.subscribe(room, "fourth")
    gateway.publish(room, 6)
    for name in ("first", "second", "third", "fourth"):
        client.wait_offset(name, 6)
    assert gateway.subscribers(room) == 1
    assert client.offsets("first") == [4, 5, 6]
    assert client.offsets("second") == [2, 3, 4, 5, 6]
    assert client.offsets("third") == [2, 3, 4, 5, 6]
    assert client.offsets("fourth") == [6]
    for name in ("first", "second", "third"):
        client.tell("unsubscribe", **{"as": name})
    gateway.publish(room, 7)
    client.wait_offset("fourth", 7)
    assert client.offsets("first")[-1] == 6
    client.tell("unsubscribe", **{"as": "fourth"})
    gateway.wait_subscribers(room, 0)


def test_a_late_subscription_sees_one_order_under_load(gateway, room, clients):
    client = clients(gateway.url)
    client.subscribe(room, "first")
    with Publisher(gateway, room) as publisher:
        publisher.at_least(50)
        epoch = client.messages("first")[0]["epoch"]
        for n in range(5):
            client.subscribe(room, f"late{n}", options={"since": {"epoch": epoch, "offset": 10 * n}})
            publisher.more(30)
        count = publisher.stop()
    for n in range(5):
        client.wait_offset(f"late{n}", count)
        assert client.offsets(f"late{n}") == list(range(10 * n + 1, count + 1))


def test_patterns(gateway, tag, clients):
    client = clients(gateway.url)
    client.subscribe({"pattern": f"post_{tag}*_comments"}, "all")
    client.subscribe(f"post_{tag}1_comments", "one")
    gateway.publish(f"post_{tag}1_comments", 1)
    gateway.publish(f"post_{tag}2_comments", 2)
    client.wait(count=2, on="message", where=lambda one: one["as"] == "all")
    client.wait_offset("one", 1)
    assert [one["data"] for one in client.messages("all")] == [1, 2]
    client.tell("unsubscribe", **{"as": "all"})
    client.call("publish", f"open:{tag}", 0)      # a round trip: the pattern is gone
    gateway.publish(f"post_{tag}2_comments", 3)
    gateway.publish(f"post_{tag}1_comments", 4)
    client.wait_offset("one", 2)
    assert [one["data"] for one in client.messages("all")] == [1, 2]


def test_refusals_end_the_subscription_alone(gateway, tag, clients):
    for client in clients(gateway.url, kinds=TRANSPORTS):
        for name, code in ((f"chat:{tag}", "unauthorized"), (f"nowhere:{tag}", "not_found")):
            client.subscribe(name, ready=False)
            assert client.wait(refused=name)["error"]["code"] == code
            assert client.wait(on="error", where=lambda one, name=name: one["as"] == name)
            client.tell("position", **{"as": name})
            assert client.wait(position=name)["active"] is False
        client.subscribe(f"open:{tag}")
        gateway.publish(f"open:{tag}", 1)
        client.wait(on="message")


def test_a_stream_leaves_out_the_rooms_that_are_refused(gateway, tag, clients):
    client = clients(gateway.url, transport="sse")
    good = [f"open:{tag}:{n}" for n in range(3)]
    for name in (good[0], f"chat:{tag}", good[1], f"nowhere:{tag}", good[2]):
        client.subscribe(name, ready=False)     # in one stream
    assert client.wait(refused=f"chat:{tag}")["error"]["code"] == "unauthorized"
    assert client.wait(refused=f"nowhere:{tag}")["error"]["code"] == "not_found"
    for name in good:
        client.wait(ready=name)
        gateway.publish(name, name)
        client.wait_offset(name, 1)


def test_what_the_api_does_is_told(gateway, tag, clients):
    user, room, other = f"u{tag}", f"open:{tag}:a", f"open:{tag}:b"
    for client in clients(gateway.url, kinds=TRANSPORTS, token=token(user)):
        client.subscribe(room)
        start = client.mark()
        gateway.api("POST", f"/users/{user}/subscribe", {"room": other})
        client.wait(event="subscribed", where=lambda one: one["value"]["room"] == other)
        gateway.api("POST", f"/users/{user}/unsubscribe", {"room": room})
        assert client.wait(on="unsubscribed", start=start)["value"]["code"] == "forbidden"
        client.tell("position", **{"as": room})
        assert client.wait(position=room)["active"] is False
        gateway.api("POST", f"/users/{user}/unsubscribe", {"room": other})
        client.wait(event="unsubscribed", where=lambda one: one["value"]["room"] == other)
        client.call("close")


def test_a_callback_that_throws_disturbs_nobody(gateway, room, clients):
    for client in clients(gateway.url, kinds=TRANSPORTS):
        client.subscribe(room, "bad", failing="poison", only=["message"])
        client.subscribe(room, "good")
        first = gateway.publish(room, "poison")["offset"]
        gateway.publish(room, "food")
        for name in ("bad", "good"):
            client.wait_offset(name, first + 1)
        error = client.wait(event="error")["value"]
        assert error["code"] == "callback" and "on purpose" in error["cause"]
        client.tell("position", **{"as": "bad"})
        assert client.wait(position="bad")["value"]["offset"] == first + 1
        assert client.look()["state"] == "open"


# -- lost connections ---------------------------------------------------------------------------------

def test_resumes_without_hole_or_repetition_under_load(gateway, room, clients):
    with Network(gateway.port) as network:
        websocket, stream = clients(network.url, kinds=TRANSPORTS)
        for client in (websocket, stream):
            client.subscribe(room)
        with Publisher(gateway, room, pause=0.001) as publisher:
            for n in range(1, 4):
                publisher.more(50)
                network.drop()
                websocket.wait(event="subscribed", count=n + 1, timeout=STREAM_RETURN)
            publisher.more(50)
            stream.wait(event="subscribed", count=2, timeout=STREAM_RETURN)
            count = publisher.stop()
        for client in (websocket, stream):
            client.wait_offset(room, count)
            assert client.offsets(room) == list(range(1, count + 1))
            assert not client.all(on="lost")
            again = client.all(on="subscribed")[1:]
            assert again and all(one["value"]["recovered"] is True for one in again)
            assert [one["data"] for one in client.messages(room)] == client.offsets(room)


def test_notices_a_dead_network_and_resumes(start, room, clients):
    gateway = start({"clients": {"heartbeat": "400ms"}})
    with Network(gateway.port) as network:
        websocket, stream = clients(network.url, kinds=TRANSPORTS)
        for client in (websocket, stream):
            client.subscribe(room)
        gateway.publish(room, 1)
        for client in (websocket, stream):
            client.wait_offset(room, 1)
        network.wait_heartbeats()
        network.blackhole()
        begin = time.time()
        for n in range(2, 6):
            gateway.publish(room, n)
        websocket.wait(event="close")
        assert time.time() - begin < 2.5 * 0.4 * PATIENCE + 1    # a heartbeat, a ping, and one more
        stream.wait(event="close")
        assert time.time() - begin < 3 * PATIENCE
        network.restore()
        for client in (websocket, stream):
            client.wait_offset(room, 5, timeout=3 * STREAM_RETURN)
            assert client.offsets(room) == [1, 2, 3, 4, 5]
            assert not client.all(on="lost")


def test_says_once_that_history_was_lost_with_the_gateway(start, tag, clients):
    gateway = start()
    room = f"open:{tag}"
    with Network(gateway.port) as network:
        pair = clients(network.url, kinds=TRANSPORTS)
        for client in pair:
            client.subscribe(room)
        gateway.publish_many(room, range(3))
        for client in pair:
            client.wait_offset(room, 3)
        epoch = pair[0].messages(room)[0]["epoch"]
        gateway.kill()
        network.cut()
        for client in pair:
            assert client.wait(event="close")["value"]["code"] == 1006
        gateway.start()
        gateway.publish(room, "while away")
        network.restore()
        for client in pair:
            client.wait(event="open", count=2, timeout=2 * STREAM_RETURN)
            client.wait(on="subscribed", count=2)
            lost = client.wait(on="lost")["value"]
            assert lost["reason"] == "epoch" and lost["since"] == {"epoch": epoch, "offset": 3}
            assert lost["epoch"] != epoch and lost["missed"] is None and lost["offset"] == 1
        newest = gateway.publish(room, "live")["offset"]
        for client in pair:
            client.wait(on="message", where=lambda one: one["value"]["data"] == "live")
            assert len(client.all(on="lost")) == 1 and len(client.all(event="lost")) == 1
            assert client.offsets(room) == [1, 2, 3, newest]


def test_says_how_much_was_trimmed(gateway, tag, clients):
    room = f"short:{tag}"      # keeps five
    with Network(gateway.port) as network:
        pair = clients(network.url, kinds=TRANSPORTS)
        for client in pair:
            client.subscribe(room)
        gateway.publish_many(room, range(2))
        for client in pair:
            client.wait_offset(room, 2)
        network.cut()
        gateway.publish_many(room, range(20))
        network.restore()
        for client in pair:
            lost = client.wait(on="lost", timeout=3 * STREAM_RETURN)["value"]
            assert lost["reason"] == "trimmed" and lost["missed"] == 20 and lost["offset"] == 22
        gateway.publish(room, 23)
        for client in pair:
            client.wait_offset(room, 23)
            assert client.offsets(room) == [1, 2, 23]


def test_a_first_replay_that_was_cut_off_is_asked_for_again(gateway, room, clients):
    gateway.publish_many(room, range(10))
    with Network(gateway.port) as network:
        client = clients(network.url, transport="websocket")
        client.opened()
        network.mute()
        client.subscribe(room, ready=False, options={"last": 5})
        gateway.wait_subscribers(room, 1)
        network.restore()
        client.wait_offset(room, 10)
        assert client.offsets(room) == [6, 7, 8, 9, 10]
        assert not client.all(on="lost")
        # A quiet room: nothing to replay, and later nothing lost.
        quiet = f"{room}:quiet"
        client.subscribe(quiet, options={"last": 5})
        network.drop()
        client.wait(on="subscribed", count=2, where=lambda one: one["as"] == quiet)
        gateway.publish(quiet, 1)
        client.wait_offset(quiet, 1)
        assert not client.all(on="lost")


def test_a_first_connect_that_fails_is_tried_again_ever_more_rarely(start, room, clients):
    gateway = start()
    with Network(gateway.port) as network:
        network.cut()
        client = clients(network.url, transport="websocket",
                         backoff={"min": 20, "max": 150, "jitter": 0.1})
        client.subscribe(room, ready=False)
        client.wait(event="close", count=6)
        waits = [one["value"]["reconnectIn"] for one in client.all(event="close")[:6]]
        for wait, wanted in zip(waits, (20, 40, 80, 150, 150, 150)):
            assert 0.9 * wanted <= wait <= 1.1 * wanted, waits
        network.restore()
        client.wait(ready=room)


def test_a_connect_that_is_never_answered_is_given_up(gateway, room, clients):
    with Network(gateway.port) as network:
        network.mute()
        pair = clients(network.url, kinds=TRANSPORTS, connectTimeout=300)
        for client in pair:
            client.subscribe(room, ready=False)
        for client in pair:
            client.wait(event="close", count=2)
        network.restore()
        for client in pair:
            client.wait(ready=room)


def test_the_gateway_may_be_away_for_long_and_websocket_is_used_again(start, room, clients):
    """Handshakes that fail because nothing is there must not end in SSE for good."""
    gateway = start()
    gateway.kill()
    client = clients(gateway.url)
    client.subscribe(room, ready=False)
    client.wait(event="close", count=5)
    gateway.start()
    client.wait(ready=room, timeout=STREAM_RETURN)
    wait_until(lambda: client.look()["transport"] == "websocket", 2 * TIMEOUT, "a WebSocket")
    assert client.call("publish", room, 1)["offset"] == 1
    client.wait_offset(room, 1)


def test_callbacks_may_close_and_unsubscribe(gateway, room, clients):
    for client in clients(gateway.url, kinds=TRANSPORTS):
        client.subscribe(room, "leaves", leaving=1)
        client.subscribe(room, "stays")
        client.subscribe(f"{room}:end", closing=1)
        first = gateway.publish_many(room, [1, 2, 3])["offset"] - 2
        client.wait_offset("stays", first + 2)
        assert client.offsets("leaves") == [first]
        gateway.publish_many(f"{room}:end", [1, 2, 3])
        client.wait(event="close")
        client.look()
        assert [one["data"] for one in client.messages(f"{room}:end")] == [1]
        assert client.ends() < 2 * PATIENCE


# -- requests in flight ---------------------------------------------------------------------------------

def test_requests_wait_for_the_connection_and_for_their_room(gateway, tag, clients):
    room = f"chat:{tag}"     # whose subscribers may publish
    with Network(gateway.port) as network:
        network.cut()
        client = clients(network.url, transport="websocket", token=token("ada"))
        client.subscribe(room, ready=False)
        tags = [client.call("publish", room, n, wait=False) for n in range(10)]
        asked = client.call("presence", room, wait=False)
        typing = client.call("publish", room, "typing", {"ephemeral": True})
        assert typing["code"] == "unavailable"
        client.wait(event="close", count=2)
        network.restore()
        assert [client.result(tag)["offset"] for tag in tags] == list(range(1, 11))
        assert client.result(asked)["total"] == 1
        client.wait_offset(room, 10)
        assert [one["data"] for one in client.messages(room)] == list(range(10))


def test_what_waits_is_bounded_in_number_and_time(gateway, room, clients):
    with Network(gateway.port) as network:
        network.cut()
        client = clients(network.url, transport="websocket", timeout=700)
        tags = [client.call("publish", room, n, wait=False) for n in range(101)]
        assert client.result(tags[-1])["code"] == "limit_reached"
        assert {client.result(tag)["code"] for tag in tags[:-1]} == {"timeout"}
        network.restore()
        client.opened()
        network.mute()
        # Sent, and no answer in time.
        assert client.call("publish", room, "x")["code"] == "outcome_unknown"


def test_a_publish_with_a_key_is_repeated_and_happens_once(gateway, room, clients):
    with Network(gateway.port) as network:
        client = clients(network.url, transport="websocket", token=token("ada"))
        client.subscribe(room)
        network.mute()
        with_key = client.call("publish", room, "a", {"key": f"k-{room}"}, wait=False)
        wait_until(lambda: gateway.newest(room) == 1, what="the publish arriving")
        without = client.call("publish", room, "b", wait=False)
        wait_until(lambda: gateway.newest(room) == 2, what="the publish arriving")
        asked = client.call("history", room, wait=False)
        network.restore()
        assert client.result(without)["code"] == "outcome_unknown"
        answer = client.result(with_key)
        assert answer["offset"] == 1 and answer["duplicate"] is True
        assert len(client.result(asked)["messages"]) == 2      # asking again is always safe
        assert gateway.newest(room) == 2


def test_an_anonymous_key_is_refused(gateway, room, clients):
    client = clients(gateway.url)
    client.subscribe(room)
    assert client.call("publish", room, 1, {"key": "k"})["code"] == "bad_request"
    assert client.call("publish", room, 1)["offset"] == 1


def test_unsubscribing_while_away_just_drops_the_room(gateway, tag, clients):
    rooms = [f"open:{tag}:a", f"open:{tag}:b"]
    with Network(gateway.port) as network:
        client = clients(network.url, transport="websocket")
        for one in rooms:
            client.subscribe(one)
        network.cut()
        client.wait(event="close")
        client.tell("unsubscribe", **{"as": rooms[0]})
        network.restore()
        client.wait(event="open", count=2)
        gateway.wait_subscribers(rooms[1], 1)
        assert gateway.subscribers(rooms[0]) == 0


# -- the WebSocket that Node brings -----------------------------------------------------------------

BUILT_IN = ["node", "--experimental-websocket"]      # from 20.10 on; 22 needs no flag and takes it


@pytest.mark.skipif(shutil.which("node") is None or subprocess.run(
    [*BUILT_IN, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"],
    capture_output=True, check=False).returncode != 0, reason="this Node.js has no WebSocket")
def test_the_websocket_that_node_brings_will_do(gateway, room):
    result = subprocess.run([*BUILT_IN, str(SCRIPTS / "builtin.mjs"), str(MODULE), gateway.url, room],
                            capture_output=True, text=True, timeout=4 * TIMEOUT, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"transport": "websocket", "offset": 1, "heard": 1,
                                         "data": {"from": "node"}}
