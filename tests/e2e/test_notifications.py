"""Notifications and inboxes over the backend API (protocol §4). What clients see: test_inbox.py."""

import concurrent.futures
import json
import re
import sqlite3
from datetime import datetime

import pytest

from client import asynchronous, connect
from harness import (ALL_KEY, SCOPE_KEY, SCOPES, assert_problem, quoted, token, wait_until)
from wire import RawHttp

RFC3339_MS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"


def post(gateway, body, **options):
    return gateway.api("POST", "/notifications", body, **options)


def notify(gateway, user, **fields):
    answer = post(gateway, {"user_id": user, "title": "hello"} | fields)
    assert answer.status == 202, (answer.status, answer.body)
    return answer.json()["id"]


def get(gateway, path, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = gateway.api("GET", path + (f"?{text}" if text else ""))
    assert answer.status == 200, (path, answer.status, answer.body)
    return answer.json()


def shown(gateway, notification):
    return get(gateway, f"/notifications/{notification}")


def status(gateway, notification):
    return get(gateway, f"/notifications/{notification}/status")["status"]


def events(gateway, notification):
    return get(gateway, f"/notifications/{notification}/timeline")["events"]


def inbox(gateway, user, **query):
    return get(gateway, f"/users/{quoted(user)}/inbox", **query)


def export(gateway, user, **query):
    return get(gateway, f"/users/{quoted(user)}/export", **query)


def mark_read(gateway, user, body):
    answer = gateway.api("POST", f"/users/{quoted(user)}/inbox/read", body)
    assert answer.status == 200, (answer.status, answer.body)
    return answer.json()


def pages(call, gateway, user, member, **query):
    """All items of all pages, and the number of items on each."""
    found, sizes, cursor = [], [], {}
    while True:
        page = call(gateway, user, **query, **cursor)
        found += page[member]
        sizes.append(len(page[member]))
        if "cursor" not in page:
            return found, sizes
        cursor = {"cursor": quoted(page["cursor"])}


def offsets(items):
    return [item["offset"] for item in items]


@pytest.fixture
def user(tag):
    return f"user-{tag}"


# -- accepting ------------------------------------------------------------------------------------

def test_a_notification_is_accepted(gateway, user):
    answer = post(gateway, {"user_id": user, "title": "t"})
    assert answer.status == 202
    assert set(answer.json()) == {"id", "status"}
    assert answer.json()["status"] == "pending"
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", answer.json()["id"])


@pytest.mark.parametrize("number", [7, -7, 123456789012345678901234567890])
def test_an_integer_is_the_same_user_as_its_text(gateway, tag, number):
    # The number alone may be another test's user, so only what this one adds counts.
    before = inbox(gateway, str(number))["offset"]
    notify(gateway, number)
    notify(gateway, str(number))
    assert inbox(gateway, str(number))["offset"] == before + 2


def test_several_users_get_one_each(gateway, tag):
    users = [f"user-{tag}-{n}" for n in range(3)]
    answer = post(gateway, {"user_ids": users, "title": "all"})
    assert answer.status == 202
    assert set(answer.json()) == {"id", "status", "accepted", "results"}
    results = answer.json()["results"]
    assert [result["user_id"] for result in results] == users
    assert all(set(result) == {"user_id", "id", "status"} for result in results)
    assert len({result["id"] for result in results}) == 3
    for result in results:
        messages = inbox(gateway, result["user_id"])["messages"]
        assert [message["id"] for message in messages] == [result["id"]]
        assert messages[0]["data"]["title"] == "all"


def test_a_hundred_users_in_one_call(gateway, tag):
    users = [f"user-{tag}-{n}" for n in range(100)]
    answer = post(gateway, {"user_ids": users, "title": "all"}, timeout=30)
    assert answer.status == 202
    assert len(answer.json()["results"]) == 100
    assert inbox(gateway, users[-1])["offset"] == 1


def test_data_comes_back_as_the_bytes_that_came(gateway, user):
    data = b'{ "a" : 1e400, "b":[ 123456789012345678901234567890 ], "c":"\\u00e9\\/" }'
    answer = post(gateway, b'{"user_id":"' + user.encode() + b'","title":"\\u0074","data":' + data + b"}")
    assert answer.status == 202
    raw = gateway.api("GET", f"/notifications/{answer.json()['id']}").body
    assert b'"title":"\\u0074","data":' + data + b',"priority":"normal"' in raw
    assert data in gateway.api("GET", f"/users/{quoted(user)}/inbox").body


BAD_BODIES = {
    "no user": ({"title": "t"}, "user_id"),
    "user is null": ({"user_id": None, "title": "t"}, "user_id"),
    "user is a fraction": ({"user_id": 1.5, "title": "t"}, "user_id"),
    "user is empty": ({"user_id": "", "title": "t"}, "user_id"),
    "user with a line feed": ({"user_id": "a\n", "title": "t"}, "user_id"),
    "user is too long": ({"user_id": "x" * 256, "title": "t"}, "user_id"),
    "users is a text": ({"user_ids": "u", "title": "t"}, "user_ids"),
    "users is empty": ({"user_ids": [], "title": "t"}, "user_ids"),
    "a user twice": ({"user_ids": ["7", 7], "title": "t"}, "user_ids"),
    "a user is a list": ({"user_ids": [["u"]], "title": "t"}, "user_ids"),
    "user and users": ({"user_id": "u", "user_ids": ["v"], "title": "t"}, "user_ids"),
    "nothing to say": ({"user_id": "u", "category": "c"}, "title"),
    "title is a number": ({"user_id": "u", "title": 1}, "title"),
    "body is a list": ({"user_id": "u", "body": []}, "body"),
    "channels is a text": ({"user_id": "u", "title": "t", "channels": "push"}, "channels"),
    "channels is empty": ({"user_id": "u", "title": "t", "channels": []}, "channels"),
    "unknown channel": ({"user_id": "u", "title": "t", "channels": ["fax"]}, "channels"),
    "a channel twice": ({"user_id": "u", "title": "t", "channels": ["sms", "sms"]}, "channels"),
    "unknown priority": ({"user_id": "u", "title": "t", "priority": "urgent"}, "priority"),
    "priority is a number": ({"user_id": "u", "title": "t", "priority": 1}, "priority"),
    "ttl below zero": ({"user_id": "u", "title": "t", "ttl": -1}, "ttl"),
    "ttl is a fraction": ({"user_id": "u", "title": "t", "ttl": 0.5}, "ttl"),
    "ttl is a text": ({"user_id": "u", "title": "t", "ttl": "60"}, "ttl"),
    "collapse key is empty": ({"user_id": "u", "title": "t", "collapse_key": ""}, "collapse_key"),
    "collapse key is too long": ({"user_id": "u", "title": "t", "collapse_key": "x" * 65},
                                 "collapse_key"),
    "category is too long": ({"user_id": "u", "title": "t", "category": "x" * 65}, "category"),
    "category with a tab": ({"user_id": "u", "title": "t", "category": "\t"}, "category"),
    "key is empty": ({"user_id": "u", "title": "t", "idempotency_key": ""}, "idempotency_key"),
    "key is a number": ({"user_id": "u", "title": "t", "idempotency_key": 1}, "idempotency_key"),
    "an array": ([{"user_id": "u", "title": "t"}], None),
    "a number": (7, None),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body_names_its_field(gateway, name):
    body, field = BAD_BODIES[name]
    assert_problem(post(gateway, body), 400, "bad_request", field)


@pytest.mark.parametrize("body", [b"", b"{", b'{"user_id":"u","data":tru}', b'{"user_id":"u","data":01}',
                                  b'{"user_id":"\xff","title":"t"}', b'{"user_id":"u","title":"t"}{}'])
def test_invalid_json_is_400_and_names_the_place(gateway, body):
    problem = assert_problem(post(gateway, body), 400, "bad_request")
    if body:
        assert re.search(r"byte \d+", problem["detail"]), problem


def test_a_member_twice_is_400(gateway):
    body = b'{"user_id":"u","title":"t","title":"t"}'
    assert_problem(post(gateway, body), 400, "bad_request", "title")


def test_unknown_members_are_skipped(gateway, user):
    notify(gateway, user, other={"title": 1}, send_at="2027-01-01T00:00:00Z")
    assert inbox(gateway, user)["offset"] == 1


def test_what_no_client_could_be_sent_is_413(gateway, user):
    assert_problem(post(gateway, {"user_id": user, "title": "x" * 70_000}), 413, "too_large")
    assert inbox(gateway, user)["offset"] == 0
    notify(gateway, user, title="x" * 60_000)        # clients.max_message is 64 KiB


# -- keys, scopes, methods, media types -----------------------------------------------------------

CALLS = [
    ("notify", "POST", "/notifications", {"user_id": "scopes", "title": "t"}, "POST"),
    ("notify", "GET", f"/notifications/{NO_ID}", None, "GET"),
    ("notify", "GET", f"/notifications/{NO_ID}/status", None, "GET"),
    ("notify", "GET", f"/notifications/{NO_ID}/timeline", None, "GET"),
    ("notify", "GET", "/users/scopes/inbox", None, "GET"),
    ("notify", "POST", "/users/scopes/inbox/read", {"all": True}, "POST"),
    ("admin", "GET", "/users/scopes/export", None, "GET"),
    ("admin", "DELETE", "/users/scopes", None, "GET, HEAD, DELETE"),
]


@pytest.mark.parametrize("scope, method, path, body, allowed", CALLS)
def test_call_needs_its_key_scope_and_method(gateway, scope, method, path, body, allowed):
    for other in SCOPES:
        response = gateway.api(method, path, body, key=SCOPE_KEY[other])
        if other == scope:
            assert response.status in (200, 202, 404), response.body
        else:
            assert_problem(response, 403, "forbidden")
    assert_problem(gateway.api(method, path, body, key=None), 401, "unauthorized")
    assert_problem(gateway.api(method, path, body, key=ALL_KEY + "0"), 401, "unauthorized")
    wrong = gateway.api("PUT", path)
    assert_problem(wrong, 405, "method_not_allowed")
    assert set(allowed.split(", ")) <= set(wrong.headers["Allow"].split(", "))


@pytest.mark.parametrize("path", ["/notifications", "/users/u/inbox/read"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-ndjson", "application/xml"])
def test_body_of_another_media_type_is_415(gateway, path, media_type):
    answer = gateway.api("POST", path, b"{}", headers={"Content-Type": media_type})
    assert_problem(answer, 415, "unsupported_media_type")


def test_body_above_the_limit_is_413(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("POST", "/api/v1/notifications", f"X-API-Key: {ALL_KEY}",
                             "Content-Type: application/json",
                             f"Content-Length: {2 * 1024 * 1024}"))
        raw.send_if_open(b'{"user_id":"u","title":"' + b"x" * 100_000)
        assert_problem(raw.answer(), 413, "too_large")


@pytest.mark.parametrize("tail", ["", "/status", "/timeline"])
@pytest.mark.parametrize("unknown", [NO_ID, "x", "a" * 200, "%C3%A4", NO_ID + "AA", "AAAA=="])
def test_an_id_that_nothing_has_is_404(gateway, unknown, tail):
    assert_problem(gateway.api("GET", f"/notifications/{unknown}{tail}"), 404, "not_found")


# -- idempotency ----------------------------------------------------------------------------------

def test_a_repeat_returns_the_first_answer_and_does_nothing(gateway, user):
    body = {"user_id": user, "title": "t", "idempotency_key": f"k-{user}"}
    first = post(gateway, body)
    again = post(gateway, body)
    header = {"Idempotency-Key": f"k-{user}"}
    plain = {"user_id": user, "title": "t"}
    assert (first.status, again.status) == (202, 202)
    assert "duplicate" not in first.json()
    assert again.json() == first.json() | {"duplicate": True}
    assert post(gateway, plain, headers=header).json() == again.json()
    assert post(gateway, body, headers=header).json() == again.json()
    assert inbox(gateway, user)["offset"] == 1


def test_a_repeat_for_several_users_is_marked_once(gateway, tag):
    body = {"user_ids": [f"a-{tag}", f"b-{tag}"], "title": "t", "idempotency_key": tag}
    first, again = post(gateway, body), post(gateway, body)
    assert again.status == 202
    assert again.json() == first.json() | {"duplicate": True}
    assert inbox(gateway, f"b-{tag}")["offset"] == 1


def test_header_and_member_that_differ_are_400(gateway, user):
    answer = post(gateway, {"user_id": user, "title": "t", "idempotency_key": "a"},
                  headers={"Idempotency-Key": "b"})
    assert_problem(answer, 400, "bad_request", "idempotency_key")
    assert inbox(gateway, user)["offset"] == 0


@pytest.mark.parametrize("other", [{"title": "x"}, {"data": 1}, {"priority": "high"}, {"ttl": 5},
                                   {"collapse_key": "c"}, {"category": "c"},
                                   {"channels": ["push"]}])
def test_same_key_for_something_else_is_a_conflict(gateway, user, other):
    body = {"user_id": user, "title": "t", "idempotency_key": f"k-{user}"}
    assert post(gateway, body).status == 202
    assert_problem(post(gateway, body | other), 409, "conflict", "idempotency_key")
    assert inbox(gateway, user)["offset"] == 1


def test_a_key_belongs_to_the_api_key_and_the_call(gateway, user, room):
    body = {"user_id": user, "title": "t", "idempotency_key": f"k-{user}"}
    gateway.publish(room, 1, id=f"k-{user}")
    first = post(gateway, body).json()
    other = post(gateway, body, key=SCOPE_KEY["notify"]).json()
    assert "duplicate" not in first and "duplicate" not in other
    assert first["id"] != other["id"]
    assert inbox(gateway, user)["offset"] == 2


def test_repeats_at_the_same_moment_have_one_effect(gateway, user):
    body = {"user_id": user, "title": "once", "idempotency_key": f"k-{user}"}
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        calls = [pool.submit(post, gateway, body) for _ in range(24)]
        answers = [call.result() for call in calls]
    assert {answer.status for answer in answers} == {202}
    results = [answer.json() for answer in answers]
    assert len({result["id"] for result in results}) == 1
    assert sum(result.get("duplicate", False) for result in results) == 23
    assert inbox(gateway, user)["offset"] == 1


def test_two_bodies_with_one_key_at_the_same_moment(gateway, user):
    bodies = [{"user_id": user, "title": str(n), "idempotency_key": f"k-{user}"} for n in range(2)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda body: post(gateway, body), bodies))
    assert sorted(answer.status for answer in answers) == [202, 409]
    assert inbox(gateway, user)["offset"] == 1


def test_keys_survive_the_process(start, user):
    gateway = start()
    body = {"user_id": user, "title": "t", "idempotency_key": "k"}
    first = post(gateway, body).json()
    gateway.kill()
    gateway.start()
    assert post(gateway, body).json() == first | {"duplicate": True}
    assert_problem(post(gateway, body | {"title": "x"}), 409, "conflict")
    assert inbox(gateway, user)["offset"] == 1


def test_a_key_is_free_again_after_its_window(start, user):
    gateway = start({"idempotency": {"window": "1s"}})
    body = {"user_id": user, "title": "t", "idempotency_key": "k"}
    first = post(gateway, body).json()
    other = wait_until(lambda: next((answer for answer in [post(gateway, body).json()]
                                     if "duplicate" not in answer), None),
                       what="the end of the key's window")
    assert other["id"] != first["id"]
    assert inbox(gateway, user)["offset"] == 2


# -- one notification -----------------------------------------------------------------------------

def test_a_notification_is_shown_whole(gateway, user):
    one = notify(gateway, user, body="b", data={"n": 1}, channels=["push", "realtime"], ttl=3600,
                 priority="high", category="orders", collapse_key="k")
    answer = shown(gateway, one)
    created = answer["created"]
    assert answer == {
        "id": one, "user_id": user, "status": "pending", "priority": "high", "category": "orders",
        "collapse_key": "k", "channels": ["realtime", "push"], "created": created,
        "updated": answer["updated"], "expires": answer["expires"],
        "data": {"title": "hello", "body": "b", "data": {"n": 1}, "category": "orders",
                 "priority": "high", "created": created},
        "attempts": 0,
        "outcomes": [{"channel": "realtime", "status": "pending", "attempts": 0},
                     {"channel": "push", "status": "failed", "attempts": 0,
                      "reason": "no provider is configured"}]}
    for name in ("created", "updated", "expires"):
        assert RFC3339_MS.fullmatch(answer[name]), answer
    assert get(gateway, f"/notifications/{one}/status") == {
        "id": one, "status": "pending", "updated": answer["updated"]}
    timeline = get(gateway, f"/notifications/{one}/timeline")
    assert timeline == {"id": one, "status": "pending", "events": [
        {"time": timeline["events"][0]["time"], "event": "accepted", "status": "pending"}]}


def test_what_was_not_given_is_not_shown(gateway, user):
    one = shown(gateway, notify(gateway, user))
    assert "category" not in one and "collapse_key" not in one
    assert set(one["data"]) == {"title", "priority", "created"}
    assert one["channels"] == ["realtime"] and one["priority"] == "normal"


@asynchronous
async def test_a_delivery_is_told_step_by_step(gateway, user):
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        one = notify(gateway, user)
        assert (await client.message("@me"))["id"] == one
        await client.ok("ack", room="@me", offset=1)
        session = client.welcome["session"]
    accepted, sent, acknowledged = events(gateway, one)
    assert accepted["event"] == "accepted"
    assert sent == {"time": sent["time"], "event": "sent", "channel": "realtime", "attempt": 1,
                    "sessions": [session]}
    assert acknowledged == {"time": acknowledged["time"], "event": "acknowledged",
                            "status": "delivered", "session": session}
    answer = shown(gateway, one)
    assert (answer["status"], answer["attempts"]) == ("delivered", 1)
    outcome = answer["outcomes"][0]
    assert (outcome["status"], outcome["attempts"]) == ("delivered", 1)
    assert RFC3339_MS.fullmatch(outcome["last_attempt"])
    assert answer["updated"] == acknowledged["time"]


@asynchronous
async def test_attempts_that_nobody_acknowledged_are_told(start, user):
    gateway = start({"inbox": {"ack_timeout": "200ms", "attempts": 2}})
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        one = notify(gateway, user)
        wait_until(lambda: events(gateway, one)[-1]["event"] == "waiting",
                   what="the end of the attempts")
        assert len(await client.messages(2, "@me")) == 2
    told = [(event["event"], event.get("attempt")) for event in events(gateway, one)]
    assert told == [("accepted", None), ("sent", 1), ("not_acknowledged", 1), ("sent", 2),
                    ("not_acknowledged", 2), ("waiting", None)]
    assert all(event.get("channel") == "realtime" for event in events(gateway, one)[1:])
    answer = shown(gateway, one)
    assert (answer["status"], answer["attempts"]) == ("pending", 2)
    assert offsets(inbox(gateway, user)["messages"]) == [1]


def test_a_collapse_key_replaces_the_older_one(gateway, user):
    first = notify(gateway, user, title="1", collapse_key="k")
    other = notify(gateway, user, title="other", collapse_key="l")
    second = notify(gateway, user, title="2", collapse_key="k")
    assert [status(gateway, one) for one in (first, other, second)] == \
        ["suppressed", "pending", "pending"]
    last = events(gateway, first)[-1]
    assert (last["event"], last["status"], last["by"]) == ("collapsed", "suppressed", second)
    page = inbox(gateway, user)
    assert offsets(page["messages"]) == [3, 2] and page["unread"] == 2
    # What was read is not touched, and neither is another user's.
    notify(gateway, user + "x", collapse_key="l")
    mark_read(gateway, user, {"all": True})
    notify(gateway, user, title="3", collapse_key="k")
    assert status(gateway, second) == "delivered" and status(gateway, other) == "delivered"


def test_what_has_expired_is_shown_to_backends_only(gateway, user):
    one = notify(gateway, user, ttl=1)
    kept = notify(gateway, user)
    last = wait_until(lambda: next((event for event in events(gateway, one)
                                    if event["event"] == "expired"), None),
                      what="the end of its time")
    assert last["status"] == "expired" and status(gateway, one) == "expired"
    page = inbox(gateway, user)
    assert [message["id"] for message in page["messages"]] == [kept]
    assert page["unread"] == 1 and page["offset"] == 2
    assert [entry["id"] for entry in export(gateway, user)["notifications"]] == [one, kept]


def test_none_is_kept_longer_than_inbox_ttl(start, user):
    gateway = start({"inbox": {"ttl": "1h"}})

    def lifetime(**fields):
        one = shown(gateway, notify(gateway, user, **fields))
        created, expires = (datetime.strptime(one[name], "%Y-%m-%dT%H:%M:%S.%fZ")
                            for name in ("created", "expires"))
        return (expires - created).total_seconds()
    assert lifetime() == 3600
    assert lifetime(ttl=60) == 60
    assert lifetime(ttl=86_400) == 3600
    assert lifetime(ttl=10 ** 30) == 3600


# -- the inbox ------------------------------------------------------------------------------------

def test_an_unknown_user_has_an_empty_inbox(gateway, tag):
    user = f"nobody/{tag} ä"
    assert inbox(gateway, user) == {"user": user, "offset": 0, "acked": 0, "unread": 0,
                                    "devices": [], "messages": []}
    assert export(gateway, user) == {"user": user, "offset": 0, "acked": 0, "devices": [],
                                     "push_devices": [], "notifications": []}
    assert mark_read(gateway, user, {"all": True}) == {"user": user, "acked": 0, "unread": 0}


def test_an_inbox_shows_its_messages_newest_first(gateway, user):
    ids = [notify(gateway, user, title=str(n)) for n in range(3)]
    mark_read(gateway, user, {"offset": 1})
    page = inbox(gateway, user)
    assert set(page) == {"user", "epoch", "offset", "acked", "unread", "devices", "messages"}
    assert (page["user"], page["offset"], page["acked"], page["unread"]) == (user, 3, 1, 2)
    assert [message["id"] for message in page["messages"]] == ids[::-1]
    assert offsets(page["messages"]) == [3, 2, 1]
    assert [message["read"] for message in page["messages"]] == [False, False, True]
    assert [message["status"] for message in page["messages"]] == ["pending", "pending", "delivered"]
    for message in page["messages"]:
        assert set(message) == {"offset", "id", "data", "status", "attempts", "read", "time",
                                "expires"}
        assert message["time"] == message["data"]["created"]
        assert RFC3339_MS.fullmatch(message["time"]) and RFC3339_MS.fullmatch(message["expires"])
    assert offsets(inbox(gateway, user, unread="true")["messages"]) == [3, 2]
    assert offsets(inbox(gateway, user, unread=1)["messages"]) == [3, 2]
    assert offsets(inbox(gateway, user, unread="false")["messages"]) == [3, 2, 1]


def test_an_inbox_is_read_in_pages(gateway, user):
    for n in range(7):
        notify(gateway, user, title=str(n))
    messages, sizes = pages(inbox, gateway, user, "messages", limit=3)
    assert offsets(messages) == [7, 6, 5, 4, 3, 2, 1] and sizes == [3, 3, 1]
    assert "cursor" not in inbox(gateway, user, limit=7)
    mark_read(gateway, user, {"offset": 2})
    messages, sizes = pages(inbox, gateway, user, "messages", limit=2, unread=1)
    assert offsets(messages) == [7, 6, 5, 4, 3]


def test_new_ones_do_not_disturb_the_pages(gateway, user):
    for n in range(4):
        notify(gateway, user, title=str(n))
    first = inbox(gateway, user, limit=2)
    notify(gateway, user)
    second = inbox(gateway, user, limit=2, cursor=quoted(first["cursor"]))
    assert offsets(first["messages"] + second["messages"]) == [4, 3, 2, 1]


def test_a_page_is_bounded_in_bytes_too(gateway, user):
    for _ in range(20):
        notify(gateway, user, title="x" * 60_000)
    messages, sizes = pages(inbox, gateway, user, "messages", limit=1000)
    assert offsets(messages) == list(range(20, 0, -1))
    assert len(sizes) > 1


@pytest.mark.parametrize("query, field", [
    ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=many", "limit"), ("cursor=", "cursor"),
    ("cursor=*", "cursor"), ("cursor=MA", "cursor"), ("unread=yes", "unread")])
def test_a_bad_query_is_400(gateway, user, query, field):
    answer = gateway.api("GET", f"/users/{user}/inbox?{query}")
    assert_problem(answer, 400, "bad_request", field)
    if field != "unread":
        answer = gateway.api("GET", f"/users/{user}/export?{query}")
        assert_problem(answer, 400, "bad_request", field)


@pytest.mark.parametrize("path", ["/users/a%0Ab/inbox", "/users/%FF/inbox", "/users/a%ZZ/inbox",
                                  f"/users/{'x' * 256}/inbox", "/users/a%0Ab/export"])
def test_a_user_that_can_be_none_is_400(gateway, path):
    assert_problem(gateway.api("GET", path), 400, "bad_request")


def test_marking_as_read(gateway, user):
    ids = [notify(gateway, user, title=str(n)) for n in range(4)]

    def answer(acked, unread):
        return {"user": user, "acked": acked, "unread": unread}
    assert mark_read(gateway, user, {"offset": 2}) == answer(2, 2)
    assert mark_read(gateway, user, {"offset": 1}) == answer(2, 2)
    assert mark_read(gateway, user, {"offset": 3}) == answer(3, 1)
    assert [status(gateway, one) for one in ids] == ["delivered"] * 3 + ["pending"]
    last = events(gateway, ids[0])[-1]
    assert (last["event"], last["status"], last["session"]) == ("acknowledged", "delivered", "api")
    assert mark_read(gateway, user, {"offset": 2 ** 64}) == answer(4, 0)
    notify(gateway, user)
    assert mark_read(gateway, user, {"all": True}) == answer(5, 0)
    assert inbox(gateway, user)["acked"] == 5


@pytest.mark.parametrize("body, field", [
    ({}, "offset"), ({"offset": -1}, "offset"), ({"offset": "1"}, "offset"), ({"offset": 1.5}, "offset"),
    ({"all": False}, "all"), ({"all": 1}, "all"), ({"all": True, "offset": 1}, "all"), ([], None)])
def test_marking_as_read_with_a_bad_body_is_400(gateway, user, body, field):
    answer = gateway.api("POST", f"/users/{user}/inbox/read", body)
    assert_problem(answer, 400, "bad_request", field)


@asynchronous
async def test_clients_are_told_what_the_api_marked_as_read(gateway, user):
    async with connect(gateway, token=token(user)) as client:
        await client.subscribe("@me")
        notify(gateway, user)
        await client.message("@me")
        assert mark_read(gateway, user, {"all": True})["acked"] == 1
        assert await client.next("acked") == {"op": "acked", "room": "@me", "offset": 1}


@asynchronous
async def test_an_inbox_shows_how_far_devices_have_read(gateway, user):
    for n in range(3):
        notify(gateway, user, title=str(n))
    for device, offset in (("phone", 1), (None, 2)):
        async with connect(gateway, token=token(user)) as client:
            await client.subscribe("@me", **({"device": device} if device else {}))
            await client.message("@me")
            await client.messages(1 if device is None else 2, "@me")
            await client.ok("ack", room="@me", offset=offset)
    devices = {entry["device"]: entry for entry in inbox(gateway, user)["devices"]}
    assert {name: entry["offset"] for name, entry in devices.items()} == {"phone": 1, None: 2}
    assert all(set(entry) == {"device", "offset", "seen"} for entry in devices.values())
    assert all(RFC3339_MS.fullmatch(entry["seen"]) for entry in devices.values())
    assert export(gateway, user)["devices"] == inbox(gateway, user)["devices"]


# -- all that is kept of a user -------------------------------------------------------------------

def test_export_has_everything_oldest_first(gateway, user):
    ids = [notify(gateway, user, title=str(n), collapse_key="k" if n < 2 else f"k{n}")
           for n in range(5)]
    ids.append(notify(gateway, user, channels=["push"]))
    mark_read(gateway, user, {"offset": 3})
    found, sizes = pages(export, gateway, user, "notifications", limit=4)
    assert [entry["id"] for entry in found] == ids and sizes == [4, 2]
    assert found[0]["status"] == "suppressed"
    for offset, entry in enumerate(found, 1):
        timeline = entry.pop("timeline")
        assert timeline == events(gateway, entry["id"])
        assert entry.pop("offset") == offset
        assert entry == shown(gateway, entry["id"])
    page = export(gateway, user)
    assert set(page) == {"user", "epoch", "offset", "acked", "devices", "push_devices",
                         "notifications"}
    assert (page["user"], page["offset"], page["acked"]) == (user, 6, 3)


def test_erasing_a_user_leaves_nothing(start, user):
    gateway = start()
    secret, kept = f"secret-{user}", f"kept-{user}"
    ids = [notify(gateway, user, title=secret, idempotency_key=f"k{n}") for n in range(3)]
    other = notify(gateway, user + "x", title=kept)
    mark_read(gateway, user, {"offset": 1})
    answer = gateway.api("DELETE", f"/users/{quoted(user)}")
    assert answer.status == 200
    assert answer.json() == {"user": user, "erased": {"notifications": 3, "devices": 1,
                                                         "push_devices": 0}}
    for one in ids:
        assert_problem(gateway.api("GET", f"/notifications/{one}"), 404, "not_found")
    page = inbox(gateway, user)
    assert (page["offset"], page["unread"], page["messages"], page["devices"]) == (0, 0, [], [])
    assert export(gateway, user)["notifications"] == []
    assert status(gateway, other) == "pending"
    again = gateway.api("DELETE", f"/users/{quoted(user)}")
    assert again.json()["erased"] == {"notifications": 0, "devices": 0, "push_devices": 0}
    # It begins anew.
    notify(gateway, user)
    assert offsets(inbox(gateway, user)["messages"]) == [1]
    gateway.stop()
    with sqlite3.connect(gateway.directory / "fanfare.db") as database:
        rows = "\n".join(database.iterdump())

    def is_kept(text):      # as a text, or as the bytes of one
        return text in rows or text.encode().hex() in rows.lower()
    assert is_kept(kept) and not is_kept(secret)


# -- restarts and logs ----------------------------------------------------------------------------

def test_notifications_survive_the_process(start, user):
    gateway = start()
    ids = [notify(gateway, user, title=str(n)) for n in range(5)]
    mark_read(gateway, user, {"offset": 2})
    before = [shown(gateway, one) for one in ids], inbox(gateway, user), export(gateway, user)
    gateway.kill()
    gateway.start()
    assert ([shown(gateway, one) for one in ids], inbox(gateway, user),
            export(gateway, user)) == before


def test_texts_do_not_leak_into_the_log(gateway, user):
    secret = f"secret-{user}"
    notify(gateway, user, title=secret, data={"x": secret}, idempotency_key=secret + "-key")
    post(gateway, {"user_id": user, "title": secret, "priority": "urgent"})
    assert secret not in gateway.log()
    assert json.dumps(secret) not in gateway.log()
