"""A gateway under callgrind, and clients that go through it step by step.

Counts repeat only if the event loop takes the same turns each time. So nothing here depends on time:
before each step the gateway has fallen asleep, what it is to see in one turn it gets while it is
stopped (SIGSTOP), and a step ends when every client has read what the step brings it.
"""

import base64
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from callgrind import Callgrind
from processes import Failed, answers, await_start, end, free_port, text

RELEASE = Path(__file__).resolve().parents[2] / "build/release"
SERVER_SECONDS_MAX = 600
READ_SECONDS_MAX = 120              # of a client; the gateway runs 50 times slower than it does alone
DATA_BYTES = 128                    # as fanfare-load's default
FILLER = "ten nets seat one tie on a stone; " * 8
KEY = "instructions-0123456789abcdef"


class Gateway:
    """The running gateway; `run()` makes one."""

    def __init__(self, process, callgrind, port):
        self.process = process
        self.callgrind = callgrind
        self.port = port

    @property
    def pid(self):
        return self.process.pid

    @contextmanager
    def counted(self):
        """A list, to which the end of the block adds what the gateway executed meanwhile."""
        costs = []
        self.fall_asleep()
        self.callgrind.zero(self.pid)
        yield costs
        self.fall_asleep()
        costs.append(self.callgrind.take(self.pid))

    @contextmanager
    def uncounted(self):
        self.callgrind.instrument(self.pid, False)
        yield
        self.fall_asleep()
        self.callgrind.instrument(self.pid, True)

    def feed(self, *inputs):
        """Sends all of `inputs`, pairs of client and bytes, so that the gateway finds them in one turn."""
        if len(inputs) == 1:
            self.fall_asleep()
            client, data = inputs[0]
            client.socket.sendall(data)
            return
        with self.stopped():
            for client, data in inputs:
                client.socket.sendall(data)

    @contextmanager
    def stopped(self):
        """What comes to the gateway during the block it finds in one turn."""
        self.fall_asleep()
        os.kill(self.pid, signal.SIGSTOP)
        self._await(lambda states: all(state == "T" for state, _ in states.values()), "stop")
        yield
        time.sleep(0.001)           # the loopback interface may deliver behind the sender's back
        os.kill(self.pid, signal.SIGCONT)

    def fall_asleep(self):
        """Until no thread has anything to do."""
        before = {}

        def asleep(states):
            nonlocal before
            same, before = states == before, states
            return same and all(state == "S" for state, _ in states.values())

        self._await(asleep, "fall asleep")

    def woken_by(self, action):
        """The reactors that woke for `action()`, and how often. An idle one may be among them: each
        wakes once a second by itself."""
        self.fall_asleep()
        before = self.threads()
        action()
        self.fall_asleep()
        woken = {int(name.split("/")[0].removeprefix("fanfare-")): slept - before[name][1]
                 for name, (_, slept) in self.threads().items() if name.startswith("fanfare-")}
        return {reactor: times for reactor, times in woken.items() if times > 0}

    def reactor_of(self, client):
        """The reactor that serves a new connection; None if that is uncertain. The connection is
        asked for a page that does not exist, and stays usable."""
        def ask():
            self.feed((client, client.nothing()))
            client.read_nothing()

        times = self.woken_by(lambda: [ask() for _ in range(3)])
        surely = [reactor for reactor, count in times.items() if count >= 3]
        return surely[0] if len(surely) == 1 else None

    def threads(self):
        """Of each thread, by its name: its state, and how often it has gone to sleep."""
        states = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
            states[f"{fields['Name'].strip()}/{task.name}"] = (fields["State"].split()[0],
                                                             int(fields["voluntary_ctxt_switches"]))
        return states

    def _await(self, condition, what):
        deadline = time.monotonic() + READ_SECONDS_MAX
        while not condition(self.threads()):
            if time.monotonic() > deadline:
                raise Failed(f"the gateway did not {what} within {READ_SECONDS_MAX} s: {self.threads()}")
            time.sleep(0.0005)


@contextmanager
def run(reactors):
    """A gateway with the rules of the benchmark, its history short enough to be full in no time, and
    without what comes by the clock: heartbeats, closes of connections that wait for their turn."""
    port = free_port()
    key_hash = hashlib.sha256(KEY.encode()).hexdigest()
    with tempfile.TemporaryDirectory(prefix="fanfare-instructions-") as directory:
        config = Path(directory) / "fanfare.yaml"
        config.write_text(f"""\
server: {{listen: ["127.0.0.1:{port}"], reactors: {reactors}, drain: 0s,
         head_timeout: 10m, keep_alive: 10m}}
api: {{keys: [{{name: bench, hash: "sha256:{key_hash}", scopes: [publish, read]}}]}}
clients: {{anonymous: true, heartbeat: 1h}}
rooms: [{{match: "*", subscribe: anyone, publish: server, history: {{size: 32, ttl: 1h}}}}]
log: {{level: warn, format: text}}
""", encoding="utf-8")
        callgrind = Callgrind(directory)
        binary = os.environ.get("FANFARE_BIN", str(RELEASE / "fanfare"))
        command = ["setpriv", "--pdeathsig", "KILL",
                   *callgrind.command(binary, "serve", "--config", str(config))]
        # What would override the configuration, and what would choose other code of the C library.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("FANFARE_", "GLIBC_TUNABLES", "MALLOC_", "SIMDJSON_",
                                               "OPENSSL_ia32cap", "LD_PRELOAD"))}
        with open(Path(directory) / "log", "w+b") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, start_new_session=True)
            watchdog = threading.Timer(SERVER_SECONDS_MAX, process.kill)
            watchdog.daemon = True
            watchdog.start()
            try:
                await_start(process, log, lambda: answers(f"http://127.0.0.1:{port}/ready"))
                yield Gateway(process, callgrind, port)
                if process.poll() is not None:
                    raise Failed(f"the gateway ended by itself, status {process.returncode}:\n{text(log)}")
            finally:
                watchdog.cancel()
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)     # SIGTERM does not reach one that is stopped
                end(process)


# -- clients --------------------------------------------------------------------------------------

class Client:
    """One connection. What comes in is read as it is needed."""

    def __init__(self, gateway):
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=READ_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = f"127.0.0.1:{gateway.port}"
        self.buffer = b""

    def nothing(self):
        return f"GET /nothing HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()

    def read_nothing(self):
        self._read_body(404)

    def _read_body(self, status):
        head = self.take_head(status).lower()
        return self.take(int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]))

    def fill(self):
        try:
            more = self.socket.recv(262144)
        except OSError as error:
            raise Failed(f"reading from the gateway: {error}; so far {self.buffer[-500:]!r}") from None
        if not more:
            raise Failed(f"the gateway closed a connection: {self.buffer[-500:]!r}")
        self.buffer += more

    def take(self, size):
        while len(self.buffer) < size:
            self.fill()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def take_head(self, status):
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head = self.take(self.buffer.index(b"\r\n\r\n") + 4)
        if head.split(b" ", 2)[1] != str(status).encode():
            raise Failed(f"the gateway answered {head!r}")
        return head

    def close(self):
        self.socket.close()


class Publisher(Client):
    def request(self, rooms):
        """Publishes to each of `rooms`; more than one are a batch. The data is like fanfare-load's."""
        items = []
        for room in rooms:
            data = f'{{"n":123456,"t":1234567890123456,"p":"'
            items.append(f'{{"room":"{room}","data":{data}{FILLER[:DATA_BYTES - len(data) - 2]}"}}}}')
        path, form = ("publish", "json") if len(items) == 1 else ("publish/batch", "x-ndjson")
        body = "\n".join(items)
        return (f"POST /api/v1/{path} HTTP/1.1\r\nHost: {self.host}\r\nX-API-Key: {KEY}\r\n"
                f"Content-Type: application/{form}\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()

    def read_answer(self):
        answer = json.loads(self._read_body(200))
        for result in answer.get("results", [answer]):
            if "offset" not in result:
                raise Failed(f"a publish failed: {result}")


class WebSocketClient(Client):
    def __init__(self, gateway, room):
        super().__init__(gateway)
        self.room = room
        self.next_offset = None

    def opening(self):
        key = base64.b64encode(b"0123456789abcdef").decode()
        return (f"GET /ws HTTP/1.1\r\nHost: {self.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Protocol: fanfare.json.v1\r\n\r\n").encode()

    def read_opening(self):
        self.take_head(101)
        self._expect(self._frame(), "welcome")

    def subscribing(self):
        payload = f'{{"id":1,"op":"subscribe","room":"{self.room}"}}'.encode()
        mask = b"\x12\x34\x56\x78"
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        return bytes((0x81, 0x80 | len(payload))) + mask + masked

    def read_subscribing(self):
        self.next_offset = self._expect(self._frame(), "ok")["offset"] + 1

    def read_messages(self, count):
        for _ in range(count):
            message = self._expect(self._frame(), "message")
            if message["room"] != self.room or message["offset"] != self.next_offset:
                raise Failed(f"offset {self.next_offset} of {self.room} expected, got {message}")
            self.next_offset += 1

    def _frame(self):
        length = self.take(2)[1]
        if length >= 126:
            length, = struct.unpack(*((">H", self.take(2)) if length == 126 else (">Q", self.take(8))))
        return json.loads(self.take(length))

    @staticmethod
    def _expect(frame, op):
        if frame.get("op") != op:
            raise Failed(f"{op} expected, got {frame}")
        return frame


class SseClient(Client):
    def __init__(self, gateway, room):
        super().__init__(gateway)
        self.room = room

    def opening(self):
        return (f"GET /sse?room={self.room} HTTP/1.1\r\nHost: {self.host}\r\n"
                "Accept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n").encode()

    def read_opening(self):
        self.take_head(200)
        self._read_events(b"event: ready", 1)

    def read_messages(self, count):
        self._read_events(b"data:", count)

    def _read_events(self, mark, count):
        """Up to the end of a chunk that has all of them, and nothing behind it."""
        while self.buffer.count(mark) < count or not self.buffer.endswith(b"\n\r\n"):
            self.fill()
        if self.buffer.count(mark) != count:
            raise Failed(f"{count} × {mark!r} expected, got {self.buffer!r}")
        self.buffer = b""
