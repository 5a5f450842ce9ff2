"""Push to services that we did not write: Node's http2 plays APNs and a browser's push service, Python and Node open
what browsers get."""

import collections
import itertools
import json
import os
import subprocess
import uuid
from contextlib import contextmanager

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from harness import PATIENCE, REPOSITORY, wait_until  # noqa: E402
from push_judge import (Cuts, judge, judge_timelines, series, side_by_side, wait_all_sent,
                        wait_settled)  # noqa: E402
from push_sim import APNS_KEY, KID, TEAM, TOPIC, VAPID_KEY, b64, decrypt, point, unb64  # noqa: E402
from test_push import notify, register, write_private  # noqa: E402

PEER = REPOSITORY / "tests/e2e/node/push_peer.mjs"
OPENER = REPOSITORY / "tests/integration/push_open.mjs"


class Lines:
    """A process that answers each line of JSON with one."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(30 * PATIENCE) == 0
        self.process.stdout.close()


class Peer:
    def __init__(self, certificate, key):
        self.ca = certificate
        self.lines = Lines("node", str(PEER), json.dumps({"certificate": certificate, "key": key}))
        self.origin = f"https://localhost:{int(self.lines.process.stdout.readline())}"

    def order(self, **order):
        return json.loads(self.lines.ask(**order))


@pytest.fixture(name="peer")
def fixture_peer(tmp_path):
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    one = Peer(certificate, key)
    yield one
    one.lines.close()


def config(peer, keys):
    return {"inbox": {"ack_timeout": "300ms", "attempts": 2},
            "push": {"backoff": "50ms", "attempts": 12,
                     "apns": {"endpoint": peer.origin, "key_id": KID, "team_id": TEAM, "topic": TOPIC, "ca": peer.ca,
                              "key": write_private(keys / "apns.p8", APNS_KEY)},
                     "webpush": {"subject": "mailto:ops@example.com", "ca": peer.ca, "private_addresses": True,
                                 "private_key": write_private(keys / "vapid.pem", VAPID_KEY)}}}


class Phones:
    """A user with one phone each; see push_judge."""
    service = "apns"

    def __init__(self, gateway, peer, tag, count):
        self.peer = peer
        self.users = [f"peer-{tag}-{n}" for n in range(count)]
        self.tokens = side_by_side(lambda user: register(gateway, user), self.users)

    def records(self):
        by_token = collections.defaultdict(list)
        for one in self.peer.order(requests=True)["requests"]:
            by_token[one["token"]].append(one if one.get("fate") else {k: one[k] for k in one if k != "fate"})
        return by_token


CANCEL, REFUSED_STREAM = 8, 7
IN_FLIGHT = 40      # ten streams on each of four connections
SCRIPTS = [([{"status": 503, "reason": "ServiceUnavailable", "retryAfter": "1"}], 20),
           ([{"status": 429, "reason": "TooManyRequests", "retryAfter": "1"}], 20),
           ([{"reset": REFUSED_STREAM}], 10), ([{"reset": CANCEL}], 10)]


def test_node_as_apns_changes_its_mind_all_the_time(peer, start, tmp_path, tag):
    gateway = start(config(peer, tmp_path))
    phones = Phones(gateway, peer, tag, 200)
    scripts = itertools.chain.from_iterable([steps] * count for steps, count in SCRIPTS)
    # Every third, so that failures are never most of what is answered.
    peer.order(steps=dict(zip(phones.tokens[::3], scripts)), latency=[50, 150], settings=4)
    ids = side_by_side(lambda user: notify(gateway, user, body="x" * 2000), phones.users)
    cuts = Cuts()
    for order in ({"goaway": "middle"}, {"settings": 1}, {"settings": 10}, {"goaway": "all"}, {"drop": True},
                  {"settings": 2}, {"reset": REFUSED_STREAM}, {"settings": 0}, {"settings": 3}, {"goaway": "close"},
                  {"reset": CANCEL}, {"goaway": "middle"}, {"drop": True}):
        had = peer.order()["count"]
        if "settings" not in order or order["settings"] != 3:   # after 0 nothing comes
            wait_until(lambda enough=had + 8: peer.order()["count"] >= enough, 20 * PATIENCE, "more requests")
        if "drop" in order or order.get("reset") == CANCEL:
            cuts.within(lambda chosen=order: peer.order(**chosen), IN_FLIGHT)
        else:
            peer.order(**order)
    wait_all_sent(gateway, ids)
    records = judge(phones, cuts)
    attempts = judge_timelines(gateway, ids, phones, records, cuts,
                               {503: "ServiceUnavailable", 429: "TooManyRequests"})
    assert peer.order(requests=True)["most"] <= 10
    wait_settled(gateway)
    assert series(gateway, "push_attempts_total", provider="apns", outcome="sent") == 200
    assert series(gateway, "push_attempts_total", provider="apns", outcome="later") == len(attempts) - 200
    # Each request as Apple wants it, whatever came before.
    for tries in records.values():
        for one in tries:
            headers = one["headers"]
            assert (headers["apns-topic"], headers["apns-push-type"]) == (TOPIC, "alert")
            uuid.UUID(headers["apns-id"])
            if "body" in one:
                assert json.loads(unb64(one["body"]))["aps"]["alert"]["body"] == "x" * 2000


class Browser:
    """A subscription with its keys."""

    def __init__(self, origin, number):
        self.key, self.auth = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        self.subscription = {"endpoint": f"{origin}/wpush/browser-{number}",
                             "keys": {"p256dh": b64(point(self.key)), "auth": b64(self.auth)}}

    def scalar(self):
        return b64(self.key.private_numbers().private_value.to_bytes(32, "big"))


@contextmanager
def node_opener():
    lines = Lines("node", str(OPENER))
    yield lambda browser, body: unb64(lines.ask(private=browser.scalar(), auth=b64(browser.auth), body=b64(body)))
    lines.close()


def test_browsers_open_what_they_get(peer, start, tmp_path, tag):
    gateway = start(config(peer, tmp_path))
    browsers = [Browser(peer.origin, n) for n in range(50)]
    for number, browser in enumerate(browsers):
        register(gateway, f"{tag}-{number}", "browser", "web", subscription=browser.subscription)
    # Sizes up to what fits.
    ids = [notify(gateway, f"{tag}-{number}", "Grüße", body="ü" * number * 35, data={"n": number})
           for number in range(len(browsers))]
    wait_all_sent(gateway, ids)
    came = {one["token"]: one for one in peer.order(requests=True)["requests"]}
    assert len(came) == len(browsers)
    with node_opener() as open_in_node:
        for number, browser in enumerate(browsers):
            one = came[f"browser-{number}"]
            body = unb64(one["body"])
            plaintext = decrypt(browser.key, browser.auth, body)
            assert plaintext == open_in_node(browser, body)
            assert json.loads(plaintext) == {"id": ids[number], "title": "Grüße", "data": {"n": number},
                                             **({"body": "ü" * number * 35} if number else {})}
            assert one["headers"]["content-encoding"] == "aes128gcm"
            assert_vapid(one["headers"]["authorization"], peer.origin)
    # Nothing that encrypts is used twice.
    bodies = [unb64(one["body"]) for one in came.values()]
    assert len({body[:16] for body in bodies}) == len({body[21:86] for body in bodies}) == len(browsers)


def assert_vapid(authorization, origin):
    scheme, said, shown_key = authorization.replace(",", "").split(" ")
    assert (scheme, shown_key) == ("vapid", "k=" + b64(point(VAPID_KEY)))
    claims = jwt.decode(said.removeprefix("t="), VAPID_KEY.public_key(), algorithms=["ES256"], audience=origin)
    assert claims["sub"] == "mailto:ops@example.com"
