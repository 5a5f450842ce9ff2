"""The push simulator judges as the real services do: APNs, FCM, OAuth, Web Push, each check with a request
that it refuses. Tokens, keys and encryption are made by libraries that it does not use."""

import json
import os
import shutil
import subprocess
import time

import jwt
import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

import push_sim as sim  # noqa: E402
from harness import TIMEOUT, wait_until  # noqa: E402
from push_sim import (APNS_KEY, DEVICE, FORM, KID, OAUTH_KEY, PROGRAM, SEND, TEAM, TOPIC, VAPID_KEY, Simulator,
                      access_token, apns_headers, assertion, b64, encrypt, fcm_body, fcm_headers, grant, path_of,
                      point, provider_token, unb64, vapid, webpush_headers, write_public)  # noqa: E402

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")

APS = b'{"aps":{"alert":"hello"}}'
PATH = f"/3/device/{DEVICE}"
UUID = "11111111-2222-3333-4444-aaaaaaaaaaaa"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    directory = tmp_path_factory.mktemp("push_sim")
    one = Simulator(directory, "--apns-key", write_public(directory / "apns.pem", APNS_KEY), "--team", TEAM,
                    "--kid", KID, "--apns-other-kid", "OTHER67890", "--apns-foreign-kid", "FOREIGN890",
                    "--apns-topic", TOPIC, "--apns-upper-ids", "0", "--fcm-project", "demo",
                    "--oauth-key", write_public(directory / "oauth.pem", OAUTH_KEY))
    yield one
    one.stop()


@pytest.fixture
def simulator(running):
    running.control("POST", "/reset")
    return running


@pytest.fixture
def apns(simulator):
    with simulator.connect("apns") as client:
        yield client


@pytest.fixture
def webpush(simulator):
    with simulator.connect("webpush") as client:
        yield client


def reason(answer):
    return json.loads(answer.body).get("reason")


def details(answer):
    return json.loads(answer.body)["error"].get("details", [])


def error_code(answer):
    return next((each["errorCode"] for each in details(answer) if each["@type"].endswith("FcmError")), None)


# APNs

def test_apns_accepts_and_records(simulator, apns):
    answer = apns.call(PATH, apns_headers(provider_token(), id=UUID, priority="5", expiration="0"), APS)
    assert (answer.status, answer.body, answer.headers["apns-id"]) == (200, b"", UUID)
    made = apns.call(PATH, apns_headers(provider_token()), APS)
    assert made.status == 429          # a second token within 20 minutes
    [record, refused] = simulator.requests(token=DEVICE)
    assert record["delivered"] and not refused["delivered"]
    assert record["body"] == APS.decode() and record["id"] == UUID and record["stream"] == 1
    assert ["apns-topic", TOPIC] in record["headers"]
    assert simulator.requests(since=record["number"]) == [refused]


def test_apns_makes_an_id_and_counts_duplicates(simulator, apns):
    token = provider_token()
    made = {apns.call(PATH, apns_headers(token), APS).headers["apns-id"] for _ in range(20)}
    assert len(made) == 20
    assert simulator.stats()["duplicates"] == 0
    for _ in range(2):
        apns.call(PATH, apns_headers(token, id=UUID), APS)
    assert simulator.stats()["duplicates"] == 1


@pytest.mark.parametrize("changes,status,expected", [
    ({"authorization": None}, 403, "MissingProviderToken"),
    ({"authorization": "bearer a.b.c"}, 403, "InvalidProviderToken"),
    ({"authorization": "Basic abc"}, 403, "InvalidProviderToken"),
    ({"topic": None}, 400, "MissingTopic"),
    ({"topic": "com.example.other"}, 400, "TopicDisallowed"),
    ({"topic": "not a topic"}, 400, "BadTopic"),
    ({"push_type": "voip"}, 400, "BadTopic"),
    ({"push_type": "nonsense"}, 400, "InvalidPushType"),
    ({"push_type": "background", "priority": "10"}, 400, "BadPriority"),
    ({"priority": "7"}, 400, "BadPriority"),
    ({"id": "no-uuid"}, 400, "BadMessageId"),
    ({"expiration": "soon"}, 400, "BadExpirationDate"),
    ({"collapse_id": "c" * 65}, 400, "BadCollapseId"),
    ({"collapse_id": "c" * 64}, 200, None),
    ({"push_type": "background", "priority": "5"}, 200, None),
    ({"push_type": "voip", "topic": TOPIC + ".voip"}, 200, None),
    ({"push_type": "liveactivity", "topic": TOPIC + ".push-type.liveactivity"}, 200, None),
    ({"push_type": None}, 200, None),
])
def test_apns_headers(apns, changes, status, expected):
    headers = apns_headers(provider_token(), **changes)
    answer = apns.call(PATH, headers, APS)
    assert answer.status == status, answer.body
    assert (reason(answer) if answer.body else None) == expected


def test_apns_duplicate_header(apns):
    headers = [*apns_headers(provider_token()).items(), ("apns-topic", TOPIC)]
    assert reason(apns.call(PATH, headers, APS)) == "DuplicateHeaders"


@pytest.mark.parametrize("method,path,status,expected", [
    ("GET", PATH, 405, "MethodNotAllowed"),
    ("POST", "/3/device/", 400, "MissingDeviceToken"),
    ("POST", "/3/devices/x", 404, "BadPath"),
    ("POST", "/3/device/xyz1", 400, "BadDeviceToken"),
    ("POST", "/3/device/abc", 400, "BadDeviceToken"),
])
def test_apns_path(apns, method, path, status, expected):
    answer = apns.call(path, apns_headers(provider_token()), APS if method == "POST" else b"", method)
    assert (answer.status, reason(answer)) == (status, expected)


@pytest.mark.parametrize("size,changes,expected", [
    (0, {}, "PayloadEmpty"), (4096, {}, None), (4097, {}, "PayloadTooLarge"),
    (5120, {"push_type": "voip", "topic": TOPIC + ".voip"}, None),
    (5121, {"push_type": "voip", "topic": TOPIC + ".voip"}, "PayloadTooLarge"),
])
def test_apns_payload_size(apns, size, changes, expected):
    answer = apns.call(PATH, apns_headers(provider_token(), **changes), b"x" * size)
    assert (reason(answer) if answer.body else None) == expected
    assert answer.status == {None: 200, "PayloadEmpty": 400, "PayloadTooLarge": 413}[expected]


def der_token():
    signed = provider_token().rsplit(".", 1)[0]
    return signed + "." + b64(APNS_KEY.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))


def padded_token():
    return provider_token() + "="


@pytest.mark.parametrize("make,expected", [
    (der_token, "InvalidProviderToken"),
    (padded_token, "InvalidProviderToken"),
    (lambda: provider_token(key=VAPID_KEY), "InvalidProviderToken"),
    (lambda: provider_token(team="TEAM000000"), "InvalidProviderToken"),
    (lambda: provider_token(kid="UNKNOWN890"), "InvalidProviderToken"),
    (lambda: provider_token(kid="FOREIGN890"), "BadEnvironmentKeyInToken"),
    (lambda: provider_token(age=-600), "InvalidProviderToken"),
    (lambda: provider_token(iat=str(int(time.time()))), "InvalidProviderToken"),
    (lambda: provider_token(age=3700), "ExpiredProviderToken"),
    (lambda: jwt.encode({"iss": TEAM, "iat": int(time.time())}, "s" * 32, headers={"kid": KID}), "InvalidProviderToken"),
    (lambda: provider_token(age=3500), None),
])
def test_apns_provider_token(apns, make, expected):
    answer = apns.call(PATH, apns_headers(make()), APS)
    assert (reason(answer) if answer.body else None) == expected
    assert answer.status == (403 if expected else 200)


def test_apns_connection_is_bound_to_its_key_and_spoilt_by_an_expired_token(simulator, apns):
    assert apns.call(PATH, apns_headers(provider_token()), APS).status == 200
    other = apns.call(PATH, apns_headers(provider_token(kid="OTHER67890")), APS)
    assert (other.status, reason(other)) == (403, "UnrelatedKeyIdInToken")
    with simulator.connect() as client:
        assert reason(client.call(PATH, apns_headers(provider_token(age=4000)), APS)) == "ExpiredProviderToken"
        assert reason(client.call(PATH, apns_headers(provider_token()), APS)) == "ExpiredProviderToken"


def test_apns_time_can_be_faster(tmp_path):
    """With a clock 1200 times as fast, 20 minutes are a second and the hour of a token three."""
    one = Simulator(tmp_path, "--clock-scale", "1200", services=("apns", "control"))
    try:
        with one.connect() as client:
            first, second = provider_token(), provider_token(age=-1)
            assert client.call(PATH, apns_headers(first), APS).status == 200
            assert reason(client.call(PATH, apns_headers(second), APS)) == "TooManyProviderTokenUpdates"
            assert client.call(PATH, apns_headers(first), APS).status == 200
            wait_until(lambda: client.call(PATH, apns_headers(second), APS).status == 200)
            wait_until(lambda: client.call(PATH, apns_headers(second), APS).status == 403)
            assert reason(client.call(PATH, apns_headers(second), APS)) == "ExpiredProviderToken"
    finally:
        one.stop()


def test_apns_sandbox_and_ids_in_upper_case(tmp_path):
    one = Simulator(tmp_path, "--apns-sandbox", "--apns-upper-ids", "1", services=("apns", "control"))
    try:
        with one.connect() as client:
            answer = client.call(PATH, apns_headers(provider_token(), id=UUID), APS)
            assert answer.headers["apns-id"] == UUID.upper()
            assert answer.headers["apns-unique-id"]
            assert one.requests()[0]["id"] == UUID
    finally:
        one.stop()


@pytest.mark.parametrize("step,status,expected", [
    ({"status": 410, "timestamp": 1700000000123}, 410, {"reason": "Unregistered", "timestamp": 1700000000123}),
    ({"reason": "ExpiredToken", "timestamp": 5}, 410, {"reason": "ExpiredToken", "timestamp": 5}),
    ({"reason": "DeviceTokenNotForTopic"}, 400, {"reason": "DeviceTokenNotForTopic"}),
    ({"status": 503}, 503, {"reason": "ServiceUnavailable"}),
    ({"status": 503, "body": "<html>"}, 503, None),
])
def test_apns_script(simulator, apns, step, status, expected):
    simulator.script("apns", tokens={DEVICE: [step]})
    answer = apns.call(PATH, apns_headers(provider_token()), APS)
    assert answer.status == status
    assert (json.loads(answer.body) == expected) if expected else answer.body == b"<html>"


def test_apns_script_counts_and_prefixes(simulator, apns):
    simulator.script("apns", tokens={"cd*": [{"status": 500, "times": 2}, {"status": 429, "retry_after": "7"}],
                                     "cdcd": [{"status": 503, "times": 0}]})
    token = apns_headers(provider_token())
    answers = [apns.call("/3/device/cd01", token, APS) for _ in range(4)]
    assert [each.status for each in answers] == [500, 500, 429, 200]
    assert answers[2].headers["retry-after"] == "7" and reason(answers[2]) == "TooManyRequests"
    assert [apns.call("/3/device/cdcd", token, APS).status for _ in range(3)] == [503] * 3
    # What is refused anyway takes no step.
    simulator.script("apns", tokens={"ef01": [{"status": 410}]})
    assert apns.call("/3/device/ef01", apns_headers(provider_token(), topic=None), APS).status in (400, 429)
    assert apns.call("/3/device/ef01", token, APS).status == 410


def test_apns_too_many_requests_for_a_token(simulator, apns):
    simulator.faults("apns", token_requests=3, token_window_ms=3_600_000)
    token = apns_headers(provider_token())
    assert [apns.call(PATH, token, APS).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert apns.call("/3/device/0102", token, APS).status == 200


def test_apns_many_bad_tokens_end_the_connection(simulator, apns):
    simulator.faults("apns", bad_tokens=5)
    simulator.script("apns", tokens={"0a": [{"status": 410, "times": 0}]})
    token = apns_headers(provider_token())
    for _ in range(10):
        assert apns.call("/3/device/0a", token, APS).status == 410
    assert not apns.goaways
    for _ in range(5):
        assert reason(apns.call("/3/device/xy", token, APS)) == "BadDeviceToken"
    apns.wait_closed()
    assert json.loads(apns.goaways[0][2]) == {"reason": "BadDeviceToken"}


def test_apns_shutdown_with_goaway(simulator, apns):
    simulator.script("apns", tokens={DEVICE: [{"reason": "Shutdown", "then": "goaway", "then_reason": "Shutdown"}]})
    answer = apns.call(PATH, apns_headers(provider_token()), APS)
    assert (answer.status, reason(answer)) == (503, "Shutdown")
    apns.wait_closed()
    assert apns.goaways == [(1, 0, b'{"reason":"Shutdown"}')]


@pytest.fixture
def client_certificates(tmp_path):
    """An authority, and what it signed: development and production certificates of one app."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
            "-out", "clients.pem", "-subj", "/CN=clients", "-days", "2")
    for name, oid in (("development", "1.2.840.113635.100.6.3.1"), ("production", "1.2.840.113635.100.6.3.2")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", f"/UID={TOPIC}/CN=push")
        (tmp_path / "ext").write_text(f"{oid}=ASN1:NULL\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "clients.pem", "-CAkey", "ca.key", "-days", "2",
                "-extfile", "ext", "-out", f"{name}.pem")
    return lambda name: (str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key"))


def test_apns_with_client_certificates(tmp_path, client_certificates):
    one = Simulator(tmp_path / "sim", "--apns-client-ca", tmp_path / "clients.pem", services=("apns", "control"))
    try:
        with one.connect(certificate=client_certificates("production")) as client:
            client.wait(lambda: client.settings)
            assert client.limit == 1000            # no ramp without tokens
            assert client.call(PATH, apns_headers(topic=None), APS).status == 200
            assert reason(client.call(PATH, apns_headers(topic="com.example.else"), APS)) == "TopicDisallowed"
            location = apns_headers(push_type="location", topic=TOPIC + ".location-query")
            assert reason(client.call(PATH, location, APS)) == "InvalidPushType"
        with one.connect(certificate=client_certificates("development")) as client:
            client.wait(lambda: client.goaways)
            assert client.goaways == [(0, 0, b'{"reason":"BadCertificateEnvironment"}')]
        with pytest.raises((OSError, AssertionError)):
            with one.connect() as client:          # none at all
                client.call(PATH, apns_headers(), APS)
    finally:
        one.stop()


# OAuth

@pytest.fixture
def oauth(simulator):
    with simulator.connect("oauth") as client:
        client.audience = f"https://{client.authority}/token"
        yield client


def test_oauth_issues_tokens_that_fcm_takes(simulator, oauth):
    answer = oauth.call("/token", FORM, grant(assertion(oauth.audience)))
    issued = json.loads(answer.body)
    assert answer.status == 200 and issued["expires_in"] == 3600 and issued["token_type"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"
    google = oauth.call("/token", FORM, grant(assertion("https://oauth2.googleapis.com/token")))
    assert google.status == 200
    with simulator.connect("fcm") as client:
        assert client.call(SEND, fcm_headers(issued["access_token"]), fcm_body()).status == 200
        simulator.script("oauth", revoke_tokens=True)
        refused = client.call(SEND, fcm_headers(issued["access_token"]), fcm_body())
        assert refused.status == 401 and error_code(refused) is None
        assert details(refused)[0]["reason"] == "ACCESS_TOKEN_EXPIRED"
        assert client.call(SEND, fcm_headers("guessed"), fcm_body()).status == 401
        assert client.call(SEND, {"content-type": "application/json"}, fcm_body()).status == 401
        assert client.call(SEND, fcm_headers(access_token(simulator)), fcm_body()).status == 200


@pytest.mark.parametrize("changes,error", [
    ({"key": sim.rsa.generate_private_key(public_exponent=65537, key_size=2048)}, "invalid_grant"),
    ({"key": "s" * 32, "algorithm": "HS256"}, "invalid_grant"),
    ({"aud": "https://example.com/token"}, "invalid_grant"),
    ({"exp": int(time.time()) + 7300}, "invalid_grant"),
    ({"iat": int(time.time()) + 7000}, "invalid_grant"),
    ({"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3700}, "invalid_grant"),
    ({"exp": None}, "invalid_grant"),
    ({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope"),
])
def test_oauth_refuses(oauth, changes, error):
    answer = oauth.call("/token", FORM, grant(assertion(oauth.audience, **changes)))
    assert answer.status == 400
    assert json.loads(answer.body)["error"] == error


def test_oauth_form(oauth):
    assert json.loads(oauth.call("/token", FORM, b"grant_type=password").body)["error"] == "unsupported_grant_type"
    assert oauth.call("/token", {"content-type": "application/json"}, b"{}").status == 400
    assert oauth.call("/token", FORM, method="GET").status == 405
    assert oauth.call("/tokens", FORM, b"x").status == 404


@pytest.mark.parametrize("given,seen", [(60, 60), ("3600", "3600"), (None, None)])
def test_oauth_lifetime(simulator, oauth, given, seen):
    simulator.faults("oauth", expires_in=given)
    issued = json.loads(oauth.call("/token", FORM, grant(assertion(oauth.audience))).body)
    assert issued.get("expires_in") == seen


def test_oauth_token_expires_and_endpoint_fails(simulator, oauth):
    simulator.faults("oauth", expires_in=1)
    token = json.loads(oauth.call("/token", FORM, grant(assertion(oauth.audience))).body)["access_token"]
    with simulator.connect("fcm") as client:
        assert client.call(SEND, fcm_headers(token), fcm_body()).status == 200
        wait_until(lambda: client.call(SEND, fcm_headers(token), fcm_body()).status == 401)
    simulator.script("oauth", tokens={"*": [{"status": 503, "form": "html"}, {"status": 429}]})
    first, second = (oauth.call("/token", FORM, grant(assertion(oauth.audience))) for _ in range(2))
    assert first.status == 503 and first.body.startswith(b"<!DOCTYPE")
    assert second.status == 429 and json.loads(second.body)["error"]


# FCM

@pytest.fixture
def fcm(simulator):
    token = access_token(simulator)
    with simulator.connect("fcm") as client:
        client.send_message = lambda body, path=SEND, **changes: client.call(path, fcm_headers(token) | changes, body)
        yield client


def test_fcm_accepts_and_records(simulator, fcm):
    answer = fcm.send_message(fcm_body())
    assert answer.status == 200
    assert json.loads(answer.body)["name"].startswith("projects/demo/messages/")
    [record] = simulator.requests(service="fcm")
    assert record["token"] == "device-1" and record["id"] == "1" and record["delivered"]


@pytest.mark.parametrize("message,field", [
    ({"token": None}, "message.token"),
    ({"topic": "news"}, "message.token"),
    ({"data": {"n": 1}}, "message.data[0].value"),
    ({"data": {"a": "b", "google.x": "y"}}, "message.data[1].key"),
    ({"data": {"from": "y"}}, "message.data[0].key"),
    ({"data": {"k": "v" * 4096}}, "message"),
    ({"notification": {"title": 5}}, "message.notification.title"),
    ({"android": {"ttl": "60"}}, "message.android.ttl"),
    ({"android": {"ttl": "2419201s"}}, "message.android.ttl"),
    ({"android": {"priority": "urgent"}}, "message.android.priority"),
    ({"android": {"notification": {"color": "red"}}}, "message.android.notification.color"),
    ({"apns": {"headers": {"apns-priority": 5}}}, "message.apns.headers[apns-priority]"),
])
def test_fcm_refuses_a_bad_message(fcm, message, field):
    members = {"token": "device-1"} | message
    body = json.dumps({"message": {name: value for name, value in members.items() if value is not None}}).encode()
    answer = fcm.send_message(body)
    assert answer.status == 400 and error_code(answer) == "INVALID_ARGUMENT"
    violation = next(each for each in details(answer) if each["@type"].endswith("BadRequest"))
    assert violation["fieldViolations"][0]["field"] == field


def test_fcm_good_forms(simulator, fcm):
    both_cases = {"message": {"topic": "news", "android": {"ttl": "3.5s", "priority": "high", "collapseKey": "k"}},
                  "validateOnly": True}
    answer = fcm.send_message(json.dumps(both_cases).encode())
    assert json.loads(answer.body)["name"].endswith("fake_message_id")
    assert not simulator.requests(service="fcm")[-1]["delivered"]
    assert fcm.send_message(fcm_body(), path="/v1/projects/other/messages:send").status == 404
    assert fcm.send_message(fcm_body(), path="/nowhere").body.startswith(b"<!DOCTYPE")
    assert fcm.send_message(fcm_body(), **{"content-type": "text/plain"}).status == 400
    assert fcm.send_message(b"{").status == 400


@pytest.mark.parametrize("code,status,canonical", [
    ("UNREGISTERED", 404, "NOT_FOUND"), ("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT"),
    ("SENDER_ID_MISMATCH", 403, "PERMISSION_DENIED"), ("QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED"),
    ("UNAVAILABLE", 503, "UNAVAILABLE"), ("INTERNAL", 500, "INTERNAL"),
    ("THIRD_PARTY_AUTH_ERROR", 401, "UNAUTHENTICATED"),
])
def test_fcm_error_codes(simulator, fcm, code, status, canonical):
    simulator.script("fcm", tokens={"device-1": [{"reason": code, "retry_after": "Thu, 01 Jan 2026 00:00:00 GMT"}]})
    answer = fcm.send_message(fcm_body())
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"], error["status"], error_code(answer)) == (status, status, canonical, code)
    assert answer.headers["retry-after"].endswith("GMT")
    assert fcm.send_message(fcm_body()).status == 200


@pytest.mark.parametrize("form,step,status,types", [
    ("no_fcm_error", {"status": 403}, 403, []),
    ("access_token_expired", {}, 401, ["ErrorInfo"]),
    ("apns_key", {}, 401, ["ApnsError", "FcmError"]),
    ("apns_unregistered", {}, 400, ["FcmError", "ApnsError"]),
    ("unregistered_with_apns", {}, 404, ["ApnsError", "FcmError"]),
    ("bad_request_only", {}, 400, ["BadRequest"]),
    ("bad_value", {}, 400, ["FcmError", "BadRequest"]),
    ("quota_failure", {}, 429, ["QuotaFailure", "FcmError"]),
    ("odd_details", {"status": 404}, 404, ["unknown", "", "ErrorInfo", "FcmError"]),
])
def test_fcm_traps(simulator, fcm, form, step, status, types):
    simulator.script("fcm", tokens={"device-1": [{"form": form, **step}]})
    answer = fcm.send_message(fcm_body())
    assert answer.status == status
    seen = [each.get("@type", "").rsplit("/", 1)[-1].rsplit(".", 1)[-1] for each in details(answer)]
    assert seen == types


@pytest.mark.parametrize("form,status,start", [("html", 404, b"<!DOCTYPE"), ("text", 502, b"upstream"),
                                               ("empty", 503, b""), ("unparsable_success", 200, b'{"name":')])
def test_fcm_bodies_that_are_no_json(simulator, fcm, form, status, start):
    simulator.script("fcm", tokens={"device-1": [{"form": form, "status": status}]})
    answer = fcm.send_message(fcm_body())
    assert answer.status == status and answer.body.startswith(start)
    assert start or not answer.body


def test_fcm_project_quota(simulator, fcm):
    simulator.faults("fcm", project_requests=2)
    assert [fcm.send_message(fcm_body()).status for _ in range(4)] == [200, 200, 429, 429]


def test_fcm_topics_new_and_old(simulator, fcm):
    path = "/v1/projects/demo/registrations/a%3Ab/topicSubscriptions"
    assert fcm.send_message(b"{}", path=f"{path}?topicName=news").status == 200
    assert fcm.send_message(b"{}", path=f"{path}?topic_name=news").status == 409
    token = dict(fcm_headers(access_token(simulator)))
    listed = fcm.call(path, token, method="GET")
    assert json.loads(listed.body)["topicSubscriptions"][0]["topic_name"] == "news"
    assert fcm.call(f"{path}/news", token, method="DELETE").status == 200
    assert fcm.call(f"{path}/news", token, method="DELETE").status == 404
    assert fcm.call(f"{path}/news?allowMissing=true", token, method="DELETE").status == 200
    simulator.script("fcm", tokens={"t2": [{"reason": "NOT_FOUND"}]})
    batch = json.dumps({"to": "/topics/news", "registration_tokens": ["t1", "t2", "t3"]}).encode()
    answer = fcm.call("/iid/v1:batchAdd", token | {"access_token_auth": "true"}, batch)
    assert json.loads(answer.body) == {"results": [{}, {"error": "NOT_FOUND"}, {}]}


# Web Push

def test_webpush_delivers_the_plaintext(simulator, webpush):
    browser = simulator.subscribe()
    message = encrypt(browser, "grüße 🎉".encode())
    answer = webpush.call(path_of(browser), webpush_headers(webpush, urgency="high", topic="news"), message)
    assert answer.status == 201 and answer.headers["location"]
    assert simulator.control("GET", f"/subscriptions/{browser['id']}")["received"] == ["grüße 🎉"]
    assert simulator.stats("webpush")["credentials"] == 1
    [record] = simulator.requests(token=browser["id"])
    assert record["plaintext"] == "grüße 🎉" and "body_base64" in record
    empty = webpush.call(path_of(browser), webpush_headers(webpush, content_encoding=None))
    assert empty.status == 201


def test_webpush_opens_the_example_of_rfc_8291(simulator, webpush):
    browser = simulator.subscribe(
        private_key="q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94", auth="BTBZMqHH6r4Tts7J_aSIgg",
        p256dh="BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    body = unb64("DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w"
                 "EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN")
    assert webpush.call(path_of(browser), webpush_headers(webpush), body).status == 201
    assert simulator.control("GET", f"/subscriptions/{browser['id']}")["received"] == \
        ["When I grow up, I want to be a watermelon"]
    assert webpush.call(path_of(browser), webpush_headers(webpush), body).status == 400      # its salt again


@pytest.mark.parametrize("changes,status,errno", [
    ({"ttl": None}, 400, 111), ({"ttl": "-1"}, 400, 112), ({"ttl": "60s"}, 400, 112),
    ({"urgency": "urgent"}, 400, 113), ({"topic": "t" * 33}, 400, 113), ({"topic": "not ok"}, 400, 113),
    ({"content_encoding": "aesgcm"}, 400, 110), ({"content_encoding": None}, 400, 110),
    ({"authorization": None}, 401, 109), ({"authorization": "vapid t=x"}, 401, 109),
])
def test_webpush_headers(simulator, webpush, changes, status, errno):
    browser = simulator.subscribe()
    answer = webpush.call(path_of(browser), webpush_headers(webpush, **changes), encrypt(browser, b"x"))
    assert (answer.status, json.loads(answer.body)["errno"]) == (status, errno)


@pytest.mark.parametrize("claims", [
    {"aud": "https://example.com"}, {"exp": int(time.time()) - 1}, {"exp": int(time.time()) + 90000},
    {"exp": None}, {"sub": None}, {"sub": "mailto:push@localhost"}, {"sub": "mailto: push@example.com"},
    {"public": b64(point(APNS_KEY))}, {"public": b64(point(VAPID_KEY)[1:])},
])
def test_webpush_vapid(simulator, webpush, claims):
    browser = simulator.subscribe(vendor="apple")
    authorization = vapid(claims.pop("aud", f"https://{webpush.authority}"), **claims)
    answer = webpush.call(path_of(browser), webpush_headers(webpush, authorization=authorization), encrypt(browser, b"x"))
    assert (answer.status, reason(answer)) == (403, "BadJwtToken")


def test_webpush_key_of_the_subscription(simulator, webpush):
    bound = simulator.subscribe(vendor="google", vapid_key=b64(point(APNS_KEY)))
    answer = webpush.call(path_of(bound), webpush_headers(webpush), encrypt(bound, b"x"))
    assert answer.status == 403 and b"do not correspond" in answer.body
    right = vapid(f"https://{webpush.authority}", key=APNS_KEY)
    assert webpush.call(path_of(bound), webpush_headers(webpush, authorization=right), encrypt(bound, b"x")).status == 201


@pytest.mark.parametrize("name,change", [
    ("two records", {"record_size": 18}), ("no delimiter", {"delimiter": b""}), ("not the last", {"delimiter": b"\x01"}),
    ("VAPID's own key", {"key": VAPID_KEY}),
])
def test_webpush_bad_bodies(simulator, webpush, name, change):
    browser = simulator.subscribe()
    answer = webpush.call(path_of(browser), webpush_headers(webpush), encrypt(browser, b"some plaintext", **change))
    assert answer.status == 400, name
    assert not simulator.control("GET", f"/subscriptions/{browser['id']}")["received"]


def test_webpush_size_and_padding(simulator, webpush):
    browser = simulator.subscribe()
    padded = encrypt(browser, b"short", delimiter=b"\x02" + bytes(100))
    assert webpush.call(path_of(browser), webpush_headers(webpush), padded).status == 201
    assert webpush.call(path_of(browser), webpush_headers(webpush), encrypt(browser, b"a" * 3993)).status == 201
    assert webpush.call(path_of(browser), webpush_headers(webpush), encrypt(browser, b"a" * 3994)).status == 413
    assert simulator.control("GET", f"/subscriptions/{browser['id']}")["received"] == ["short", "a" * 3993]


@pytest.mark.parametrize("vendor,status,check", [
    ("mozilla", 410, lambda body: json.loads(body)["errno"] == 106),
    ("mozilla", 404, lambda body: json.loads(body)["errno"] == 102),
    ("apple", 410, lambda body: json.loads(body)["reason"] == "Unregistered"),
    ("apple", 429, lambda body: json.loads(body)["reason"] == "TooManyRequests"),
    ("google", 410, lambda body: b"expired" in body),
])
def test_webpush_vendors(simulator, webpush, vendor, status, check):
    browser = simulator.subscribe(vendor=vendor)
    simulator.script("webpush", tokens={browser["id"]: [{"status": status, "retry_after": "3"}]})
    answer = webpush.call(path_of(browser), webpush_headers(webpush), encrypt(browser, b"x"))
    assert answer.status == status and check(answer.body) and answer.headers["retry-after"] == "3"
    assert webpush.call(path_of(browser), webpush_headers(webpush), encrypt(browser, b"x")).status == 201


def test_webpush_redirect_unknown_and_ttl(simulator, webpush):
    browser = simulator.subscribe()
    simulator.script("webpush", tokens={browser["id"]: [{"status": 301, "headers": {"location": "http://10.0.0.1/"}}]})
    answer = webpush.call(path_of(browser), webpush_headers(webpush), encrypt(browser, b"x"))
    assert (answer.status, answer.headers["location"]) == (301, "http://10.0.0.1/")
    assert webpush.call("/wpush/v2/unknown", webpush_headers(webpush), encrypt(browser, b"x")).status == 404
    assert webpush.call(path_of(browser), webpush_headers(webpush, content_encoding=None), method="GET").status == 405
    simulator.faults("webpush", ttl_max=30)
    assert webpush.call(path_of(browser), webpush_headers(webpush), encrypt(browser, b"x")).headers["ttl"] == "30"


def test_webpush_a_browser_that_is_away(simulator, webpush):
    browser = simulator.subscribe(online=False)
    where = f"/subscriptions/{browser['id']}"
    for text, changes in ((b"gone", {"ttl": "0"}), (b"old", {"topic": "t"}), (b"new", {"topic": "t"}), (b"other", {}),
                          (b"short", {"ttl": "1"})):
        assert webpush.call(path_of(browser), webpush_headers(webpush, **changes), encrypt(browser, text)).status == 201
    wait_until(lambda: [each["plaintext"] for each in simulator.control("GET", where)["waiting"]] == ["new", "other"])
    assert simulator.control("POST", where, {"online": True})["received"] == ["new", "other"]


# Other clients than ours

@pytest.mark.parametrize("protocol", ["--http2", "--http1.1"])
def test_curl(simulator, protocol):
    if not shutil.which("curl"):
        pytest.skip("needs curl")

    def curl(service, path, *words):
        url = f"https://localhost:{simulator.port(service)}{path}"
        run = subprocess.run(["curl", "--silent", "--show-error", protocol, "--cacert", simulator.ca, "--write-out",
                              "\n%{http_code} %{http_version}", *words, url],
                             capture_output=True, text=True, timeout=TIMEOUT, check=False)
        return run.returncode, *run.stdout.rsplit("\n", 1)

    version = "2" if protocol == "--http2" else "1.1"
    audience = f"https://localhost:{simulator.port('oauth')}/token"
    _, body, status = curl("oauth", "/token", "--data", grant(assertion(audience)).decode())
    assert status == f"200 {version}"
    token = json.loads(body)["access_token"]
    _, body, status = curl("fcm", SEND, "--json", fcm_body().decode(), "-H", f"Authorization: Bearer {token}")
    assert status == f"200 {version}"
    headers = [word for pair in apns_headers(provider_token()).items() for word in ("-H", ": ".join(pair))]
    code, _, status = curl("apns", PATH, "--data", APS.decode(), *headers)
    # APNs has no HTTP/1.1: a client that offers nothing else does not get through.
    assert status == "200 2" if version == "2" else code != 0
    chunked = curl("fcm", SEND, "--json", fcm_body().decode(), "-H", f"Authorization: Bearer {token}",
                   "-H", "Transfer-Encoding: chunked") if version == "1.1" else None
    assert chunked is None or chunked[2] == "200 1.1"
