"""The backend API (protocol §4)."""

import concurrent.futures
import json
import re

import pytest

from client import asynchronous, connect, off_loop
from harness import (ALL_KEY, ERROR_CODES, NODE, SCOPE_KEY, SCOPES, assert_problem, http_call,
                     quoted, token)
from wire import RawHttp, Sse

RFC3339_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# -- keys, paths, methods, media types ------------------------------------------------------------

@pytest.mark.parametrize("headers", [{"X-API-Key": ALL_KEY},
                                     {"Authorization": f"Bearer {ALL_KEY}"},
                                     {"authorization": f"bearer {ALL_KEY}"}])
def test_key_is_accepted_by_either_header(gateway, headers):
    assert gateway.http("GET", "/api/v1/rooms", headers=headers).status == 200


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"X-API-Key": ""},
                                     {"X-API-Key": ALL_KEY + "0"}, {"X-API-Key": ALL_KEY[:-1]},
                                     {"Authorization": f"Basic {ALL_KEY}"},
                                     {"Authorization": f"Bearer {token('u1')}"}])
def test_no_or_bad_key_is_401(gateway, headers):
    assert_problem(gateway.http("GET", "/api/v1/rooms", headers=headers), 401, "unauthorized")
    assert_problem(gateway.http("POST", "/api/v1/publish", {"room": "open:x", "data": 1}, headers),
                   401, "unauthorized")


CALLS = [
    ("publish", "POST", "/publish", {"room": "open:scopes", "data": 1}),
    ("publish", "POST", "/publish/batch", [{"room": "open:scopes", "data": 1}]),
    ("read", "GET", "/rooms", None),
    ("read", "GET", "/rooms/open:scopes", None),
    ("read", "GET", "/rooms/open:scopes/history", None),
    ("read", "GET", "/rooms/lobby:scopes/presence", None),
    ("read", "GET", "/users/nobody", None),
    ("admin", "POST", "/users/nobody/disconnect", None),
    ("admin", "POST", "/users/nobody/subscribe", {"room": "open:scopes"}),
    ("admin", "POST", "/users/nobody/unsubscribe", {"room": "open:scopes"}),
]


@pytest.mark.parametrize("scope, method, path, body", CALLS)
def test_call_needs_its_scope(gateway, scope, method, path, body):
    for other in SCOPES:
        response = gateway.api(method, path, body, key=SCOPE_KEY[other])
        if other == scope:
            assert response.status not in (401, 403), response.body
        else:
            assert_problem(response, 403, "forbidden")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v2/publish", "/api/v2/rooms", "/api/v1",
                                  "/api/", "/api/publish", "/api/v1/rooms/a/b/c"])
def test_unknown_path_or_version_is_404(gateway, path):
    assert_problem(gateway.http("GET", path, headers={"X-API-Key": ALL_KEY}), 404, "not_found")


@pytest.mark.parametrize("method, path, allowed", [
    ("GET", "/publish", "POST"), ("PUT", "/publish/batch", "POST"), ("POST", "/rooms", "GET"),
    ("DELETE", "/rooms/open:x", "GET"), ("GET", "/users/u1/disconnect", "POST"),
])
def test_wrong_method_is_405_with_allow(gateway, method, path, allowed):
    response = gateway.api(method, path)
    assert_problem(response, 405, "method_not_allowed")
    assert allowed in response.headers["Allow"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded",
                                        "application/xml"])
def test_body_of_another_media_type_is_415(gateway, room, media_type):
    body = json.dumps({"room": room, "data": 1}).encode()
    response = gateway.api("POST", "/publish", body, headers={"Content-Type": media_type})
    assert_problem(response, 415, "unsupported_media_type")


def test_media_type_may_have_parameters(gateway, room):
    body = json.dumps({"room": room, "data": 1}).encode()
    response = gateway.api("POST", "/publish", body,
                           headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert response.status == 200


def test_body_above_the_limit_is_413(gateway, room):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("POST", "/api/v1/publish", f"X-API-Key: {ALL_KEY}",
                             "Content-Type: application/json",
                             f"Content-Length: {2 * 1024 * 1024}"))
        raw.send_if_open(b'{"room":"open:x","data":"' + b"x" * 100_000)
        assert_problem(raw.answer(), 413, "too_large")


def test_api_never_speaks_cors(gateway):
    origin = {"Origin": "https://app.example.com"}
    answers = [
        gateway.api("GET", "/rooms", headers=origin),
        gateway.api("GET", "/nothing", headers=origin),
        gateway.api("OPTIONS", "/publish", headers=origin | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-key"}),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


# -- publish --------------------------------------------------------------------------------------

def test_publish_answers_with_the_position(gateway, tag):
    room = f"news:{tag}"
    first, second = gateway.publish(room, 1), gateway.publish(room, 2)
    assert first == {"room": room, "epoch": first["epoch"], "offset": 1}
    assert second == {"room": room, "epoch": first["epoch"], "offset": 2}


def test_publish_to_several_rooms_answers_for_each(gateway, tag):
    rooms = [f"open:{tag}:{n}" for n in range(3)]
    gateway.publish(rooms[1], "before")
    response = gateway.api("POST", "/publish", {"rooms": rooms, "data": "all"})
    assert response.status == 200
    results = response.json()["results"]
    assert [(result["room"], result["offset"]) for result in results] == [
        (rooms[0], 1), (rooms[1], 2), (rooms[2], 1)]


BAD_BODIES = {
    "no room": ({"data": 1}, "room"),
    "no data": ({"room": "open:x"}, "data"),
    "room is a number": ({"room": 1, "data": 1}, "room"),
    "room is empty": ({"room": "", "data": 1}, "room"),
    "room with a star": ({"room": "open:*", "data": 1}, "room"),
    "room with a line feed": ({"room": "open:\n", "data": 1}, "room"),
    "room is too long": ({"room": "open:" + "x" * 251, "data": 1}, "room"),
    "rooms is a text": ({"rooms": "open:x", "data": 1}, "rooms"),
    "room and rooms": ({"room": "open:x", "rooms": ["open:y"], "data": 1}, None),
    "event is a number": ({"room": "open:x", "data": 1, "event": 7}, "event"),
    "event is too long": ({"room": "open:x", "data": 1, "event": "x" * 65}, "event"),
    "ephemeral is a text": ({"room": "open:x", "data": 1, "ephemeral": "yes"}, "ephemeral"),
    "id is a number": ({"room": "open:x", "data": 1, "id": 7}, "id"),
    "body is an array": ([1], None),
    "body is a number": (7, None),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body_names_its_field(gateway, name):
    body, field = BAD_BODIES[name]
    assert_problem(gateway.api("POST", "/publish", body), 400, "bad_request", field)


@pytest.mark.parametrize("body", [b"", b"{", b'{"room":"open:x","data":1,}', b'{"room":"open:x","data":tru}',
                                  b'{"room":"open:x","data":"\xff"}', b'{"room":"open:x","data":1}{}',
                                  b'{"room":"open:x","data":[01]}'])
def test_invalid_json_is_400_and_names_the_place(gateway, body):
    problem = assert_problem(gateway.api("POST", "/publish", body), 400, "bad_request")
    if len(body) > 1:
        assert re.search(r"\d", problem["detail"]), problem


def test_room_that_no_rule_matches_is_404(gateway, tag):
    assert_problem(gateway.api("POST", "/publish", {"room": f"nowhere:{tag}", "data": 1}), 404,
                   "not_found")


def test_durable_room_takes_ephemeral_messages_too(gateway, tag):
    gateway.publish(f"durable:{tag}", 1, ephemeral=True)
    assert gateway.publish(f"durable:{tag}", 1)["offset"] == 1


# -- batch ----------------------------------------------------------------------------------------

def check_batch_with_one_bad_item(response, room):
    assert response.status == 200, response.body
    first, bad, last = response.json()["results"]
    assert (first["room"], first["offset"]) == (room, 1)
    assert bad["error"]["code"] == "bad_request"
    assert (last["room"], last["offset"]) == (room, 2)


def test_batch_as_array_fails_item_by_item(gateway, room):
    items = [{"room": room, "data": 1}, {"room": room, "event": "no data"}, {"room": room, "data": 2}]
    check_batch_with_one_bad_item(gateway.api("POST", "/publish/batch", items), room)


@pytest.mark.parametrize("bad", [b'{"event":"no data"}', b"{broken", b"[]"])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_batch_as_ndjson_fails_line_by_line(gateway, room, bad, end):
    def line(n):
        return json.dumps({"room": room, "data": n}).encode()
    response = gateway.api("POST", "/publish/batch", b"\n".join([line(1), bad, line(2)]) + end,
                           headers={"Content-Type": "application/x-ndjson"})
    check_batch_with_one_bad_item(response, room)


def test_batch_reports_each_kind_of_fault(gateway, tag):
    items = [{"room": f"nowhere:{tag}", "data": 1}, {"room": f"open:{tag}", "data": 1, "event": "bye"}, 7, {"room": f"open:{tag}", "data": 1}]
    results = gateway.api("POST", "/publish/batch", items).json()["results"]
    codes = [result.get("error", {}).get("code") for result in results]
    assert codes == ["not_found", "bad_request", "bad_request", None]
    assert set(codes[:-1]) <= ERROR_CODES


def test_batch_keeps_the_order_of_its_items(gateway, room):
    gateway.publish_many(room, range(500))
    history = gateway.api("GET", f"/rooms/{quoted(room)}/history?limit=500").json()["messages"]
    assert [message["data"] for message in history] == list(range(500))


def test_batch_of_too_many_items_is_refused_whole(gateway, room):
    response = gateway.api("POST", "/publish/batch", [{"room": room, "data": 1}] * 1001)
    assert_problem(response, (400, 413))
    assert gateway.newest(room) == 0


def test_empty_batch_has_no_results(gateway):
    response = gateway.api("POST", "/publish/batch", [])
    assert response.status in (200, 400)
    if response.status == 200:
        assert response.json()["results"] == []


def test_ndjson_stream_is_bounded_per_item_not_in_all(gateway, tag):
    room = f"news:{tag}"
    line = json.dumps({"room": room, "data": "x" * 50_000}).encode() + b"\n"
    too_long = json.dumps({"room": room, "data": "x" * 100_000}).encode() + b"\n"
    body = line * 150 + too_long + line * 150            # 15 MB; max_body is 1 MiB
    response = gateway.api("POST", "/publish/batch", body,
                           headers={"Content-Type": "application/x-ndjson"}, timeout=30)
    assert response.status == 200, response.body
    results = response.json()["results"]
    assert len(results) == 301
    assert results[150]["error"]["code"] == "too_large"
    assert [result["offset"] for result in results if "offset" in result] == list(range(1, 301))


# -- idempotency ----------------------------------------------------------------------------------

def test_repeat_returns_the_first_answer_and_does_nothing(gateway, room):
    body = {"room": room, "data": 1, "id": f"k-{room}"}
    first = gateway.api("POST", "/publish", body).json()
    again = gateway.api("POST", "/publish", body).json()
    by_header = gateway.api("POST", "/publish", {"room": room, "data": 1},
                            headers={"Idempotency-Key": f"k-{room}"})
    assert again == first | {"duplicate": True}
    assert not first.get("duplicate")
    assert gateway.newest(room) == 1
    # The header is the same key; whether a body without `id` is the same body is left open.
    assert by_header.status in (200, 409)


def test_key_by_header_works_alone_and_beside_an_equal_id(gateway, room):
    header = {"Idempotency-Key": f"k-{room}"}
    body = {"room": room, "data": 1}
    assert gateway.api("POST", "/publish", body, headers=header).json()["offset"] == 1
    again = gateway.api("POST", "/publish", body, headers=header)
    assert again.status == 200 and again.json()["duplicate"] is True
    both = gateway.api("POST", "/publish", body | {"id": "other-" + room},
                       headers={"Idempotency-Key": "other-" + room})
    assert both.status == 200
    assert gateway.newest(room) == 2


def test_header_and_id_that_differ_are_400(gateway, room):
    response = gateway.api("POST", "/publish", {"room": room, "data": 1, "id": "a"},
                           headers={"Idempotency-Key": "b"})
    assert_problem(response, 400, "bad_request")
    assert gateway.newest(room) == 0


def test_same_key_with_another_body_is_a_conflict(gateway, room):
    gateway.publish(room, 1, id=f"k-{room}")
    response = gateway.api("POST", "/publish", {"room": room, "data": 2, "id": f"k-{room}"})
    assert_problem(response, 409, "conflict")
    assert gateway.newest(room) == 1


def test_key_belongs_to_the_api_key(gateway, room):
    body = {"room": room, "data": 1, "id": f"k-{room}"}
    assert gateway.api("POST", "/publish", body).json()["offset"] == 1
    other = gateway.api("POST", "/publish", body, key=SCOPE_KEY["publish"]).json()
    assert other["offset"] == 2 and not other.get("duplicate")


def test_concurrent_repeats_have_one_effect(gateway, room):
    body = {"room": room, "data": "once", "id": f"k-{room}"}
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        calls = [pool.submit(gateway.api, "POST", "/publish", body) for _ in range(24)]
        answers = [call.result() for call in calls]
    assert {answer.status for answer in answers} == {200}
    results = [answer.json() for answer in answers]
    assert {result["offset"] for result in results} == {1}
    assert sum(result.get("duplicate", False) for result in results) == 23
    assert gateway.newest(room) == 1


def test_call_for_several_rooms_is_one_effect(gateway, tag):
    rooms = [f"open:{tag}:{n}" for n in range(3)]
    body = {"rooms": rooms, "data": 1, "id": f"k-{tag}"}
    first = gateway.api("POST", "/publish", body).json()
    again = gateway.api("POST", "/publish", body).json()
    assert again == first | {"duplicate": True}
    assert [gateway.newest(room) for room in rooms] == [1, 1, 1]


def test_each_item_of_a_batch_has_its_own_key(gateway, room):
    items = [{"room": room, "data": n, "id": f"k{n}-{room}"} for n in range(3)]
    gateway.api("POST", "/publish/batch", items[:2])
    results = gateway.api("POST", "/publish/batch", items).json()["results"]
    assert [result["offset"] for result in results] == [1, 2, 3]
    assert [result.get("duplicate", False) for result in results] == [True, True, False]


# -- rooms ----------------------------------------------------------------------------------------

@asynchronous
async def test_rooms_with_subscribers_are_listed_in_pages(gateway, tag):
    rooms = [f"open:{tag}:{n}" for n in range(7)]
    async with connect(gateway) as one, connect(gateway) as two:
        for room in rooms:
            await one.subscribe(room)
        await two.subscribe(rooms[3])
        gateway.publish(f"open:{tag}:silent", 1)
        found, cursor, pages = [], "", 0
        while True:
            response = gateway.api("GET", f"/rooms?prefix={quoted('open:' + tag)}&limit=3"
                                   + (f"&cursor={quoted(cursor)}" if cursor else ""))
            assert response.status == 200
            page = response.json()
            assert len(page["rooms"]) <= 3
            found += [(entry["room"], entry["subscribers"]) for entry in page["rooms"]]
            pages += 1
            cursor = page.get("cursor")
            if not cursor:
                break
        assert sorted(found) == [(room, 2 if room == rooms[3] else 1) for room in rooms]
        assert pages >= 3


@asynchronous
async def test_room_reports_subscribers_and_position(gateway, room):
    async with connect(gateway) as client:
        reply = await client.subscribe(room)
        gateway.publish_many(room, range(4))
        assert gateway.room_info(room) == {"room": room, "subscribers": 1, "epoch": reply["epoch"],
                                           "offset": 4}


@pytest.mark.parametrize("name", ["a/b", "ä €", "100%", "a?b#c&d=e", "..", "a//b/"])
def test_room_in_the_path_is_percent_encoded(gateway, tag, name):
    room = f"open:{tag}/{name}"
    gateway.publish(room, 1)
    info = gateway.room_info(room)
    assert (info["room"], info["offset"]) == (room, 1)
    history = gateway.api("GET", f"/rooms/{quoted(room)}/history").json()
    assert history["room"] == room and len(history["messages"]) == 1


@pytest.mark.parametrize("path", ["/rooms/open%ZZ", "/rooms/open%4", "/rooms/open%00x",
                                  "/rooms/open%FF", "/rooms/open:*"])
def test_room_name_that_is_none_is_400(gateway, path):
    assert_problem(gateway.api("GET", path), (400, 404))


def test_room_that_no_rule_matches_is_not_found(gateway, tag):
    for tail in ("", "/history", "/presence"):
        assert_problem(gateway.api("GET", f"/rooms/nowhere:{tag}{tail}"), 404, "not_found")


def test_history_over_http(gateway, room):
    epoch = gateway.publish_many(room, range(10))["epoch"]
    path = f"/rooms/{quoted(room)}/history"
    reply = gateway.api("GET", path).json()
    assert (reply["room"], reply["epoch"], reply["offset"]) == (room, epoch, 10)
    assert [message["offset"] for message in reply["messages"]] == list(range(1, 11))
    assert [message["data"] for message in reply["messages"]] == list(range(10))
    assert all(RFC3339_MS.fullmatch(message["time"]) for message in reply["messages"])
    assert reply["more"] is False

    def offsets(query):
        answer = gateway.api("GET", f"{path}?{query}").json()
        return [message["offset"] for message in answer["messages"]], answer["more"]
    assert offsets("limit=3")[0] == [8, 9, 10]
    assert offsets("limit=3&reverse=true") == ([10, 9, 8], True)
    assert offsets(f"since=4&epoch={epoch}&limit=3") == ([5, 6, 7], True)
    assert offsets(f"since=7&epoch={epoch}&limit=3") == ([8, 9, 10], False)
    assert offsets(f"since=10&epoch={epoch}") == ([], False)


@pytest.mark.parametrize("query", ["limit=many", "limit=-1", "since=-1&epoch=e", "since=x&epoch=e"])
def test_history_with_a_bad_query_is_400(gateway, room, query):
    assert_problem(gateway.api("GET", f"/rooms/{quoted(room)}/history?{query}"), 400, "bad_request")


@asynchronous
async def test_presence_over_http(gateway, tag):
    room, user = f"chat:{tag}", f"u-{tag}"
    async with connect(gateway, token=token(user, info={"name": "Ada"})) as client:
        await client.subscribe(room)
        reply = gateway.api("GET", f"/rooms/{quoted(room)}/presence").json()
        assert reply == {"room": room, "total": 1,
                         "members": [{"user": user, "sessions": 1, "info": {"name": "Ada"}}]}


# -- users ----------------------------------------------------------------------------------------

@asynchronous
async def test_user_shows_sessions_of_both_transports(gateway, tag):
    user = f"u/{tag} ä"
    stream = None
    async with connect(gateway, token=token(user)) as client:
        try:
            stream = await off_loop(Sse, gateway, [f"chat:{tag}"], token=token(user))
            session = (await off_loop(stream.ready))["session"]
            response = gateway.api("GET", f"/users/{quoted(user)}")
            assert response.status == 200
            answer = response.json()
            assert (answer["user"], answer["online"]) == (user, True)
            sessions = {entry["session"]: entry for entry in answer["sessions"]}
            assert set(sessions) == {client.welcome["session"], session}
            assert sessions[client.welcome["session"]]["transport"] == "websocket"
            assert sessions[session]["transport"] == "sse"
            for entry in sessions.values():
                assert entry["node"] == NODE
                assert RFC3339_MS.fullmatch(entry["connected_at"])
        finally:
            if stream:
                stream.close()


def test_user_without_sessions_is_offline(gateway, tag):
    response = gateway.api("GET", f"/users/nobody-{tag}")
    assert response.status == 200
    assert response.json() == {"user": f"nobody-{tag}", "online": False, "sessions": []}


@asynchronous
async def test_disconnect_closes_all_sessions_of_the_user_with_4403(gateway, tag):
    user = f"u-{tag}"
    async with connect(gateway, token=token(user)) as one, connect(gateway, token=token(user)) as two, \
            connect(gateway, token=token("other-" + tag)) as other:
        response = gateway.api("POST", f"/users/{quoted(user)}/disconnect")
        assert (response.status, response.json()) == (200, {"disconnected": 2})
        assert await one.closed() == 4403
        assert await two.closed() == 4403
        await other.pong()
    response = gateway.api("POST", f"/users/{quoted(user)}/disconnect")
    assert response.json() == {"disconnected": 0}


@asynchronous
async def test_user_is_subscribed_and_unsubscribed_by_the_api(gateway, tag):
    user, room = f"u-{tag}", f"open:{tag}"
    gateway.publish_many(room, range(2))
    async with connect(gateway, token=token(user)) as client:
        stream = await off_loop(Sse, gateway, [f"chat:{tag}"], token=token(user))
        try:
            await off_loop(stream.ready)
            path = f"/users/{quoted(user)}"
            assert gateway.api("POST", path + "/subscribe", {"room": room}).status in (200, 202, 204)
            told = await client.next("subscribed")
            assert (told["room"], told["offset"]) == (room, 2) and told["epoch"]
            told = (await off_loop(stream.named, "subscribed")).json()
            assert (told["room"], told["offset"]) == (room, 2)
            gateway.publish(room, "hello")
            assert (await client.message())["offset"] == 3
            assert (await off_loop(stream.messages, 1))[0].json()["offset"] == 3

            assert gateway.api("POST", path + "/unsubscribe", {"room": room}).status in (200, 202, 204)
            told = await client.next("unsubscribed")
            assert told["room"] == room and told["code"] and isinstance(told["message"], str)
            assert (await off_loop(stream.named, "unsubscribed")).json()["room"] == room
            assert gateway.subscribers(room) == 0
            gateway.publish(room, "unseen")
            await client.none_pending()
        finally:
            stream.close()


@pytest.mark.parametrize("body, statuses", [({}, (400,)), ({"room": ""}, (400,)), ({"room": 7}, (400,)),
                                            ({"room": "nowhere:x"}, (404,))])
def test_subscribe_of_a_user_checks_the_room(gateway, body, statuses):
    assert_problem(gateway.api("POST", "/users/u1/subscribe", body), statuses)


# -- shape of problems ----------------------------------------------------------------------------

def test_problem_members_have_their_types(gateway):
    problem = assert_problem(gateway.api("POST", "/publish", {"data": 1}), 400, "bad_request", "room")
    assert isinstance(problem["type"], str) and problem["type"]
    assert isinstance(problem["title"], str) and problem["title"]
    assert isinstance(problem["detail"], str) and problem["detail"]


def test_keys_do_not_leak_into_the_log(gateway):
    http_call(gateway.port, "GET", "/api/v1/rooms", headers={"X-API-Key": "sk_live_a_wrong_key_123"})
    for secret in (ALL_KEY, "sk_live_a_wrong_key_123", *SCOPE_KEY.values()):
        assert secret not in gateway.log()
