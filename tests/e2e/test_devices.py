"""Devices over the backend API (protocol §4): registered, shown, removed, kept."""

import base64
import concurrent.futures
import json
import re
import sqlite3
import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import (ALL_KEY, PATIENCE, SCOPE_KEY, SCOPES, assert_problem, quoted, run_command,
                     wait_until)
from test_metrics import scrape
from test_notifications import RFC3339_MS, export, notify, post as post_notification, pages

DEVICES_MAX = 20


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def browser_keys():
    """As a browser makes them: a key pair's public half, and a secret."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return {"p256dh": base64url(public.public_bytes(serialization.Encoding.X962,
                                                    serialization.PublicFormat.UncompressedPoint)),
            "auth": base64url(b"0123456789abcdef")}


KEYS = browser_keys()


def subscription(tag, **more):
    return {"endpoint": f"https://push.example.net/{tag}?x=%2F", "expirationTime": None,
            "keys": KEYS} | more


def ios(user, token, name="phone", **more):
    return {"user_id": user, "device_id": name, "platform": "ios", "device_token": token} | more


def web(user, tag, name="browser", **more):
    return {"user_id": user, "device_id": name, "platform": "web",
            "subscription": subscription(tag)} | more


def post(gateway, body, **options):
    return gateway.api("POST", "/sessions", body, **options)


def register(gateway, body, status=201):
    answer = post(gateway, body)
    assert answer.status == status, (answer.status, answer.body)
    return answer.json()


def devices(gateway, user):
    answer = gateway.api("GET", f"/sessions/{quoted(user)}")
    assert answer.status == 200, answer.body
    body = answer.json()
    assert set(body) == {"user_id", "devices"} and body["user_id"] == user
    return body["devices"]


def names(gateway, user):
    return [device["device_id"] for device in devices(gateway, user)]


def unregister(gateway, user, query=""):
    answer = gateway.api("DELETE", f"/sessions/{quoted(user)}{query}")
    assert answer.status == 204 and answer.body == b"", (answer.status, answer.body)


def seconds_between(earlier, later):
    def seconds(text):
        whole = time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
        return time.mktime(whole) + float("0" + text[19:-1])
    return seconds(later) - seconds(earlier)


@pytest.fixture
def user(tag):
    return f"user-{tag}"


# -- shapes ---------------------------------------------------------------------------------------

def test_registering_answers_201_and_then_200(gateway, user, tag):
    first = register(gateway, ios(user, tag + "00"), 201)
    assert set(first) == {"user_id", "device_id", "platform", "registered"}
    assert (first["user_id"], first["device_id"], first["platform"]) == (user, "phone", "ios")
    assert RFC3339_MS.fullmatch(first["registered"])
    again = register(gateway, ios(user, tag + "01", ttl=60), 200)
    assert set(again) == {"user_id", "device_id", "platform", "registered", "expires"}
    assert again["registered"] >= first["registered"]
    assert seconds_between(again["registered"], again["expires"]) == 60


def test_all_platforms_are_shown_without_their_secrets(gateway, user, tag):
    register(gateway, ios(user, tag.upper() + "00", locale="pt-BR", timezone="America/Sao_Paulo",
                          topics=["news", "a \u00e4"]))
    register(gateway, {"user_id": user, "device_id": "tablet", "platform": "android",
                       "device_token": f"fcm:{tag}-_"})
    end = int(time.time() + 3600) * 1000 + 250
    register(gateway, web(user, tag, subscription=subscription(tag, expirationTime=end)))
    browser, phone, tablet = devices(gateway, user)
    registered = [one.pop("registered") for one in (browser, phone, tablet)]
    assert all(RFC3339_MS.fullmatch(time) for time in registered)
    expires = browser.pop("expires")
    assert expires.endswith(".250Z")
    assert browser == {"device_id": "browser", "platform": "web", "topics": []}
    assert phone == {"device_id": "phone", "platform": "ios", "locale": "pt-BR",
                     "timezone": "America/Sao_Paulo", "topics": ["a \u00e4", "news"]}
    assert tablet == {"device_id": "tablet", "platform": "android", "topics": []}
    shown = gateway.api("GET", f"/sessions/{quoted(user)}").body
    for secret in (f"{tag}00", f"fcm:{tag}", "push.example.net", KEYS["p256dh"], KEYS["auth"]):
        assert secret.encode() not in shown


def test_a_user_may_be_an_integer_and_a_name_may_be_anything(gateway, tag):
    number = int(tag, 16)
    register(gateway, ios(number, tag + "00", name="my phone/1 \u00e4"))
    assert names(gateway, str(number)) == ["my phone/1 \u00e4"]
    unregister(gateway, str(number), "?device_id=my%20phone%2F1%20%C3%A4")
    assert names(gateway, str(number)) == []
    assert devices(gateway, f"a/b {tag}") == []


def test_keys_of_old_browsers_are_taken(gateway, user, tag):
    padded = {name: base64.b64encode(base64.urlsafe_b64decode(key + "==")).decode()
              for name, key in KEYS.items()}
    assert padded["auth"].endswith("==")
    register(gateway, web(user, tag, subscription=subscription(tag, keys=padded)))
    assert names(gateway, user) == ["browser"]


def test_what_is_not_given_again_is_gone(gateway, user, tag):
    register(gateway, ios(user, tag + "00", locale="en", topics=["a"], ttl=3600))
    register(gateway, ios(user, tag + "00"), 200)
    device, = devices(gateway, user)
    assert set(device) == {"device_id", "platform", "topics", "registered"}
    assert device["topics"] == []


# -- what is wrong --------------------------------------------------------------------------------

def flawed(**changes):
    return {name: value for name, value in (ios("u", "00") | changes).items() if value != "absent"}


def flawed_web(endpoint="https://push.example.net/a", **keys):
    return web("u", "x", subscription={"endpoint": endpoint, "keys": KEYS | keys})


BAD_BODIES = {
    "no user": (flawed(user_id="absent"), "user_id"),
    "user is null": (flawed(user_id=None), "user_id"),
    "user is too long": (flawed(user_id="x" * 256), "user_id"),
    "user with a line feed": (flawed(user_id="a\n"), "user_id"),
    "no device": (flawed(device_id="absent"), "device_id"),
    "device is empty": (flawed(device_id=""), "device_id"),
    "device is a number": (flawed(device_id=1), "device_id"),
    "device is too long": (flawed(device_id="x" * 256), "device_id"),
    "no platform": (flawed(platform="absent"), "platform"),
    "unknown platform": (flawed(platform="windows"), "platform"),
    "no token": (flawed(device_token="absent"), "device_token"),
    "token is empty": (flawed(device_token=""), "device_token"),
    "token is no hex": (flawed(device_token="0x"), "device_token"),
    "token of half a byte": (flawed(device_token="000"), "device_token"),
    "token is too long": (flawed(device_token="0" * 402), "device_token"),
    "FCM token with a space": (flawed(platform="android", device_token="a b"), "device_token"),
    "FCM token is too long": (flawed(platform="android", device_token="x" * 4097), "device_token"),
    "a token of the web": (web("u", "x", device_token="00"), "device_token"),
    "a subscription of a phone": (flawed(subscription=subscription("x")), "subscription"),
    "no subscription": (flawed(platform="web", device_token="absent"), "subscription"),
    "subscription is a text": (web("u", "x", subscription="https://a.example"), "subscription"),
    "no endpoint": (web("u", "x", subscription={"keys": KEYS}), "subscription.endpoint"),
    "endpoint by http": (flawed_web("http://push.example.net/a"), "subscription.endpoint"),
    "endpoint with a password": (flawed_web("https://u:p@push.example.net/"),
                                 "subscription.endpoint"),
    "endpoint without host": (flawed_web("https:///a"), "subscription.endpoint"),
    "endpoint is too long": (flawed_web("https://a.example/" + "x" * 2048),
                             "subscription.endpoint"),
    "no keys": (web("u", "x", subscription={"endpoint": "https://a.example/"}),
                "subscription.keys"),
    "key of other bytes": (flawed_web(p256dh="AAAA"), "subscription.keys.p256dh"),
    "key off the curve": (flawed_web(p256dh=base64url(b"\x04" + b"\x01" * 64)),
                          "subscription.keys.p256dh"),
    "key is no base64": (flawed_web(p256dh="!"), "subscription.keys.p256dh"),
    "secret is short": (flawed_web(auth="AAAA"), "subscription.keys.auth"),
    "it is over": (web("u", "x", subscription=subscription("x", expirationTime=1000)),
                   "subscription.expirationTime"),
    "end is a text": (web("u", "x", subscription=subscription("x", expirationTime="soon")),
                      "subscription.expirationTime"),
    "locale": (flawed(locale="en_US"), "locale"),
    "time zone": (flawed(timezone="New York"), "timezone"),
    "topics is a text": (flawed(topics="news"), "topics"),
    "a topic twice": (flawed(topics=["a", "a"]), "topics"),
    "a topic is too long": (flawed(topics=["x" * 65]), "topics"),
    "too many topics": (flawed(topics=[str(n) for n in range(101)]), "topics"),
    "app is too long": (flawed(app="x" * 65), "app"),
    "ttl is zero": (flawed(ttl=0), "ttl"),
    "ttl is a fraction": (flawed(ttl=0.5), "ttl"),
    "an array": ([ios("u", "00")], None),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body_names_its_field(gateway, name):
    body, field = BAD_BODIES[name]
    assert_problem(post(gateway, body), 400, "bad_request", field)


@pytest.mark.parametrize("body", [b"", b"{", b'{"user_id":"u","ttl":01}', b'{"user_id":"\xff"}'])
def test_invalid_json_is_400_and_names_the_place(gateway, body):
    problem = assert_problem(post(gateway, body), 400, "bad_request")
    assert re.search(r"byte \d+", problem["detail"]), problem


@pytest.mark.parametrize("method, path, body, allowed", [
    ("POST", "/sessions", ios("scopes", "5c09e5"), {"POST"}),
    ("GET", "/sessions/scopes", None, {"GET", "HEAD", "DELETE"}),
    ("DELETE", "/sessions/scopes", None, {"GET", "HEAD", "DELETE"}),
])
def test_call_needs_its_key_scope_and_method(gateway, method, path, body, allowed):
    for scope in SCOPES:
        response = gateway.api(method, path, body, key=SCOPE_KEY[scope])
        if scope == "notify":
            assert response.status in (200, 201, 204), response.body
        else:
            assert_problem(response, 403, "forbidden")
    assert_problem(gateway.api(method, path, body, key=None), 401, "unauthorized")
    assert_problem(gateway.api(method, path, body, key=ALL_KEY + "0"), 401, "unauthorized")
    wrong = gateway.api("PUT", path)
    assert_problem(wrong, 405, "method_not_allowed")
    assert allowed <= set(wrong.headers["Allow"].split(", "))


def test_other_media_types_and_users_that_are_none(gateway):
    answer = post(gateway, b"{}", headers={"Content-Type": "text/plain"})
    assert_problem(answer, 415, "unsupported_media_type")
    for method in ("GET", "DELETE"):
        for path in ("/sessions/a%0Ab", f"/sessions/{'x' * 256}"):
            assert_problem(gateway.api(method, path), 400, "bad_request", "user_id")


# -- removing -------------------------------------------------------------------------------------

def test_unregistering_is_always_204(gateway, user, tag):
    for n in range(3):
        register(gateway, ios(user, f"{tag}0{n}", name=f"d{n}"))
    unregister(gateway, user, "?device_id=d1")
    unregister(gateway, user, "?device_id=d1")
    assert names(gateway, user) == ["d0", "d2"]
    # An empty variable of somebody's script must not unregister everything.
    answer = gateway.api("DELETE", f"/sessions/{user}?device_id=")
    assert_problem(answer, 400, "bad_request", "device_id")
    assert names(gateway, user) == ["d0", "d2"]
    unregister(gateway, user)
    unregister(gateway, user)
    assert names(gateway, user) == []
    register(gateway, ios(user, f"{tag}00", name="d0"), 201)


# -- one owner, so many, so long ------------------------------------------------------------------

def test_a_token_moves_to_who_registers_it_last(gateway, user, tag):
    other = user + "-other"
    for make in (lambda whose: ios(whose, tag + "00"), lambda whose: web(whose, tag)):
        register(gateway, make(user), 201)
        register(gateway, make(other), 201)
    assert names(gateway, user) == []
    assert names(gateway, other) == ["browser", "phone"]
    # The app was installed anew, and has another name for the same phone.
    register(gateway, ios(other, tag + "00", name="new phone"), 201)
    assert names(gateway, other) == ["browser", "new phone"]
    # In upper case it is the same token.
    register(gateway, ios(user, tag.upper() + "00"), 201)
    assert names(gateway, other) == ["browser"]


def test_many_who_register_one_token_leave_one_owner(gateway, tag):
    users = [f"user-{tag}-{n}" for n in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: register(gateway, ios(one, tag + "00")), users))
    assert sum(len(names(gateway, one)) for one in users) == 1


def test_a_user_has_at_most_so_many_devices(gateway, user, tag):
    for n in range(DEVICES_MAX):
        register(gateway, ios(user, f"{tag}{n:02}", name=f"d{n:02}"))
    other = user + "-other"
    register(gateway, ios(other, tag + "aa"))
    over = post(gateway, ios(user, tag + "aa", name="more"))
    assert_problem(over, 409, "limit_reached")
    # Nothing went, and nothing was taken from anybody.
    assert names(gateway, user) == [f"d{n:02}" for n in range(DEVICES_MAX)]
    assert names(gateway, other) == ["phone"]
    register(gateway, ios(user, tag + "bb", name="d07"), 200)
    unregister(gateway, user, "?device_id=d00")
    register(gateway, ios(user, tag + "aa", name="more"), 201)
    assert names(gateway, other) == []


def test_devices_expire(start, tag):
    gateway = start()
    register(gateway, ios("ada", tag + "00", ttl=2, topics=["t"]))
    register(gateway, ios("ada", tag + "01", name="other", ttl=3600))
    soon = int(time.time() * 1000) + 2000
    register(gateway, web("ada", tag, subscription=subscription(tag, expirationTime=soon)))
    wait_until(lambda: names(gateway, "ada") == ["other"], what="the end of two devices")

    def rows(table):
        with sqlite3.connect(f"file:{gateway.directory / 'fanfare.db'}?mode=ro", uri=True) as file:
            return file.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    wait_until(lambda: rows("devices") == 1, what="their rows' end")
    assert rows("device_topics") == 0
    wait_until(lambda: scrape(gateway)['fanfare_push_devices{platform="web"}'] == 0)
    assert scrape(gateway)['fanfare_push_devices{platform="ios"}'] == 1


# -- all that is kept of a user -------------------------------------------------------------------

def test_export_and_erase_know_devices(start, tag):
    gateway = start()
    register(gateway, ios("ada", tag + "00", locale="en", topics=["topic-" + tag]))
    register(gateway, web("ada", tag))
    register(gateway, ios("bo", "b0" + tag))
    for _ in range(3):
        notify(gateway, "ada")
    page = export(gateway, "ada")
    assert page["push_devices"] == devices(gateway, "ada")
    assert len(pages(export, gateway, "ada", "notifications", limit=2)[0]) == 3
    assert page["devices"] == []            # those have read nothing yet
    for secret in (tag + "00", "push.example.net", KEYS["auth"]):
        assert secret not in json.dumps(page)
    answer = gateway.api("DELETE", "/users/ada")
    assert answer.json() == {"user": "ada",
                             "erased": {"notifications": 3, "devices": 0, "push_devices": 2}}
    assert devices(gateway, "ada") == [] and export(gateway, "ada")["push_devices"] == []
    assert names(gateway, "bo") == ["phone"]
    gateway.stop()
    with sqlite3.connect(gateway.directory / "fanfare.db") as database:
        rows = "\n".join(database.iterdump())
    assert "b0" + tag in rows
    for secret in (f"'{tag}00'", f"example.net/{tag}", "topic-" + tag):
        assert secret not in rows


# -- restarts, logs and figures -------------------------------------------------------------------

def test_devices_survive_the_process(start, tag):
    gateway = start()
    register(gateway, ios("ada", tag + "00", topics=["a", "b"], ttl=3600))
    register(gateway, web("ada", tag))
    register(gateway, web("bo", tag + "b"))
    before = devices(gateway, "ada"), devices(gateway, "bo"), export(gateway, "ada")

    def figures():
        return {name: value for name, value in scrape(gateway).items() if "push_devices" in name}
    counted = {f'fanfare_push_devices{{platform="{platform}"}}': count
               for platform, count in (("ios", 1), ("android", 0), ("web", 2))}
    assert figures() == counted
    for end in (gateway.kill, gateway.stop):
        end()
        gateway.start()
        assert (devices(gateway, "ada"), devices(gateway, "bo"), export(gateway, "ada")) == before
        wait_until(lambda: figures() == counted, what="the figures")
    register(gateway, web("ada", tag), 200)
    store = run_command("store", "check", "--config", gateway.config_path,
                        directory=gateway.directory)
    assert store.returncode == 0 and store.stdout.endswith(", 3 devices, 0 dead letters\n"), store.output
    stats = run_command("store", "stats", "--json", "--config", gateway.config_path,
                        directory=gateway.directory)
    assert json.loads(stats.stdout)["devices"] == 3


class Registrar(threading.Thread):
    """Registers, moves and removes devices of its own users, also over the gateway's deaths. What
    was answered is known; what was under way when the gateway died is one of two."""

    def __init__(self, gateway, name):
        super().__init__(daemon=True)
        self.gateway, self.prefix = gateway, name
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.known, self.open = {}, None        # token: (user, device); (token, what it may be)
        self.answered, self.cut, self.failure = 0, 0, None

    def run(self):
        try:
            n = 0
            while not self.ending.is_set():
                n += 1
                self.turn(n)
        except BaseException as failure:  # pylint: disable=broad-except; reported by the test
            self.failure = failure

    def turn(self, n):
        token = f"{self.prefix}{n % 12:02}"
        place = (f"{self.prefix}-user{n % 5}", f"d{n % 12}")
        wanted = None if n % 7 == 0 else place
        with self.lock:
            before = self.known.get(token)
            self.open = (token, wanted)
        while not self.ending.is_set():
            try:
                if wanted:
                    answer = post(self.gateway, ios(place[0], token, name=place[1]))
                    assert answer.status in (200, 201), answer.body
                elif before:
                    answer = self.gateway.api(
                        "DELETE", f"/sessions/{before[0]}?device_id={before[1]}")
                    assert answer.status == 204, answer.body
                break
            except OSError:
                self.cut += 1
                self.ending.wait(0.01)
        else:
            return
        with self.lock:
            self.known[token], self.open = wanted, None
            self.answered += 1

    def promises(self):
        with self.lock:
            return dict(self.known), self.open

    def check(self, promises):
        known, unanswered = promises
        found = {}
        with sqlite3.connect(f"file:{self.gateway.directory / 'fanfare.db'}?mode=ro",
                             uri=True) as file:
            for token, user, name in file.execute("SELECT token, user, name FROM devices"):
                found[token] = (user, name)
        for token, place in known.items():
            allowed = [place]
            if unanswered and unanswered[0] == token:
                allowed.append(unanswered[1])
            assert found.get(token) in allowed, (token, found.get(token), allowed)


def test_kill_9_keeps_what_was_answered(start):
    gateway = start({"log": {"level": "warn"}})
    registrars = [Registrar(gateway, prefix) for prefix in ("aa", "bb", "cc")]
    for one in registrars:
        one.start()
    for _ in range(12):
        enough = [one.answered + 15 for one in registrars]
        wait_until(lambda: any(one.failure for one in registrars) or
                   all(one.answered > wanted for one, wanted in zip(registrars, enough)),
                   30 * PATIENCE, what="registrations")
        for one in registrars:
            assert one.failure is None, one.failure
        gateway.kill()
        promises = [one.promises() for one in registrars]
        for one, promise in zip(registrars, promises):
            one.check(promise)
        gateway.start()
    for one in registrars:
        one.ending.set()
    for one in registrars:
        one.join()
        assert one.failure is None, one.failure
    assert sum(one.cut for one in registrars) > 0
    check = run_command("store", "check", "--config", gateway.config_path,
                        directory=gateway.directory)
    assert check.returncode == 0, check.output


def test_tokens_and_keys_do_not_leak_into_the_log(start, tag):
    gateway = start({"log": {"level": "debug"}})
    register(gateway, ios("ada", tag + "00"))
    register(gateway, web("ada", tag))
    for body in (ios("ada", tag + "0x"), flawed_web(f"http://push.example.net/{tag}"),
                 flawed_web(auth=base64url(tag.encode()))):
        answer = post(gateway, body)
        assert_problem(answer, 400)
        assert tag.encode() not in answer.body
    assert_problem(post_notification(gateway, {"user_id": "ada"}), 400)
    gateway.stop()
    for secret in (tag, KEYS["auth"], KEYS["p256dh"]):
        assert secret not in gateway.log()
