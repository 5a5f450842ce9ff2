"""The client library in Node: tokens, being sent away, and the end of the process."""

import signal
import time

from harness import PATIENCE, token, wait_until
from library import STREAM_RETURN, TRANSPORTS, Library, Network, Publisher, needs_node

pytestmark = needs_node


# -- tokens ---------------------------------------------------------------------------------------------

def test_a_token_is_refreshed_before_it_expires(gateway, room, tag, clients):
    user = f"u{tag}"
    end = time.time() + 6
    tokens = [token(user, ttl=6), token(user, ttl=3600)]
    websocket, stream = clients(gateway.url, kinds=TRANSPORTS, tokens=tokens)
    for client in (websocket, stream):
        client.subscribe(room)
    with Publisher(gateway, room, pause=0.002) as publisher:
        for client in (websocket, stream):
            asked = client.wait(asked="expiring")
            assert asked["at"] / 1000 < end
        stream.opened(2)                         # another stream took over
        wait_until(lambda: time.time() > end + 1, 10, "the first token is over")
        publisher.more(10)
        count = publisher.stop()
    for client in (websocket, stream):
        client.wait_offset(room, count)
        assert client.offsets(room) == list(range(1, count + 1))
        assert not client.all(event="close") and not client.all(on="lost")
        assert [one["asked"] for one in client.all() if "asked" in one] == ["connect", "expiring"]
    assert len(websocket.all(event="open")) == 1
    assert websocket.look()["user"] == user


def test_a_token_that_is_refused_keeps_the_client_away(gateway, room, clients):
    for client in clients(gateway.url, kinds=TRANSPORTS, token=token("ada", secret="x" * 40)):
        client.subscribe(room, ready=False)
        closed = client.wait(event="close", where=lambda one: one["value"]["reconnectIn"] is None)
        assert closed["value"]["code"] == 4401
        assert client.look()["closeReason"]["code"] == 4401
        # With another one it comes back when it is told to.
        client.call("auth", token("ada"))
        client.call("connect")
        client.wait(ready=room)


def test_a_refused_token_is_replaced_by_a_fresh_one(gateway, room, clients):
    bad = token("ada", secret="x" * 40)
    for client in clients(gateway.url, kinds=TRANSPORTS, tokens=[bad, token("ada")]):
        client.subscribe(room)
        assert [one["asked"] for one in client.all() if "asked" in one] == ["connect", "refused"]


def test_without_a_fresh_token_it_stays_away(gateway, room, clients):
    bad = token("ada", secret="x" * 40)
    for client in clients(gateway.url, kinds=TRANSPORTS, tokens=[bad]):
        client.subscribe(room, ready=False)
        client.wait(event="close", where=lambda one: one["value"]["reconnectIn"] is None)
        assert [one["asked"] for one in client.all() if "asked" in one] == ["connect", "refused"]
        assert client.look()["state"] == "closed"


def test_a_token_that_ends_is_replaced_on_return(start, room, clients):
    """getToken() gives nothing fresh before the end, and does so when asked after it."""
    gateway = start({"auth": {"jwt": {"leeway": "0s"}}})
    old = token("ada", ttl=6)
    tokens = [{"connect": old, "expiring": old, "refused": token("ada")}]
    pair = clients(gateway.url, kinds=TRANSPORTS, tokens=tokens)
    for client in pair:
        client.subscribe(room)
    for client in pair:
        client.wait(asked="expiring")
    for client in pair:
        client.opened(2, timeout=STREAM_RETURN)
        gateway.publish(room, "after")
        client.wait(on="message", where=lambda one: one["value"]["data"] == "after")
        assert not client.all(on="lost")


def test_a_broken_get_token_is_reported_and_asked_again(gateway, room, clients):
    client = clients(gateway.url, tokens=[{"throw": "no network"}, {"throw": "no network"}, token("ada")])
    client.subscribe(room)
    assert client.look()["user"] == "ada"
    assert len([one for one in client.all(event="error") if "no network" in one["value"]["message"]]) == 2


def test_a_wrong_clock_does_not_make_it_ask_in_a_tight_loop(gateway, room, clients):
    """Every token that comes seems to be over: accepted all the same, within the gateway's leeway."""
    client = clients(gateway.url, tokens=[token("ada", ttl=-3 - n) for n in range(20)])
    client.subscribe(room)
    first = client.wait(asked="expiring")
    client.wait(asked="expiring", count=3)
    time.sleep(max(0, first["at"] / 1000 + 6.5 - time.time()))      # 2 s, 4 s, 8 s …
    assert len(client.all(asked="expiring")) == 3
    assert not client.all(event="close")


def test_without_a_token_a_stream_gets_the_rooms_that_need_none(gateway, tag, clients):
    client = clients(gateway.url, transport="sse", tokens=[None])
    client.subscribe(f"open:{tag}", ready=False)
    client.subscribe(f"chat:{tag}:a", ready=False)
    client.wait(ready=f"open:{tag}")
    assert client.wait(refused=f"chat:{tag}:a")["error"]["code"] == "unauthorized"
    # The same beside a stream that lives.
    client.subscribe(f"chat:{tag}:b", ready=False)
    assert client.wait(refused=f"chat:{tag}:b")["error"]["code"] == "unauthorized"
    gateway.publish(f"open:{tag}", 1)
    client.wait_offset(f"open:{tag}", 1)


def test_signs_in_during_the_session(gateway, tag, clients):
    client = clients(gateway.url)
    session = client.opened()["session"]
    assert client.call("publish", f"chat:{tag}", 1)["code"] in ("unauthorized", "forbidden")
    assert client.call("auth", token("ada")) == "ada"
    client.subscribe(f"chat:{tag}")
    assert client.call("publish", f"chat:{tag}", 1)["offset"] == 1
    assert client.call("auth", token("bob"))["code"] == "forbidden"
    look = client.look()
    assert look["user"] == "ada" and look["session"] == session


# -- going away -----------------------------------------------------------------------------------------

def test_stays_away_when_the_api_disconnects_it(gateway, tag, room, clients):
    user = f"u{tag}"
    pair = clients(gateway.url, kinds=TRANSPORTS, token=token(user))
    for client in pair:
        client.subscribe(room)
    gateway.publish(room, 1)
    for client in pair:
        client.wait_offset(room, 1)
    assert gateway.api("POST", f"/users/{user}/disconnect").json()["disconnected"] == 2
    for client in pair:
        closed = client.wait(event="close")["value"]
        assert closed["code"] == 4403 and closed["reconnectIn"] is None
        assert client.look()["state"] == "closed"
        assert client.call("publish", room, 1)["code"] in ("closed", "unavailable")
    gateway.publish(room, 2)
    for client in pair:
        client.call("connect")
        client.wait_offset(room, 2)
        assert client.offsets(room) == [1, 2]


def test_returns_after_a_drain_exactly_when_told(start, room, clients):
    gateway = start({"server": {"drain": "2s"}})
    pair = clients(gateway.url, kinds=TRANSPORTS)
    for client in pair:
        client.subscribe(room)
    gateway.signal(signal.SIGTERM)
    for client in pair:
        bye = client.wait(event="bye")
        assert bye["value"]["code"] == "drain" and 0 <= bye["value"]["reconnectIn"] <= 2000
        back = client.wait(event="state", where=lambda one: one["value"]["state"] == "connecting"
                           and one["at"] >= bye["at"])
        late = back["at"] - bye["at"] - bye["value"]["reconnectIn"]
        assert -5 <= late <= 300 * PATIENCE, (bye, back)
    gateway.wait_exit()
    gateway.start()
    for client in pair:
        client.wait(on="lost", timeout=4 * STREAM_RETURN)
    gateway.publish(room, "after")
    for client in pair:
        client.wait(on="message", where=lambda one: one["value"]["data"] == "after")


def test_a_closed_client_lets_the_process_end(start, room):
    gateway = start({"clients": {"heartbeat": "30s"}})
    with Network(gateway.port) as network:
        for kind in (*TRANSPORTS, "auto"):
            with Library(network.url, transport=kind, tokens=[token("ada", ttl=3600)]) as client:
                client.subscribe(room)
                assert client.ends() < 2 * PATIENCE
        with Library(network.url) as client:             # with a peer that does not answer
            client.subscribe(room)
            network.blackhole()
            assert client.ends() < 5 * PATIENCE
        for kind in TRANSPORTS:                          # while connecting
            with Library(network.url, transport=kind) as client:
                client.subscribe(room, ready=False)
                wait_until(lambda: network.heads, what="a connect")
                assert client.ends() < 5 * PATIENCE
        network.cut()
        for kind in TRANSPORTS:                          # while waiting
            with Library(network.url, transport=kind, backoff={"min": 60_000}) as client:
                client.subscribe(room, ready=False)
                client.wait(event="close")
                assert client.ends() < 2 * PATIENCE
