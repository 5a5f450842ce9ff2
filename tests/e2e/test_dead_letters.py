"""Dead letters: what push gave up is listed, mended, sent again and thrown away, by API and command."""

import datetime
import json
import os
import threading
import time
import uuid

import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from harness import ALL_KEY, PATIENCE, SCOPE_KEY, quoted, run_command, wait_until  # noqa: E402
from push_sim import PROGRAM  # noqa: E402
from test_push import (delivered, notify, push_config, register, shown, simulator,  # noqa: E402, F401
                       wait_status)

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")

TOO_LARGE = {"reason": "PayloadTooLarge", "status": 413}


@pytest.fixture(scope="module")
def pushing(simulator, tmp_path_factory, start_for_module):  # noqa: F811
    return start_for_module(push_config(simulator, tmp_path_factory.mktemp("keys")))


@pytest.fixture
def user(tag):
    return f"user-{tag}"


def letters(gateway, **query):
    text = "&".join(f"{name}={quoted(str(value))}" for name, value in query.items())
    answer = gateway.api("GET", f"/dead-letters?{text}")
    assert answer.status == 200, answer.body
    return answer.json()


def letters_of(gateway, user, count=1):
    return wait_until(lambda: len(letters(gateway, user_id=user)["dead_letters"]) == count and
                      letters(gateway, user_id=user)["dead_letters"], 20 * PATIENCE, f"{count} letters")


def lose(gateway, simulator, user, count=1, step=TOO_LARGE, **fields):  # noqa: F811
    """So many notifications that the user's phone never gets; the phone's token, their ids and letters."""
    phone = register(gateway, user)
    simulator.script("apns", tokens={phone: [step | {"times": count}]})
    ids = [notify(gateway, user, **fields) for _ in range(count)]
    return phone, ids, letters_of(gateway, user, count)


def act(gateway, what, body, status=200):
    answer = gateway.api("POST", f"/dead-letters/{what}", body)
    assert answer.status == status, answer.body
    return answer.json()


def rfc3339_now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def figure(gateway):
    lines = gateway.http("GET", "/metrics").body.decode().splitlines()
    [line] = [one for one in lines if one.startswith("fanfare_dead_letters ")]
    return float(line.split()[1])


def test_what_a_service_refuses_is_a_letter_with_its_reason(pushing, simulator, user):  # noqa: F811
    phone, [one], [letter] = lose(pushing, simulator, user, title="hello", data={"n": 1},
                                  category="orders", priority="high")
    assert letter["notification_id"] == one
    assert (letter["user_id"], letter["device_id"], letter["platform"]) == (user, "phone", "ios")
    assert (letter["provider"], letter["status"], letter["reason"]) == ("apns", 413, "PayloadTooLarge")
    assert (letter["attempts"], letter["priority"], letter["category"]) == (1, "high", "orders")
    assert letter["notification_status"] == "failed" and letter["edited"] is False
    assert "content" not in letter
    full = pushing.api("GET", f"/dead-letters/{letter['id']}").json()
    assert full["content"]["title"] == "hello" and full["content"]["data"] == {"n": 1}
    assert {name: full[name] for name in letter} == letter
    assert phone not in json.dumps(full)
    assert figure(pushing) >= 1


def test_attempts_that_are_spent_end_in_a_letter(pushing, simulator, user):  # noqa: F811
    phone = register(pushing, user)
    step = {"status": 503, "reason": "ServiceUnavailable", "times": 3}
    simulator.script("apns", tokens={phone: [step]})
    one = notify(pushing, user)
    [letter] = letters_of(pushing, user)
    assert (letter["attempts"], letter["status"], letter["reason"]) == (3, 503, "ServiceUnavailable")
    events = shown(pushing, one, "/timeline")["events"]
    tries = [(e["event"], e["attempt"], e["push"]["status"], e["push"]["reason"])
             for e in events if "push" in e]
    assert tries == [("push_retry", 1, 503, "ServiceUnavailable"),
                     ("push_retry", 2, 503, "ServiceUnavailable"),
                     ("push_failed", 3, 503, "ServiceUnavailable")]
    # The service is well again: one goes as it was.
    answer = act(pushing, f"{letter['id']}/redrive", None)
    assert answer == {"id": letter["id"], "redriven": True}
    wait_status(pushing, one, "sent")
    assert len(delivered(simulator, phone)) == 1
    assert letters(pushing, user_id=user)["dead_letters"] == []


def test_an_edited_one_arrives_with_its_new_content(pushing, simulator, user):  # noqa: F811
    phone, [one], [letter] = lose(pushing, simulator, user, title="far too long", body="there",
                                  data={"n": 1})
    target = f"/dead-letters/{letter['id']}"
    answer = pushing.api("PATCH", target, {"title": "short", "body": None})
    assert answer.status == 200, answer.body
    assert answer.json()["edited"] and answer.json()["content"]["title"] == "short"
    assert "body" not in answer.json()["content"]
    answer = pushing.api("PATCH", target, {"title": None, "data": None})
    assert answer.status == 400 and answer.json()["field"] == "title"
    act(pushing, f"{letter['id']}/redrive", None)
    record = wait_status(pushing, one, "sent")
    [apple] = delivered(simulator, phone)
    body = json.loads(apple["body"])
    assert body["aps"]["alert"] == {"title": "short"} and body["data"] == {"n": 1}
    assert len({one["id"] for one in simulator.requests(token=phone)}) == 1     # it is the same push
    # The inbox has what it had.
    assert record["data"]["title"] == "far too long" and record["data"]["body"] == "there"
    events = [e for e in shown(pushing, one, "/timeline")["events"] if "push" in e]
    assert [e["event"] for e in events] == ["push_failed", "redriven", "push_sent"]
    assert events[1]["status"] == "processing"
    assert events[1]["push"]["letter"] == letter["id"] and events[1]["push"]["edited"]
    assert pushing.api("GET", target).status == 404
    assert pushing.api("POST", target + "/redrive").status == 404


def test_lists_filters_and_pages(pushing, simulator, tag):  # noqa: F811
    ada, bo = f"ada-{tag}", f"bo-{tag}"
    _, [first, *_], mine = lose(pushing, simulator, ada, 5)
    lose(pushing, simulator, bo, 1, {"reason": "BadTopic", "status": 400})
    ids = [one["id"] for one in mine]
    assert ids == sorted(ids, reverse=True)     # newest first
    seen, cursor = [], {}
    while True:
        page = letters(pushing, user_id=ada, limit=2, order="oldest", **cursor)
        seen += [one["id"] for one in page["dead_letters"]]
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    assert seen == ids[::-1]

    def found(**query):
        return [(one["user_id"], one["id"]) for one in letters(pushing, **query)["dead_letters"]]
    assert found(notification_id=first) == [(ada, min(ids))]
    [(_, other)] = found(user_id=bo)
    assert (bo, other) in found(reason="BadTopic", provider="apns", device_id="phone")
    assert found(user_id=bo, reason="PayloadTooLarge") == []
    assert found(user_id=bo, provider="fcm") == []
    time = letters(pushing, user_id=bo)["dead_letters"][0]["time"]
    assert found(user_id=bo, since=time) == [(bo, other)]
    assert found(user_id=bo, until=time) == []
    answer = pushing.api("GET", "/dead-letters?since=yesterday")
    assert answer.status == 400 and answer.json()["field"] == "since"


def test_scope_admin(pushing):
    for key, status in ((None, 401), (SCOPE_KEY["notify"], 403), (SCOPE_KEY["admin"], 200)):
        assert pushing.api("GET", "/dead-letters", key=key).status == status
        assert pushing.api("POST", "/dead-letters/redrive", {"ids": [10**12]}, key=key).status == status


def test_many_are_redriven_when_the_service_is_well_again(pushing, simulator, tag):  # noqa: F811
    users = [f"many-{tag}-{n}" for n in range(12)]
    prefix = uuid.uuid4().hex
    simulator.script("apns", tokens={prefix + "*": [TOO_LARGE | {"times": 12}]})
    phones = [register(pushing, one, device_token=prefix + uuid.uuid4().hex) for one in users]
    ids = [notify(pushing, one) for one in users]
    for one in ids:
        wait_status(pushing, one, "failed")
    # One is not wanted any more, and one user's phone is gone.
    [dropped] = letters(pushing, user_id=users[0])["dead_letters"]
    assert pushing.api("DELETE", f"/dead-letters/{dropped['id']}").status == 204
    assert pushing.api("DELETE", f"/dead-letters/{dropped['id']}").status == 404
    assert shown(pushing, ids[0], "/timeline")["events"][-1]["event"] == "discarded"
    assert pushing.api("DELETE", f"/sessions/{quoted(users[1])}").status == 204
    since = letters(pushing, user_id=users[1])["dead_letters"][0]["time"]
    mine = {"reason": "PayloadTooLarge", "since": since}
    before = len([one for one in letters(pushing, limit=1000, **mine)["dead_letters"]])
    answer = act(pushing, "redrive", {"filter": mine, "limit": 4})
    assert answer["redriven"] == 4 and answer["remaining"] >= 4
    answer = act(pushing, "redrive", {"all": True})
    assert answer["remaining"] == 0 and answer["skipped"]["device_gone"] == 1
    assert answer["redriven"] >= before - 5
    for one in ids[2:]:
        wait_status(pushing, one, "sent")
    assert [len(delivered(simulator, phone)) for phone in phones] == [0, 0] + [1] * 10
    [kept] = letters(pushing, user_id=users[1])["dead_letters"]
    assert "platform" not in kept
    answer = pushing.api("POST", f"/dead-letters/{kept['id']}/redrive")
    assert answer.status == 409 and "no device" in answer.json()["detail"]
    assert act(pushing, "discard", {"ids": [kept["id"], 10**15]}) == \
        {"discarded": 1, "skipped": {"not_found": 1}, "remaining": 0}


def test_who_has_acknowledged_needs_no_push(pushing, simulator, user):  # noqa: F811
    phone, [one], [letter] = lose(pushing, simulator, user)
    assert pushing.api("POST", f"/users/{quoted(user)}/inbox/read", {"all": True}).status == 200
    assert act(pushing, "redrive", {"filter": {"user_id": user}}) == \
        {"redriven": 0, "skipped": {"acknowledged": 1}, "remaining": 0}
    assert shown(pushing, one)["status"] == "delivered" and delivered(simulator, phone) == []
    # It stays for whoever looks into it, and goes with the user.
    assert pushing.api("GET", f"/dead-letters/{letter['id']}").json()["notification_status"] == "delivered"
    assert pushing.api("DELETE", f"/users/{quoted(user)}").status == 200
    assert pushing.api("GET", f"/dead-letters/{letter['id']}").status == 404


def test_one_that_expired_goes_with_a_new_time(pushing, simulator, user):  # noqa: F811
    phone, [one], [letter] = lose(pushing, simulator, user, ttl=1)
    target = f"/dead-letters/{letter['id']}"
    wait_until(lambda: rfc3339_now() > letter["expires"], 20 * PATIENCE, "the end of its time")
    answer = pushing.api("POST", f"{target}/redrive")
    assert answer.status == 409 and "ttl" in answer.json()["detail"]
    assert pushing.api("PATCH", target, {"ttl": 600}).status == 200
    act(pushing, f"{letter['id']}/redrive", None)
    record = wait_status(pushing, one, "sent")
    assert record["expires"] > letter["expires"]
    assert len(delivered(simulator, phone)) == 1


def test_nothing_is_lost_by_kill_9_in_a_redrive(simulator, start, tmp_path, tag):  # noqa: F811
    gateway = start(push_config(simulator, tmp_path))
    prefix = uuid.uuid4().hex
    users = [f"crash-{tag}-{n}" for n in range(800)]
    simulator.script("apns", tokens={prefix + "*": [TOO_LARGE | {"times": len(users)}]})
    phones = [register(gateway, one, device_token=prefix + uuid.uuid4().hex) for one in users]
    ids = []
    for begin in range(0, len(users), 100):
        answer = gateway.api("POST", "/notifications", {"user_ids": users[begin:begin + 100], "title": "x"})
        assert answer.status == 202
        ids += [one["id"] for one in answer.json()["results"]]
    wait_until(lambda: figure(gateway) == len(users), 40 * PATIENCE, "all letters")

    def redrive():
        try:
            gateway.api("POST", "/dead-letters/redrive", {"all": True})
        except OSError:
            pass                            # it was killed meanwhile
    calling = threading.Thread(target=redrive)
    calling.start()
    deadline = time.monotonic() + 20 * PATIENCE
    while figure(gateway) == len(users):        # without a pause: the whole of it takes a moment
        assert time.monotonic() < deadline
    gateway.kill()
    calling.join()
    gateway.start()
    # Each is a letter, or a job, or has been sent; and the call may simply be repeated.
    answer = act(gateway, "redrive", {"all": True})
    assert answer["skipped"] == {} and answer["remaining"] == 0
    for one in ids:
        wait_status(gateway, one, "sent")
    assert letters(gateway)["dead_letters"] == []
    times = [len(delivered(simulator, phone)) for phone in phones]
    assert min(times) >= 1 and max(times) <= 2


# -- the command ----------------------------------------------------------------------------------

def command(gateway, *arguments, key=ALL_KEY):
    environment = {"FANFARE_API_KEY": key} if key else {}
    url = [] if arguments[-1] == "--help" else ["--url", f"http://127.0.0.1:{gateway.port}"]
    return run_command("dead-letters", *arguments, *url, directory=gateway.directory, environment=environment)


def test_command_lists_shows_edits_and_redrives(pushing, simulator, user):  # noqa: F811
    phone, [one], [letter] = lose(pushing, simulator, user, title="far too long", data={"n": 1})
    result = command(pushing, "list", "--user", user)
    assert result.returncode == 0, result.output
    head, row = result.stdout.splitlines()
    assert head.split() == ["ID", "TIME", "USER", "DEVICE", "PROVIDER", "STATUS", "ATTEMPTS", "REASON"]
    assert row.split() == [str(letter["id"]), letter["time"], user, "phone", "apns", "413", "1",
                           "PayloadTooLarge"]
    result = command(pushing, "list", "--json", "--provider", "apns", "--device", "phone", "--reason",
                     "PayloadTooLarge", "--notification", one, "--since", letter["time"], "--limit", "5")
    assert json.loads(result.stdout)["dead_letters"] == [letter]
    assert command(pushing, "list", "--user", user, "--until", letter["time"]).stdout.count("\n") == 1

    result = command(pushing, "show", letter["id"])
    assert result.returncode == 0, result.output
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["reason"] == "PayloadTooLarge" and json.loads(lines["content"])["title"] == "far too long"

    result = command(pushing, "edit", letter["id"], "--title", "short", "--remove", "data", "--ttl", "60")
    assert result.returncode == 0, result.output
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["edited"] == "true" and lines["ttl"] == "60"
    assert "data" not in json.loads(lines["content"])

    result = command(pushing, "redrive", letter["id"])
    assert (result.returncode, result.stdout) == (0, "redriven 1, remaining 0\n"), result.output
    wait_status(pushing, one, "sent")
    [apple] = delivered(simulator, phone)
    assert json.loads(apple["body"])["aps"]["alert"] == {"title": "short"}
    # Whoever names one wants it done.
    result = command(pushing, "redrive", letter["id"])
    assert result.returncode == 1
    assert result.stdout == "redriven 0, skipped 1 (not_found 1), remaining 0\n"


def test_command_goes_page_by_page_and_discards(pushing, simulator, user):  # noqa: F811
    _, ids, mine = lose(pushing, simulator, user, 3)
    result = command(pushing, "list", "--user", user, "--oldest", "--limit", "2")
    *rows, more = result.stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == [str(one["id"]) for one in mine[:0:-1]]
    assert more.startswith("There is more: --cursor ")
    result = command(pushing, "list", "--user", user, "--oldest", "--limit", "2", "--cursor", more.split()[-1])
    assert [row.split()[0] for row in result.stdout.splitlines()[1:]] == [str(mine[0]["id"])]
    result = command(pushing, "discard", "--user", user, "--limit", "1", "--json")
    assert json.loads(result.stdout) == {"discarded": 1, "skipped": {}, "remaining": 2}
    result = command(pushing, "discard", "--user", user)
    assert (result.returncode, result.stdout) == (0, "discarded 2, remaining 0\n")
    assert letters(pushing, user_id=user)["dead_letters"] == []
    assert {shown(pushing, one)["status"] for one in ids} == {"failed"}


@pytest.mark.parametrize("arguments, status, says", [
    (["redrive"], 2, "one of the three"),
    (["redrive", "7", "--all"], 2, "one of the three"),
    (["discard", "--user", "u", "--all"], 2, "one of the three"),
    (["redrive", "0"], 2, "must be an integer"),
    (["edit", "7"], 2, "nothing to change"),
    (["edit", "7", "--data", "{"], 2, "--data: is not JSON"),
    (["edit", "7", "--remove", "user"], 2, "--remove"),
    (["edit", "7", "--ttl", "0"], 2, "--ttl"),
    (["show"], 2, "id"),
    ([], 2, "subcommand"),
    (["list", "--limit", "0"], 2, "--limit"),
    (["show", "999999999"], 1, "there is no dead letter of this id"),
    (["list", "--since", "yesterday"], 1, "since"),
])
def test_command_explains_what_is_wrong(pushing, arguments, status, says):
    result = run_command("dead-letters", *arguments, *(["--url", f"http://127.0.0.1:{pushing.port}"] if arguments else []),
                         directory=pushing.directory, environment={"FANFARE_API_KEY": ALL_KEY})
    assert result.returncode == status, result.output
    assert says in result.stderr and result.stdout == ""


def test_command_needs_a_key_and_a_gateway(pushing):
    result = command(pushing, "list", key=None)
    assert result.returncode == 2 and "FANFARE_API_KEY" in result.stderr
    result = command(pushing, "list", key=SCOPE_KEY["notify"])
    assert result.returncode == 1 and "HTTP status 403" in result.stderr
    result = run_command("dead-letters", "list", "--url", "http://127.0.0.1:1", "--key", "k",
                         directory=pushing.directory)
    assert result.returncode == 1 and "dead-letters: http://127.0.0.1:1: " in result.stderr
    result = run_command("dead-letters", "redrive", "--help", directory=pushing.directory)
    assert result.returncode == 0 and "--all" in result.stdout
