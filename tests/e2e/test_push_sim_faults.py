"""The push simulator misbehaves on command: stream limits, GOAWAY, resets, dropped connections, TLS, slow and
split answers; and its control API and counters tell the truth about it."""

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time

import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from harness import PATIENCE, TIMEOUT, free_port, http_call, wait_until  # noqa: E402
from h2_client import REFUSED_STREAM  # noqa: E402
from push_sim import (DEVICE, PROGRAM, SEND, Simulator, apns_headers, fcm_body, fcm_headers,
                      provider_token)  # noqa: E402

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")

APS = b'{"aps":{"alert":"hello"}}'
PATH = f"/3/device/{DEVICE}"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    one = Simulator(tmp_path_factory.mktemp("push_sim"), "--fcm-any-token", "--apns-upper-ids", "0")
    yield one
    one.stop()


@pytest.fixture
def simulator(running):
    running.control("POST", "/reset")
    return running


@pytest.fixture(scope="module")
def headers():
    return apns_headers(provider_token())


@pytest.fixture
def client(simulator, headers):
    """A connection whose ramp is over."""
    with simulator.connect() as one:
        assert one.call(PATH, headers, APS).status == 200
        one.wait(lambda: one.limit == 1000)
        yield one


def never(simulator):
    """No answer for the device `00`."""
    simulator.script("apns", tokens={"00": [{"do": "never", "times": 0}]})


def hang(simulator, client, headers, count):
    """`count` streams that stay open."""
    never(simulator)
    before = len(client.answers)
    streams = [client.request("/3/device/00", headers, APS) for _ in range(count)]
    wait_until(lambda: simulator.stats("apns")["requests"] >= before + count)
    return streams


# Stream limits

def test_one_stream_until_a_good_request(simulator, headers):
    with simulator.connect() as one:
        one.wait(lambda: one.settings)
        assert one.settings[0] == {1: 4096, 3: 1, 4: 65535, 5: 16384, 6: 8000}
        assert one.call("/3/device/zz", headers, APS).status == 400
        assert one.limit == 1
        assert one.call(PATH, headers, APS).status == 200
        one.wait(lambda: one.limit == 1000)


def test_streams_over_the_limit_are_refused_and_counted(simulator, headers):
    never(simulator)
    with simulator.connect() as one:
        one.wait(lambda: one.settings)
        first = one.request("/3/device/00", headers, APS)
        wait_until(lambda: simulator.stats("apns")["requests"] == 1)
        assert one.answer(one.request(PATH, headers, APS)).reset == REFUSED_STREAM
        stats = simulator.stats("apns")
        assert (stats["streams_refused"], stats["streams_over_limit"], stats["streams_peak"]) == (1, 1, 1)
        assert not one.answers[first].ended
        assert not simulator.requests(token=DEVICE)     # it was not processed


def test_the_limit_changes_at_run_time(simulator, client, headers):
    simulator.faults("apns", max_concurrent_streams=0)
    client.wait(lambda: client.limit == 0)
    assert client.answer(client.request(PATH, headers, APS)).reset == REFUSED_STREAM
    simulator.faults("apns", max_concurrent_streams=7)
    client.wait(lambda: client.limit == 7)
    assert client.call(PATH, headers, APS).status == 200


@pytest.mark.parametrize("open_streams,reset", [("finish", 0), ("refuse", 4)])
def test_the_limit_falls_below_what_is_open(simulator, client, headers, open_streams, reset):
    streams = hang(simulator, client, headers, 6)
    simulator.faults("apns", max_concurrent_streams=2, open_streams=open_streams)
    client.wait(lambda: client.limit == 2)
    client.wait(lambda: sum(client.answers[each].reset == REFUSED_STREAM for each in streams) == reset)
    assert simulator.stats("apns")["streams_open"] >= 6 - reset


def test_the_limit_dips_after_an_error(simulator, client, headers):
    simulator.faults("apns", dip_on_error=True)
    assert client.call("/3/device/zz", headers, APS).status == 400
    client.wait(lambda: client.limit == 1)
    assert client.call(PATH, headers, APS).status == 200
    client.wait(lambda: client.limit == 1000)


# GOAWAY and resets

def test_goaway_with_reason(simulator, client):
    simulator.script("apns", goaway={"reason": "Shutdown"})
    client.wait_closed()
    assert client.goaways == [(1, 0, b'{"reason":"Shutdown"}')]


def test_goaway_without_debug_data_and_twice(simulator, client, headers):
    [stream] = hang(simulator, client, headers, 1)
    simulator.script("apns", goaway={"variant": "empty", "error_code": "ENHANCE_YOUR_CALM"})
    client.wait(lambda: client.goaways)
    assert client.goaways == [(stream, 11, b"")]
    simulator.script("apns", goaway={"variant": "twice"})
    client.wait(lambda: len(client.goaways) == 3)


def test_goaway_in_the_middle(simulator, client, headers):
    simulator.faults("apns", latency="1500ms")
    streams = [client.request("/3/device/0011", headers, APS) for _ in range(9)]
    wait_until(lambda: simulator.stats("apns")["requests"] == 10)
    simulator.script("apns", goaway={"variant": "middle"})
    client.wait_closed(timeout=TIMEOUT + 2)
    last = client.goaways[0][0]
    assert last == streams[4]
    assert [client.answers[each].status for each in streams] == [200] * 5 + [0] * 4
    records = simulator.requests(token="0011")
    assert sorted(each["stream"] for each in records if each["delivered"]) == streams[:5]
    assert {each["stream"]: each["fate"] for each in records if not each["delivered"]} == \
        {each: "not_processed" for each in streams[5:]}


def test_goaway_graceful(simulator, client, headers):
    hang(simulator, client, headers, 1)
    simulator.script("apns", goaway={"variant": "graceful"})
    client.wait(lambda: len(client.goaways) == 2)
    assert [each[0] for each in client.goaways] == [2**31 - 1, 3]


def test_goaway_and_close(simulator, client, headers):
    [stream] = hang(simulator, client, headers, 1)
    simulator.script("apns", goaway={"variant": "close", "last_stream": 1})
    client.wait_closed()
    assert client.goaways[0][0] == 1 and not client.answers[stream].ended


def test_reset_streams(simulator, client, headers):
    streams = hang(simulator, client, headers, 3)
    simulator.script("apns", reset_streams="CANCEL")
    assert [client.answer(each).reset for each in streams] == [8, 8, 8]
    simulator.script("apns", tokens={"01": [{"do": "reset", "error_code": "REFUSED_STREAM"}]})
    assert client.call("/3/device/01", headers, APS).reset == REFUSED_STREAM
    assert client.call("/3/device/01", headers, APS).status == 200


# The connection below

@pytest.mark.parametrize("point", ["accept", "settings", "headers", "body"])
def test_dropped_connections(simulator, headers, point):
    simulator.faults("apns", drop_at=point, drops=1)
    with pytest.raises((OSError, AssertionError)):
        with simulator.connect() as one:
            one.wait(lambda: one.settings)
            assert point in ("headers", "body")
            one.call(PATH, headers, APS)
    with simulator.connect() as one:
        assert one.call(PATH, headers, APS).status == 200
    fates = [each.get("fate") for each in simulator.requests()]
    assert fates == (["dropped", None] if point in ("headers", "body") else [None])


def test_drop_by_script_and_by_command(simulator, client, headers):
    simulator.script("apns", tokens={"02": [{"do": "drop"}]})
    client.request("/3/device/02", headers, APS)
    client.wait_closed()
    with simulator.connect() as one:
        one.call(PATH, headers, APS)
        simulator.script("apns", drop=True)
        one.wait_closed()


def test_half_open(simulator, client, headers):
    simulator.script("apns", half_open=True)
    stream = client.request(PATH, headers, APS)
    client.ping()
    with simulator.connect() as other:                  # others are served
        assert other.call(PATH, headers, APS).status == 200
        other.ping()
        other.wait(lambda: other.pongs == 1)
    assert client.pongs == 0 and not client.answers[stream].ended and not client.closed
    assert simulator.stats("apns")["requests"] == 2


def test_one_connection_alone(simulator, client, headers):
    with simulator.connect() as other:
        other.call(PATH, headers, APS)
        number = simulator.requests()[-1]["connection"]
        simulator.script("apns", drop=True, connection=number)
        other.wait_closed()
    assert client.call(PATH, headers, APS).status == 200


def test_ping_is_answered_or_ignored(simulator, client, headers):
    client.ping()
    client.wait(lambda: client.pongs == 1)
    simulator.faults("apns", ignore_ping=True)
    client.ping()
    assert client.call(PATH, headers, APS).status == 200
    assert client.pongs == 1 and simulator.stats("apns")["pings"] == 2


def test_blocked(simulator, headers):
    simulator.faults("apns", blocked=True)
    with pytest.raises(OSError):
        simulator.connect()
    simulator.faults("apns", blocked=False, connects_per_second=3)
    outcomes = []
    for _ in range(8):
        try:
            with simulator.connect() as one:
                outcomes.append(one.call(PATH, headers, APS).status)
        except OSError:
            outcomes.append(0)
    assert outcomes.count(0) >= 1 and outcomes[0] == 200
    assert simulator.stats("apns")["blocked"] == outcomes.count(0) + 1


# TLS

@pytest.mark.parametrize("kind,words", [("expired", "expired"), ("wrong_name", "mismatch")])
def test_certificates_that_clients_must_refuse(simulator, kind, words):
    simulator.faults("fcm", handshake=kind)
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        simulator.connect("fcm")
    wait_until(lambda: simulator.stats("fcm")["handshakes_failed"] == 1)


def test_no_alpn_and_no_answer(simulator, headers):
    simulator.faults("webpush", handshake="no_alpn")
    with simulator.connect("webpush") as one:
        assert one.protocol is None
    simulator.faults("apns", handshake="hang")
    raw = socket.create_connection(("127.0.0.1", simulator.port("apns")), timeout=0.3 * PATIENCE)
    context = ssl.create_default_context(cafile=simulator.ca)
    with pytest.raises(TimeoutError):
        context.wrap_socket(raw, server_hostname="localhost")
    simulator.faults("apns", handshake="normal", handshake_delay_ms=100)
    began = time.monotonic()
    with simulator.connect() as one:
        assert time.monotonic() - began >= 0.1
        assert one.call(PATH, headers, APS).status == 200


def test_alpn(simulator):
    with pytest.raises((ssl.SSLError, OSError)):
        simulator.connect("apns", protocols=("http/1.1",))
    with simulator.connect("fcm", protocols=("http/1.1",)) as one:
        assert one.protocol == "http/1.1"
    simulator.faults("webpush", versions="http1")
    with simulator.connect("webpush", protocols=("h2", "http/1.1")) as one:
        assert one.protocol == "http/1.1"


# Answers

def test_latency(simulator, client, headers):
    for latency, least in (("80ms", 0.08), ("uniform:60-90ms", 0.06), ("exponential:1ms", 0)):
        simulator.faults("apns", latency=latency)
        began = time.monotonic()
        assert client.call(PATH, headers, APS).status == 200
        assert time.monotonic() - began >= least


def test_delay_of_one_token_lets_others_pass(simulator, client, headers):
    simulator.script("apns", tokens={"03": [{"delay_ms": 200}]})
    slow, fast = client.request("/3/device/03", headers, APS), client.request(PATH, headers, APS)
    client.answer(slow)
    assert client.order[-2:] == [fast, slow]


def test_answers_in_reverse_order(simulator, client, headers):
    simulator.faults("apns", reversed=5)
    streams = [client.request(PATH, headers, APS) for _ in range(5)]
    client.answer(streams[0])
    assert client.order[1:] == streams[::-1]
    alone = client.request(PATH, headers, APS)          # fewer than five do not wait for ever
    assert client.answer(alone).status == 200


def test_split_answers(simulator, client, headers):
    simulator.faults("apns", split=True)
    answer = client.call("/3/device/zz", headers, APS)
    assert json.loads(answer.body) == {"reason": "BadDeviceToken"}
    assert len(answer.pieces) >= 3 and answer.pieces[-1] == 0       # END_STREAM on an empty frame
    success = client.call(PATH, headers, APS)
    assert success.status == 200 and success.pieces == [0]


def test_small_windows(simulator, headers):
    simulator.faults("apns", window=16)
    with simulator.connect() as one:
        one.wait(lambda: one.settings)
        assert one.settings[0][4] == 16


def test_errors_by_chance(simulator, client, headers):
    simulator.faults("apns", error_rate=0.5)
    statuses = [client.call(PATH, headers, APS).status for _ in range(200)]
    assert set(statuses) == {200, 429, 500, 503} and 50 < statuses.count(200) < 150


def test_close_without_notice(simulator):
    simulator.script("fcm", tokens={"device-1": [{"then": "close"}]})
    with socket.create_connection(("127.0.0.1", simulator.port("fcm")), timeout=TIMEOUT) as raw:
        context = ssl.create_default_context(cafile=simulator.ca)
        with context.wrap_socket(raw, server_hostname="localhost") as one:
            body = fcm_body()
            one.sendall(f"POST {SEND} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer x\r\ncontent-type: "
                        f"application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            got = b"".join(iter(lambda: one.recv(4096), b""))
    assert got.startswith(b"HTTP/1.1 200 OK") and b"connection: close" not in got.lower()


# Other clients, other set-ups

def test_node_sends_a_thousand(simulator, headers):
    """Node's client follows the ramp by itself: no stream above the limit, no loss."""
    if not shutil.which("node"):
        pytest.skip("needs nodejs")
    program = """
      const http2 = require("node:http2"), fs = require("node:fs");
      const [port, ca, headers] = process.argv.slice(1);
      const session = http2.connect(`https://localhost:${port}`, {ca: fs.readFileSync(ca)});
      const count = {};
      session.once("remoteSettings", async () => {
        const send = i => new Promise((resolve, reject) => {
          const token = i.toString(16).padStart(8, "0");
          const stream = session.request({":method": "POST", ":path": `/3/device/${token}`, ...JSON.parse(headers)});
          stream.on("response", head => { count[head[":status"]] = (count[head[":status"]] ?? 0) + 1; });
          stream.on("error", reject); stream.on("close", resolve); stream.resume();
          stream.end('{"aps":{}}');
        });
        await send(0);
        await Promise.all(Array.from({length: 999}, (_, i) => send(i + 1)));
        console.log(JSON.stringify(count));
        session.close();
      });"""
    run = subprocess.run(["node", "-e", program, str(simulator.port("apns")), simulator.ca, json.dumps(headers)],
                         capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    assert run.returncode == 0 and json.loads(run.stdout) == {"200": 1000}, run.stderr
    stats = simulator.stats("apns")
    assert (stats["streams_over_limit"], stats["streams_refused"], stats["answers_ok"]) == (0, 0, 1000)
    assert len({each["token"] for each in simulator.requests(limit=2000)}) == 1000


@pytest.mark.parametrize("h2c", [True, False])
def test_h2load_over_threads_and_the_busy_share(tmp_path, headers, h2c):
    if not shutil.which("h2load"):
        pytest.skip("needs h2load")
    one = Simulator(tmp_path, "--threads", "2", "--no-record", "--streams", "apns=200", *(["--h2c"] if h2c else []))
    try:
        one.faults("apns", ramp=False)
        (tmp_path / "body").write_bytes(APS)
        words = [word for pair in headers.items() for word in ("-H", ": ".join(pair))]
        url = f"{'http' if h2c else 'https'}://127.0.0.1:{one.port('apns')}{PATH}"
        run = subprocess.run(["h2load", "-n", "20000", "-c", "8", "-m", "50", "-d", str(tmp_path / "body"), *words, url],
                             capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
        assert "20000 succeeded, 0 failed, 0 errored" in run.stdout, run.stdout + run.stderr
        stats = one.stats()
        assert stats["services"]["apns"]["answers_ok"] == 20000
        assert stats["services"]["apns"]["connections"] == 8
        assert stats["services"]["apns"]["handshakes"] == (0 if h2c else 8)
        assert len(stats["threads"]) == 2 and sum(each["cpu_s"] for each in stats["threads"]) > 0
        peak = wait_until(lambda: one.stats()["seconds"]["peak"])
        wait_until(lambda: one.stats()["seconds"]["peak"]["requests"]["apns"] > 0)
        assert len(peak["busy"]) in (0, 2)
        refused = one.control("GET", "/requests", status=400)
        assert "--no-record" in refused["error"]
    finally:
        log = one.stop()
    assert "busiest second:" in log and "threads busy:" in log


# The control API and the command line

@pytest.mark.parametrize("path,body,words", [
    ("/script", b"{", "JSON"),
    ("/script", {}, "service: is missing"),
    ("/script", {"service": "sms"}, "apns, fcm, webpush or oauth"),
    ("/script", {"service": "apns", "fautls": {}}, 'unknown key "fautls"'),
    ("/script", {"service": "apns", "faults": {"latency": "soon"}}, 'latency "soon"'),
    ("/script", {"service": "apns", "faults": {"drop_at": "noon"}}, "accept, settings, headers, body"),
    ("/script", {"service": "apns", "tokens": {"aa": [{"status": 99}]}}, 'tokens["aa"][0].status'),
    ("/script", {"service": "apns", "goaway": {"variant": "rude"}}, "goaway.variant"),
    ("/subscriptions", {"vendor": "acme"}, "mozilla, apple or google"),
    ("/subscriptions", {"private_key": "AA", "p256dh": "AA", "auth": "AA"}, "32, 65 and 16 bytes"),
])
def test_control_names_what_is_wrong(simulator, path, body, words):
    assert words in simulator.control("POST", path, body, status=400)["error"]


def test_control_unknown_call_and_reset(simulator, client, headers):
    assert simulator.control("GET", "/nothing", status=404)["error"]
    assert simulator.control("GET", "/requests?since=x", status=400)["error"]
    assert len(simulator.requests()) == 1
    simulator.faults("apns", max_concurrent_streams=5)
    simulator.script("apns", tokens={"*": [{"status": 500, "times": 0}]})
    assert client.call(PATH, headers, APS).status == 500
    simulator.control("POST", "/reset")
    client.wait(lambda: client.limit == 1000)
    assert client.call(PATH, headers, APS).status == 200
    assert len(simulator.requests()) == 1


def test_records_are_bounded(tmp_path, headers):
    one = Simulator(tmp_path, "--record-max", "10", services=("apns", "control"))
    try:
        with one.connect() as client:
            for _ in range(25):
                client.call(PATH, headers, APS)
        assert [each["number"] for each in one.requests()] == list(range(16, 26))
        assert one.stats()["records_forgotten"] == 15
    finally:
        one.stop()


@pytest.mark.parametrize("arguments,words", [
    ([], "nothing to play"),
    (["--apns", "0", "--latency", "apns=soon"], 'latency "soon"'),
    (["--apns", "0", "--latency", "sms=5ms"], 'no service "sms"'),
    (["--apns", "0", "--error-rate", "apns=2"], "not a number from 0 to 1"),
    (["--apns", "0", "--apns-key", "/nonexistent"], "/nonexistent: cannot be read"),
    (["--apns", "70000"], "--apns"),
])
def test_wrong_usage(tmp_path, arguments, words):
    run = subprocess.run([PROGRAM, "--dir", str(tmp_path), *arguments], capture_output=True, text=True, timeout=TIMEOUT,
                         check=False)
    assert run.returncode == 2 and words in run.stderr


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = subprocess.run([PROGRAM, "--dir", str(tmp_path), "--apns", port], capture_output=True, text=True,
                             timeout=TIMEOUT, check=False)
    assert run.returncode == 1 and f"--apns {port}: cannot listen" in run.stderr


def test_garbage_does_not_kill_it(simulator, headers):
    for service in ("fcm", "control"):
        with socket.create_connection(("127.0.0.1", simulator.port(service)), timeout=TIMEOUT) as raw:
            raw.sendall(b"\0\xff garbage \r\n\r\n" * 100)
            with contextlib.suppress(ConnectionError):
                while raw.recv(4096):
                    pass
    with simulator.connect() as one:
        one.socket.sendall(b"\xff" * 5000)
        one.wait_closed()
    with simulator.connect() as one:
        assert one.call(PATH, headers, APS).status == 200
    assert http_call(simulator.port("control"), "GET", "/stats").status == 200
