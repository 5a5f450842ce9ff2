"""Server-Sent Events (protocol §3)."""

import json
import re

import pytest

from harness import ALLOWED_ORIGIN, PATIENCE, assert_problem, quoted, token, wait_until
from wire import RESERVED_EVENTS, RawHttp, Sse

CURSOR = re.compile(r"[A-Za-z0-9._~-]{1,128}")


def fields_of(event):
    """What a message event says, in short."""
    data = event.json()
    return data["room"], data["offset"]


# -- the stream -----------------------------------------------------------------------------------

def test_stream_starts_with_retry_and_ready(gateway, tag):
    rooms = [f"open:{tag}:a", f"open:{tag}:b"]
    position = gateway.publish_many(rooms[0], range(3))
    with Sse(gateway, rooms) as stream:
        assert stream.streaming
        assert "Content-Length" not in stream.headers
        assert "no-cache" in stream.headers["Cache-Control"]
        event = stream.event()
        assert stream.retry is not None
        assert event.name == "ready"
        assert CURSOR.fullmatch(event.id)
        ready = event.json()
        assert ready["session"]
        assert set(ready["rooms"]) == set(rooms)
        assert ready["rooms"][rooms[0]]["epoch"] == position["epoch"]
        assert ready["rooms"][rooms[0]]["offset"] == 3
        assert ready["rooms"][rooms[1]]["offset"] == 0


def test_messages_have_cursor_and_the_fields_of_the_push(gateway, room):
    with Sse(gateway, [room]) as stream:
        stream.ready()
        gateway.publish(room, {"n": 1})
        gateway.publish(room, [2], event="order.created", id=f"id-{room}")
        plain, named = stream.messages(2)
        assert plain.name == "message"
        assert CURSOR.fullmatch(plain.id) and CURSOR.fullmatch(named.id) and plain.id != named.id
        assert plain.json() == {"room": room, "offset": 1, "data": {"n": 1}}
        assert named.name == "order.created"
        assert named.json() == {"room": room, "offset": 2, "data": [2], "event": "order.created",
                                "id": f"id-{room}"}


def test_cursor_of_eight_rooms_stays_within_128_bytes(gateway, tag):
    rooms = [f"open:{tag}:{n}".ljust(200, "x") for n in range(8)]
    for n, room in enumerate(rooms):
        gateway.publish_many(room, range(10 * n + 1))
    with Sse(gateway, rooms) as stream:
        assert CURSOR.fullmatch(stream.event().id)
        for room in rooms:
            gateway.publish(room, "live")
        for event in stream.messages(8):
            assert CURSOR.fullmatch(event.id), event.id


def test_ephemeral_messages_have_no_offset(gateway, room):
    with Sse(gateway, [room]) as stream:
        stream.ready()
        gateway.publish(room, "typing", ephemeral=True)
        gateway.publish(room, "kept")
        ephemeral, kept = stream.messages(2)
        assert "offset" not in ephemeral.json() and ephemeral.json()["data"] == "typing"
        assert kept.json()["offset"] == 1


@pytest.mark.parametrize("payload", [
    '{\n  "a": 1,\n  "b": [\n    2\n  ]\n}',
    '{\r\n"a":\r1}',
    '" leading space, \\n escape, : colon"',
    '123456789012345678901234567890.5e+0400',
    '"é€😀"',
])
def test_payload_survives_the_framing_of_events(gateway, room, payload):
    with Sse(gateway, [room]) as stream:
        stream.ready()
        body = f'{{"room":{json.dumps(room)},"data":{payload}}}'.encode()
        assert gateway.api("POST", "/publish", body).status == 200
        gateway.publish(room, "behind")
        event, behind = stream.messages(2)
        # CR and CRLF inside arrive as LF: in JSON all are white space.
        expected = payload.replace("\r\n", "\n").replace("\r", "\n")
        assert expected in event.data
        assert event.json()["data"] == json.loads(payload)
        assert behind.json()["offset"] == 2


def test_32_rooms_are_allowed_and_33_are_not(gateway, tag):
    rooms = [f"open:{tag}:{n}" for n in range(33)]
    with Sse(gateway, rooms[:32]) as stream:
        assert len(stream.ready()["rooms"]) == 32
        gateway.publish(rooms[31], 1)
        assert fields_of(stream.messages(1)[0]) == (rooms[31], 1)
    with Sse(gateway, rooms) as stream:
        assert_problem(stream.problem(), 400)


def test_room_names_are_percent_decoded(gateway, tag):
    room = f"open:{tag}/ä +&="
    with Sse(gateway, [room]) as stream:
        assert list(stream.ready()["rooms"]) == [room]
        gateway.publish(room, 1)
        assert fields_of(stream.messages(1)[0]) == (room, 1)


@pytest.mark.parametrize("by", ["header", "query"])
def test_token_opens_rooms_of_users(gateway, tag, by):
    value = token(f"u-{tag}")
    options = {"token": value} if by == "header" else {"query": [("token", value)]}
    with Sse(gateway, [f"chat:{tag}"], **options) as stream:
        stream.ready()
        gateway.publish(f"chat:{tag}", "hi")
        assert stream.messages(1)[0].json()["data"] == "hi"


def test_last_replays_the_newest(gateway, room):
    gateway.publish_many(room, range(10))
    with Sse(gateway, [room], query=[("last", "3")]) as stream:
        assert stream.ready()["rooms"][room]["offset"] == 10
        gateway.publish(room, "live")
        assert [fields_of(event) for event in stream.messages(4)] == [(room, n) for n in (8, 9, 10, 11)]


def test_stream_ends_when_the_client_goes(gateway, room):
    stream = Sse(gateway, [room])
    stream.ready()
    assert gateway.subscribers(room) == 1
    stream.close()
    gateway.wait_subscribers(room, 0)


def test_http_1_0_client_gets_the_stream_without_chunks(gateway, room):
    with Sse(gateway, [room], version="HTTP/1.0") as stream:
        assert "Transfer-Encoding" not in stream.headers
        stream.ready()
        gateway.publish(room, 1)
        assert fields_of(stream.messages(1)[0]) == (room, 1)


# -- resume ---------------------------------------------------------------------------------------

def publish_around(gateway, rooms, rounds):
    for n in range(rounds):
        for room in rooms:
            gateway.publish(room, n)


@pytest.mark.parametrize("place", ["header", "query"])
def test_last_event_id_resumes_all_rooms_without_hole_or_duplicate(gateway, tag, place):
    rooms = [f"open:{tag}:{name}" for name in "abc"]
    publish_around(gateway, rooms, 2)
    with Sse(gateway, rooms) as stream:
        stream.ready()
        publish_around(gateway, rooms, 4)
        seen = [fields_of(event) for event in stream.messages(7)]
        cursor = stream.last_event_id
    publish_around(gateway, rooms, 3)
    options = {"last_event_id": cursor} if place == "header" else {"query": [("lastEventId", cursor)]}
    with Sse(gateway, rooms, **options) as stream:
        ready = stream.ready()
        assert all(ready["rooms"][room]["recovered"] is True for room in rooms)
        publish_around(gateway, rooms, 1)
        seen += [fields_of(event) for event in stream.messages(5 + 9 + 3)]
    for room in rooms:
        assert [offset for name, offset in seen if name == room] == list(range(3, 11))


def test_id_of_ready_resumes_too(gateway, room):
    gateway.publish(room, 1)
    with Sse(gateway, [room]) as stream:
        stream.ready()
        cursor = stream.last_event_id
    gateway.publish_many(room, range(3))
    with Sse(gateway, [room], last_event_id=cursor) as stream:
        assert stream.ready()["rooms"][room]["recovered"] is True
        assert [fields_of(event)[1] for event in stream.messages(3)] == [2, 3, 4]


def test_header_beats_query(gateway, room):
    with Sse(gateway, [room]) as stream:
        stream.ready()
        gateway.publish_many(room, range(6))
        cursors = [event.id for event in stream.messages(6)]
    with Sse(gateway, [room], last_event_id=cursors[4],
             query=[("lastEventId", cursors[0])]) as stream:
        assert stream.ready()["rooms"][room]["recovered"] is True
        assert fields_of(stream.messages(1)[0]) == (room, 6)


def test_history_that_is_gone_is_not_recovered(gateway, tag):
    room = f"short:{tag}"                       # keeps 5
    with Sse(gateway, [room]) as stream:
        stream.ready()
        gateway.publish(room, 0)
        cursor = stream.messages(1)[0].id
    gateway.publish_many(room, range(20))
    with Sse(gateway, [room], last_event_id=cursor) as stream:
        ready = stream.ready()
        assert ready["rooms"][room]["recovered"] is False
        assert ready["rooms"][room]["offset"] == 21
        gateway.publish(room, "live")
        assert fields_of(stream.messages(1)[0]) == (room, 22)


def test_resume_of_more_than_the_send_queue_arrives_whole(gateway, tag):
    room = f"news:{tag}"
    with Sse(gateway, [room]) as stream:
        stream.ready()
        cursor = stream.last_event_id
    gateway.publish_many(room, ["x" * 20_000] * 300)       # 6 MB, queue 1 MiB
    with Sse(gateway, [room], last_event_id=cursor) as stream:
        assert stream.ready()["rooms"][room]["recovered"] is True
        gateway.publish(room, "live")
        found = [fields_of(event)[1] for event in stream.messages(301, timeout=20 * PATIENCE)]
        assert found == list(range(1, 302))


# -- refusals before the stream -------------------------------------------------------------------

def test_refusals_are_problems_with_a_status(gateway, tag):
    cases = [
        ({"rooms": []}, (400,)),
        ({"rooms": [""]}, (400,)),
        ({"rooms": ["open:*"]}, (400,)),
        ({"rooms": ["x" * 256]}, (400,)),
        ({"rooms": [f"nowhere:{tag}"]}, (400, 403)),
        ({"rooms": [f"open:{tag}", f"nowhere:{tag}"]}, (400, 403)),
        ({"rooms": [f"grant:{tag}"], "token": token("u1")}, (403,)),
        ({"rooms": [f"chat:{tag}"]}, (401, 403)),
        ({"rooms": [f"open:{tag}"], "token": "bad"}, (401,)),
        ({"rooms": [f"open:{tag}"], "query": [("token", "bad")]}, (401,)),
        ({"rooms": [f"open:{tag}"], "query": [("last", "many")]}, (400,)),
    ]
    for options, statuses in cases:
        with Sse(gateway, **options) as stream:
            assert not stream.streaming, options
            assert_problem(stream.problem(), statuses)


def test_no_token_is_401_where_anonymous_clients_are_not_allowed(start, room):
    gateway = start({"clients": {"anonymous": False}})
    with Sse(gateway, [room]) as stream:
        assert_problem(stream.problem(), 401, "unauthorized")
    with Sse(gateway, [room], token=token("u1")) as stream:
        stream.ready()


def test_post_is_not_allowed(gateway, room):
    response = gateway.http("POST", f"/sse?room={room}", {})
    assert_problem(response, 405, "method_not_allowed")
    assert "GET" in response.headers["Allow"]


def test_head_has_no_body_and_leaves_the_connection_usable(gateway, room):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("HEAD", f"/sse?room={room}"))
        answer = raw.answer(head_only=True)
        assert answer.status == 200
        assert answer.media_type == "text/event-stream"
        if answer.headers.get("Connection", "").lower() == "close":
            assert raw.at_end()
        else:
            raw.send(raw.request("GET", "/health"))
            assert raw.answer().status == 200


# -- CORS -----------------------------------------------------------------------------------------

def test_allowed_origin_is_named_in_the_answer(gateway, room):
    with Sse(gateway, [room], headers=[f"Origin: {ALLOWED_ORIGIN}"]) as stream:
        stream.ready()
        assert stream.headers["Access-Control-Allow-Origin"] in (ALLOWED_ORIGIN, "*")


def test_other_origin_gets_no_permission(gateway, room):
    with Sse(gateway, [room], headers=["Origin: https://evil.example.com"]) as stream:
        assert "Access-Control-Allow-Origin" not in stream.headers


def test_preflight_allows_what_event_sources_send(gateway, room):
    response = gateway.http("OPTIONS", f"/sse?room={room}", headers={
        "Origin": ALLOWED_ORIGIN, "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,cache-control,last-event-id"})
    assert response.status in (200, 204)
    assert response.headers["Access-Control-Allow-Origin"] in (ALLOWED_ORIGIN, "*")
    assert "GET" in response.headers["Access-Control-Allow-Methods"]
    allowed = response.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    assert {"authorization", "cache-control", "last-event-id"} <= set(allowed)


# -- heartbeat and endings ------------------------------------------------------------------------

def test_comments_are_the_heartbeat(start, room):
    gateway = start({"clients": {"heartbeat": "300ms"}})
    with Sse(gateway, [room]) as stream:
        stream.ready()
        stream.wait_comments(stream.comments + 2, 5 * PATIENCE)


def test_stream_ends_with_bye_when_the_token_expires(start, tag):
    gateway = start({"auth": {"jwt": {"leeway": "0s"}}})
    with Sse(gateway, [f"chat:{tag}"], token=token("u1", ttl=2)) as stream:
        stream.ready()
        bye = stream.named("bye", 10 * PATIENCE).json()
        assert bye["code"] == "expired"
        assert stream.rest() == []


def test_stream_ends_with_bye_when_the_api_disconnects_the_user(gateway, tag):
    user = f"u-{tag}"
    with Sse(gateway, [f"chat:{tag}"], token=token(user)) as stream:
        stream.ready()
        response = gateway.api("POST", f"/users/{quoted(user)}/disconnect")
        assert (response.status, response.json()) == (200, {"disconnected": 1})
        assert stream.named("bye").json()["code"] == "disconnected"
        assert stream.rest() == []


def test_reader_that_is_too_slow_is_ended_and_loses_nothing(start, tag):
    gateway = start({"clients": {"send_queue": "256KiB"},
                     "rooms": [{"match": "*", "subscribe": "anyone", "publish": "server",
                                "history": {"size": 20000, "ttl": "1h"}}]})
    room, sent = f"flood:{tag}", 0
    with Sse(gateway, [room], receive_buffer=8192) as slow:
        slow.ready()

        def dropped():
            nonlocal sent
            sent = gateway.publish_many(room, ["x" * 8000] * 100)["offset"]
            return gateway.subscribers(room) == 0
        wait_until(dropped, 30 * PATIENCE, "the slow reader being dropped")
        events = slow.rest(20 * PATIENCE)
        seen = [fields_of(event)[1] for event in events if event.name == "message"]
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) < sent
        for event in events:
            if event.name == "bye":
                assert event.json()["code"] == "slow_consumer"
        cursor = slow.last_event_id
    with Sse(gateway, [room], last_event_id=cursor) as stream:
        assert stream.ready()["rooms"][room]["recovered"] is True
        rest = [fields_of(event)[1] for event in stream.messages(sent - len(seen), 20 * PATIENCE)]
        assert rest == list(range(len(seen) + 1, sent + 1))


@pytest.mark.parametrize("event", sorted(RESERVED_EVENTS))
def test_publish_with_an_event_of_the_gateway_is_refused(gateway, room, event):
    response = gateway.api("POST", "/publish", {"room": room, "data": 1, "event": event})
    assert_problem(response, 400, "bad_request", "event")


@pytest.mark.parametrize("event", ["a\nid: 7", "a\rb", "a\u0000b", ""])
def test_event_that_would_break_the_framing_is_refused(gateway, room, event):
    response = gateway.api("POST", "/publish", {"room": room, "data": 1, "event": event})
    assert_problem(response, 400, "bad_request", "event")
