"""The gateway as a process: configuration, start, stop, tokens, keys and the backend API.

Nothing here sleeps for luck: a start waits for /ready, everything else for a condition with a bound.
"""

import copy
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import jwt
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("FANFARE_BIN", str(REPOSITORY / "build/release/fanfare"))

# Instrumented builds are several times slower; FANFARE_E2E_PATIENCE=4 stretches every bound.
PATIENCE = float(os.environ.get("FANFARE_E2E_PATIENCE", "1"))
TIMEOUT = 5.0 * PATIENCE

SECRET = "an-hmac-secret-of-more-than-thirty-two-bytes"
NODE = "e2e-node"
ALLOWED_ORIGIN = "https://app.example.com"

# One key with every scope, and one per scope: what a key may not do is tested too.
ALL_KEY = "sk_test_all_0123456789abcdef0123456789abcdef"
SCOPES = ("publish", "read", "notify", "admin")
SCOPE_KEY = {scope: f"sk_test_{scope}_0123456789abcdef0123456789abcdef" for scope in SCOPES}

ERROR_CODES = {
    "bad_request", "unknown_op", "unauthorized", "forbidden", "not_found", "conflict",
    "already_subscribed", "not_subscribed", "too_large", "rate_limited", "limit_reached",
    "unavailable", "internal", "method_not_allowed", "unsupported_media_type",
}

# First match wins; there is no catch-all, so `nowhere:*` is a room that no rule matches.
ROOMS = [
    {"match": "durable:*", "subscribe": "anyone", "publish": "server",
     "history": {"size": 100, "ttl": "5m", "durable": True}},
    {"match": "chat:*", "subscribe": "user", "publish": "subscriber", "presence": True,
     "history": {"size": 1000, "ttl": "1h"}},
    {"match": "lobby:*", "subscribe": "anyone", "publish": "subscriber", "presence": True,
     "history": {"size": 100, "ttl": "5m"}},
    {"match": "grant:*", "subscribe": "token", "publish": "token", "patterns": True,
     "history": {"size": 100, "ttl": "5m"}},
    {"match": "*:nopattern", "subscribe": "anyone", "publish": "server", "patterns": False,
     "history": {"size": 100, "ttl": "5m"}},
    {"match": "*:members", "subscribe": "user", "publish": "server", "patterns": True,
     "history": {"size": 100, "ttl": "5m"}},
    {"match": "post_*_comments", "subscribe": "anyone", "publish": "server", "patterns": True,
     "history": {"size": 100, "ttl": "5m"}},
    {"match": "short:*", "subscribe": "anyone", "publish": "server",
     "history": {"size": 5, "ttl": "1h"}},
    {"match": "news:*", "subscribe": "anyone", "publish": "server",
     "history": {"size": 1000, "ttl": "1h"}},
    {"match": "open:*", "subscribe": "anyone", "publish": "subscriber", "patterns": True,
     "history": {"size": 5000, "ttl": "1h"}},
]


def key_hash(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def default_config():
    """The configuration of the shared gateway, without its `listen`."""
    keys = [{"name": "all", "hash": key_hash(ALL_KEY), "scopes": list(SCOPES)}]
    keys += [{"name": scope, "hash": key_hash(key), "scopes": [scope]}
             for scope, key in SCOPE_KEY.items()]
    return {
        "node": {"name": NODE},
        "server": {"reactors": 2, "drain": "1s"},
        "api": {"keys": keys},
        "auth": {"jwt": {"algorithms": ["HS256"], "secret": SECRET, "leeway": "30s"}},
        "clients": {
            "anonymous": True,
            "allowed_origins": [ALLOWED_ORIGIN],
            "heartbeat": "30s",
            "rate": {"messages": 10000, "per": "1s"},
            "presence_linger": "300ms",
        },
        "rooms": copy.deepcopy(ROOMS),
        "log": {"level": "info", "format": "json"},
    }


def merged(base, changes):
    """`base` with `changes` laid over it, mappings member by member; None removes a member."""
    result = copy.deepcopy(base)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def token(sub="u1", *, ttl=3600, secret=SECRET, algorithm="HS256", **claims):
    """A JWT; a claim given as None is left out."""
    payload = {"sub": sub, "exp": int(time.time()) + ttl} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, secret, algorithm=algorithm)


def free_port():
    """A free port below the range that outgoing connections use, so nobody takes it by chance."""
    for _ in range(200):
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port found")


def wait_until(condition, timeout=TIMEOUT, what="the condition"):
    """Polls `condition` until it is truthy and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not hold within {timeout} s"
        time.sleep(0.01)


def quoted(name):
    return urllib.parse.quote(name, safe="")


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)

    @property
    def media_type(self):
        return self.headers.get("Content-Type", "").split(";")[0].strip().lower()


def http_call(port, method, path, body=None, headers=None, timeout=TIMEOUT):
    """One request on its own connection. A body that is not bytes is sent as JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def assert_problem(response, status, code=None, field=None):
    """The answer is an RFC 9457 problem document of this status."""
    expected = (status,) if isinstance(status, int) else status
    assert response.status in expected, (response.status, response.body)
    assert response.media_type == "application/problem+json", response.headers.as_string()
    problem = response.json()
    for member in ("type", "title", "status", "detail", "code"):
        assert member in problem, problem
    assert problem["status"] == response.status
    assert problem["code"] in ERROR_CODES
    if code is not None:
        assert problem["code"] == code, problem
    if field is not None:
        assert problem.get("field") == field, problem
    return problem


class Gateway:
    """One gateway process in `directory`. `config` is a mapping, or None for the embedded default.

    `wrapper`: a command that starts the gateway in its own place (exec), e.g. with sockets.
    """

    def __init__(self, directory, config, *, environment=None, port=None, wrapper=(), pass_fds=()):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.config_path = self.directory / "fanfare.yaml"
        self.environment = dict(environment or {})
        self.wrapper = list(wrapper)
        self.pass_fds = tuple(pass_fds)
        self.process = None
        self.exit_status = None
        self.config = None
        if config is not None:
            self.write_config(config)

    # -- life ---------------------------------------------------------------------------------

    def write_config(self, config):
        own = {"server": {"listen": [f"127.0.0.1:{self.port}"]},
               "store": {"path": str(self.directory / "fanfare.db")}}
        self.config = merged(own, config)
        self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def start(self):
        self.spawn()
        self._wait_ready()
        return self

    def spawn(self):
        """Starts the process and waits for nothing."""
        command = [*self.wrapper, BINARY, "serve"]
        if self.config is not None:
            command += ["--config", str(self.config_path)]
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("FANFARE_")} | self.environment
        with open(self.directory / "stdout.log", "ab") as out, \
                open(self.directory / "stderr.log", "ab") as err:
            self.process = subprocess.Popen(command, cwd=self.directory, env=environment,
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            pass_fds=self.pass_fds)
        self.exit_status = None
        return self

    @property
    def ops_port(self):
        listen = ((self.config or {}).get("server") or {}).get("ops_listen")
        return int(listen[0].rsplit(":", 1)[1]) if listen else self.port

    def _wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"exit status {self.process.returncode} at start:\n{self.log()}")
            try:
                return http_call(self.ops_port, "GET", "/ready", timeout=1).status == 200
            except OSError:
                return False
        try:
            wait_until(ready, 10 * PATIENCE, "GET /ready answering 200")
        except AssertionError:
            self.kill()
            raise

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return "".join((self.directory / name).read_text(errors="replace")
                       for name in ("stdout.log", "stderr.log")
                       if (self.directory / name).exists())

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=15 * PATIENCE):
        self.exit_status = self.process.wait(timeout)
        return self.exit_status

    def kill(self):
        """SIGKILL: the node dies without a word."""
        if self.alive:
            self.process.kill()
        self.wait_exit()

    def stop(self):
        """SIGTERM; a clean stop has exit status 0. Does nothing if the process was waited for."""
        if self.process is None or self.exit_status is not None:
            return
        if self.alive:
            self.signal(signal.SIGTERM)
        try:
            self.wait_exit()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running long after SIGTERM:\n{self.log()[-4000:]}")
        assert self.exit_status == 0, f"exit status {self.exit_status}:\n{self.log()[-4000:]}"
        assert "Sanitizer" not in self.log(), self.log()[-8000:]

    # -- addresses ----------------------------------------------------------------------------

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self):
        return f"ws://127.0.0.1:{self.port}/ws"

    # -- HTTP ---------------------------------------------------------------------------------

    def http(self, method, path, body=None, headers=None, timeout=TIMEOUT):
        return http_call(self.port, method, path, body, headers, timeout)

    def api(self, method, path, body=None, *, key=ALL_KEY, headers=None, timeout=TIMEOUT):
        """A call of the backend API; `path` starts behind /api/v1."""
        headers = ({"X-API-Key": key} if key else {}) | dict(headers or {})
        return self.http(method, "/api/v1" + path, body, headers, timeout)

    def publish(self, room, data, **fields):
        response = self.api("POST", "/publish", {"room": room, "data": data} | fields)
        assert response.status == 200, (response.status, response.body)
        return response.json()

    def publish_many(self, room, payloads):
        """All in one batch, in order; returns the last result."""
        results = []
        payloads = list(payloads)
        for start in range(0, len(payloads), 500):
            items = [{"room": room, "data": data} for data in payloads[start:start + 500]]
            response = self.api("POST", "/publish/batch", items)
            assert response.status == 200, (response.status, response.body)
            results += response.json()["results"]
        assert all("error" not in result for result in results), results
        return results[-1]

    def room_info(self, room):
        response = self.api("GET", "/rooms/" + quoted(room))
        assert response.status == 200, (response.status, response.body)
        return response.json()

    def subscribers(self, room):
        return self._room_number(room, "subscribers")

    def newest(self, room):
        """Offset of the room's newest message."""
        return self._room_number(room, "offset")

    def _room_number(self, room, member):
        """0 too for a room that is forgotten, or that nobody has used yet."""
        response = self.api("GET", "/rooms/" + quoted(room))
        assert response.status in (200, 404), (response.status, response.body)
        return response.json()[member] if response.status == 200 else 0

    def wait_subscribers(self, room, count):
        wait_until(lambda: self.subscribers(room) == count,
                   what=f"{count} subscribers in {room}")


def run_command(*arguments, directory, environment=None, timeout=20 * PATIENCE):
    """`fanfare <arguments>` to its end; the result has returncode and output (both streams)."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FANFARE_")}
    result = subprocess.run([BINARY, *map(str, arguments)], cwd=directory,
                            env=clean | dict(environment or {}), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            timeout=timeout, check=False)
    result.output = result.stdout + result.stderr
    return result
