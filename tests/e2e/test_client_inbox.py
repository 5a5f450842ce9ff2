"""The client library in Node and the inbox of the real gateway, by WebSocket and by SSE."""

import threading

import pytest

from client import connect
from harness import PATIENCE, TIMEOUT, quoted, token, wait_until
from library import STREAM_RETURN, TRANSPORTS, Network, needs_node
from client import asynchronous, off_loop

pytestmark = [needs_node, pytest.mark.parametrize("transport", TRANSPORTS)]


def notify(gateway, user, title="hello", **fields):
    answer = gateway.api("POST", "/notifications", {"user_id": user, "title": title} | fields)
    assert answer.status == 202, (answer.status, answer.body)
    return answer.json()["id"]


def inbox(gateway, user):
    answer = gateway.api("GET", f"/users/{quoted(user)}/inbox")
    assert answer.status == 200, answer.body
    return answer.json()


def events(gateway, notification):
    answer = gateway.api("GET", f"/notifications/{notification}/timeline")
    assert answer.status == 200, answer.body
    return [(one["event"], one.get("attempt")) for one in answer.json()["events"]]


def titles(client, name="@me"):
    return [one["data"]["title"] for one in client.messages(name)]


@pytest.fixture
def user(tag):
    return f"user-{tag}"


@pytest.fixture(scope="module")
def quick(start_for_module):
    """Attempts follow each other quickly."""
    return start_for_module({"inbox": {"ack_timeout": "200ms", "attempts": 3}})


def test_what_waits_then_live_then_acknowledged(gateway, user, transport, clients):
    first = notify(gateway, user, "one", body="b", data={"n": 1}, category="orders")
    client = clients(gateway.url, transport=transport, token=token(user))
    answer = client.subscribe("@me")
    assert (answer["room"], answer["offset"], answer["acked"]) == ("@me", 1, 0)
    client.wait_offset("@me", 1)
    notify(gateway, user, "two")
    client.wait_offset("@me", 2)
    one, two = client.messages("@me")
    assert (one["id"], one["replayed"], two["replayed"]) == (first, True, False)
    assert one["data"] | {"created": ""} == {
        "title": "one", "body": "b", "data": {"n": 1}, "category": "orders", "priority": "normal", "created": ""}
    assert "attempt" not in one and one["epoch"] == answer["epoch"]
    assert client.call("ack", "@me", 1) == {"room": "@me", "offset": 1}
    assert inbox(gateway, user)["acked"] == 1
    assert client.call("ack", "@me", 7)["code"] == "bad_request"
    assert client.call("ack", "@me", 2) == {"room": "@me", "offset": 2}
    assert inbox(gateway, user)["unread"] == 0
    assert not client.all(on="lost") and not client.all(event="error")


def test_the_next_page_gets_what_is_not_acknowledged(gateway, user, transport, clients, tmp_path):
    """Positions are kept for rooms; of an inbox the gateway knows what was acknowledged."""
    for n in range(1, 4):
        notify(gateway, user, str(n))
    options = {"transport": transport, "token": token(user), "store": str(tmp_path / "positions.json")}
    first = clients(gateway.url, **options)
    first.subscribe("@me")
    first.wait_offset("@me", 3)
    first.call("ack", "@me", 1)
    first.ends()
    second = clients(gateway.url, **options)
    assert second.subscribe("@me")["acked"] == 1
    second.wait_offset("@me", 3)
    assert second.offsets("@me") == [2, 3]
    assert [one["attempt"] for one in second.messages("@me")] == [2, 2]
    third = clients(gateway.url, **options)
    third.subscribe("@me", options={"last": 3})
    third.wait_offset("@me", 3)
    assert third.offsets("@me") == [1, 2, 3]      # acknowledged ones too


@pytest.mark.parametrize("other", TRANSPORTS)
def test_an_ack_is_told_to_the_other_pages(gateway, user, transport, other, clients):
    one = clients(gateway.url, transport=transport, token=token(user))
    two = clients(gateway.url, transport=other, token=token(user))
    for client in (one, two):
        client.subscribe("@me")
    for n in range(1, 4):
        notify(gateway, user, str(n))
    for client in (one, two):
        client.wait_offset("@me", 3)
    one.call("ack", "@me", 2)
    assert two.wait(on="acked")["value"] == {"room": "@me", "offset": 2}
    assert two.wait(event="acked")["value"] == {"room": "@me", "offset": 2}
    answer = gateway.api("POST", f"/users/{user}/inbox/read", {"all": True})
    assert answer.status == 200
    for client in (one, two):
        client.wait(on="acked", where=lambda report: report["value"]["offset"] == 3)
    assert len(one.all(on="acked")) == 1      # not of its own


def test_repeats_are_handed_over_once(quick, user, transport, clients):
    client = clients(quick.url, transport=transport, token=token(user))
    client.subscribe("@me")
    one, two = (notify(quick, user, title) for title in ("one", "two"))
    for notification in (one, two):
        wait_until(lambda notification=notification: ("waiting", None) in events(quick, notification),
                   what="three attempts")
        assert ("sent", 3) in events(quick, notification)
    notify(quick, user, "three")
    client.wait_offset("@me", 3)
    assert client.offsets("@me") == [1, 2, 3]
    assert client.call("ack", "@me", 3)["offset"] == 3
    assert inbox(quick, user)["unread"] == 0


def test_nothing_is_lost_or_repeated_over_kills_and_cuts(start, user, transport, clients):
    gateway = start({"inbox": {"ack_timeout": "300ms", "attempts": 50}})
    placed = []
    stopping = threading.Event()

    def place():
        while not stopping.is_set():
            try:
                answer = gateway.api("POST", "/notifications", {
                    "user_id": user, "title": str(len(placed) + 1), "idempotency_key": f"{user}/{len(placed) + 1}"})
            except OSError:
                continue      # it is away; the key makes the repeat safe
            if answer.status == 202:
                placed.append(answer.json()["id"])

    with Network(gateway.port) as network:
        client = clients(network.url, transport=transport, token=token(user))
        client.subscribe("@me")
        thread = threading.Thread(target=place)
        thread.start()
        try:
            for n in range(3):
                client.wait_offset("@me", len(placed) + 5, timeout=STREAM_RETURN + TIMEOUT)
                if n == 1:
                    network.drop()
                else:
                    gateway.kill()
                    gateway.start()
                client.wait(event="subscribed", count=n + 2, timeout=STREAM_RETURN)
                client.call("ack", "@me", client.offsets("@me")[-1])
        finally:
            stopping.set()
            thread.join()
        client.wait_offset("@me", len(placed), timeout=STREAM_RETURN)
    assert client.offsets("@me") == list(range(1, len(placed) + 1))
    assert [one["id"] for one in client.messages("@me")] == placed
    assert not client.all(on="lost")
    assert all(one["value"]["recovered"] is True for one in client.all(event="subscribed")[1:])


def test_a_page_that_was_away_is_told_what_was_acknowledged(gateway, user, transport, clients):
    with Network(gateway.port) as network:
        client = clients(network.url, transport=transport, token=token(user))
        client.subscribe("@me")
        notify(gateway, user)
        client.wait_offset("@me", 1)
        network.cut()
        client.wait(event="close")
        gateway.api("POST", f"/users/{user}/inbox/read", {"all": True})
        network.restore()
        assert client.wait(on="acked", timeout=STREAM_RETURN)["value"] == {"room": "@me", "offset": 1}
        assert client.all(on="subscribed")[-1]["value"]["acked"] == 1
        notify(gateway, user)
        client.wait_offset("@me", 2)
        assert client.offsets("@me") == [1, 2]


def test_an_ack_waits_for_the_connection(gateway, user, transport, clients):
    with Network(gateway.port) as network:
        client = clients(network.url, transport=transport, token=token(user))
        client.subscribe("@me")
        notify(gateway, user)
        client.wait_offset("@me", 1)
        network.cut()
        client.wait(event="close")
        tag = client.call("ack", "@me", 1, wait=False)
        network.restore()
        assert client.result(tag, timeout=STREAM_RETURN) == {"room": "@me", "offset": 1}
        assert inbox(gateway, user)["unread"] == 0


def test_erased_while_live(gateway, user, transport, clients):
    client = clients(gateway.url, transport=transport, token=token(user))
    epoch = client.subscribe("@me")["epoch"]
    for n in range(3):
        notify(gateway, user, str(n))
    client.wait_offset("@me", 3)
    client.call("ack", "@me", 2)
    assert gateway.api("DELETE", f"/users/{user}").status == 200
    lost = client.wait(on="lost")["value"]
    assert lost["reason"] == "reset" and lost["since"] == {"epoch": epoch, "offset": 3}
    assert lost["epoch"] != epoch and lost["offset"] == 0 and lost["missed"] is None
    notify(gateway, user, "new")
    client.wait(on="message", where=lambda one: one["value"]["data"]["title"] == "new")
    assert client.messages("@me")[-1]["epoch"] == lost["epoch"]
    assert client.offsets("@me") == [1, 2, 3, 1]
    assert client.call("ack", "@me", 1)["offset"] == 1
    assert inbox(gateway, user)["unread"] == 0


def test_erased_while_away(gateway, user, transport, clients):
    """What is not acknowledged of the next life comes, though it cannot be resumed."""
    with Network(gateway.port) as network:
        client = clients(network.url, transport=transport, token=token(user))
        epoch = client.subscribe("@me")["epoch"]
        for n in range(3):
            notify(gateway, user, f"old {n}")
        client.wait_offset("@me", 3)
        network.cut()
        client.wait(event="close")
        acked = client.call("ack", "@me", 2, wait=False)
        assert gateway.api("DELETE", f"/users/{user}").status == 200
        for n in range(4):
            notify(gateway, user, f"new {n}")
        network.restore()
        lost = client.wait(on="lost", timeout=STREAM_RETURN)["value"]
        assert lost["reason"] == "epoch" and lost["since"] == {"epoch": epoch, "offset": 3}
        client.wait_offset("@me", 4)
        assert titles(client)[3:] == [f"new {n}" for n in range(4)]
        # An offset of the old life must not acknowledge what nobody has seen.
        assert client.result(acked)["code"] == "conflict"
        assert inbox(gateway, user)["unread"] == 4
        client.call("ack", "@me", 4)
        assert inbox(gateway, user)["unread"] == 0


def test_an_empty_inbox_loses_nothing_with_a_restart(start, user, transport, clients):
    gateway = start()
    client = clients(gateway.url, transport=transport, token=token(user))
    client.subscribe("@me")
    gateway.kill()
    gateway.start()
    client.wait(event="subscribed", count=2, timeout=STREAM_RETURN)
    notify(gateway, user)
    client.wait_offset("@me", 1)
    assert not client.all(on="lost")


def test_beside_rooms_that_begin_with_history(gateway, user, tag, transport, clients):
    """One stream has one `last`; the inbox begins with what is not acknowledged all the same."""
    room = f"open:{tag}"
    gateway.publish_many(room, range(10))
    for n in range(1, 151):
        notify(gateway, user, str(n))
    gateway.api("POST", f"/users/{user}/inbox/read", {"offset": 10})
    client = clients(gateway.url, transport=transport, token=token(user))
    client.subscribe(room, options={"last": 5}, ready=False)
    client.subscribe("@me", ready=False)
    client.wait_offset("@me", 150)
    client.wait_offset(room, 10)
    assert client.offsets("@me") == list(range(11, 151))
    assert client.offsets(room) == [6, 7, 8, 9, 10]


def test_added_to_rooms_that_are_live(gateway, user, tag, transport, clients):
    room = f"open:{tag}"
    client = clients(gateway.url, transport=transport, token=token(user))
    client.subscribe(room)
    gateway.publish(room, 1)
    client.wait_offset(room, 1)
    for n in range(1, 6):
        notify(gateway, user, str(n))
    gateway.api("POST", f"/users/{user}/inbox/read", {"offset": 3})
    client.subscribe("@me")
    client.wait_offset("@me", 5)
    assert client.offsets("@me") == [4, 5]
    # And another choice of rooms.
    client.subscribe(f"{room}:b")
    notify(gateway, user, "6")
    client.wait_offset("@me", 6)
    assert client.offsets("@me") == [4, 5, 6]
    client.tell("unsubscribe", **{"as": room})
    gateway.wait_subscribers(room, 0)
    notify(gateway, user, "7")
    client.wait_offset("@me", 7)
    assert client.offsets("@me") == [4, 5, 6, 7]
    assert client.call("ack", "@me", 7)["offset"] == 7
    assert not client.all(on="lost")


def test_gaps_are_no_loss(gateway, user, transport, clients):
    for n in range(3):
        notify(gateway, user, f"count {n}", collapse_key="count")
    notify(gateway, user, "other")
    client = clients(gateway.url, transport=transport, token=token(user))
    client.subscribe("@me")
    client.wait_offset("@me", 4)
    notify(gateway, user, "push only", channels=["push"])
    notify(gateway, user, "last")
    client.wait_offset("@me", 6)
    assert client.offsets("@me") == [3, 4, 6]
    assert not client.all(on="lost")


def test_devices_have_positions_of_their_own(gateway, user, transport, clients):
    for n in range(3):
        notify(gateway, user, str(n))
    for device, offset in (("phone", 1), ("desk", 2)):
        client = clients(gateway.url, transport=transport, token=token(user))
        client.subscribe("@me", options={"device": device})
        client.wait_offset("@me", 3)
        client.call("ack", "@me", offset)
    assert {one["device"]: one["offset"] for one in inbox(gateway, user)["devices"]} == {"phone": 1, "desk": 2}


def test_who_may_not_is_told(gateway, user, transport, clients):
    client = clients(gateway.url, transport=transport)      # anonymous
    client.subscribe("@me", ready=False)
    assert client.wait(refused="@me")["error"]["code"] == "unauthorized"
