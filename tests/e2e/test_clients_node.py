"""Node's `ws` and `eventsource` (Debian: node-ws, node-eventsource), driven over their stdin."""

import json
import os
import queue
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import TIMEOUT, token
from wire import Proxy

SCRIPTS = Path(__file__).resolve().parent / "node"
MODULES = "/usr/share/nodejs"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not os.path.isdir(f"{MODULES}/ws")
    or not os.path.isdir(f"{MODULES}/eventsource"),
    reason="needs nodejs, node-ws and node-eventsource")


class Node:
    """A running script: report() is its next line, tell() a line for it."""

    def __init__(self, process):
        self.process = process
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def report(self, timeout=2 * TIMEOUT):
        line = self.lines.get(timeout=timeout)
        assert line is not None, f"the script ended: {self.process.wait()}"
        return json.loads(line)

    def reports(self, count):
        return [self.report() for _ in range(count)]

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()


@contextmanager
def node(script, *arguments):
    with subprocess.Popen(["node", str(SCRIPTS / script), *arguments], text=True,
                          env=os.environ | {"NODE_PATH": MODULES},
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Node(process)
        finally:
            process.kill()


def offsets(reports):
    return [report["offset"] for report in reports]


# -- ws -------------------------------------------------------------------------------------------

def test_ws_agrees_on_deflate_and_receives_in_order(gateway, room):
    with node("ws_client.js", gateway.ws_url, room) as client:
        first = client.report()
        assert first["extensions"] == "permessage-deflate"
        assert first["protocol"] == "fanfare.json.v1"
        payloads = [{"n": n, "pad": "compressible " * (n % 3 * 100)} for n in range(100)]
        gateway.publish_many(room, payloads)
        reports = client.reports(100)
        assert offsets(reports) == list(range(1, 101))
        assert [report["data"] for report in reports] == payloads


def test_ws_publishes_compressed_requests(gateway, room):
    with node("ws_client.js", gateway.ws_url, room) as client:
        client.report()
        data = {"pad": "compressible " * 500}     # ws compresses from 1 KiB on
        client.tell(send={"op": "publish", "room": room, "data": data})
        assert client.report() == {"offset": 1, "data": data}


def test_ws_resumes_after_a_cut_without_hole_or_duplicate(gateway, room):
    with node("ws_client.js", gateway.ws_url, room) as client:
        client.report()
        gateway.publish_many(room, range(10))
        seen = client.reports(10)
        client.tell(cut=True)
        assert client.report() == {"closed": 1006}
        gateway.publish_many(room, range(10))
        client.tell(connect=True)
        again = client.report()["subscribed"]
        assert again["recovered"] is True and again["offset"] == 20
        gateway.publish_many(room, range(5))
        seen += client.reports(15)
        assert offsets(seen) == list(range(1, 26))


def test_ws_sees_the_status_of_a_refusal(gateway, room):
    with node("ws_client.js", gateway.ws_url + "?token=bad", room) as client:
        assert client.report() == {"error": "Unexpected server response: 401"}


# -- eventsource ----------------------------------------------------------------------------------

def test_eventsource_receives_in_order_and_by_name(gateway, tag):
    room = f"chat:{tag}"
    url = f"{gateway.url}/sse?room={room}&token={token('node')}"
    with node("sse_client.js", url, "typed") as client:
        assert client.report()["ready"]["rooms"][room]["offset"] == 0
        for n in range(20):
            gateway.publish(room, n, **({"event": "typed"} if n % 2 else {}))
        reports = client.reports(20)
        assert offsets(reports) == list(range(1, 21))
        assert [report["event"] for report in reports] == ["message", "typed"] * 10
        assert len({report["id"] for report in reports}) == 20


def test_eventsource_reconnects_by_itself_and_resumes_all_rooms(gateway, tag):
    rooms = [f"open:{tag}:a", f"open:{tag}:b"]
    with Proxy(gateway.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/sse?room={rooms[0]}&room={rooms[1]}"
        with node("sse_client.js", url) as client:
            client.report()
            seen = []
            for _ in range(3):
                gateway.publish_many(rooms[0], range(5))
                gateway.publish_many(rooms[1], range(3))
                seen += client.reports(8)
                proxy.cut()
                gateway.publish_many(rooms[1], range(4))
                assert client.report() == {"error": "connection"}
                ready = client.report()["ready"]
                assert all(ready["rooms"][room]["recovered"] is True for room in rooms)
                seen += client.reports(4)
            for room, count in zip(rooms, (15, 21)):
                assert [one["offset"] for one in seen if one["room"] == room] == list(
                    range(1, count + 1))


def test_eventsource_stops_for_good_at_an_error_status(gateway, room):
    with node("sse_client.js", f"{gateway.url}/sse?room={room}&token=bad") as client:
        assert client.report() == {"error": 401}
