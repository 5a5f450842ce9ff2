"""WebSocket sessions: handshake, identity, requests and their replies (protocol §2)."""

import json
import asyncio
import time

import jwt
import pytest

from client import asynchronous, connect, refused_handshake
from harness import (ALLOWED_ORIGIN, ERROR_CODES, NODE, PATIENCE, SECRET, TIMEOUT, token, wait_until)
from wire import TEXT, RawHttp, RawWs, Stream, encode_frame


# -- handshake ------------------------------------------------------------------------------------

@asynchronous
async def test_welcome_is_the_first_frame(gateway):
    async with connect(gateway) as one, connect(gateway) as other:
        assert one.welcome["user"] is None
        assert one.welcome["node"] == NODE
        assert one.welcome["heartbeat"] == 30
        assert one.welcome.get("expires") is None
        assert one.welcome["session"] and one.welcome["session"] != other.welcome["session"]


@pytest.mark.parametrize("by", ["header", "query"])
@asynchronous
async def test_token_at_the_handshake_names_user_and_expiry(gateway, by):
    value = token("u1")
    place = {"token": value} if by == "header" else {"query": f"?token={value}"}
    async with connect(gateway, **place) as client:
        assert client.welcome["user"] == "u1"
        assert client.welcome["expires"] == jwt.decode(
            value, options={"verify_signature": False})["exp"]


@pytest.mark.parametrize("offered, chosen", [
    (None, None),
    (["fanfare.json.v1"], "fanfare.json.v1"),
    (["unknown.v9", "fanfare.json.v1"], "fanfare.json.v1"),
])
@asynchronous
async def test_subprotocol_is_chosen_from_the_offer(gateway, offered, chosen):
    async with connect(gateway, subprotocols=offered) as client:
        assert client.socket.subprotocol == chosen
        await client.pong()


@asynchronous
async def test_subprotocols_that_are_all_unknown_get_400(gateway):
    assert await refused_handshake(gateway, subprotocols=["mqtt", "FANFARE.JSON.V1"]) == 400


def test_subprotocols_on_two_header_lines_are_one_list(gateway):
    with RawWs(gateway, headers=["Sec-WebSocket-Protocol: mqtt",
                                 "Sec-WebSocket-Protocol: fanfare.json.v1"]) as raw:
        assert raw.status == 101
        assert raw.headers["Sec-WebSocket-Protocol"] == "fanfare.json.v1"


@pytest.mark.parametrize("origin, status", [
    (None, 101),
    (ALLOWED_ORIGIN, 101),
    ("https://evil.example.com", 403),
    ("https://app.example.com.evil.org", 403),
    ("https://app.example.com:8443", 403),
    ("http://app.example.com", 403),
    ("null", 403),
])
@asynchronous
async def test_origin_is_checked_against_the_list(gateway, origin, status):
    assert await refused_handshake(gateway, origin=origin) == status


@asynchronous
async def test_origin_is_the_own_host_by_default(start):
    gateway = start({"clients": {"allowed_origins": None}})
    assert await refused_handshake(gateway) == 101
    assert await refused_handshake(gateway, origin=gateway.url) == 101
    assert await refused_handshake(gateway, origin=ALLOWED_ORIGIN) == 403
    assert await refused_handshake(gateway, origin=gateway.url + "1") == 403


@asynchronous
async def test_any_origin_passes_where_the_list_says_star(start):
    gateway = start({"clients": {"allowed_origins": ["*"]}})
    assert await refused_handshake(gateway, origin="https://anything.example") == 101


BAD_TOKENS = {
    "garbage": "not-a-token",
    "two parts": "eyJhbGciOiJIUzI1NiJ9.e30",
    "other secret": token(secret="another-secret-of-more-than-thirty-two-bytes"),
    "algorithm not allowed": token(
        secret="x" * 64, algorithm="HS512"),
    "own secret, algorithm not allowed": jwt.encode(
        {"sub": "u1", "exp": int(time.time()) + 600}, SECRET, algorithm="HS384"),
    "alg none": jwt.encode({"sub": "u1", "exp": int(time.time()) + 600}, None, algorithm="none"),
    "expired": token(ttl=-120),
    "no exp": token(exp=None),
    "no sub": token(sub=None),
    "not valid yet": token(nbf=int(time.time()) + 86_400),
    "signature cut": token()[:-4],
}


@pytest.mark.parametrize("name", BAD_TOKENS)
@asynchronous
async def test_bad_token_at_the_handshake_gets_401(gateway, name):
    assert await refused_handshake(gateway, token=BAD_TOKENS[name]) == 401
    assert await refused_handshake(gateway, query=f"?token={BAD_TOKENS[name]}") == 401


@asynchronous
async def test_token_within_the_leeway_of_its_expiry_passes(gateway):
    async with connect(gateway, token=token("u1", ttl=-5)) as client:
        assert client.welcome["user"] == "u1"


HANDSHAKE_FAULTS = {
    "version 12": ({"version": "12"}, (426, 400)),
    "key of 15 bytes": ({"key": "AAAAAAAAAAAAAAAAAAAA"}, (400,)),
    "key that is not base64": ({"key": "!!!!!!!!!!!!!!!!!!!!!!=="}, (400,)),
}


@pytest.mark.parametrize("name", HANDSHAKE_FAULTS)
def test_faulty_handshake_is_refused(gateway, name):
    options, statuses = HANDSHAKE_FAULTS[name]
    with RawWs(gateway, **options) as raw:
        assert raw.status in statuses
        if raw.status == 426:
            assert raw.headers["Sec-WebSocket-Version"] == "13"


def test_plain_get_of_the_endpoint_is_refused(gateway):
    assert gateway.http("GET", "/ws").status in (400, 426)


def test_post_to_the_endpoint_is_not_allowed(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("POST", "/ws", "Content-Length: 0"))
        response = raw.answer()
        assert response.status == 405
        assert "GET" in response.headers["Allow"]


def test_frames_glued_to_the_request_head_are_served(gateway):
    with RawWs(gateway, glued=encode_frame(TEXT, b'{"id":7,"op":"ping"}')) as raw:
        assert raw.json() == {"id": 7, "op": "pong"}


def test_handshake_may_arrive_byte_by_byte(gateway):
    with Stream(gateway.port) as raw:
        head = (f"GET /ws HTTP/1.1\r\nhost: 127.0.0.1:{gateway.port}\r\nUPGRADE: WebSocket\r\n"
                "connection: Upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "sec-websocket-version: 13\r\n\r\n")
        for byte in head.encode():
            raw.send(bytes([byte]))
        _, status, headers = raw.read_head()
        assert status == 101
        assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


# -- identity -------------------------------------------------------------------------------------

@asynchronous
async def test_auth_in_band_gives_the_session_its_user(gateway, tag):
    async with connect(gateway) as client:
        value = token(f"u-{tag}")
        reply = await client.ok("auth", token=value)
        assert reply["user"] == f"u-{tag}"
        assert reply["expires"] == jwt.decode(value, options={"verify_signature": False})["exp"]
        await client.subscribe(f"chat:{tag}")


@asynchronous
async def test_bad_token_in_band_is_unauthorized_and_closes_with_4401(gateway):
    async with connect(gateway) as client:
        reply = await client.request("auth", token=BAD_TOKENS["other secret"])
        assert (reply["op"], reply["code"]) == ("error", "unauthorized")
        assert await client.closed() == 4401


@asynchronous
async def test_auth_with_another_sub_is_forbidden_and_changes_nothing(gateway, tag):
    async with connect(gateway, token=token(f"a-{tag}")) as client:
        await client.refused("forbidden", "auth", token=token(f"b-{tag}"))
        await client.subscribe(f"chat:{tag}")
        await client.ok("publish", room=f"chat:{tag}", data=1)
        assert (await client.message())["from"] == f"a-{tag}"


@asynchronous
async def test_anonymous_session_that_must_not_be_gets_10_s_for_auth(start, tag):
    gateway = start({"clients": {"anonymous": False}})
    async with connect(gateway) as silent, connect(gateway) as late:
        opened = time.monotonic()
        assert silent.welcome["user"] is None
        for op, fields in (("subscribe", {"room": f"news:{tag}"}),
                           ("history", {"room": f"news:{tag}"}),
                           ("publish", {"room": f"open:{tag}", "data": 1}),
                           ("presence", {"room": f"lobby:{tag}"})):
            await silent.refused("unauthorized", op, **fields)
        await late.ok("auth", token=token("u1"))
        await late.subscribe(f"news:{tag}")
        assert await silent.closed(20 * PATIENCE) == 4401
        assert time.monotonic() - opened > 9
        await late.pong()


@pytest.fixture(scope="module")
def strict_clock(start_for_module):
    """A gateway that ends a session at the very `exp` of its token."""
    return start_for_module({"auth": {"jwt": {"leeway": "0s"}}})


@asynchronous
async def test_session_ends_with_4401_when_its_token_expires(strict_clock):
    async with connect(strict_clock, token=token("u1", ttl=2)) as client:
        await client.pong()
        assert await client.closed(10 * PATIENCE) == 4401
        assert time.time() >= client.welcome["expires"] - 0.5


@asynchronous
async def test_auth_refreshes_a_token_that_is_about_to_expire(strict_clock):
    async with connect(strict_clock, token=token("u1", ttl=2)) as client:
        first = client.welcome["expires"]
        reply = await client.ok("auth", token=token("u1", ttl=600))
        assert reply["expires"] > first
        while time.time() < first + 1:
            await client.pong()
            await asyncio.sleep(0.1)  # the rate limit holds for pings too


@asynchronous
async def test_rooms_no_longer_granted_are_unsubscribed_after_a_refresh(gateway, tag):
    kept, lost = f"grant:{tag}:kept", f"grant:{tag}:lost"
    user = f"u-{tag}"
    async with connect(gateway, token=token(user, rooms={"subscribe": [f"grant:{tag}:*"]})) as client:
        await client.subscribe(kept)
        await client.subscribe(lost)
        await client.ok("auth", token=token(user, rooms={"subscribe": [kept]}))
        told = await client.next("unsubscribed")
        assert told["room"] == lost
        assert told["code"] in ERROR_CODES and isinstance(told["message"], str)
        gateway.publish(lost, "unseen")
        gateway.publish(kept, "seen")
        assert (await client.message())["data"] == "seen"
        await client.none_pending()


# -- requests -------------------------------------------------------------------------------------

@asynchronous
async def test_subscribe_reports_the_room_and_its_position(gateway, room):
    gateway.publish_many(room, range(3))
    async with connect(gateway) as client:
        reply = await client.subscribe(room)
        assert reply["room"] == room
        assert reply["offset"] == 3
        assert reply["epoch"] == gateway.room_info(room)["epoch"]
        assert "recovered" not in reply
        assert (await client.ok("unsubscribe", room=room))["room"] == room


@asynchronous
async def test_requests_without_id_get_errors_only(gateway, room):
    async with connect(gateway) as client:
        await client.send({"op": "subscribe", "room": room})
        await client.send({"op": "publish", "room": room, "data": "quiet"})
        await client.send({"op": "subscribe", "room": ""})
        error = await client.next("error")
        assert error["code"] == "bad_request"
        assert "id" not in error or error["id"] is None
        assert (await client.message())["data"] == "quiet"
        await client.none_pending("ok")


@pytest.mark.parametrize("identifier", [0, 1, -1, 2**53 - 1])
@asynchronous
async def test_integer_ids_come_back(gateway, identifier):
    async with connect(gateway) as client:
        await client.send({"id": identifier, "op": "ping"})
        assert await client.next() == {"id": identifier, "op": "pong"}


@pytest.mark.parametrize("identifier", ["1", 1.5, True, [1], {}])
@asynchronous
async def test_id_that_is_no_integer_is_a_bad_request(gateway, identifier):
    async with connect(gateway) as client:
        await client.send({"id": identifier, "op": "ping"})
        assert (await client.next("error"))["code"] == "bad_request"
        await client.pong()


BAD_REQUESTS = {
    "unknown op": ("unknown_op", {"op": "dance"}),
    "empty op": (("unknown_op", "bad_request"), {"op": ""}),
    "no op": (("bad_request", "unknown_op"), {}),
    "op is a number": (("bad_request", "unknown_op"), {"op": 7}),
    "subscribe without room": ("bad_request", {"op": "subscribe"}),
    "subscribe with room and pattern": (
        "bad_request", {"op": "subscribe", "room": "open:x", "pattern": "open:*"}),
    "room is a number": ("bad_request", {"op": "subscribe", "room": 7}),
    "room is empty": ("bad_request", {"op": "subscribe", "room": ""}),
    "room of 256 bytes": ("bad_request", {"op": "subscribe", "room": "open:" + "x" * 251}),
    "room of 256 bytes in 130 characters": (
        "bad_request", {"op": "subscribe", "room": "open" + "\u00e9" * 126}),
    "room with a control character": ("bad_request", {"op": "subscribe", "room": "open:\u0007"}),
    "room with DEL": ("bad_request", {"op": "subscribe", "room": "open:\u007f"}),
    "room with a star": ("bad_request", {"op": "subscribe", "room": "open:*"}),
    "reserved room": (
        ("bad_request", "not_found", "forbidden"), {"op": "subscribe", "room": "@all"}),
    "room that no rule matches": ("not_found", {"op": "subscribe", "room": "nowhere:1"}),
    "inbox of an anonymous session": ("unauthorized", {"op": "subscribe", "room": "@me"}),
    "ack of an anonymous session": ("unauthorized", {"op": "ack", "room": "@me", "offset": 1}),
    "since is a number": ("bad_request", {"op": "subscribe", "room": "open:x", "since": 7}),
    "since without epoch": (
        "bad_request", {"op": "subscribe", "room": "open:x", "since": {"offset": 1}}),
    "since with a text offset": (
        "bad_request",
        {"op": "subscribe", "room": "open:x", "since": {"epoch": "e", "offset": "1"}}),
    "since with a negative offset": (
        "bad_request", {"op": "subscribe", "room": "open:x", "since": {"epoch": "e", "offset": -1}}),
    "last is negative": ("bad_request", {"op": "subscribe", "room": "open:x", "last": -1}),
    "last is a text": ("bad_request", {"op": "subscribe", "room": "open:x", "last": "10"}),
    "unsubscribe from a room never subscribed": (
        "not_subscribed", {"op": "unsubscribe", "room": "open:never"}),
    "unsubscribe from a pattern never subscribed": (
        "not_subscribed", {"op": "unsubscribe", "pattern": "open:never*"}),
    "publish without data": ("bad_request", {"op": "publish", "room": "open:x"}),
    "publish without room": ("bad_request", {"op": "publish", "data": 1}),
    "history without room": ("bad_request", {"op": "history"}),
    "history with a text limit": (
        "bad_request", {"op": "history", "room": "open:x", "limit": "many"}),
    "history with a negative limit": (
        "bad_request", {"op": "history", "room": "open:x", "limit": -1}),
    "history of a room that no rule matches": ("not_found", {"op": "history", "room": "nowhere:1"}),
    "presence of a room that no rule matches": (
        "not_found", {"op": "presence", "room": "nowhere:1"}),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
@asynchronous
async def test_bad_request_is_named_and_leaves_the_session_open(gateway, name):
    codes, fields = BAD_REQUESTS[name]
    codes = (codes,) if isinstance(codes, str) else codes
    async with connect(gateway) as client:
        await client.send({"id": 5} | fields)
        error = await client.next()
        assert error["op"] == "error" and error["id"] == 5, error
        assert error["code"] in codes, error
        assert error["message"], error
        await client.pong()


@asynchronous
async def test_auth_without_a_token_is_an_error(gateway):
    async with connect(gateway) as client:
        reply = await client.request("auth")
        assert reply["op"] == "error"
        assert reply["code"] in ("bad_request", "unauthorized")


@asynchronous
async def test_second_subscribe_to_a_room_is_already_subscribed(gateway, room):
    async with connect(gateway) as client:
        await client.subscribe(room)
        await client.refused("already_subscribed", "subscribe", room=room)
        await client.ok("unsubscribe", room=room)
        await client.refused("not_subscribed", "unsubscribe", room=room)
        await client.subscribe(room)


@asynchronous
async def test_room_of_255_bytes_is_a_room(gateway, tag):
    room = f"open:{tag}".ljust(255, "x")
    async with connect(gateway) as client:
        await client.subscribe(room)
        gateway.publish(room, 1)
        assert (await client.message())["room"] == room


@asynchronous
async def test_room_names_are_any_text(gateway, tag):
    room = f'open:{tag}/"\\ \u20ac\U0001f600'
    async with connect(gateway) as client:
        assert (await client.subscribe(room))["room"] == room
        gateway.publish(room, 1)
        assert (await client.message())["room"] == room


@asynchronous
async def test_rights_of_rooms_for_anonymous_users_and_grants(gateway, tag):
    unidentified = ("unauthorized", "forbidden")
    async with connect(gateway) as anonymous, connect(gateway, token=token("u1")) as user, \
            connect(gateway, token=token("u2", rooms={"subscribe": [f"grant:{tag}:*"],
                                                      "publish": [f"grant:{tag}:w"]})) as granted:
        for op in ("subscribe", "history", "presence"):
            await anonymous.refused(unidentified, op, room=f"chat:{tag}")
        for op in ("subscribe", "history"):
            await anonymous.refused(unidentified, op, room=f"grant:{tag}:r")
            await user.refused("forbidden", op, room=f"grant:{tag}:r")
            await granted.ok(op, room=f"grant:{tag}:r")
            await granted.refused("forbidden", op, room=f"grant:{tag}")
        await user.subscribe(f"chat:{tag}")
        await granted.ok("publish", room=f"grant:{tag}:w", data=1)
        await granted.refused("forbidden", "publish", room=f"grant:{tag}:r", data=1)
        await user.refused("forbidden", "publish", room=f"news:{tag}", data=1)
        await user.refused(("forbidden", "not_subscribed"), "publish", room=f"chat:{tag}:2", data=1)
        await user.ok("publish", room=f"chat:{tag}", data=1)


# -- limits ---------------------------------------------------------------------------------------

@asynchronous
async def test_rooms_of_a_session_are_limited(start, tag):
    gateway = start({"clients": {"max_rooms": 3}})
    async with connect(gateway) as client:
        for n in range(3):
            await client.subscribe(f"open:{tag}:{n}")
        await client.refused("limit_reached", "subscribe", room=f"open:{tag}:3")
        await client.ok("unsubscribe", room=f"open:{tag}:0")
        await client.subscribe(f"open:{tag}:3")


@asynchronous
async def test_frames_above_the_rate_are_refused_until_the_next_window(start):
    gateway = start({"clients": {"rate": {"messages": 5, "per": "1s"}}})
    async with connect(gateway) as client:
        for n in range(20):
            await client.send({"id": n, "op": "ping"})
        replies = [await client.next() for _ in range(20)]
        assert [reply["id"] for reply in replies] == list(range(20))
        refused = [reply for reply in replies if reply["op"] == "error"]
        # The burst is over in far less than a second; it may still touch two windows.
        assert 10 <= len(refused) <= 15
        assert {reply["code"] for reply in refused} == {"rate_limited"}
        deadline = time.monotonic() + TIMEOUT
        while (await client.request("ping"))["op"] != "pong":
            assert time.monotonic() < deadline


def test_rate_exceeded_in_ten_windows_in_a_row_closes_with_4429(start):
    gateway = start({"clients": {"rate": {"messages": 5, "per": "200ms"}}})
    with RawWs(gateway) as raw:
        opened = time.monotonic()
        burst = b"".join(encode_frame(TEXT, b'{"id":1,"op":"ping"}') for _ in range(12))
        code = None
        while code is None:
            assert time.monotonic() - opened < 15 * PATIENCE
            raw.send_if_open(burst)
            for _ in range(12):
                _, _, opcode, payload = raw.frame()
                if opcode == 8:
                    code = int.from_bytes(payload[:2], "big")
                    break
        assert code == 4429
        assert time.monotonic() - opened > 1.5


# -- heartbeat ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def nervous(start_for_module):
    return start_for_module({"clients": {"heartbeat": "400ms"}})


def test_heartbeat_may_be_fractional(nervous):
    with RawWs(nervous) as raw:
        assert raw.welcome["heartbeat"] == pytest.approx(0.4)


def test_session_that_answers_nothing_for_two_heartbeats_closes_with_4409(nervous):
    with RawWs(nervous) as raw:
        opened = time.monotonic()
        assert raw.frame()[2] == 9, "a ping comes first"
        assert raw.closed_with() == 4409
        assert time.monotonic() - opened > 0.7


@pytest.mark.parametrize("answer", ["pong", "any frame"])
def test_session_that_answers_stays(nervous, answer):
    with RawWs(nervous) as raw:
        for _ in range(6):
            payload = raw.frame_of(9)[3]
            if answer == "pong":
                raw.send_frame(10, payload)
            else:
                raw.send_frame(TEXT, b'{"op":"ping"}')
        assert raw.request(op="ping", id=1)["op"] == "pong"


# -- slow consumers -------------------------------------------------------------------------------

def test_consumer_that_does_not_read_is_closed_with_4408_and_resumes(start, tag):
    gateway = start({"clients": {"send_queue": "256KiB"},
                     "rooms": [{"match": "*", "subscribe": "anyone", "publish": "server",
                                "history": {"size": 20000, "ttl": "1h"}}]})
    room = f"flood:{tag}"
    with RawWs(gateway, receive_buffer=8192) as slow, RawWs(gateway) as fast:
        epoch = slow.request(op="subscribe", room=room)["epoch"]
        fast.request(op="subscribe", room=f"calm:{tag}")
        sent = 0

        def dropped():
            nonlocal sent
            sent = gateway.publish_many(room, ["x" * 8000] * 100)["offset"]
            return gateway.subscribers(room) == 0
        wait_until(dropped, 30 * PATIENCE, "the slow consumer being dropped")

        seen = 0
        while True:
            try:
                _, _, opcode, payload = slow.frame()
            except EOFError:
                pytest.fail(f"no Close with 4408 after {seen} messages")
            if opcode == 8:
                assert int.from_bytes(payload[:2], "big") == 4408
                break
            if opcode == TEXT and (frame := json.loads(payload))["op"] == "message":
                assert frame["offset"] == seen + 1
                seen = frame["offset"]
        assert seen < sent

        # Others were not hurt, and nothing is lost: the client resumes behind what it has seen.
        gateway.publish(f"calm:{tag}", "calm")
        assert fast.json()["data"] == "calm"
        with RawWs(gateway) as again:
            reply = again.request(op="subscribe", room=room, since={"epoch": epoch, "offset": seen})
            assert reply["recovered"] is True
            for offset in range(seen + 1, sent + 1):
                assert again.json()["offset"] == offset
