"""Running it: health, metrics, drain, reload, crash, configuration, command line (protocol §5–7)."""

import asyncio
import hashlib
import json
import re
import signal
import time
from pathlib import Path

import jwt
import pytest
import websockets
import yaml

from client import asynchronous, connect, off_loop, refused_handshake
from harness import (ALL_KEY, NODE, PATIENCE, SECRET, Gateway, assert_problem, default_config,
                     free_port, http_call, key_hash, merged, run_command, wait_until)
from wire import RawHttp, Sse

REPOSITORY = Path(__file__).resolve().parents[2]


# -- health, ready, metrics -----------------------------------------------------------------------

def test_health_and_ready_answer_200(gateway):
    assert gateway.http("GET", "/health").status == 200
    assert gateway.http("GET", "/ready").status == 200


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})? (\S+)( \d+)?')


def test_metrics_are_prometheus_text_with_our_names(gateway, room):
    gateway.publish(room, 1)
    response = gateway.http("GET", "/metrics")
    assert response.status == 200 and response.media_type == "text/plain"
    types = {}
    for line in response.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            types[name] = kind
        elif line and not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1].startswith("fanfare_"), line
            float(match[3])
    assert "counter" in types.values()
    assert all(name.endswith("_total") for name, kind in types.items() if kind == "counter"), types


def test_ops_listen_moves_the_pages_there(start):
    port = free_port()
    gateway = start({"server": {"ops_listen": [f"127.0.0.1:{port}"]}})
    for path in ("/health", "/ready", "/metrics"):
        assert http_call(port, "GET", path).status == 200
        assert gateway.http("GET", path).status == 404
    assert http_call(port, "GET", "/api/v1/rooms", headers={"X-API-Key": ALL_KEY}).status == 404
    assert gateway.api("GET", "/rooms").status == 200


# -- drain ----------------------------------------------------------------------------------------

def test_sigterm_without_clients_ends_at_once(start):
    gateway = start({"server": {"drain": "30s"}})
    begun = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begun < 10 * PATIENCE


@asynchronous
async def test_sigterm_sends_clients_away_over_the_drain_window(start, tag):
    window, port = 3.0, free_port()
    gateway = start({"server": {"drain": "3s", "ops_listen": [f"127.0.0.1:{port}"]}})
    sockets = [connect(gateway) for _ in range(20)]
    clients = [await socket.__aenter__() for socket in sockets]
    streams = [await off_loop(Sse, gateway, [f"open:{tag}"]) for _ in range(4)]
    for stream in streams:
        await off_loop(stream.ready)
    for client in clients:
        await client.subscribe(f"open:{tag}")

    def ready_says_no():
        try:
            return http_call(port, "GET", "/ready", timeout=1).status == 503
        except OSError:
            return not gateway.alive

    async def leave(client):
        bye = await client.next("bye", 20 * PATIENCE)
        at = time.monotonic() - begun
        code = await client.closed(10 * PATIENCE)
        return bye, at, code

    def leave_stream(stream):
        bye = stream.named("bye", 20 * PATIENCE)
        return bye.json(), stream.rest(10 * PATIENCE)

    begun = time.monotonic()
    gateway.signal(signal.SIGTERM)
    results = await asyncio.gather(
        off_loop(wait_until, ready_says_no, what="/ready answering 503"),
        *(leave(client) for client in clients),
        *(off_loop(leave_stream, stream) for stream in streams))
    assert gateway.wait_exit() == 0

    by_socket, by_stream = results[1:21], results[21:]
    for bye, _, code in by_socket:
        assert bye["code"] == "drain" and code == 1001
        assert 0 <= bye["reconnect_in"] <= 60_000
    for bye, rest in by_stream:
        assert bye["code"] == "drain" and bye["reconnect_in"] >= 0
        assert rest == []
    times = sorted(at for _, at, _ in by_socket)
    print("\nbyes after", " ".join(f"{at:.1f}" for at in times), "s")
    assert times[-1] - times[0] > window / 4, "the byes come all at once"
    assert times[-1] < window + 2 * PATIENCE

    for stream in streams:
        stream.close()
    for socket in sockets:
        await socket.__aexit__(None, None, None)


@asynchronous
async def test_event_stream_asked_for_during_the_drain_is_sent_away_politely(start, room):
    gateway = start({"server": {"drain": "4s"}})
    async with connect(gateway) as client:        # keeps the drain going
        with RawHttp(gateway) as raw:
            raw.send(raw.request("GET", "/health"))
            assert raw.answer().status == 200
            gateway.signal(signal.SIGTERM)
            wait_until(lambda: _draining(gateway), what="the drain")
            try:
                raw.send(raw.request("GET", f"/sse?room={room}"))
                answer = await off_loop(raw.answer)
            except (OSError, EOFError):
                answer = None                     # a closed connection makes EventSource come back too
            if answer is not None:
                assert answer.status == 200 and answer.media_type == "text/event-stream"
                retry = re.search(r"^retry: ?(\d+)$", answer.body.decode(), re.MULTILINE)
                assert 2000 <= int(retry[1]) <= 30_000
        await client.closed(15 * PATIENCE)
    assert gateway.wait_exit() == 0


def _draining(gateway):
    try:
        return http_call(gateway.port, "GET", "/ready", timeout=1).status == 503
    except OSError:
        return True


# -- reload ---------------------------------------------------------------------------------------

NEW_KEY = "sk_test_new_0123456789abcdef0123456789abcdef"


@asynchronous
async def test_sighup_reloads_rules_and_keys_without_dropping_sockets(start, tag):
    gateway = start()
    room, late = f"open:{tag}", f"nowhere:{tag}"
    async with connect(gateway) as client:
        stream = await off_loop(Sse, gateway, [room])
        await off_loop(stream.ready)
        await client.subscribe(room)
        await client.refused("not_found", "subscribe", room=late)

        config = default_config()
        config["api"]["keys"] = [{"name": "new", "hash": key_hash(NEW_KEY),
                                  "scopes": ["publish", "read"]}]
        config["rooms"].append({"match": "nowhere:*", "subscribe": "anyone", "publish": "server",
                                "history": {"size": 10, "ttl": "1m"}})
        gateway.write_config(config)
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.api("GET", "/rooms", key=NEW_KEY).status == 200,
                   what="the new key being accepted")
        assert_problem(gateway.api("GET", "/rooms", key=ALL_KEY), 401)

        await client.subscribe(late)
        for target in (late, room):
            response = gateway.api("POST", "/publish", {"room": target, "data": "after"}, key=NEW_KEY)
            assert response.status == 200
            assert (await client.message(target))["data"] == "after"
        assert (await off_loop(stream.messages, 1))[0].json()["data"] == "after"
        stream.close()


@asynchronous
async def test_sighup_with_a_broken_file_keeps_the_old_configuration(start, room):
    gateway = start()
    async with connect(gateway) as client:
        await client.subscribe(room)
        before = len(gateway.log())
        gateway.config_path.write_text("rooms: [\n")
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: "fanfare.yaml" in gateway.log()[before:], what="the fault in the log")
        gateway.publish(room, "still here")
        assert (await client.message())["data"] == "still here"


@asynchronous
async def test_sighup_says_what_cannot_be_reloaded(start):
    gateway = start()
    async with connect(gateway) as client:
        before = len(gateway.log())
        config = merged(default_config(), {"server": {"listen": [f"127.0.0.1:{free_port()}"]}})
        gateway.config_path.write_text(yaml.safe_dump(config))
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: "listen" in gateway.log()[before:], what="`listen` in the log")
        await client.pong()


# -- crash ----------------------------------------------------------------------------------------

@asynchronous
async def test_clients_come_back_after_a_kill_and_learn_that_the_epoch_is_new(start, room):
    gateway = start()
    position = gateway.publish_many(room, range(3))
    since = {"epoch": position["epoch"], "offset": 2}
    with Sse(gateway, [room]) as stream:
        stream.ready()
        cursor = stream.last_event_id

    visits = 0
    async for socket in websockets.connect(gateway.ws_url, compression=None):
        visits += 1
        try:
            assert json.loads(await socket.recv())["op"] == "welcome"
            await socket.send(json.dumps({"id": 1, "op": "subscribe", "room": room, "since": since}))
            reply = json.loads(await socket.recv())
            if visits == 2:
                break
            assert reply["recovered"] is True
            assert json.loads(await socket.recv())["offset"] == 3
            gateway.kill()
            await off_loop(gateway.start)
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd is None, "a killed process says nothing"
    assert reply["recovered"] is False
    assert reply["epoch"] != position["epoch"] and reply["offset"] == 0
    await socket.close()

    with Sse(gateway, [room], last_event_id=cursor) as stream:
        assert stream.ready()["rooms"][room]["recovered"] is False
        gateway.publish(room, "new life")
        assert stream.messages(1)[0].json()["offset"] == 1


# -- configuration --------------------------------------------------------------------------------

# Each: the whole file, the line that is wrong, the key that is wrong.
BAD_CONFIGS = {
    "unknown section": ("node: {name: n}\nnonsense: 1\n", 2, "nonsense"),
    "unknown key": ("node:\n  name: n\n  colour: red\n", 3, "colour"),
    "unknown key in a rule": (
        "rooms:\n  - match: '*'\n    subscribe: anyone\n    publsh: server\n", 4, "publsh"),
    "section of the wrong type": ("server: 7\n", 1, "server"),
    "list of the wrong type": ("server:\n  listen: {a: b}\n", 2, "listen"),
    "number of the wrong type": ("server:\n  reactors: many\n", 2, "reactors"),
    "negative number": ("server:\n  reactors: -1\n", 2, "reactors"),
    "duration without a unit": ("server:\n  drain: 30\n", 2, "drain"),
    "unknown unit": ("server:\n  drain: 5 parsecs\n", 2, "drain"),
    "negative duration": ("clients:\n  heartbeat: -30s\n", 2, "heartbeat"),
    "size with an unknown unit": ("clients:\n  max_message: 64 KB\n", 2, "max_message"),
    "address without a port": ("server:\n  listen: ['127.0.0.1']\n", 2, "listen"),
    "port out of range": ("server:\n  listen: ['127.0.0.1:70000']\n", 2, "listen"),
    "bool of the wrong type": ("clients:\n  anonymous: perhaps\n", 2, "anonymous"),
    "unknown choice": (
        "rooms:\n  - match: '*'\n    subscribe: everyone\n    publish: server\n", 3, "subscribe"),
    "unknown publish choice": (
        "rooms:\n  - match: '*'\n    subscribe: anyone\n    publish: everyone\n", 4, "publish"),
    "rule without match": ("rooms:\n  - subscribe: anyone\n", 2, "match"),
    "negative history": (
        "rooms:\n  - match: '*'\n    history: {size: -5, ttl: 1m}\n", 3, "size"),
    "key hash of another form": (
        "api:\n  keys:\n    - name: k\n      hash: md5:00\n      scopes: [read]\n", 4, "hash"),
    "key hash that is too short": (
        "api:\n  keys:\n    - name: k\n      hash: sha256:abcd\n      scopes: [read]\n", 4, "hash"),
    "unknown scope": (
        "api:\n  keys:\n    - name: k\n      hash: sha256:" + "0" * 64 + "\n      scopes: [root]\n",
        5, "scopes"),
    "secret that is too short": (
        "auth:\n  jwt:\n    algorithms: [HS256]\n    secret: short\n", 4, "secret"),
    "secret too short for HS512": (
        "auth:\n  jwt:\n    algorithms: [HS512]\n    secret: " + "x" * 63 + "\n", 4, "secret"),
    "PEM text as a secret": (
        "auth:\n  jwt:\n    algorithms: [HS256]\n"
        '    secret: "-----BEGIN PUBLIC KEY-----\\nMIIBIjANBgkqhkiG9w0BAQ\\n'
        '-----END PUBLIC KEY-----"\n', 4, "secret"),
    "algorithm without a key": ("auth:\n  jwt:\n    algorithms: [HS256]\n", 3, "algorithms"),
    "public key algorithm without a key": (
        "auth:\n  jwt:\n    algorithms: [RS256]\n    secret: " + "x" * 64 + "\n", 3, "algorithms"),
    "unknown algorithm": (
        "auth:\n  jwt:\n    algorithms: [none]\n    secret: " + "x" * 64 + "\n", 3, "algorithms"),
    "key file that is not there": (
        "auth:\n  jwt:\n    algorithms: [RS256]\n    public_key: /nonexistent/pub.pem\n", 4, "public_key"),
    "unknown broker": ("broker: {type: carrier-pigeon}\n", 1, "type"),
    "unknown log level": ("log:\n  level: loud\n", 2, "level"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_config_error_names_file_line_and_key(tmp_path, name):
    text, line, key = BAD_CONFIGS[name]
    (tmp_path / "bad.yaml").write_text(text)
    for command in (("check-config", tmp_path / "bad.yaml"), ("serve", "--config", tmp_path / "bad.yaml")):
        result = run_command(*command, directory=tmp_path)
        assert result.returncode == 2, (command[0], result.returncode, result.output)
        assert "bad.yaml" in result.output, result.output
        assert key in result.output, result.output
        where = result.output.replace(str(tmp_path), "")
        assert re.search(rf"\b{line}\b", where), f"line {line} is not named: {result.output}"


@pytest.mark.parametrize("text", ["node: {name: n\n", "\tnode: 1\n", "- a\n- b\n", "just text\n",
                                  "node: [1,\n"])
def test_file_that_is_no_yaml_mapping_is_refused(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    result = run_command("check-config", tmp_path / "bad.yaml", directory=tmp_path)
    assert result.returncode == 2 and "bad.yaml" in result.output


NOT_BUILT_YET = {
    "tls": "server:\n  tls: {certificate: cert.pem, key: key.pem}\n",
    "redis": "broker: {type: redis, redis: {url: 'redis://127.0.0.1:6379'}}\n",
}


@pytest.mark.parametrize("name", NOT_BUILT_YET)
def test_setting_that_is_not_built_yet_stops_the_start(tmp_path, name):
    for file in ("cert.pem", "key.pem"):
        (tmp_path / file).touch()
    (tmp_path / "later.yaml").write_text(NOT_BUILT_YET[name])
    result = run_command("serve", "--config", tmp_path / "later.yaml", directory=tmp_path)
    assert result.returncode == 2
    assert name in result.output, result.output


def test_file_that_is_not_there_is_an_error(tmp_path):
    for command in (("check-config", "absent.yaml"), ("serve", "--config", "absent.yaml")):
        result = run_command(*command, directory=tmp_path)
        assert result.returncode == 2 and "absent.yaml" in result.output


def test_good_configurations_pass_the_check(tmp_path):
    listen = {"server": {"listen": ["127.0.0.1:8080"], "max_head": "64KiB", "head_timeout": "250ms"},
              "position_ttl": "7d", "store": {"type": "sqlite", "path": str(tmp_path / "f.db")},
              "inbox": {"ttl": "7d", "ack_timeout": "5s", "attempts": 3}}
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(merged(default_config(), listen)))
    assert run_command("check-config", "good.yaml", directory=tmp_path).returncode == 0
    example = REPOSITORY / "config/fanfare.yaml"
    result = run_command("check-config", example, directory=tmp_path)
    assert result.returncode == 0, result.output


@asynchronous
async def test_environment_overrides_the_file(start, tag):
    gateway = start(environment={
        "FANFARE_NODE__NAME": f"env-{tag}",
        "FANFARE_CLIENTS__MAX_ROOMS": "2",
        "FANFARE_CLIENTS__ALLOWED_ORIGINS": '["https://env.example.com"]',
        "FANFARE_UNRELATED": "variables without two underscores are no settings",
    })
    assert await refused_handshake(gateway, origin="https://env.example.com") == 101
    assert await refused_handshake(gateway, origin="https://app.example.com") == 403
    async with connect(gateway) as client:
        assert client.welcome["node"] == f"env-{tag}" != NODE
        await client.subscribe(f"open:{tag}:1")
        await client.subscribe(f"open:{tag}:2")
        await client.refused("limit_reached", "subscribe", room=f"open:{tag}:3")


@pytest.mark.parametrize("name, value", [
    ("FANFARE_SERVER__NO_SUCH_KEY", "1"), ("FANFARE_NONSENSE__KEY", "1"),
    ("FANFARE_SERVER__REACTORS", "many"), ("FANFARE_SERVER__LISTEN", "[1"),
    ("FANFARE_CLIENTS__HEARTBEAT", "soon"),
])
def test_environment_is_checked_as_strictly_as_the_file(tmp_path, name, value):
    result = run_command("serve", directory=tmp_path, environment={name: value})
    assert result.returncode == 2
    assert name in result.output or name.split("__")[1].lower() in result.output, result.output


# -- command line ---------------------------------------------------------------------------------

def test_version_prints_one(tmp_path):
    result = run_command("version", directory=tmp_path)
    assert result.returncode == 0
    assert re.search(r"\d+\.\d+", result.stdout)


@pytest.mark.parametrize("arguments", [["dance"], ["serve", "--no-such-option"], ["check-config"],
                                       ["token"], ["publish"], ["publish", "room"], ["apikey"],
                                       ["apikey", "dance"]])
def test_wrong_usage_is_2(tmp_path, arguments):
    result = run_command(*arguments, directory=tmp_path)
    assert result.returncode == 2, result.output
    assert result.output.strip()


def test_apikey_new_prints_a_key_and_its_hash(tmp_path):
    keys = set()
    for _ in range(2):
        result = run_command("apikey", "new", directory=tmp_path)
        assert result.returncode == 0
        hashes = re.findall(r"sha256:([0-9a-f]{64})", result.output)
        words = re.findall(r"[A-Za-z0-9_\-]{20,}", result.output)
        fitting = [word for word in words
                   if hashlib.sha256(word.encode()).hexdigest() in hashes]
        assert len(set(fitting)) == 1, result.output
        keys.add(fitting[0])
    assert len(keys) == 2


def options_for(command, directory, wanted):
    """Those of the `wanted` options that the command knows, as arguments."""
    usage = run_command(command, "--help", directory=directory)
    assert usage.returncode == 0
    known = [(name, value) for name, value in wanted.items()
             if re.search(rf"(?<![\w-]){name}\b", usage.output)]
    return [argument for pair in known for argument in pair]


@asynchronous
async def test_token_of_the_command_line_opens_a_session(gateway, tag):
    directory = gateway.directory
    result = await off_loop(
        run_command, "token", "--sub", f"u-{tag}", "--subscribe", f"grant:{tag}:*",
        "--subscribe", "news:*", "--publish", f"grant:{tag}:w", "--ttl", "10m",
        *options_for("token", directory, {"--config": str(gateway.config_path)}),
        directory=directory, environment={"FANFARE_AUTH__JWT__SECRET": SECRET,
                                          "FANFARE_AUTH__JWT__ALGORITHMS": '["HS256"]'})
    assert result.returncode == 0, result.output
    value = result.stdout.strip()
    claims = jwt.decode(value, SECRET, algorithms=["HS256"])
    assert claims["sub"] == f"u-{tag}"
    assert claims["rooms"] == {"subscribe": [f"grant:{tag}:*", "news:*"],
                               "publish": [f"grant:{tag}:w"]}
    assert abs(claims["exp"] - time.time() - 600) < 30
    async with connect(gateway, token=value) as client:
        assert client.welcome["user"] == f"u-{tag}"
        await client.subscribe(f"grant:{tag}:w")
        await client.ok("publish", room=f"grant:{tag}:w", data=1)


def publish_command(gateway, room, data, url=None, key=ALL_KEY):
    directory = gateway.directory
    options = options_for("publish", directory, {"--key": key, "--api-key": key})
    return run_command("publish", room, data, "--url", url or gateway.url, *options[:2],
                       directory=directory, environment={"FANFARE_API_KEY": key})


@asynchronous
async def test_publish_of_the_command_line_arrives(gateway, tag):
    room = f"news:{tag}/ä"
    async with connect(gateway) as client:
        await client.subscribe(room)
        result = await off_loop(publish_command, gateway, room, '{"n": 12345678901234567890}')
        assert result.returncode == 0, result.output
        assert '{"n": 12345678901234567890}' in (await client.message()).text


def test_publish_of_the_command_line_that_fails_is_1(gateway, tag):
    assert publish_command(gateway, f"nowhere:{tag}", "1").returncode == 1
    assert publish_command(gateway, f"news:{tag}", "1", key="sk_test_wrong").returncode == 1
    nobody = f"http://127.0.0.1:{free_port()}"
    result = publish_command(gateway, f"news:{tag}", "1", url=nobody)
    assert result.returncode == 1 and result.output.strip()


# -- embedded default -----------------------------------------------------------------------------

@pytest.fixture
def embedded(tmp_path):
    port = free_port()
    gateway = Gateway(tmp_path / "empty", None, port=port,
                      environment={"FANFARE_SERVER__LISTEN": f'["127.0.0.1:{port}"]'})
    yield gateway.start()
    gateway.stop()


@asynchronous
async def test_embedded_default_serves_anyone_on_this_host(embedded, tag):
    async with connect(embedded) as one, connect(embedded) as two:
        assert one.welcome["user"] is None
        await one.subscribe(f"any-room-{tag}")
        await two.subscribe(f"any-room-{tag}")
        await one.ok("publish", room=f"any-room-{tag}", data="hello")
        assert (await two.message())["data"] == "hello"
    async with connect(embedded, url=f"ws://localhost:{embedded.port}/ws") as client:
        await client.pong()


def test_embedded_default_prints_an_api_key_once(embedded, tag):
    words = set(re.findall(r"[A-Za-z0-9_\-]{20,}", embedded.log()))
    keys = [word for word in words if embedded.api("GET", "/rooms", key=word).status == 200]
    assert len(keys) == 1, embedded.log()
    assert embedded.log().count(keys[0]) == 1
    response = embedded.api("POST", "/publish", {"room": f"r-{tag}", "data": 1}, key=keys[0])
    assert response.status == 200


def test_embedded_default_has_a_demo_page(embedded):
    response = embedded.http("GET", "/")
    assert response.status == 200 and response.media_type == "text/html"
    assert b"<html" in response.body.lower()


@asynchronous
async def test_embedded_default_refuses_other_hosts(embedded):
    for host in ("evil.example.com", f"evil.example.com:{embedded.port}",
                 f"127.0.0.1.evil.example.com:{embedded.port}"):
        for path in ("/", "/api/v1/rooms", "/sse?room=a", "/health"):
            response = embedded.http("GET", path, headers={"Host": host})
            assert response.status in (400, 403, 421), (host, path)
        with RawHttp(embedded) as raw:
            raw.send((f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
            assert raw.answer().status in (400, 403, 421)
    for host in ("localhost", f"127.0.0.1:{embedded.port}", f"[::1]:{embedded.port}"):
        assert embedded.http("GET", "/health", headers={"Host": host}).status == 200
