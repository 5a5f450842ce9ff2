"""Push from the API to the services, played by the push simulator: who is away is reached on each device."""

import json
import os
import uuid

import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from cryptography.hazmat.primitives import serialization  # noqa: E402

from client import asynchronous, connect, off_loop  # noqa: E402
from harness import PATIENCE, quoted, token, wait_until  # noqa: E402
from push_sim import (APNS_KEY, KID, OAUTH_KEY, PROGRAM, TEAM, TOPIC, VAPID_KEY, Simulator, b64, point,
                      write_public)  # noqa: E402

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")


def write_private(path, key):
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))
    return str(path)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("push_sim")
    one = Simulator(directory, "--apns-key", write_public(directory / "apns.pem", APNS_KEY), "--team", TEAM,
                    "--kid", KID, "--apns-topic", TOPIC, "--fcm-project", "demo",
                    "--oauth-key", write_public(directory / "oauth.pem", OAUTH_KEY))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def pushing(simulator, tmp_path_factory, start_for_module):
    """A gateway that pushes to the simulator."""
    return start_for_module(push_config(simulator, tmp_path_factory.mktemp("keys")))


def push_config(simulator, keys):
    account = {"type": "service_account", "project_id": "demo", "private_key_id": "k1",
               "client_email": "push@demo.iam.gserviceaccount.com",
               "private_key": OAUTH_KEY.private_bytes(
                   serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                   serialization.NoEncryption()).decode(),
               "token_uri": f"https://localhost:{simulator.port('oauth')}/token"}
    (keys / "account.json").write_text(json.dumps(account))
    return {
        "inbox": {"ack_timeout": "300ms", "attempts": 2},
        "push": {
            "backoff": "50ms",
            "apns": {"endpoint": f"https://localhost:{simulator.port('apns')}", "key_id": KID,
                     "team_id": TEAM, "topic": TOPIC, "ca": simulator.ca,
                     "key": write_private(keys / "apns.p8", APNS_KEY)},
            "fcm": {"service_account": str(keys / "account.json"), "ca": simulator.ca,
                    "endpoint": f"https://localhost:{simulator.port('fcm')}"},
            "webpush": {"subject": "mailto:ops@example.com", "ca": simulator.ca,
                        "private_addresses": True,
                        "private_key": write_private(keys / "vapid.pem", VAPID_KEY)}}}


@pytest.fixture
def user(tag):
    return f"user-{tag}"


def register(gateway, user, name="phone", platform="ios", **fields):
    if platform == "ios":
        fields = {"device_token": uuid.uuid4().hex * 2} | fields
    elif platform == "android":
        fields = {"device_token": "fcm-" + uuid.uuid4().hex} | fields
    answer = gateway.api("POST", "/sessions",
                         {"user_id": user, "device_id": name, "platform": platform} | fields)
    assert answer.status == 201, answer.body
    return fields.get("device_token")


def notify(gateway, user, title="hello", **fields):
    answer = gateway.api("POST", "/notifications", {"user_id": user, "title": title} | fields)
    assert answer.status == 202, (answer.status, answer.body)
    return answer.json()["id"]


def shown(gateway, notification, part=""):
    answer = gateway.api("GET", f"/notifications/{notification}{part}")
    assert answer.status == 200, answer.body
    return answer.json()


def wait_status(gateway, notification, *statuses):
    return wait_until(lambda: shown(gateway, notification, "/status")["status"] in statuses and
                      shown(gateway, notification), 20 * PATIENCE, f"a status of {statuses}")


def delivered(simulator, device):
    return [one for one in simulator.requests(token=device) if one["delivered"]]


def test_who_is_away_is_pushed_to_on_each_device(pushing, simulator, user):
    phone = register(pushing, user)
    android = register(pushing, user, "android", "android")
    subscription = simulator.subscribe(vapid_key=b64(point(VAPID_KEY)))
    register(pushing, user, "browser", "web", subscription={
        name: subscription[name] for name in ("endpoint", "keys")})
    one = notify(pushing, user, "hello", body="there", data={"n": 1}, priority="high",
                 collapse_key="k", category="orders")
    wait_until(lambda: len([d for d in shown(pushing, one)["outcomes"][1]["devices"]
                            if d["status"] == "sent"]) == 3, 20 * PATIENCE, "three devices")
    record = shown(pushing, one)
    assert record["status"] == "sent" and record["channels"] == ["realtime", "push"]
    assert {d["push"]["provider"] for d in record["outcomes"][1]["devices"]} == \
        {"apns", "fcm", "webpush"}

    [apple] = delivered(simulator, phone)
    body = json.loads(apple["body"])
    assert body["aps"]["alert"] == {"title": "hello", "body": "there"}
    assert body["data"] == {"n": 1}
    [google] = delivered(simulator, android)
    message = json.loads(google["body"])["message"]
    assert message["notification"] == {"title": "hello", "body": "there"}
    assert message["android"]["priority"].upper() == "HIGH"
    received = simulator.control("GET", f"/subscriptions/{subscription['id']}")["received"]
    assert len(received) == 1 and "hello" in json.dumps(received[0])
    events = [e["event"] for e in shown(pushing, one, "/timeline")["events"]]
    assert events[:2] == ["accepted", "processing"] and events.count("push_sent") >= 3


@asynchronous
async def test_who_acknowledges_is_not_pushed_to(pushing, simulator, user):
    phone = await off_loop(register, pushing, user)
    async with connect(pushing, token=token(user)) as client:
        await client.subscribe("@me")
        one = await off_loop(notify, pushing, user)
        message = await client.message()
        await client.ok("ack", room="@me", offset=message["offset"])
        assert (await off_loop(shown, pushing, one))["status"] == "delivered"
        # A later one that is not acknowledged is pushed after its last attempt: by then the first
        # would have been.
        two = await off_loop(notify, pushing, user)
        await off_loop(wait_status, pushing, two, "sent")
    assert len(delivered(simulator, phone)) == 1
    assert len((await client_events(pushing, two))) >= 2


async def client_events(gateway, notification):
    events = (await off_loop(shown, gateway, notification, "/timeline"))["events"]
    return [e for e in events if e["event"] == "not_acknowledged"]


@asynchronous
async def test_critical_goes_both_ways_after_the_first_attempt(pushing, simulator, user):
    phone = await off_loop(register, pushing, user)
    async with connect(pushing, token=token(user)) as client:
        await client.subscribe("@me")
        one = await off_loop(notify, pushing, user, priority="critical")
        await client.message()
        await off_loop(wait_status, pushing, one, "sent")
        again = await client.message()
        assert again["attempt"] == 2
        await client.ok("ack", room="@me", offset=again["offset"])
    assert (await off_loop(shown, pushing, one))["status"] == "delivered"    # a late ack
    assert len(delivered(simulator, phone)) == 1


def test_a_service_that_fails_is_tried_again(pushing, simulator, user):
    phone = register(pushing, user)
    simulator.script("apns", tokens={phone: [{"status": 503, "reason": "ServiceUnavailable"}]})
    one = notify(pushing, user)
    wait_status(pushing, one, "sent")
    events = shown(pushing, one, "/timeline")["events"]
    retry = next(e for e in events if e["event"] == "push_retry" and "push" in e)
    assert retry["push"]["status"] == 503 and retry["push"]["reason"] == "ServiceUnavailable"
    assert retry["attempt"] == 1
    assert len(delivered(simulator, phone)) == 1


def test_a_dead_device_is_dropped(pushing, simulator, user):
    phone = register(pushing, user)
    simulator.script("apns", tokens={phone: [{"reason": "Unregistered"}]})
    one = notify(pushing, user)
    record = wait_status(pushing, one, "failed")
    assert record["outcomes"][1]["devices"][0]["push"]["reason"] == "Unregistered"
    answer = pushing.api("GET", f"/sessions/{quoted(user)}")
    assert answer.json()["devices"] == []
    # It is in the inbox all the same.
    assert pushing.api("GET", f"/users/{quoted(user)}/inbox").json()["unread"] == 1


def test_what_a_service_refuses_for_good_is_failed(pushing, simulator, user):
    phone = register(pushing, user)
    simulator.script("apns", tokens={phone: [{"reason": "PayloadTooLarge", "status": 413}]})
    one = notify(pushing, user)
    record = wait_status(pushing, one, "failed")
    [device] = record["outcomes"][1]["devices"]
    assert (device["status"], device["push"]["status"]) == ("failed", 413)


def test_push_only_without_a_device_fails(pushing, user):
    one = notify(pushing, user, channels=["push"])
    assert shown(pushing, one)["status"] == "failed"
    both = notify(pushing, user)
    assert shown(pushing, both)["status"] == "pending"


def test_nothing_is_lost_by_kill_9_in_the_middle(simulator, start, tmp_path, tag):
    simulator.faults("apns", latency="uniform:5-60ms")
    gateway = start(push_config(simulator, tmp_path))
    users = [f"crash-{tag}-{n}" for n in range(120)]
    phones = [register(gateway, one) for one in users]
    ids = [notify(gateway, one) for one in users]
    wait_until(lambda: sum(len(delivered(simulator, phone)) for phone in phones[:20]) > 3,
               20 * PATIENCE, "the first pushes")
    gateway.kill()
    gateway.start()
    for one in ids:
        wait_status(gateway, one, "sent")
    times = [len(delivered(simulator, phone)) for phone in phones]
    assert min(times) >= 1 and max(times) <= 2
    simulator.control("POST", "/reset")
