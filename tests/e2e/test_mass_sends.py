"""One call for many users: user_ids, topics and broadcasts, from the API to whoever is reached."""

import json
import os
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from client import asynchronous, connect, off_loop  # noqa: E402
from harness import PATIENCE, assert_problem, quoted, run_command, token, wait_until  # noqa: E402
from push_sim import PROGRAM  # noqa: E402
from test_metrics import scrape  # noqa: E402
from test_push import push_config  # noqa: E402
from test_push import simulator  # noqa: E402, F401  # pylint: disable=unused-import

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")


@pytest.fixture
def pushing(simulator, tmp_path, start):
    """A gateway of its own, whose devices are those of the test, that pushes to the simulator."""
    return start(push_config(simulator, tmp_path))


def post(gateway, body, **options):
    return gateway.api("POST", "/notifications", {"title": "hello"} | body, timeout=30, **options)


def send(gateway, **body):
    answer = post(gateway, body)
    assert answer.status == 202, (answer.status, answer.body)
    return answer.json()


def shown(gateway, identifier, part=""):
    answer = gateway.api("GET", f"/notifications/{identifier}{part}")
    assert answer.status == 200, answer.body
    return answer.json()


def follow(gateway, identifier, until, what, bound=60):
    """Polls as a caller does; what it sees must be possible."""
    seen = []

    def look():
        now = shown(gateway, identifier, "/status")
        if seen:
            assert now["accepted"] >= seen[-1]["accepted"] and now["sent"] >= seen[-1]["sent"]
        if not shown(gateway, identifier)["expanded"]:
            assert now["remaining"] >= 1 or shown(gateway, identifier)["expanded"]
        seen.append(now)
        return until(now) and now
    return wait_until(look, bound * PATIENCE, what)


def settled(gateway, identifier):
    return follow(gateway, identifier, lambda now: now["remaining"] == 0, "nothing to remain")


def expanded(gateway, identifier, bound=60):
    return wait_until(lambda: shown(gateway, identifier)["expanded"] and shown(gateway, identifier),
                      bound * PATIENCE, "the end of the walk")


def register(gateway, users, devices=("phone",), topics=None):
    """All of them, over several connections; returns their tokens by user and device."""
    tokens = {}

    def one(item):
        user, device = item
        tokens[item] = uuid.uuid4().hex * 2
        body = {"user_id": user, "device_id": device, "platform": "ios", "device_token": tokens[item]}
        if topics and device in topics:
            body["topics"] = topics[device]
        answer = gateway.api("POST", "/sessions", body, timeout=30)
        assert answer.status == 201, answer.body
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, [(user, device) for user in users for device in devices]))
    return tokens


def logged(gateway, event):
    lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def titles(gateway, user):
    answer = gateway.api("GET", f"/users/{quoted(user)}/inbox", timeout=30)
    assert answer.status == 200, answer.body
    return [message["data"]["title"] for message in answer.json()["messages"]]


def pushed(simulator, title):
    """How often each token got it."""
    counts = {}
    for request in simulator.requests(service="apns", limit=1_000_000):
        if request["delivered"] and f'"{title}"' in request["body"]:
            counts[request["token"]] = counts.get(request["token"], 0) + 1
    return counts


# -- answers --------------------------------------------------------------------------------------

def test_a_few_users_are_answered_with_their_ids(gateway, tag):
    users = [f"user-{tag}-{n}" for n in range(3)]
    answer = send(gateway, user_ids=users)
    assert set(answer) == {"id", "status", "accepted", "results"}
    assert answer["status"] == "pending" and answer["accepted"] == 3
    assert [result["user_id"] for result in answer["results"]] == users
    record = shown(gateway, answer["id"])
    assert set(record) == {"id", "status", "target", "priority", "channels", "created", "updated", "expires",
                           "data", "expanded", "accepted", "sent", "failed", "remaining", "delivered",
                           "suppressed", "expired"}
    assert record["target"] == {"user_ids": 3} and record["expanded"] is True
    assert (record["status"], record["remaining"]) == ("processing", 3)
    assert record["data"]["title"] == "hello"
    one = shown(gateway, answer["results"][0]["id"])
    assert one["send"] == answer["id"] and one["data"] == record["data"]
    assert gateway.api("POST", f"/users/{quoted(users[0])}/inbox/read", {"all": True}).status == 200
    short = shown(gateway, answer["id"], "/status")
    assert set(short) == {"id", "status", "updated", "accepted", "sent", "failed", "remaining"}
    assert (short["sent"], short["remaining"]) == (1, 2)
    assert [e["event"] for e in shown(gateway, answer["id"], "/timeline")["events"]] == \
        ["accepted", "expanding", "expanded"]
    # Who is erased is not counted any more.
    assert gateway.api("DELETE", f"/users/{quoted(users[0])}").status == 200
    assert gateway.api("DELETE", f"/users/{quoted(users[1])}").status == 200
    record = shown(gateway, answer["id"])
    assert (record["accepted"], record["sent"], record["remaining"]) == (1, 0, 1)


@pytest.mark.parametrize("body, field", [
    ({"user_id": "a", "topic": "t"}, "topic"), ({"topic": "t", "broadcast": True}, "broadcast"),
    ({"user_ids": ["a"], "broadcast": True}, "broadcast"), ({"user_id": "a", "user_ids": ["b"]}, "user_ids"),
    ({"broadcast": False}, "broadcast"), ({"topic": ""}, "topic"), ({}, "user_id"),
    ({"topic": "t", "ttl": 0}, "ttl"), ({"broadcast": True, "ttl": 0}, "ttl")])
def test_a_target_that_is_none(gateway, body, field):
    assert assert_problem(post(gateway, body), 400, "bad_request")["field"] == field


def test_more_users_than_a_call_may_have(gateway, tag):
    answer = post(gateway, {"user_ids": [f"{tag}-{n}" for n in range(10_001)]})
    assert assert_problem(answer, 413, "too_large")["field"] == "user_ids"


def test_a_repeat_is_the_same_send(gateway, tag):
    users = [f"user-{tag}-{n}" for n in range(1_500)]
    first = send(gateway, user_ids=users, idempotency_key=f"k-{tag}")
    assert set(first) == {"id", "status", "accepted"} and first["accepted"] == 1_500
    again = send(gateway, user_ids=users, idempotency_key=f"k-{tag}")
    assert again == first | {"duplicate": True}
    answer = post(gateway, {"user_ids": users[:-1], "idempotency_key": f"k-{tag}"})
    assert assert_problem(answer, 409, "conflict")["field"] == "idempotency_key"
    expanded(gateway, first["id"])
    assert titles(gateway, users[0]) == titles(gateway, users[-1]) == ["hello"]


# -- whom it reaches ------------------------------------------------------------------------------

def test_ten_thousand_users(start, tag):
    """Without a push service they have it in realtime, and in their inbox."""
    gateway = start()
    users = [f"user-{tag}-{n:05}" for n in range(10_000)]
    began = time.monotonic()
    answer = send(gateway, user_ids=users)
    assert "results" not in answer and answer["accepted"] == 10_000
    took = time.monotonic() - began
    record = expanded(gateway, answer["id"])
    assert took < (time.monotonic() - began) / 2 or took < 1, "the call waited for its users"
    assert (record["accepted"], record["remaining"], record["status"]) == (10_000, 10_000, "processing")
    for user in users[::997] + users[-1:]:
        assert titles(gateway, user) == ["hello"]
    metrics = scrape(gateway)
    assert metrics["fanfare_send_users_total"] == 10_000 and metrics["fanfare_sends_open"] == 0
    assert metrics["fanfare_notifications_accepted_total"] == 10_000
    [accepted] = logged(gateway, "send_accepted")
    assert (accepted["send"], accepted["target"], accepted["users"]) == (answer["id"], "user_ids", 10_000)
    [done] = logged(gateway, "send_expanded")
    assert (done["send"], done["users"], done["expired"]) == (answer["id"], 10_000, False)


def test_a_topic(pushing, simulator, tag):
    users = [f"user-{tag}-{n:03}" for n in range(250)]
    tokens = register(pushing, users, ("phone", "tablet", "watch"),
                      {"phone": ["news"], "watch": ["news", "sport"], "tablet": ["sport"]})
    others = register(pushing, [f"other-{tag}"], ("phone",), {"phone": ["sport"]})
    answer = send(pushing, topic="news", title=f"topic-{tag}", priority="low")
    assert set(answer) == {"id", "status"}
    now = settled(pushing, answer["id"])
    assert now == now | {"status": "sent", "accepted": 250, "sent": 250, "failed": 0}
    assert shown(pushing, answer["id"])["target"] == {"topic": "news"}
    for user in users[::50]:
        assert titles(pushing, user) == [f"topic-{tag}"]
    assert titles(pushing, f"other-{tag}") == []
    # Every device that has the topic, and no other.
    wanted = {value for (_, device), value in tokens.items() if device != "tablet"}
    wait_until(lambda: set(pushed(simulator, f"topic-{tag}")) == wanted, 20 * PATIENCE, "all devices")
    assert others


def test_a_broadcast(pushing, simulator, tag):
    users = [f"user-{tag}-{n:03}" for n in range(300)]
    tokens = register(pushing, users, ("phone", "tablet"))
    dead, refused = tokens[users[0], "phone"], [tokens[users[1], d] for d in ("phone", "tablet")]
    simulator.script("apns", tokens={dead: [{"reason": "Unregistered"}]} |
                     {one: [{"reason": "PayloadTooLarge", "status": 413}] for one in refused})
    answer = send(pushing, broadcast=True, title=f"all-{tag}")
    now = settled(pushing, answer["id"])
    assert now == now | {"status": "sent", "accepted": 300, "sent": 299, "failed": 1}
    for user in users[::60]:
        assert titles(pushing, user) == [f"all-{tag}"]
    wait_until(lambda: set(pushed(simulator, f"all-{tag}")) == set(tokens.values()) - {dead, *refused},
               20 * PATIENCE, "all devices")


def test_nobody(pushing):
    answer = send(pushing, topic="nobody has it")
    now = settled(pushing, answer["id"])
    assert now == now | {"status": "sent", "accepted": 0, "sent": 0, "failed": 0}


@asynchronous
async def test_who_is_there_has_it_at_once_and_is_not_pushed_to(pushing, simulator, tag):
    users = [f"user-{tag}-{n:03}" for n in range(150)]
    tokens = await off_loop(register, pushing, users)
    async with connect(pushing, token=token(users[77])) as client:
        await client.subscribe("@me")
        answer = await off_loop(lambda: send(pushing, broadcast=True, title=f"live-{tag}"))
        message = await client.message()
        assert message["data"]["title"] == f"live-{tag}"
        await client.ok("ack", room="@me", offset=message["offset"])
        now = await off_loop(settled, pushing, answer["id"])
        assert now == now | {"accepted": 150, "sent": 150}
        assert (await off_loop(shown, pushing, answer["id"]))["delivered"] == 1
        # One that is not acknowledged is pushed after its last attempt: by then the first would be.
        second = await off_loop(lambda: send(pushing, broadcast=True, title=f"again-{tag}"))
        assert (await client.message())["data"]["title"] == f"again-{tag}"
        await off_loop(settled, pushing, second["id"])
    assert tokens[users[77], "phone"] in await off_loop(pushed, simulator, f"again-{tag}")
    assert tokens[users[77], "phone"] not in await off_loop(pushed, simulator, f"live-{tag}")


# -- what may go wrong ----------------------------------------------------------------------------

def test_a_send_whose_time_is_over(start, tag):
    gateway = start()
    answer = send(gateway, user_ids=[f"user-{tag}-{n:05}" for n in range(10_000)], ttl=1)
    now = follow(gateway, answer["id"], lambda n: n["remaining"] == 0, "the end of its time")
    assert now == now | {"status": "expired", "accepted": 10_000, "sent": 0, "failed": 0}
    assert shown(gateway, answer["id"])["expired"] == 10_000


def test_kill_in_the_middle_of_a_broadcast(simulator, tmp_path, start, tag):
    """Each user has it once, and was pushed to at least once."""
    gateway = start(push_config(simulator, tmp_path))
    users = [f"user-{tag}-{n:04}" for n in range(4_000)]
    tokens = register(gateway, users)
    answer = send(gateway, broadcast=True, title=f"crash-{tag}")
    kills = 0
    for part in (400, 1_600, 2_900):
        wait_until(lambda: shown(gateway, answer["id"], "/status")["accepted"] >= part,  # noqa: B023
                   60 * PATIENCE, "a part of the walk")
        kills += not shown(gateway, answer["id"])["expanded"]
        gateway.kill()
        gateway.start()
    assert kills >= 2, "the walk was over before it was interrupted"
    now = settled(gateway, answer["id"])
    assert now == now | {"status": "sent", "accepted": 4_000, "sent": 4_000, "failed": 0}
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(users, pool.map(lambda user: titles(gateway, user), users)))
    assert {user: got for user, got in found.items() if got != [f"crash-{tag}"]} == {}
    got = pushed(simulator, f"crash-{tag}")
    assert set(got) == set(tokens.values())
    gateway.kill()
    check = run_command("store", "check", "--config", gateway.config_path, directory=gateway.directory)
    assert check.returncode == 0, check.output


def test_memory_does_not_grow_with_the_audience(start, tag):
    gateway = start()

    def resident():
        status = Path(f"/proc/{gateway.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])

    def walk(sends, name):
        for number in range(sends):
            answer = send(gateway, user_ids=[f"{name}-{tag}-{number}-{n}" for n in range(10_000)],
                          data={"filler": "x" * 4_000})
            expanded(gateway, answer["id"])

    walk(1, "warm")
    before = resident()
    walk(4, "more")
    grown = resident() - before
    # 40,000 copies of the text would be 160 MB, their rows alone as much again.
    assert grown < 32 * 1024, f"{grown} kB more for 40,000 users"
    assert scrape(gateway)["fanfare_send_users_total"] == 50_000
