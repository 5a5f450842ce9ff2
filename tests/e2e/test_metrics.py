"""Metrics as operators use them: what they count, the live stream, `fanfare top`, the shipped alerts
and dashboard, and that every one of them is in the operators' guide."""

import base64
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client import asynchronous, connect, off_loop, refused_handshake
from harness import (BINARY, PATIENCE, REPOSITORY, TIMEOUT, free_port, http_call,
                     run_command, token, wait_until)
from wire import Sse, Stream

DEPLOY = REPOSITORY / "config/deploy"


def scrape(gateway):
    """Series to value, as the exposition writes them."""
    response = http_call(gateway.ops_port, "GET", "/metrics")
    assert response.status == 200
    lines = [line for line in response.body.decode().splitlines() if line and line[0] != "#"]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def total(series, name, **labels):
    """Sum of all series of that name with these labels."""
    return sum(value for key, value in series.items()
               if re.split(r"[{]", key)[0] == "fanfare_" + name
               and all(f'{label}="{wanted}"' in key for label, wanted in labels.items()))


def names(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name.endswith(("_bucket", "_sum", "_count"))
            else name for name in re.findall(r"\bfanfare_[a-z_]+", text)}


# -- what they count --------------------------------------------------------------------------------

@asynchronous
async def test_a_publish_is_seen_from_request_to_socket(start, tag):
    gateway = start()
    room = f"open:{tag}"
    async with connect(gateway) as one, connect(gateway) as two:
        await one.subscribe(room)
        await two.subscribe(room)
        stream = await off_loop(Sse, gateway, [room])
        stream.ready()
        before = scrape(gateway)
        for n in range(10):
            await off_loop(gateway.publish, room, {"n": n})
        await one.messages(10)
        await two.messages(10)
        await off_loop(stream.messages, 10)
        after = wait_until(lambda: (now := scrape(gateway)) and
                           total(now, "publish_to_write_seconds_count") >= 30 and now)
        stream.close()

        def grew(name, **labels):
            return total(after, name, **labels) - total(before, name, **labels)
        assert grew("messages_published_total") == 10
        assert grew("published_bytes_total") == 10 * len('{"n": 0}')
        assert grew("messages_out_total") == 30
        # One observation for each live delivery, none of them longer than it took here.
        assert grew("publish_to_write_seconds_count") == 30
        assert 0 < grew("publish_to_write_seconds_sum") < 30 * TIMEOUT
        assert grew("http_requests_total", route="/api/v1/publish", status="200") == 10
        assert grew("http_request_seconds_count", route="/api/v1/publish") == 10
        assert grew("network_bytes_out_total") > grew("message_bytes_out_total") > 300
        assert grew("network_bytes_in_total") > 10 * 100
        assert grew("mailbox_batch_entries_sum") >= grew("mailbox_batch_entries_count") > 0
        assert total(after, "connections", transport="websocket") == 2
        assert total(after, "connections", transport="sse") == 1
        assert total(after, "connections", transport="http") >= 1
        assert total(after, "sessions") == 3
        assert total(after, "subscriptions") == 3
        assert total(after, "rooms") == 1
        assert total(after, "reactors") == 2
        # The scrape's own connection may still be open when the directory is read.
        wait_until(lambda: 0 <= total(scrape(gateway), "process_open_fds") -
                   len(os.listdir(f"/proc/{gateway.pid}/fd")) <= 1, what="the number of descriptors")
    await off_loop(wait_until, lambda: total(scrape(gateway), "connections", transport="websocket") == 0)


@asynchronous
async def test_handshakes_are_told_apart_by_outcome(start):
    gateway = start()
    async with connect(gateway, token=token()):
        pass
    assert await refused_handshake(gateway, token="x.y.z") == 401
    assert await refused_handshake(gateway, origin="https://evil.example") == 403
    assert await refused_handshake(gateway, subprotocols=["unknown"]) == 400
    assert gateway.http("GET", "/ws").status == 426
    series = scrape(gateway)

    def handshakes(outcome):
        return total(series, "websocket_handshakes_total", outcome=outcome)
    assert (handshakes("accepted"), handshakes("unauthorized"), handshakes("forbidden"),
            handshakes("bad_request")) == (1, 1, 1, 2)


def test_streams_are_told_apart_by_outcome(start, tag):
    gateway = start({"clients": {"anonymous": False}})
    with Sse(gateway, [f"open:{tag}"], token=token()) as good:
        good.ready()
    assert gateway.http("GET", f"/sse?room=open:{tag}").status == 401
    assert gateway.http("GET", f"/sse?room=nowhere:{tag}&token={token()}").status == 400
    assert gateway.http("GET", f"/sse?room=grant:{tag}&token={token()}").status == 403
    series = scrape(gateway)
    for outcome in ("opened", "unauthorized", "not_found", "forbidden"):
        assert total(series, "sse_streams_total", outcome=outcome) == 1, outcome


@asynchronous
async def test_resumes_patterns_and_limits_are_counted(start, tag):
    gateway = start({"clients": {"rate": {"messages": 20, "per": "1s"}}})
    room = f"short:{tag}"
    first = await off_loop(gateway.publish, room, 0)
    for n in range(20):
        await off_loop(gateway.publish, room, n)
    epoch = first["epoch"]
    async with connect(gateway) as one, connect(gateway) as two:
        await one.subscribe(room, since={"epoch": epoch, "offset": 19})
        await two.subscribe(room, since={"epoch": epoch, "offset": 1})
        await one.ok("subscribe", pattern="post_*_comments")
        assert total(scrape(gateway), "pattern_subscriptions") == 1
        for _ in range(30):
            await one.send({"op": "ping"})
        await one.next("error", code="rate_limited")
        series = scrape(gateway)
    assert total(series, "resumes_total", outcome="recovered") == 1
    assert total(series, "resumes_total", outcome="lost") == 1
    assert total(series, "replayed_messages_total") == 2
    assert total(series, "client_messages_total") >= 33
    assert total(series, "client_rate_limited_total") >= 1


def test_slow_reader_is_in_the_queue_metrics_until_it_is_cut_off(start, tag):
    gateway = start({"clients": {"send_queue": "256KiB"}})
    room = f"news:{tag}"
    with Sse(gateway, [room], receive_buffer=4096) as slow:
        slow.ready()
        waiting, high = 0, 0
        deadline = time.monotonic() + 30 * PATIENCE
        while total(series := scrape(gateway), "slow_consumers_total") == 0:
            assert time.monotonic() < deadline
            waiting = max(waiting, total(series, "send_queue_bytes"))
            high = max(high, total(series, "send_queue_high_water_bytes"))
            gateway.publish(room, "x" * 30_000)
        assert 0 < waiting <= 300 * 1024
        assert 30_000 <= high <= 600 * 1024
    wait_until(lambda: total(scrape(gateway), "send_queue_bytes") == 0, what="an empty queue")


# -- form -------------------------------------------------------------------------------------------

def subscription(key):
    """Of a browser whose push service is not there."""
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    point = key.public_key().public_bytes(serialization.Encoding.X962,
                                          serialization.PublicFormat.UncompressedPoint)
    return {"endpoint": f"https://127.0.0.1:{free_port()}/push", "keys": {"p256dh": text(point),
                                                                          "auth": text(b"a" * 16)}}


def exercised(start, tag):
    """A gateway in which every family has a series."""
    key = ec.generate_private_key(ec.SECP256R1())
    vapid = Path(tempfile.mkdtemp(prefix="fanfare-e2e-")) / "vapid.pem"
    vapid.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                        serialization.NoEncryption()))
    gateway = start({"push": {"webpush": {"subject": "mailto:ops@example.com",
                                          "private_key": str(vapid), "private_addresses": True}}})
    shutil.rmtree(vapid.parent)
    gateway.publish(f"open:{tag}", 1)
    gateway.api("POST", "/sessions", {"user_id": tag, "device_id": "browser", "platform": "web",
                                      "subscription": subscription(key)})
    gateway.api("POST", "/notifications", {"user_id": tag, "title": "hello"})
    wait_until(lambda: "fanfare_push_attempts_total" in
               gateway.http("GET", "/metrics").body.decode(), what="an attempt to push")
    with Stream(gateway.port) as bad:
        bad.send(b"NONSENSE\r\n\r\n")
        bad.read_head()
    return gateway


def test_promtool_finds_nothing_to_complain_about(start, tag):
    text = exercised(start, tag).http("GET", "/metrics").body
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                           timeout=60, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_every_metric_is_in_the_operators_guide_and_no_other(start, tag):
    text = exercised(start, tag).http("GET", "/metrics").body.decode()
    served = {line.split()[2].removeprefix("fanfare_")
              for line in text.splitlines() if line.startswith("# TYPE ")}
    guide = (REPOSITORY / "docs/operators.md").read_text()
    section = guide.split("## Metrics\n")[1].split("\n## ")[0]
    documented = {name for row in re.findall(r"^\| (`[^|]+) \|", section, re.M)
                  for name in re.findall(r"`([a-z0-9_]+)`", row)}
    assert served == documented


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/fanfare.json"])
def test_shipped_files_ask_for_metrics_that_exist(start, tag, file):
    served = names(exercised(start, tag).http("GET", "/metrics").body.decode())
    text = (DEPLOY / file).read_text()
    asked = names(text) - {"fanfare_job"}
    assert len(asked) > 5
    assert asked <= served
    if file.endswith(".json"):
        board = json.loads(text)
        assert all(panel["targets"] for panel in board["panels"])


def test_shipped_prometheus_configuration_passes_its_own_check():
    for kind, file in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        check = subprocess.run(["promtool", "check", kind, DEPLOY / "prometheus" / file],
                               capture_output=True, timeout=60, check=False)
        assert check.returncode == 0, check.stderr
    assert yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]


# -- the live stream --------------------------------------------------------------------------------

class MetricsStream(Sse):
    """The same parser on another path."""

    def __init__(self, gateway, query="", port=None):
        Stream.__init__(self, port or gateway.port)
        self.send(f"GET /metrics/stream{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        _, self.status, self.headers = self.read_head()
        self.chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        self.text, self.comments, self.retry = bytearray(), 0, None
        self.last_event_id, self.ended = None, False


def test_stream_sends_snapshots_that_follow_what_happens(start, tag):
    gateway = start()
    with MetricsStream(gateway, "?prefix=fanfare_messages_") as stream:
        assert stream.streaming
        assert "no-transform" in stream.headers["Cache-Control"]
        first = stream.named("metrics").json()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
        assert set(first["series"]) == {"fanfare_messages_out_total",
                                        "fanfare_messages_published_total"}
        assert first["series"]["fanfare_messages_published_total"] == 0
        gateway.publish(f"open:{tag}", 1)
        second = stream.named("metrics").json()
        assert second["series"]["fanfare_messages_published_total"] == 1
        assert second["time"] > first["time"]


def test_stream_without_prefix_is_the_whole_exposition(start):
    gateway = start()
    with MetricsStream(gateway) as stream:
        # The connection that asked whether the gateway is ready may still be on its way out.
        series = wait_until(lambda: (lambda now: now if now['fanfare_connections{transport="http"}']
                                     == 1 else None)(stream.named("metrics").json()["series"]))
    scraped = scrape(gateway)
    assert set(series) <= set(scraped)
    assert series["fanfare_process_resident_memory_bytes"] > 1e6


def test_stream_ends_with_a_drain_and_does_not_hold_it_up(start):
    gateway = start({"server": {"drain": "1s"}})
    with MetricsStream(gateway) as stream:
        stream.named("metrics")
        gateway.signal(signal.SIGTERM)
        assert stream.named("bye").json()["code"] == "drain"
        assert stream.event() is None
    assert gateway.wait_exit() == 0


def test_stream_is_for_those_who_may_read_metrics(start, tmp_path):
    port = free_port()
    gateway = start({"server": {"ops_listen": [f"127.0.0.1:{port}"]}})
    assert gateway.http("GET", "/metrics/stream").status == 404
    with MetricsStream(gateway, port=port) as stream:
        stream.named("metrics")


def test_streams_that_their_readers_left_cost_nothing(start):
    gateway = start()
    streams = [MetricsStream(gateway, "?prefix=none") for _ in range(40)]
    for stream in streams:
        stream.named("metrics")
    assert total(scrape(gateway), "connections", transport="http") == 41
    for stream in streams:
        stream.close()
    wait_until(lambda: total(scrape(gateway), "connections", transport="http") == 1)


# -- fanfare top ------------------------------------------------------------------------------------

def test_top_once_prints_rates(start, tag, tmp_path):
    gateway = start()
    command = [BINARY, "top", "--once", "--interval", "500ms", "--url", gateway.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as top:
        while top.poll() is None:
            gateway.publish(f"open:{tag}", 1)
        out, err = top.stdout.read().decode(), top.stderr.read()
    assert (top.returncode, err) == (0, b"")
    assert "\x1b" not in out
    published = re.search(r"^published +(\S+ ?k?) +\d+", out, re.M)
    assert published and published[1].strip() != "0", out
    assert re.search(r"^200 POST /api/v1/publish +[1-9]", out, re.M), out
    assert gateway.url in out and "no trouble since the start" in out


@pytest.mark.parametrize("arguments,status,words", [
    (["--interval", "5"], 2, "--interval"),
    (["--interval", "1ms"], 2, "--interval"),
    (["--url", "http://127.0.0.1:1"], 1, "http://127.0.0.1:1/metrics"),
    (["--url", "gopher://x"], 1, "gopher"),
])
def test_top_says_what_is_wrong(tmp_path, arguments, status, words):
    result = run_command("top", "--once", *arguments, directory=tmp_path)
    assert result.returncode == status
    assert words in result.stderr and result.stdout == ""


def test_top_explains_a_gateway_that_does_not_show_its_metrics(start, tmp_path):
    gateway = start({"server": {"ops_listen": [f"127.0.0.1:{free_port()}"]}})
    result = run_command("top", "--once", "--url", gateway.url, directory=tmp_path)
    assert result.returncode == 1 and "404" in result.stderr and "ops_listen" in result.stderr


class TopOnTerminal:
    """`fanfare top` on a terminal of its own."""

    def __init__(self, url, columns=100, rows=40):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.output = ""
        self.process = subprocess.Popen([BINARY, "top", "--interval", "100ms", "--url", url],
                                        stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, text, timeout=10 * PATIENCE):
        """Reads until what came since the last call has `text`."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            assert time.monotonic() < deadline, f"no {text!r} in {self.output[-3000:]!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.output += os.read(self.master, 65536).decode(errors="replace")
        seen, self.output = self.output, ""
        return seen

    def frame(self):
        """The next whole view, as text."""
        self.until("\x1b[J")
        frame = self.until("\x1b[J").split("\x1b[H")[-1]
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", frame)


def test_top_is_live_on_a_terminal_and_gives_it_back(start, tag):
    gateway = start()
    with TopOnTerminal(gateway.url) as top:
        seen = top.until("no trouble")
        assert "\x1b[?1049h" in seen and "\x1b[?25l" in seen
        for _ in range(7):
            gateway.publish(f"open:{tag}", 1)
        top.until("           7")
        os.write(top.master, b"q")
        assert "\x1b[?1049l" in top.until("\x1b[?1049l")
        assert top.process.wait(TIMEOUT) == 0
        assert termios.tcgetattr(top.slave) == top.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_top_gives_the_terminal_back_after_a_signal(start, number):
    gateway = start()
    with TopOnTerminal(gateway.url) as top:
        top.until("no trouble")
        top.process.send_signal(number)
        top.until("\x1b[?1049l")
        assert top.process.wait(TIMEOUT) == 0
        assert termios.tcgetattr(top.slave) == top.before


def test_top_outlives_its_gateway(start):
    gateway = start()
    with TopOnTerminal(gateway.url) as top:
        top.until("no trouble")
        gateway.kill()
        top.until("no answer: ")
        gateway.start()
        wait_until(lambda: "no answer" not in top.frame(), what="a view with an answer")


def test_top_fits_its_window(start):
    gateway = start()
    with TopOnTerminal(gateway.url, columns=30, rows=5) as top:
        top.until("memory")
        lines = top.frame().splitlines()
        assert len(lines) == 5
        assert all(len(line) <= 30 for line in lines), lines
