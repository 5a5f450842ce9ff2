"""Several apps with credentials of their own, certificate mode, what is for push alone, rates, a proxy, and devices
that are unregistered while pushes wait for them."""

import base64
import datetime
import json
import os
import select
import signal
import socket
import threading

import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

from harness import PATIENCE, TIMEOUT, merged, quoted, wait_until  # noqa: E402
from push_sim import (APNS_KEY, KID, OAUTH_KEY, PROGRAM, TEAM, TOPIC, VAPID_KEY, Simulator, b64, point,  # noqa: E402
                      write_public)
from test_metrics import scrape, total  # noqa: E402
from test_push import (delivered, notify, push_config, register, shown, wait_status,  # noqa: E402
                       write_private)

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")

SHOP_TOPIC = "com.example.shop"
SHOP_VAPID_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    directory = tmp_path_factory.mktemp("push_sim")
    one = Simulator(directory, "--apns-key", write_public(directory / "apns.pem", APNS_KEY), "--team", TEAM,
                    "--kid", KID, "--apns-topic", TOPIC, "--apns-topic", SHOP_TOPIC, "--fcm-project", "demo",
                    "--oauth-key", write_public(directory / "oauth.pem", OAUTH_KEY))
    yield one
    one.stop()


def apps_config(simulator, keys):
    """The app without a name, and a shop that is on phones of Apple and in browsers."""
    config = push_config(simulator, keys)
    apns = config["push"]["apns"] | {"topic": SHOP_TOPIC}
    webpush = config["push"]["webpush"] | {"private_key": write_private(keys / "shop.pem", SHOP_VAPID_KEY)}
    return merged(config, {"push": {"apps": [{"name": "shop", "apns": apns, "webpush": webpush}]}})


@pytest.fixture(scope="module")
def pushing(simulator, tmp_path_factory, start_for_module):
    return start_for_module(apps_config(simulator, tmp_path_factory.mktemp("keys")))


@pytest.fixture
def user(tag):
    return f"user-{tag}"


def log_lines(gateway, event):
    lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def topic_of(request):
    return dict(request["headers"])["apns-topic"]


# -- apps -----------------------------------------------------------------------------------------

def test_a_device_is_pushed_to_with_its_apps_credential(pushing, simulator, user):
    plain = register(pushing, user, "plain")
    shop = register(pushing, user, "shop", app="shop")
    subscriptions = {}
    for name, key in (("", VAPID_KEY), ("shop", SHOP_VAPID_KEY)):
        one = simulator.subscribe(vapid_key=b64(point(key)))
        register(pushing, user, f"browser-{name}", "web", app=name,
                 subscription={member: one[member] for member in ("endpoint", "keys")})
        subscriptions[name] = one["id"]
    listed = pushing.api("GET", f"/sessions/{quoted(user)}").json()["devices"]
    assert {one["device_id"]: one.get("app") for one in listed} == {
        "plain": None, "shop": "shop", "browser-": None, "browser-shop": "shop"}
    one = notify(pushing, user)
    wait_until(lambda: len([d for d in shown(pushing, one)["outcomes"][1]["devices"] if d["status"] == "sent"]) == 4,
               20 * PATIENCE, "four devices")
    assert [topic_of(each) for each in delivered(simulator, plain)] == [TOPIC]
    assert [topic_of(each) for each in delivered(simulator, shop)] == [SHOP_TOPIC]
    # One token for both: they have one key.
    authorizations = {dict(each["headers"])["authorization"]
                      for device in (plain, shop) for each in simulator.requests(token=device)}
    assert len(authorizations) == 1
    for subscription in subscriptions.values():
        assert len(simulator.control("GET", f"/subscriptions/{subscription}")["received"]) == 1
    told = {d["push"]["device"]: (d["push"]["provider"], d["push"].get("app"))
            for d in shown(pushing, one)["outcomes"][1]["devices"]}
    assert told == {"plain": ("apns", None), "shop": ("apns", "shop"),
                    "browser-": ("webpush", None), "browser-shop": ("webpush", "shop")}
    series = scrape(pushing)
    for provider in ("apns", "webpush"):
        assert total(series, "push_attempts_total", provider=provider, app="shop", outcome="sent") == 1
        assert total(series, "push_attempts_total", provider=provider, outcome="sent") == 2
        assert series[f'fanfare_push_breaker{{app="shop",provider="{provider}"}}'] == 0
        assert total(series, "h2_client_connections", pool=f"{provider}:shop") == 1


def test_an_app_that_is_not_configured_is_refused(pushing, user):
    answer = pushing.api("POST", "/sessions", {"user_id": user, "device_id": "a", "platform": "ios",
                                               "device_token": "00", "app": "shopp"})
    assert (answer.status, answer.json()["field"]) == (400, "app")


def test_an_app_is_not_pushed_to_on_a_platform_that_only_another_has(pushing, simulator, user):
    device = register(pushing, user, platform="android", app="shop")
    one = notify(pushing, user, channels=["push"])
    record = shown(pushing, one)
    assert record["status"] == "failed" and record["outcomes"][0]["devices"] == []
    assert simulator.requests(token=device) == []


def test_what_waits_for_an_app_that_is_gone_is_a_dead_letter(simulator, start, tmp_path, user):
    gateway = start(apps_config(simulator, tmp_path))
    device = register(gateway, user, app="shop")
    simulator.faults("apns", error_rate=1)
    try:
        one = notify(gateway, user)
        wait_until(lambda: simulator.requests(token=device), 20 * PATIENCE, "a first attempt")
        gateway.kill()
    finally:
        simulator.control("POST", "/reset")
    changed = json.loads(json.dumps(gateway.config))
    del changed["push"]["apps"]
    gateway.write_config(changed)
    gateway.start()
    record = wait_status(gateway, one, "failed")
    [told] = record["outcomes"][1]["devices"]
    assert told["push"]["reason"] == "no provider is configured for ios of app shop"


def test_open_connections_to_services_do_not_hold_up_the_end(simulator, start, tmp_path, user):
    gateway = start(merged(apps_config(simulator, tmp_path), {"server": {"drain": "1h"}}))
    register(gateway, user, app="shop")
    wait_status(gateway, notify(gateway, user), "sent")
    assert total(scrape(gateway), "h2_client_connections", pool="apns:shop") == 1
    gateway.signal(signal.SIGTERM)
    assert gateway.wait_exit() == 0


# -- certificate mode -----------------------------------------------------------------------------

def make_certificates(directory):
    """An authority, and a certificate of the app that it signed, for production: paths of ca, certificate, key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(oid, name)])
             for oid, name in ((x509.NameOID.COMMON_NAME, "test authority"), (x509.NameOID.USER_ID, TOPIC))]
    production = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113635.100.6.3.2"), b"\x05\x00")
    now = datetime.datetime.utcnow()
    paths = []
    for index, (key, name) in enumerate(zip(keys, names)):
        extension = x509.BasicConstraints(ca=True, path_length=None) if index == 0 else production
        signed = (x509.CertificateBuilder().subject_name(name).issuer_name(names[0]).public_key(key.public_key())
                  .serial_number(index + 1).not_valid_before(now - datetime.timedelta(days=1))
                  .not_valid_after(now + datetime.timedelta(days=7, hours=12)).add_extension(extension, critical=False)
                  .sign(keys[0], hashes.SHA256()))
        path = directory / f"certificate-{index}.pem"
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        paths.append(str(path))
    return *paths, write_private(directory / "certificate-key.pem", keys[1])


def test_apple_is_shown_a_certificate_instead_of_a_token(start, tmp_path, user):
    ca, certificate, key = make_certificates(tmp_path)
    simulator = Simulator(tmp_path / "sim", "--apns-client-ca", ca, "--apns-topic", TOPIC,
                          services=("apns", "control"))
    try:
        apns = {"endpoint": f"https://localhost:{simulator.port('apns')}", "ca": simulator.ca, "topic": TOPIC,
                "certificate": certificate, "certificate_key": key}
        gateway = start({"push": {"apns": apns}})
        phone = register(gateway, user)
        one = notify(gateway, user)
        wait_status(gateway, one, "sent")
        [request] = delivered(simulator, phone)
        assert "authorization" not in dict(request["headers"])
        warnings = [line["detail"] for line in log_lines(gateway, "config_warning")]
        assert [text for text in warnings if text.endswith("push.apns.certificate: ends in 7 days")]
    finally:
        simulator.stop()


# -- what is for push alone -----------------------------------------------------------------------

def test_badge_and_sound_reach_each_service(pushing, simulator, user):
    phone = register(pushing, user)
    android = register(pushing, user, "android", "android")
    one = notify(pushing, user, badge=7, sound="ping.caf")
    wait_until(lambda: delivered(simulator, phone) and delivered(simulator, android), 20 * PATIENCE, "two pushes")
    aps = json.loads(delivered(simulator, phone)[0]["body"])["aps"]
    assert (aps["badge"], aps["sound"]) == (7, "ping.caf")
    shown_by_android = json.loads(delivered(simulator, android)[0]["body"])["message"]["android"]["notification"]
    assert (shown_by_android["notification_count"], shown_by_android["sound"]) == (7, "ping.caf")
    # Clients are not sent it.
    [message] = pushing.api("GET", f"/users/{quoted(user)}/inbox").json()["messages"]
    assert not {"badge", "sound"} & set(message["data"])
    assert shown(pushing, one)["data"]["title"] == "hello"


def test_a_silent_push_wakes_the_app_and_shows_nothing(pushing, simulator, user):
    phone = register(pushing, user)
    android = register(pushing, user, "android", "android")
    answer = pushing.api("POST", "/notifications", {"user_id": user, "data": {"sync": 1}, "silent": True})
    assert answer.status == 202, answer.body
    wait_until(lambda: delivered(simulator, phone) and delivered(simulator, android), 20 * PATIENCE, "two pushes")
    [request] = delivered(simulator, phone)
    headers = dict(request["headers"])
    assert (headers["apns-push-type"], headers["apns-priority"]) == ("background", "5")
    assert json.loads(request["body"])["aps"] == {"content-available": 1}
    message = json.loads(delivered(simulator, android)[0]["body"])["message"]
    assert "notification" not in message and message["android"]["priority"] == "NORMAL"
    refused = pushing.api("POST", "/notifications", {"user_id": user, "title": "t", "silent": True})
    assert (refused.status, refused.json()["field"]) == (400, "silent")


def test_the_same_key_with_another_badge_is_a_conflict(pushing, user, tag):
    body = {"user_id": user, "title": "t", "idempotency_key": tag}
    first = pushing.api("POST", "/notifications", body | {"badge": 1})
    again = pushing.api("POST", "/notifications", body | {"badge": 1})
    assert again.json()["id"] == first.json()["id"]
    assert pushing.api("POST", "/notifications", body | {"badge": 2}).status == 409


# -- rates, and who is gone ------------------------------------------------------------------------

def test_rates_hold_and_are_reloaded_but_credentials_are_not(simulator, start, tmp_path, user):
    config = apps_config(simulator, tmp_path)
    config["push"]["apns"]["rate"] = 1
    gateway = start(config)
    phone = register(gateway, user)
    ids = [notify(gateway, user) for _ in range(100)]
    wait_until(lambda: delivered(simulator, phone), 20 * PATIENCE, "a first push")
    assert len(delivered(simulator, phone)) < 50
    changed = json.loads(json.dumps(gateway.config))
    changed["push"]["apns"] |= {"rate": 0, "topic": "com.example.other"}
    changed["push"]["rate"] = 10_000
    changed["push"]["apps"][0]["apns"]["rate"] = 5
    changed["push"]["proxy"] = "http://ops:hunter2@127.0.0.1:1"
    gateway.write_config(changed)
    gateway.process.send_signal(signal.SIGHUP)
    for one in ids:
        wait_status(gateway, one, "sent")
    [reloaded] = log_lines(gateway, "reloaded")
    assert reloaded["changed"] == "push.apns.rate, push.apps, push.rate"
    [kept] = log_lines(gateway, "reload_needs_restart")
    assert kept["keys"] == "push.apns.topic, push.proxy"
    assert {topic_of(each) for each in delivered(simulator, phone)} == {TOPIC}
    assert "hunter2" not in gateway.log()


@pytest.mark.parametrize("how", ["unregistered", "erased", "taken"])
def test_what_waits_for_a_device_that_is_gone_does_not_leave(simulator, start, tmp_path, user, how):
    config = apps_config(simulator, tmp_path)
    config["push"]["rate"] = 1
    gateway = start(config)
    phone = register(gateway, user)
    ids = [notify(gateway, user, channels=["push"], title="before") for _ in range(10)]
    wait_until(lambda: delivered(simulator, phone), 20 * PATIENCE, "a first push")
    if how == "unregistered":
        assert gateway.api("DELETE", f"/sessions/{quoted(user)}?device_id=phone").status == 204
    elif how == "erased":
        assert gateway.api("DELETE", f"/users/{quoted(user)}").status == 200
    else:
        register(gateway, user + "-2", device_token=phone)
    # One may be on its way; the others were stopped before the answer.
    left = len(simulator.requests(token=phone))
    other = register(gateway, user + "-3")
    later = notify(gateway, user + "-3")
    wait_status(gateway, later, "sent")
    assert delivered(simulator, other)
    assert len(simulator.requests(token=phone)) <= left + 1 < 10
    if how != "erased":
        states = [wait_status(gateway, one, "sent", "failed")["status"] for one in ids]
        assert states.count("failed") >= 8


# -- proxy ----------------------------------------------------------------------------------------

class ConnectProxy:
    """As small as can be: CONNECT with Basic, then bytes both ways."""

    def __init__(self, user, password):
        self.expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.targets = []
        self.refused = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                more = client.recv(4096)
                if not more:
                    return
                head += more
            line, *fields = head.decode().split("\r\n")
            if f"Proxy-Authorization: {self.expected}" not in fields:
                self.refused += 1
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                               b"Proxy-Authenticate: Basic realm=\"test\"\r\nContent-Length: 0\r\n\r\n")
                return
            target = line.split()[1]
            self.targets.append(target)
            host, port = target.rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=TIMEOUT) as service:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self.relay(client, service)

    @staticmethod
    def relay(one, two):
        other = {one: two, two: one}
        while True:
            for each in select.select(list(other), [], [])[0]:
                try:
                    data = each.recv(65536)
                    if not data:
                        return
                    other[each].sendall(data)
                except OSError:
                    return

    def close(self):
        self.listener.close()


@pytest.fixture
def proxy():
    one = ConnectProxy("ops@example.com", "hunter2:hunter2")
    yield one
    one.close()


PROXY_USER = "ops%40example.com:hunter2%3Ahunter2"


def test_all_services_are_reached_through_the_proxy(simulator, start, tmp_path, user, proxy):
    config = apps_config(simulator, tmp_path)
    config["push"]["proxy"] = f"http://{PROXY_USER}@127.0.0.1:{proxy.port}"
    gateway = start(config)
    phone = register(gateway, user)
    android = register(gateway, user, "android", "android")
    subscription = simulator.subscribe(vapid_key=b64(point(VAPID_KEY)))
    register(gateway, user, "browser", "web",
             subscription={name: subscription[name] for name in ("endpoint", "keys")})
    one = notify(gateway, user)
    wait_until(lambda: len([d for d in shown(gateway, one)["outcomes"][1]["devices"] if d["status"] == "sent"]) == 3,
               20 * PATIENCE, "three devices")
    assert delivered(simulator, phone) and delivered(simulator, android)
    assert set(proxy.targets) == {f"localhost:{simulator.port(service)}" for service in ("apns", "fcm", "oauth")} | {
        subscription["endpoint"].split("/")[2]}
    assert proxy.refused == 0


def test_pushes_wait_for_a_proxy_that_refuses(simulator, start, tmp_path, user, proxy):
    config = apps_config(simulator, tmp_path)
    config["push"]["proxy"] = f"http://ops:wrong-secret@127.0.0.1:{proxy.port}"
    gateway = start(config)
    phone = register(gateway, user)
    one = notify(gateway, user)
    wait_until(lambda: [line for line in log_lines(gateway, "push_connection_failed") if line["pool"] == "apns"],
               20 * PATIENCE, "the log")
    line = next(line for line in log_lines(gateway, "push_connection_failed") if line["pool"] == "apns")
    assert "the proxy refused: status 407" in line["reason"]
    assert any("407" in line["reason"] for line in wait_until(
        lambda: log_lines(gateway, "fcm_token_not_fetched"), 20 * PATIENCE, "the log"))
    assert shown(gateway, one)["status"] == "processing"
    assert delivered(simulator, phone) == [] and proxy.targets == []
    # As if the proxy's operator had set the password that we have.
    proxy.expected = "Basic " + base64.b64encode(b"ops:wrong-secret").decode()
    wait_status(gateway, one, "sent")
    assert len(delivered(simulator, phone)) == 1
    assert "wrong-secret" not in gateway.log()
    assert base64.b64encode(b"ops:wrong-secret").decode() not in gateway.log()
