"""Rooms over WebSocket: messages, resume, history, presence, patterns, publishing (protocol §2)."""

import json
import re

import pytest
import websockets

from client import asynchronous, connect, off_loop
from harness import token
from wire import RESERVED_EVENTS, Sse

RFC3339_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def offsets(messages):
    return [message["offset"] for message in messages]


# -- messages -------------------------------------------------------------------------------------

@asynchronous
async def test_messages_carry_what_was_published(gateway, room):
    async with connect(gateway) as client:
        await client.subscribe(room)
        gateway.publish(room, {"a": [1, None, True]}, event="order.created", id=f"k-{room}")
        message = await client.message()
        assert message == {"op": "message", "room": room, "offset": 1, "data": {"a": [1, None, True]},
                           "event": "order.created", "id": f"k-{room}"}
        gateway.publish(room, None)
        assert await client.message() == {"op": "message", "room": room, "offset": 2, "data": None}


@asynchronous
async def test_offsets_rise_by_one_for_every_subscriber(gateway, room):
    async with connect(gateway) as one, connect(gateway) as two:
        await one.subscribe(room)
        gateway.publish_many(room, range(50))
        assert (await two.subscribe(room))["offset"] == 50
        gateway.publish_many(room, range(50, 100))
        assert offsets(await one.messages(100)) == list(range(1, 101))
        assert offsets(await two.messages(50)) == list(range(51, 101))


@asynchronous
async def test_nothing_comes_after_unsubscribe(gateway, room):
    async with connect(gateway) as client, connect(gateway) as witness:
        await client.subscribe(room)
        await witness.subscribe(room)
        await client.ok("unsubscribe", room=room)
        gateway.publish(room, "late")
        await witness.message()
        await client.none_pending()


ODD_PAYLOADS = [
    '123456789012345678901234567890.12345678901234567890e+0400',
    '{ "a" : 1.0 ,\t"b":[ 1 ,2 ] , "a" : -0.0 }',
    r'"\u00e9\/\ud83d\ude00 plain \"quoted\""',
    '"é€😀"',
    '[\n  1,\n  2\n]',
    '""', 'null', 'false', '0', '[]', '{}',
]


@pytest.mark.parametrize("payload", ODD_PAYLOADS)
@asynchronous
async def test_payload_passes_as_the_bytes_that_came(gateway, room, payload):
    async with connect(gateway) as client:
        await client.subscribe(room)
        body = f'{{"data": {payload} , "room" : {json.dumps(room)} }}'.encode()
        assert gateway.api("POST", "/publish", body).status == 200
        assert f'"data":{payload}' in (await client.message()).text.replace('"data": ', '"data":')
        await client.send(f'{{"id":900,"op":"publish","data":{payload},"room":{json.dumps(room)}}}')
        assert (await client.next(id=900))["op"] == "ok"
        assert f'"data":{payload}' in (await client.message()).text.replace('"data": ', '"data":')
        reply = await client.ok("history", room=room)
        assert reply.text.count(payload) >= 2
        over_http = gateway.api("GET", f"/rooms/{room}/history").body.decode()
        assert over_http.count(payload) >= 2


BROKEN_JSON = [
    '{"id":1,"op":"publish","room":"R","data":{"a":1,}}',
    '{"id":1,"op":"publish","room":"R","data":[1 2]}',
    '{"id":1,"op":"publish","room":"R","data":01}',
    '{"id":1,"op":"publish","room":"R","data":NaN}',
    '{"id":1,"op":"publish","room":"R","data":"\t"}',
    '{"id":1,"op":"publish","room":"R","data":1,"extra":{"deep":[tru]}}',
    '{"id":1,"op":"publish","room":"R","data":1} x',
    '{"id":1,"op":"publish","room":"R","data":1',
]


@pytest.mark.parametrize("text", BROKEN_JSON)
@asynchronous
async def test_invalid_json_is_refused_with_its_place(gateway, room, text):
    """Refused as `bad_request`, or, being no JSON object, with 4400; either names the place."""
    async with connect(gateway) as client:
        await client.subscribe(room)
        await client.send(text.replace("R", room))
        try:
            answer = await client.next()
            assert (answer["op"], answer["code"]) == ("error", "bad_request")
            said = answer["message"]
        except websockets.ConnectionClosed:
            assert client.socket.close_code == 4400
            said = client.socket.close_reason
        assert re.search(r"\d", said), said
    assert gateway.newest(room) == 0


# -- resume ---------------------------------------------------------------------------------------

@asynchronous
async def test_since_replays_what_was_missed_and_goes_on_live(gateway, room):
    epoch = gateway.publish_many(room, range(10))["epoch"]
    async with connect(gateway) as client:
        reply = await client.subscribe(room, since={"epoch": epoch, "offset": 4})
        assert reply["recovered"] is True
        assert (reply["epoch"], reply["offset"]) == (epoch, 10)
        gateway.publish_many(room, range(10, 15))
        messages = await client.messages(11)
        assert offsets(messages) == list(range(5, 16))
        assert [message["data"] for message in messages] == list(range(4, 15))
        await client.none_pending()


@asynchronous
async def test_since_the_newest_is_recovered_and_replays_nothing(gateway, room):
    position = gateway.publish_many(room, range(3))
    async with connect(gateway) as client:
        reply = await client.subscribe(
            room, since={"epoch": position["epoch"], "offset": position["offset"]})
        assert reply["recovered"] is True
        gateway.publish(room, "live")
        assert (await client.message())["offset"] == 4


@asynchronous
async def test_since_in_an_empty_room_is_recovered(gateway, room):
    async with connect(gateway) as one, connect(gateway) as two:
        position = await one.subscribe(room)
        assert position["offset"] == 0
        reply = await two.subscribe(room, since={"epoch": position["epoch"], "offset": 0})
        assert reply["recovered"] is True


@pytest.mark.parametrize("fault", ["other epoch", "above the newest"])
@asynchronous
async def test_position_that_cannot_be_resumed_is_not_recovered(gateway, room, fault):
    epoch = gateway.publish_many(room, range(5))["epoch"]
    since = {"epoch": "not-" + epoch, "offset": 2} if fault == "other epoch" \
        else {"epoch": epoch, "offset": 6}
    async with connect(gateway) as client:
        reply = await client.subscribe(room, since=since)
        assert reply["recovered"] is False
        assert (reply["epoch"], reply["offset"]) == (epoch, 5)
        gateway.publish(room, "live")
        assert (await client.message())["offset"] == 6
        await client.none_pending()


@asynchronous
async def test_recovered_is_exact_at_the_edge_of_the_history(gateway, tag):
    room = f"short:{tag}"                       # keeps 5
    epoch = gateway.publish_many(room, range(20))["epoch"]
    async with connect(gateway) as inside, connect(gateway) as outside:
        reply = await inside.subscribe(room, since={"epoch": epoch, "offset": 15})
        assert reply["recovered"] is True
        assert offsets(await inside.messages(5)) == [16, 17, 18, 19, 20]
        reply = await outside.subscribe(room, since={"epoch": epoch, "offset": 14})
        assert reply["recovered"] is False
        gateway.publish(room, "live")
        assert (await outside.message())["offset"] == 21


@asynchronous
async def test_last_replays_the_newest_then_live(gateway, room):
    gateway.publish_many(room, range(10))
    async with connect(gateway) as client, connect(gateway) as greedy:
        reply = await client.subscribe(room, last=3)
        assert reply["offset"] == 10 and "recovered" not in reply
        await greedy.subscribe(room, last=1000)
        gateway.publish(room, "live")
        assert offsets(await client.messages(4)) == [8, 9, 10, 11]
        assert offsets(await greedy.messages(11)) == list(range(1, 12))


@asynchronous
async def test_resume_of_more_than_the_send_queue_arrives_whole(gateway, tag):
    room = f"news:{tag}"
    epoch = gateway.publish_many(room, ["x" * 20_000] * 300)["epoch"]     # 6 MB, queue 1 MiB
    async with connect(gateway) as client:
        reply = await client.subscribe(room, since={"epoch": epoch, "offset": 0})
        assert reply["recovered"] is True
        gateway.publish(room, "live")
        assert offsets(await client.messages(301)) == list(range(1, 302))


# -- history --------------------------------------------------------------------------------------

@asynchronous
async def test_history_is_the_newest_oldest_first_without_since(gateway, room):
    position = gateway.publish_many(room, range(10))
    async with connect(gateway) as client:
        reply = await client.ok("history", room=room, limit=4)
        assert (reply["room"], reply["epoch"], reply["offset"]) == (room, position["epoch"], 10)
        assert offsets(reply["messages"]) == [7, 8, 9, 10]
        assert all(RFC3339_MS.fullmatch(message["time"]) for message in reply["messages"])
        reply = await client.ok("history", room=room)
        assert offsets(reply["messages"]) == list(range(1, 11))
        assert reply["more"] is False


@asynchronous
async def test_history_since_pages_forward_until_more_is_false(gateway, room):
    epoch = gateway.publish_many(room, range(10))["epoch"]
    async with connect(gateway) as client:
        pages, at = [], 0
        while True:
            reply = await client.ok("history", room=room, limit=4,
                                    since={"epoch": epoch, "offset": at})
            pages.append(offsets(reply["messages"]))
            if not reply["more"]:
                break
            at = pages[-1][-1]
        assert pages == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


@asynchronous
async def test_history_reverse_is_newest_first(gateway, room):
    gateway.publish_many(room, range(10))
    async with connect(gateway) as client:
        reply = await client.ok("history", room=room, limit=3, reverse=True)
        assert offsets(reply["messages"]) == [10, 9, 8]
        assert reply["more"] is True


@asynchronous
async def test_history_is_100_by_default_and_1000_at_most(gateway, tag):
    room = f"open:{tag}"
    gateway.publish_many(room, range(1200))
    async with connect(gateway) as client:
        reply = await client.ok("history", room=room)
        assert offsets(reply["messages"]) == list(range(1101, 1201))
        reply = await client.request("history", room=room, limit=5000)
        if reply["op"] == "ok":
            assert len(reply["messages"]) <= 1000
        else:
            assert reply["code"] == "bad_request"


@asynchronous
async def test_history_is_bounded_in_bytes_and_says_more(gateway, room):
    epoch = gateway.publish_many(room, ["x" * 50_000] * 150)["epoch"]     # 7.5 MB
    async with connect(gateway) as client:
        found, replies, more = [], 0, True
        while more:
            at = found[-1] if found else 0
            reply = await client.ok("history", room=room, limit=1000,
                                    since={"epoch": epoch, "offset": at})
            assert reply["messages"], "a page has at least one message"
            found += offsets(reply["messages"])
            replies, more = replies + 1, reply["more"]
        assert found == list(range(1, 151))
        assert replies > 1


@asynchronous
async def test_history_of_a_room_that_nobody_uses_answers(gateway, room):
    async with connect(gateway) as client:
        reply = await client.ok("history", room=room)
        assert (reply["messages"], reply["offset"], reply["more"]) == ([], 0, False)
        assert reply["epoch"]


# -- publishing -----------------------------------------------------------------------------------

@asynchronous
async def test_publisher_gets_its_ok_before_its_own_message(gateway, tag):
    room, user = f"chat:{tag}", f"u-{tag}"
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe(room)
        for n in range(1, 6):
            await client.send({"id": 100 + n, "op": "publish", "room": room, "data": n, "event": "say"})
            reply = await client.next()
            assert (reply["op"], reply["id"]) == ("ok", 100 + n)
            assert (reply["room"], reply["offset"]) == (room, n) and reply["epoch"]
            own = await client.next()
            assert own == {"op": "message", "room": room, "offset": n, "data": n, "event": "say",
                           "from": user}


@asynchronous
async def test_ephemeral_messages_are_not_numbered_kept_or_echoed(gateway, tag):
    room, user = f"chat:{tag}", f"u-{tag}"
    async with connect(gateway, token=token(user)) as writer, \
            connect(gateway, token=token("other")) as reader:
        await writer.subscribe(room)
        await reader.subscribe(room)
        reply = await writer.ok("publish", room=room, data="…", event="typing", ephemeral=True)
        assert "offset" not in reply
        message = await reader.message()
        assert message == {"op": "message", "room": room, "data": "…", "event": "typing", "from": user}
        await writer.ok("publish", room=room, data="said")
        assert (await writer.message())["data"] == "said"
        assert (await reader.message())["offset"] == 1
        assert offsets((await reader.ok("history", room=room))["messages"]) == [1]


@asynchronous
async def test_ephemeral_publish_by_the_api_reaches_subscribers_only(gateway, room):
    async with connect(gateway) as client:
        await client.subscribe(room)
        assert "offset" not in gateway.publish(room, "now", ephemeral=True)
        message = await client.message()
        assert "offset" not in message and message["data"] == "now"
        assert gateway.newest(room) == 0


@pytest.mark.parametrize("event", ["", "x" * 65, "a\nb", "a\u0000", "é" * 33, 7,
                                   *sorted(RESERVED_EVENTS)])
@asynchronous
async def test_event_names_that_are_not_allowed_are_refused(gateway, room, event):
    async with connect(gateway) as client:
        await client.subscribe(room)
        await client.refused("bad_request", "publish", room=room, data=1, event=event)
        assert gateway.newest(room) == 0


@asynchronous
async def test_event_name_of_64_bytes_passes(gateway, room):
    async with connect(gateway) as client:
        await client.subscribe(room)
        await client.ok("publish", room=room, data=1, event="é" * 32)
        assert (await client.message())["event"] == "é" * 32


@asynchronous
async def test_idempotency_key_of_a_user_publishes_once(gateway, tag):
    room, key = f"chat:{tag}", f"k-{tag}"
    async with connect(gateway, token=token(f"a-{tag}")) as one, \
            connect(gateway, token=token(f"b-{tag}")) as two:
        await one.subscribe(room)
        await two.subscribe(room)
        first = await one.ok("publish", room=room, data="x", key=key)
        again = await one.ok("publish", room=room, data="x", key=key)
        assert again["offset"] == first["offset"] == 1 and again["epoch"] == first["epoch"]
        assert again["duplicate"] is True and not first.get("duplicate")
        await one.refused("conflict", "publish", room=room, data="y", key=key)
        # The key belongs to the user: another one's is another key.
        assert (await two.ok("publish", room=room, data="x", key=key))["offset"] == 2
        assert offsets(await one.messages(2)) == [1, 2]
        await one.none_pending()


@asynchronous
async def test_idempotency_key_of_an_anonymous_session_is_a_bad_request(gateway, room):
    async with connect(gateway) as client:
        await client.subscribe(room)
        await client.refused("bad_request", "publish", room=room, data=1, key="k")


# -- presence -------------------------------------------------------------------------------------

@asynchronous
async def test_presence_counts_users_and_shows_the_newest_info(gateway, tag):
    room, a, b = f"lobby:{tag}", f"a-{tag}", f"b-{tag}"
    async with connect(gateway) as anonymous, \
            connect(gateway, token=token(a, info={"n": 1})) as a1, \
            connect(gateway, token=token(a, info={"n": 2})) as a2, \
            connect(gateway, token=token(b)) as b1:
        for client in (anonymous, a1, a2, b1):
            await client.subscribe(room)
        reply = await b1.ok("presence", room=room)
        members = {member["user"]: member for member in reply["members"]}
        assert set(members) == {a, b}
        assert members[a]["sessions"] == 2 and members[a]["info"] == {"n": 2}
        assert members[b]["sessions"] == 1 and members[b].get("info") is None
        # Anonymous sessions are counted, whatever the unit for users is.
        assert reply["total"] > len(members)
        assert (await anonymous.ok("presence", room=room))["total"] == reply["total"]


@asynchronous
async def test_join_and_leave_are_told_once_per_user_and_to_others_only(gateway, tag):
    room, a, b = f"chat:{tag}", f"a-{tag}", f"b-{tag}"
    async with connect(gateway, token=token(a)) as watcher:
        await watcher.subscribe(room)
        async with connect(gateway, token=token(b)) as first:
            await first.subscribe(room)
            assert await watcher.next("join") == {"op": "join", "room": room, "user": b}
            async with connect(gateway, token=token(b)) as second:
                await second.subscribe(room)
                await first.none_pending("join")
                await second.none_pending("join")
        assert await watcher.next("leave") == {"op": "leave", "room": room, "user": b}
        await watcher.none_pending("join")
        await watcher.none_pending("leave")


@asynchronous
async def test_reconnect_within_the_linger_makes_no_noise(start, tag):
    gateway = start({"clients": {"presence_linger": "2s"}})
    room, a, b, c = f"chat:{tag}", f"a-{tag}", f"b-{tag}", f"c-{tag}"
    async with connect(gateway, token=token(a)) as watcher:
        await watcher.subscribe(room)
        for _ in range(3):
            async with connect(gateway, token=token(b)) as client:
                await client.subscribe(room)
        async with connect(gateway, token=token(c)) as client:
            await client.subscribe(room)
            joined = [(await watcher.next("join"))["user"] for _ in range(2)]
            assert joined == [b, c]
            assert (await watcher.next("leave"))["user"] == b
            await watcher.none_pending("join")
            await watcher.none_pending("leave")


@asynchronous
async def test_unsubscribe_leaves_the_presence_of_the_room(gateway, tag):
    room, a, b = f"chat:{tag}", f"a-{tag}", f"b-{tag}"
    async with connect(gateway, token=token(a)) as watcher, connect(gateway, token=token(b)) as client:
        await watcher.subscribe(room)
        await client.subscribe(room)
        await watcher.next("join")
        await client.ok("unsubscribe", room=room)
        assert (await watcher.next("leave"))["user"] == b


@asynchronous
async def test_event_streams_count_in_presence(gateway, tag):
    room, a, b = f"chat:{tag}", f"a-{tag}", f"b-{tag}"
    async with connect(gateway, token=token(a)) as watcher:
        await watcher.subscribe(room)
        stream = await off_loop(Sse, gateway, [room], token=token(b))
        await off_loop(stream.ready)
        assert (await watcher.next("join"))["user"] == b
        stream.close()
        assert (await watcher.next("leave"))["user"] == b


@asynchronous
async def test_presence_of_a_room_without_presence_is_an_error(gateway, room):
    async with connect(gateway) as client:
        reply = await client.request("presence", room=room)
        assert reply["op"] == "error"
        await client.pong()


# -- patterns -------------------------------------------------------------------------------------

@asynchronous
async def test_pattern_gets_live_messages_of_every_matching_room(gateway, tag):
    gateway.publish(f"post_{tag}1_comments", "before")
    async with connect(gateway) as client:
        reply = await client.ok("subscribe", pattern=f"post_{tag}*_comments")
        assert reply["pattern"] == f"post_{tag}*_comments"
        gateway.publish(f"post_{tag}1_comments", "one")
        gateway.publish(f"post_{tag}2_comments", "two")
        gateway.publish(f"post_{tag}_likes_comments", "three")
        found = {(m["room"], m["offset"], m["data"]) for m in await client.messages(3)}
        assert found == {(f"post_{tag}1_comments", 2, "one"), (f"post_{tag}2_comments", 1, "two"),
                         (f"post_{tag}_likes_comments", 1, "three")}
        reply = await client.ok("unsubscribe", pattern=f"post_{tag}*_comments")
        assert reply["pattern"] == f"post_{tag}*_comments"
        gateway.publish(f"post_{tag}1_comments", "after")
        await client.none_pending()


@asynchronous
async def test_message_comes_once_however_many_subscriptions_match(gateway, tag):
    room = f"open:{tag}:x"
    async with connect(gateway) as client:
        await client.ok("subscribe", pattern=f"open:{tag}*")
        await client.subscribe(room)
        await client.ok("subscribe", pattern=f"open:*{tag}:x")
        gateway.publish_many(room, range(5))
        assert offsets(await client.messages(5)) == [1, 2, 3, 4, 5]
        # The pattern goes on when the room is left.
        await client.ok("unsubscribe", room=room)
        gateway.publish(room, "still")
        assert (await client.message())["offset"] == 6
        await client.none_pending()


@asynchronous
async def test_rooms_that_the_session_may_not_see_are_skipped(gateway, tag):
    async with connect(gateway) as anonymous, connect(gateway, token=token("u1")) as user:
        for client in (anonymous, user):
            await client.ok("subscribe", pattern=f"open:{tag}*")
        gateway.publish(f"open:{tag}:nopattern", "rule without patterns")
        gateway.publish(f"open:{tag}:members", "users only")
        gateway.publish(f"open:{tag}:all", "for all")
        assert {m["room"] for m in await user.messages(2)} == {f"open:{tag}:members",
                                                              f"open:{tag}:all"}
        assert (await anonymous.message())["room"] == f"open:{tag}:all"
        await user.none_pending()
        await anonymous.none_pending()


@asynchronous
async def test_pattern_in_granted_rooms_follows_the_grant(gateway, tag):
    async with connect(gateway, token=token("u1", rooms={"subscribe": [f"grant:{tag}:a*"]})) as client:
        await client.ok("subscribe", pattern=f"grant:{tag}:*")
        gateway.publish(f"grant:{tag}:b1", "not granted")
        gateway.publish(f"grant:{tag}:a1", "granted")
        assert (await client.message())["room"] == f"grant:{tag}:a1"
        await client.none_pending()


@asynchronous
async def test_eight_patterns_are_the_limit_of_a_session(gateway, tag):
    async with connect(gateway) as client:
        for n in range(8):
            await client.ok("subscribe", pattern=f"open:{tag}{n}*")
        await client.refused("limit_reached", "subscribe", pattern=f"open:{tag}8*")
        await client.refused("already_subscribed", "subscribe", pattern=f"open:{tag}1*")
        await client.ok("unsubscribe", pattern=f"open:{tag}0*")
        await client.ok("subscribe", pattern=f"open:{tag}8*")
