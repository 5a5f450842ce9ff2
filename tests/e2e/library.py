"""The client library in a Node process, and a network between it and the gateway that can fail."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import PATIENCE, REPOSITORY, TIMEOUT, free_port, wait_until

SCRIPTS = Path(__file__).resolve().parent / "node"
MODULE = REPOSITORY / "src/api/assets/client/fanfare.js"
MODULES = "/usr/share/nodejs"
ENVIRONMENT = os.environ | {"NODE_PATH": f"{MODULES}:/usr/lib/nodejs"}

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not os.path.isdir(f"{MODULES}/ws"),
    reason="needs nodejs and node-ws")

# Short enough for a test; SSE waits as its `retry:` says whatever is given here.
BACKOFF = {"min": 50, "max": 400}
STREAM_RETURN = 10 * PATIENCE      # after a `retry:` of up to 5 s
TRANSPORTS = ("websocket", "sse")


class Library:
    """One client in a process of its own. What it reports is kept in `reports`, in order."""

    def __init__(self, url, **options):
        options = {"backoff": BACKOFF} | options
        self.process = subprocess.Popen(
            ["node", str(SCRIPTS / "library.mjs"), str(MODULE), url, json.dumps(options)],
            env=ENVIRONMENT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.reports = []
        self.tags = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.reader.join()
        self.process.stdout.close()
        if kind is None:
            wild = [one for one in self.reports if "uncaught" in one or "unhandled" in one]
            assert not wild, wild

    def _read(self):
        for line in self.process.stdout:
            self.reports.append(json.loads(line))

    def tell(self, do, **more):
        self.process.stdin.write(json.dumps({"do": do} | more) + "\n")
        self.process.stdin.flush()

    # -- what it said -------------------------------------------------------------------------

    def all(self, start=0, **members):
        return [one for one in list(self.reports)[start:]
                if all(one.get(name) == value for name, value in members.items())]

    def wait(self, timeout=2 * TIMEOUT, count=1, start=0, where=None, **members):
        """The count-th report with these members; `where` looks closer."""
        def found():
            some = [one for one in self.all(start, **members) if where is None or where(one)]
            return some[count - 1] if len(some) >= count else None
        try:
            return wait_until(found, timeout, f"{members} (number {count})")
        except AssertionError as failure:
            raise AssertionError(f"{failure}; the last reports: {self.reports[-12:]}") from None

    def mark(self):
        """A place in the reports, to look at what comes later."""
        return len(self.reports)

    def messages(self, name):
        return [one["value"] for one in self.all(on="message") if one["as"] == name]

    def offsets(self, name):
        return [one["offset"] for one in self.messages(name) if "offset" in one]

    def wait_offset(self, name, offset, timeout=4 * TIMEOUT):
        self.wait(timeout, on="message", where=lambda one: one["as"] == name
                  and one["value"].get("offset") == offset)

    # -- what it is to do ---------------------------------------------------------------------

    def subscribe(self, target, name=None, *, ready=True, **more):
        name = name or target
        start = self.mark()
        self.tell("subscribe", target=target, **{"as": name}, **more)
        if ready:
            return self.wait(start=start, ready=name)["answer"]
        return None

    def call(self, method, *args, wait=True):
        """Calls a method of the client: its answer, or the error with `code`."""
        self.tags += 1
        tag = f"{method}-{self.tags}"
        self.tell("call", method=method, args=args, tag=tag)
        return self.result(tag) if wait else tag

    def result(self, tag, timeout=4 * TIMEOUT):
        one = self.wait(timeout, where=lambda one: tag in (one.get("answer"), one.get("failed")))
        return one["value"] if "answer" in one else one["error"]

    def look(self):
        start = self.mark()
        self.tell("look")
        return self.wait(start=start, where=lambda one: "look" in one)["look"]

    def opened(self, count=1, timeout=3 * TIMEOUT):
        return self.wait(timeout, count, event="open")["value"]

    def ends(self, timeout=TIMEOUT):
        """Closes the client; the process must end by itself. Returns how long it took."""
        self.call("close", wait=False)
        self.process.stdin.close()
        begin = time.monotonic()
        assert self.process.wait(timeout) == 0
        return time.monotonic() - begin


class Network:
    """Passes bytes between clients and a port, until told otherwise.

    cut()        breaks every connection, and refuses new ones
    blackhole()  swallows everything in both directions, and new connections get no answer
    mute()       swallows what the gateway says, and passes on what clients say
    restore()    passes new connections on again; what was swallowed stays lost
    """

    def __init__(self, port):
        self.target = port
        self.mode = "open"
        self.refuse_upgrades = False
        self.heads = []          # first lines of what connected
        self.heartbeats = 0      # comments in streams that have passed
        self.pairs = []
        self.lock = threading.Lock()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.listener = None
        self._listen()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    def cut(self):
        self.mode = "cut"
        if self.listener:
            # Shutting down wakes the thread in accept(); closing alone would leave it there.
            close(self.listener)
            self.listener = None
        self._break()

    def blackhole(self):
        self.mode = "blackhole"

    def mute(self):
        self.mode = "mute"

    def restore(self):
        self._break()            # a connection with a hole in it is of no use
        self.mode = "open"
        self._listen()

    def wait_heartbeats(self, count=3):
        """From these a stream knows how long silence is normal: nothing else tells it."""
        before = self.heartbeats
        wait_until(lambda: self.heartbeats >= before + count, 4 * TIMEOUT, "heartbeats of a stream")

    def drop(self):
        """Breaks every connection; new ones pass."""
        self._break()

    def _break(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for one in pairs:
            close(one)

    def _listen(self):
        if not self.listener:
            self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
            threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with self.lock:
            self.pairs.append(client)
        try:
            head = client.recv(65536)
            self.heads.append(head.split(b"\r\n")[0].decode())
            if self.refuse_upgrades and b"upgrade: websocket" in head.lower():
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return close(client)
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            return close(client)
        with self.lock:
            self.pairs.append(server)
        threading.Thread(target=self._pump, args=(server, client, ("open",)), daemon=True).start()
        if self.mode != "blackhole":
            server.sendall(head)
        return self._pump(client, server, ("open", "mute"))

    def _pump(self, source, sink, passing):
        try:
            while data := source.recv(65536):
                if self.mode in passing:
                    sink.sendall(data)
                    self.heartbeats += data.count(b"\n:\n\n")
        except OSError:
            pass
        # In a hole even the end of a connection goes unheard.
        if self.mode in ("open", "cut"):
            close(source)
            close(sink)


def close(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()


class Publisher:
    """Publishes 1, 2, 3 … into a room, as fast as the API takes single messages, until stopped."""

    def __init__(self, gateway, room, pause=0.0):
        self.gateway, self.room, self.pause = gateway, room, pause
        self.count = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self):
        while not self.stopping.is_set():
            self.gateway.publish(self.room, self.count + 1)
            self.count += 1
            if self.pause:
                time.sleep(self.pause)

    def at_least(self, count):
        wait_until(lambda: self.count >= count, 4 * TIMEOUT, f"{count} published")

    def more(self, count):
        self.at_least(self.count + count)

    def stop(self):
        """How many there were."""
        self.stopping.set()
        self.thread.join()
        return self.count
