"""The inbox @me over WebSocket and SSE: replay, acks, redelivery, devices, restarts (protocol §2)."""

import threading

import pytest

from client import asynchronous, connect, off_loop
from harness import PATIENCE, assert_problem, quoted, token, wait_until
from wire import RawWs, Sse

QUICK = {"inbox": {"ack_timeout": "300ms", "attempts": 3}}


def notify(gateway, user, title="hello", **fields):
    answer = gateway.api("POST", "/notifications", {"user_id": user, "title": title} | fields)
    assert answer.status == 202, (answer.status, answer.body)
    return answer.json()["id"]


def inbox(gateway, user, **query):
    path = f"/users/{quoted(user)}/inbox?" + "&".join(f"{k}={v}" for k, v in query.items())
    answer = gateway.api("GET", path)
    assert answer.status == 200, answer.body
    return answer.json()


def status(gateway, notification):
    answer = gateway.api("GET", f"/notifications/{notification}/status")
    assert answer.status == 200, answer.body
    return answer.json()["status"]


def timeline(gateway, notification):
    answer = gateway.api("GET", f"/notifications/{notification}/timeline")
    assert answer.status == 200, answer.body
    return answer.json()["events"]


def offsets(frames):
    return [frame["offset"] for frame in frames]


@pytest.fixture
def user(tag):
    return f"user-{tag}"


@pytest.fixture(scope="module")
def quick(start_for_module):
    """Attempts follow each other quickly."""
    return start_for_module(QUICK)


# -- replay and live ------------------------------------------------------------------------------

@asynchronous
async def test_what_waits_is_replayed_then_it_is_live(gateway, user):
    first = notify(gateway, user, "one", body="b", data={"n": 1}, category="orders",
                   priority="high")
    notify(gateway, user, "two")
    async with connect(gateway, token=token(user)) as client:
        ok = await client.subscribe("@me")
        assert ok["room"] == "@me" and ok["offset"] == 2 and ok["epoch"]
        assert "recovered" not in ok
        one, two = await client.messages(2)
        assert set(one) == {"op", "room", "offset", "data", "id"}
        assert (one["room"], one["offset"], one["id"]) == ("@me", 1, first)
        created = one["data"].pop("created")
        assert created.endswith("Z") and "T" in created
        assert one["data"] == {"title": "one", "body": "b", "data": {"n": 1},
                               "category": "orders", "priority": "high"}
        assert two["data"]["title"] == "two" and two["data"]["priority"] == "normal"
        notify(gateway, user, "three")
        three = await client.message("@me")
        assert three["offset"] == 3 and "attempt" not in three


@asynchronous
async def test_an_acknowledged_message_never_comes_again(gateway, user):
    ids = [notify(gateway, user, str(n)) for n in range(3)]
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        assert offsets(await client.messages(3)) == [1, 2, 3]
        assert (await client.ok("ack", room="@me", offset=2)) == \
            {"id": client.last_id, "op": "ok", "room": "@me", "offset": 2}
    assert [status(gateway, one) for one in ids] == ["delivered", "delivered", "pending"]
    async with connect(gateway, token=token(user)) as client:
        assert (await client.subscribe("@me"))["acked"] == 2
        message = await client.message()
        assert message["offset"] == 3 and message["attempt"] == 2
        await client.none_pending()
        await client.ok("ack", room="@me", offset=3)
    async with connect(gateway, token=token(user)) as client:
        assert (await client.subscribe("@me"))["offset"] == 3
        await client.none_pending()


@asynchronous
async def test_an_ack_above_what_was_sent_is_refused(gateway, user):
    notify(gateway, user)
    async with connect(gateway, token=token(user)) as client:
        await client.refused("bad_request", "ack", room="@me", offset=1)
        await client.subscribe("@me")
        await client.message()
        await client.refused("bad_request", "ack", room="@me", offset=2)
        await client.refused("bad_request", "ack", room="open:1", offset=1)
        await client.ok("ack", room="@me", offset=1)
        await client.ok("ack", room="@me", offset=1)    # again, or less: nothing happens
        await client.ok("ack", room="@me", offset=0)
        await client.ok("unsubscribe", room="@me")
        await client.ok("ack", room="@me", offset=1)
        await client.refused("not_subscribed", "unsubscribe", room="@me")


@asynchronous
async def test_other_sessions_are_told_of_an_ack(gateway, user):
    async with connect(gateway, token=token(user)) as phone, \
            connect(gateway, token=token(user)) as desk, \
            connect(gateway, token=token(user + "x")) as stranger:
        for client in (phone, desk, stranger):
            await client.subscribe("@me")
        notify(gateway, user)
        assert (await phone.message())["offset"] == (await desk.message())["offset"] == 1
        await phone.ok("ack", room="@me", offset=1)
        assert (await desk.next("acked")) == {"op": "acked", "room": "@me", "offset": 1}
        await phone.none_pending("acked")
        await stranger.none_pending("acked")
        await stranger.none_pending()
        await phone.ok("ack", room="@me", offset=1)
        await desk.none_pending("acked")    # nothing moved


@asynchronous
async def test_a_second_device_catches_up_with_since(gateway, user):
    for n in range(5):
        notify(gateway, user, str(n))
    async with connect(gateway, token=token(user, device="phone")) as client:
        epoch = (await client.subscribe("@me"))["epoch"]
        await client.messages(5)
        await client.ok("ack", room="@me", offset=4)
    async with connect(gateway, token=token(user)) as tablet:
        ok = await tablet.subscribe("@me", since={"epoch": epoch, "offset": 2}, device="tablet")
        assert ok["recovered"] is True and ok["offset"] == 5
        assert offsets(await tablet.messages(3)) == [3, 4, 5]    # acknowledged ones included
        await tablet.ok("ack", room="@me", offset=5)
        devices = {d["device"]: d["offset"] for d in inbox(gateway, user)["devices"]}
        assert devices == {"phone": 4, "tablet": 5}
    async with connect(gateway, token=token(user)) as client:
        ok = await client.subscribe("@me", last=2)
        assert "recovered" not in ok
        assert offsets(await client.messages(2)) == [4, 5]
        await client.none_pending()
    async with connect(gateway, token=token(user)) as client:
        ok = await client.subscribe("@me", since={"epoch": epoch, "offset": 5})
        assert ok["recovered"] is True
        await client.none_pending()
    async with connect(gateway, token=token(user)) as client:
        ok = await client.subscribe("@me", since={"epoch": "AAAAAAAA", "offset": 2})
        assert ok["recovered"] is False
        await client.none_pending()    # all is acknowledged


@asynchronous
async def test_history_shows_all_of_the_inbox(gateway, user):
    for n in range(5):
        notify(gateway, user, str(n))
    async with connect(gateway, token=token(user)) as client:
        reply = await client.ok("history", room="@me", limit=3)
        assert offsets(reply["messages"]) == [3, 4, 5] and reply["more"] is True
        assert all(m["time"] and m["id"] and m["data"]["title"] for m in reply["messages"])
        epoch = reply["epoch"]
        reply = await client.ok("history", room="@me", since={"epoch": epoch, "offset": 3})
        assert offsets(reply["messages"]) == [4, 5] and reply["more"] is False
        reply = await client.ok("history", room="@me", since={"epoch": epoch, "offset": 3},
                                reverse=True)
        assert offsets(reply["messages"]) == [2, 1]
        reply = await client.ok("history", room="@me", since={"epoch": "AAAAAAAA", "offset": 3},
                                limit=2)
        assert offsets(reply["messages"]) == [1, 2]
        await client.refused("bad_request", "presence", room="@me")


@asynchronous
async def test_nobody_without_a_user_has_an_inbox(gateway):
    async with connect(gateway) as client:
        await client.refused("unauthorized", "subscribe", room="@me")
        await client.refused("unauthorized", "ack", room="@me", offset=0)
        await client.refused("unauthorized", "history", room="@me")
        await client.refused("forbidden", "publish", room="@me", data=1)
    assert_problem(gateway.api("POST", "/publish", {"room": "@me", "data": 1}), 404, "not_found")
    assert_problem(gateway.api("POST", "/publish", {"room": "@notifications:x", "data": 1}), 404,
                   "not_found")


@asynchronous
async def test_a_large_inbox_is_pulled_as_the_socket_drains(start, user):
    gateway = start({"clients": {"send_queue": "64KiB"}})
    count = 2_000
    users = [{"user_id": user, "title": f"{n}." + "x" * 300} for n in range(count)]
    for one in users:
        assert gateway.api("POST", "/notifications", one).status == 202
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        frames = await client.messages(count, timeout=20 * PATIENCE)
        assert offsets(frames) == list(range(1, count + 1))
        assert all("attempt" not in frame for frame in frames)
        notify(gateway, user, "live")
        assert (await client.message())["offset"] == count + 1


@asynchronous
async def test_live_and_replay_meet_without_hole_or_duplicate(gateway, user):
    """Sessions join while notifications come in from several connections."""
    total = 400

    def place(share):
        for n in range(total // 4):
            notify(gateway, user, f"{share}.{n}")

    threads = [threading.Thread(target=place, args=(share,)) for share in range(4)]
    for thread in threads:
        thread.start()
    seen = []
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        while len(seen) < total:
            seen.append(await client.message(timeout=20 * PATIENCE))
        await client.none_pending()
    for thread in threads:
        thread.join()
    assert offsets(seen) == list(range(1, total + 1))
    assert all("attempt" not in frame for frame in seen)


# -- redelivery -----------------------------------------------------------------------------------

@asynchronous
async def test_who_never_acks_gets_it_three_times_in_all(quick, user):
    one = notify(quick, user)
    async with connect(quick, token=token(user)) as client:
        await client.subscribe("@me")
        first, second, third = await client.messages(3)
        assert [frame.get("attempt") for frame in (first, second, third)] == [None, 2, 3]
        assert offsets((first, second, third)) == [1, 1, 1]
        assert first["data"] == second["data"] == third["data"]
        wait_until(lambda: any(e["event"] == "waiting" for e in timeline(quick, one)))
        await client.none_pending()
        assert status(quick, one) == "pending"
        assert inbox(quick, user)["unread"] == 1
        await client.ok("ack", room="@me", offset=1)
        assert status(quick, one) == "delivered"
    events = timeline(quick, one)
    assert [(e["event"], e.get("attempt")) for e in events] == [
        ("accepted", None), ("sent", 1), ("not_acknowledged", 1), ("sent", 2),
        ("not_acknowledged", 2), ("sent", 3), ("not_acknowledged", 3), ("waiting", None),
        ("acknowledged", None)]
    session = client.welcome["session"]
    assert events[1]["sessions"] == [session] and events[-1]["session"] == session
    assert events[0]["status"] == "pending" and events[-1]["status"] == "delivered"
    times = [e["time"] for e in events]
    assert times == sorted(times)


@asynchronous
async def test_attempts_count_across_reconnects_devices_and_restarts(start, user):
    gateway = start({"inbox": {"ack_timeout": "1h", "attempts": 4}})
    notify(gateway, user)
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        assert "attempt" not in await client.message()
    async with connect(gateway, token=token(user, device="other")) as client:
        await client.subscribe("@me")
        assert (await client.message())["attempt"] == 2
    for attempt in (3, 4):
        await off_loop(gateway.kill)
        await off_loop(gateway.start)
        async with connect(gateway, token=token(user)) as client:
            await client.subscribe("@me")
            assert (await client.message())["attempt"] == attempt
    for _ in range(2):
        async with connect(gateway, token=token(user)) as client:
            assert (await client.subscribe("@me"))["offset"] == 1
            await client.none_pending()
            assert offsets((await client.ok("history", room="@me"))["messages"]) == [1]
        await off_loop(gateway.kill)
        await off_loop(gateway.start)
    assert inbox(gateway, user)["unread"] == 1


@asynchronous
async def test_an_ack_ends_redelivery_on_all_sessions(quick, user):
    async with connect(quick, token=token(user)) as phone, \
            connect(quick, token=token(user)) as desk:
        await phone.subscribe("@me")
        await desk.subscribe("@me")
        one = notify(quick, user)
        another = notify(quick, user)
        for client in (phone, desk):
            assert [(f["offset"], f.get("attempt")) for f in await client.messages(2)] == \
                [(1, None), (2, None)]
        await phone.ok("ack", room="@me", offset=1)
        for client in (phone, desk):
            assert [(f["offset"], f.get("attempt")) for f in await client.messages(2)] == \
                [(2, 2), (2, 3)]
        wait_until(lambda: any(e["event"] == "waiting" for e in timeline(quick, another)))
        for client in (phone, desk):
            await client.none_pending()
        assert [e["event"] for e in timeline(quick, one)] == ["accepted", "sent", "acknowledged"]


@asynchronous
async def test_a_session_that_resumes_gets_what_it_has_not_acknowledged(quick, user):
    notify(quick, user)
    async with connect(quick, token=token(user)) as client:
        epoch = (await client.subscribe("@me"))["epoch"]
        await client.message()
    async with connect(quick, token=token(user)) as client:
        ok = await client.subscribe("@me", since={"epoch": epoch, "offset": 1})
        assert ok["recovered"] is True
        assert [(f["offset"], f["attempt"]) for f in await client.messages(2)] == [(1, 2), (1, 3)]
        await client.ok("ack", room="@me", offset=1)


# -- over time ------------------------------------------------------------------------------------

@asynchronous
async def test_what_has_expired_is_not_shown(gateway, user):
    gone = notify(gateway, user, "gone", ttl=1)
    kept = notify(gateway, user, "kept")
    async with connect(gateway, token=token("ops", rooms={
            "subscribe": [f"@notifications:{gone}"]})) as follower:
        await follower.subscribe(f"@notifications:{gone}")
        push = await follower.message(timeout=10 * PATIENCE)
        assert push["data"]["status"] == "expired" and push["data"]["id"] == gone
    assert status(gateway, gone) == "expired"
    async with connect(gateway, token=token(user)) as client:
        assert (await client.subscribe("@me"))["offset"] == 2
        message = await client.message()
        assert message["offset"] == 2 and message["id"] == kept    # a gap
        await client.none_pending()
    assert offsets(inbox(gateway, user)["messages"]) == [2]


@asynchronous
async def test_a_collapse_key_replaces_what_is_not_acknowledged(gateway, user):
    first = notify(gateway, user, "1 new", collapse_key="count")
    other = notify(gateway, user, "other")
    async with connect(gateway, token=token("ops", rooms={
            "subscribe": ["@notifications:*"]})) as follower:
        await follower.subscribe(f"@notifications:{first}")
        second = notify(gateway, user, "2 new", collapse_key="count")
        assert (await follower.message())["data"]["status"] == "suppressed"
    assert (status(gateway, first), status(gateway, other)) == ("suppressed", "pending")
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        assert [m["id"] for m in await client.messages(2)] == [other, second]
        await client.ok("ack", room="@me", offset=3)
        third = notify(gateway, user, "1 new", collapse_key="count")
        assert (await client.message())["id"] == third
    assert status(gateway, second) == "delivered"    # it was seen
    assert timeline(gateway, first)[-1]["by"] == second


# -- status pushes --------------------------------------------------------------------------------

@asynchronous
async def test_who_has_the_right_follows_a_notification(gateway, user):
    one = notify(gateway, user)
    room = f"@notifications:{one}"
    async with connect(gateway, token=token(user)) as client, \
            connect(gateway, token=token("ops", rooms={"subscribe": [room]})) as follower:
        await client.refused("forbidden", "subscribe", room=room)
        await follower.refused("forbidden", "subscribe", room="@notifications:other")
        await follower.refused("forbidden", "publish", room=room, data=1)
        await follower.subscribe(room)
        await client.subscribe("@me")
        await client.message()
        await client.ok("ack", room="@me", offset=1)
        push = await follower.message()
        assert push["room"] == room
        assert push["data"].pop("time").endswith("Z")
        assert push["data"] == {"id": one, "status": "delivered", "event": "acknowledged"}


# -- SSE ------------------------------------------------------------------------------------------

def sse_ack(gateway, session, offset, *, bearer, room="@me"):
    return gateway.http("POST", "/sse/ack", {"session": session, "room": room, "offset": offset},
                        {"Authorization": f"Bearer {bearer}"})


def test_the_inbox_over_sse(gateway, user):
    bearer = token(user)
    first = notify(gateway, user, "one")
    with Sse(gateway, ["@me"], token=bearer) as stream, RawWs(gateway, headers=[
            f"Authorization: Bearer {bearer}"]) as socket:
        event = stream.event()
        assert event.name == "ready"
        ready = event.json()
        assert ready["rooms"]["@me"]["offset"] == 1
        message = stream.event()
        assert message.name == "message" and message.id
        assert message.json()["id"] == first and message.json()["room"] == "@me"
        assert socket.request(op="subscribe", room="@me")["op"] == "ok"
        assert socket.json()["attempt"] == 2
        answer = sse_ack(gateway, ready["session"], 1, bearer=bearer)
        assert (answer.status, answer.body) == (204, b"")
        assert socket.json() == {"op": "acked", "room": "@me", "offset": 1}
        notify(gateway, user, "two")
        assert socket.json()["offset"] == 2
        assert stream.event().json()["offset"] == 2
        assert socket.request(op="ack", room="@me", offset=2)["offset"] == 2
        event = stream.event()
        assert event.name == "acked" and event.json() == {"room": "@me", "offset": 2}
        assert not event.id or event.id == stream.last_event_id
        cursor = stream.last_event_id
    notify(gateway, user, "three")
    with Sse(gateway, ["@me"], token=bearer, last_event_id=cursor) as stream:
        ready = stream.event().json()["rooms"]["@me"]
        assert ready["recovered"] is True and ready["offset"] == 3 and ready["acked"] == 2
        assert stream.event().json()["offset"] == 3


def test_a_repeat_over_sse_does_not_set_the_cursor_back(quick, user):
    bearer = token(user)
    with Sse(quick, ["@me"], token=bearer) as stream:
        stream.ready()
        notify(quick, user, "one")
        first = stream.event()
        notify(quick, user, "two")
        seen = [first, *(stream.event() for _ in range(5))]
        assert sorted((e.json()["offset"], e.json().get("attempt", 1)) for e in seen) == \
            [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
        cursors = {e.json()["offset"]: e.id for e in seen if e.json().get("attempt", 1) == 1}
        assert len(set(cursors.values())) == 2
        assert stream.last_event_id == cursors[2]


def test_the_inbox_beside_other_rooms_of_a_stream(gateway, user, room):
    bearer = token(user)
    notify(gateway, user, "one")
    gateway.publish(room, "a")
    with Sse(gateway, [room, "@me"], token=bearer) as stream:
        stream.ready()
        assert stream.event().json()["room"] == "@me"
        gateway.publish(room, "b")
        assert stream.event().json()["data"] == "b"
        cursor = stream.last_event_id
    notify(gateway, user, "two")
    gateway.publish(room, "c")
    with Sse(gateway, [room, "@me"], token=bearer, last_event_id=cursor) as stream:
        ready = stream.event().json()["rooms"]
        assert ready["@me"]["recovered"] is True and ready[room]["recovered"] is True
        got = {(e["room"], e["offset"]) for e in (stream.event().json() for _ in range(2))}
        assert got == {("@me", 2), (room, 3)}


@pytest.mark.parametrize("body, code, field", [
    (b"{", "bad_request", None),
    (b"[]", "bad_request", None),
    (b'{"room":"@me","offset":1}', "bad_request", "session"),
    (b'{"session":"s","offset":1}', "bad_request", "room"),
    (b'{"session":"s","room":"@me"}', "bad_request", "offset"),
    (b'{"session":"s","room":"@me","offset":-1}', "bad_request", "offset"),
    (b'{"session":"s","room":"@me","offset":"1"}', "bad_request", "offset"),
    (b'{"session":1,"room":"@me","offset":1}', "bad_request", "session"),
])
def test_a_bad_ack_over_http_is_told_what_is_wrong(gateway, body, code, field):
    answer = gateway.http("POST", "/sse/ack", body, {"Authorization": f"Bearer {token('u1')}"})
    assert_problem(answer, 400, code, field)


def test_who_may_ack_over_http(gateway, user):
    bearer = token(user)
    notify(gateway, user)
    with Sse(gateway, ["@me"], token=bearer) as stream:
        session = stream.event().json()["session"]
        stream.event()
        assert_problem(sse_ack(gateway, session, 1, bearer="nonsense"), 401, "unauthorized")
        assert_problem(gateway.http("POST", "/sse/ack", {}), 401, "unauthorized")
        assert_problem(sse_ack(gateway, session, 1, bearer=token("thief")), 404, "not_found")
        assert_problem(sse_ack(gateway, "x" * 16, 1, bearer=bearer), 404, "not_found")
        assert_problem(sse_ack(gateway, session, 2, bearer=bearer), 400, "bad_request", "offset")
        assert_problem(sse_ack(gateway, session, 1, bearer=bearer, room="open:1"), 400,
                       "bad_request", "room")
        assert sse_ack(gateway, session, 1, bearer=bearer).status == 204
        assert sse_ack(gateway, session, 1, bearer=bearer).status == 204
        answer = gateway.http("POST", f"/sse/ack?token={bearer}",
                              {"session": session, "room": "@me", "offset": 1})
        assert answer.status == 204
    wait_until(lambda: sse_ack(gateway, session, 1, bearer=bearer).status == 404)


def test_a_page_of_another_origin_may_ack_if_it_may_read(gateway):
    answer = gateway.http("OPTIONS", "/sse/ack", None, {
        "Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"})
    assert answer.status == 204
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "content-type" in answer.headers["Access-Control-Allow-Headers"]


# -- erased ---------------------------------------------------------------------------------------

@asynchronous
async def test_an_erased_inbox_begins_anew_for_live_sessions(gateway, user):
    notify(gateway, user)
    async with connect(gateway, token=token(user)) as client:
        ok = await client.subscribe("@me")
        await client.message()
        answer = await off_loop(gateway.api, "DELETE", f"/users/{user}")
        assert answer.status == 200, answer.body
        reset = await client.next("reset")
        assert reset["room"] == "@me" and reset["offset"] == 0 and reset["epoch"] != ok["epoch"]
        notify(gateway, user, "new")
        message = await client.message()
        assert message["offset"] == 1 and message["data"]["title"] == "new"
        await client.ok("ack", room="@me", offset=1)
    async with connect(gateway, token=token(user)) as client:
        assert (await client.subscribe("@me"))["epoch"] == reset["epoch"]


# -- lanes ----------------------------------------------------------------------------------------

def metric(gateway, name):
    lines = gateway.http("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines
               if line.startswith(f"fanfare_{name} ") or line.startswith(f"fanfare_{name}{{"))


@asynchronous
async def test_what_is_critical_does_not_wait_behind_a_mass_of_low(start, user):
    """A one-time password, while thousands of others wait for the disk."""
    gateway = start({"log": {"level": "warn"}})
    answered, senders, calls = [], 40, 400

    def mass(sender):
        for share in range(sender, calls, senders):
            body = {"user_ids": [f"low-{share}-{n}" for n in range(100)], "title": "x" * 500,
                    "priority": "low"}
            while True:
                answer = gateway.api("POST", "/notifications", body, timeout=60 * PATIENCE)
                if answer.status == 202:
                    break
                assert answer.status == 503 and answer.headers["Retry-After"], answer.body
            answered.append(share)

    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        threads = [threading.Thread(target=mass, args=(n,)) for n in range(senders)]
        for thread in threads:
            thread.start()
        await off_loop(wait_until, lambda: metric(gateway, "store_queue") > 1_500,
                       30 * PATIENCE, "a long queue")
        one = await off_loop(notify, gateway, user, "4711", priority="critical")
        message = await client.message()
        waiting = calls - len(answered)
        assert message["id"] == one and message["data"]["priority"] == "critical"
        assert waiting > 0, "the mass was over before"
        for thread in threads:
            await off_loop(thread.join)
    assert len(answered) == calls
    assert inbox(gateway, "low-0-0")["unread"] == 1
