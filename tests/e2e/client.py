"""A WebSocket client on the `websockets` library, with requests, pushes and bounded waits."""

import asyncio
import functools
import json
from collections import deque
from contextlib import asynccontextmanager

import websockets

from harness import ERROR_CODES, PATIENCE, TIMEOUT


def asynchronous(test):
    """Runs a coroutine test to its end, within a bound."""
    @functools.wraps(test)
    def run(*arguments, **named):
        asyncio.run(asyncio.wait_for(test(*arguments, **named), 60 * PATIENCE))
    return run


class Frame(dict):
    """A parsed frame that remembers its text as it came."""

    def __init__(self, text):
        super().__init__(json.loads(text))
        self.text = text


class Client:
    def __init__(self, socket):
        self.socket = socket
        self.backlog = deque()     # frames that came while another one was awaited
        self.last_id = 0
        self.welcome = None

    async def _receive(self, timeout):
        text = await asyncio.wait_for(self.socket.recv(), timeout)
        assert isinstance(text, str), "the protocol is text"
        return Frame(text)

    async def next(self, op=None, timeout=TIMEOUT, **members):
        """The first frame with this `op` and these members; the others keep their order."""
        def fits(frame):
            return (op is None or frame.get("op") == op) and \
                all(frame.get(name) == value for name, value in members.items())
        for frame in self.backlog:
            if fits(frame):
                self.backlog.remove(frame)
                return frame
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            left = deadline - asyncio.get_running_loop().time()
            try:
                frame = await self._receive(max(0.01, left))
            except asyncio.TimeoutError:
                raise AssertionError(f"no {op} {members} within {timeout} s; "
                                     f"got {list(self.backlog)[:10]}") from None
            if fits(frame):
                return frame
            self.backlog.append(frame)

    async def send(self, text):
        await self.socket.send(text if isinstance(text, str) else json.dumps(text))

    async def request(self, op, **fields):
        """Sends a request with a fresh id and returns its reply."""
        self.last_id += 1
        await self.send({"id": self.last_id, "op": op} | fields)
        return await self.next(id=self.last_id)

    async def ok(self, op, **fields):
        reply = await self.request(op, **fields)
        assert reply["op"] == "ok", reply
        return reply

    async def refused(self, code, op, **fields):
        """The request fails with this code (or one of these); the socket stays open."""
        reply = await self.request(op, **fields)
        assert reply["op"] == "error", reply
        assert reply["code"] in ERROR_CODES and isinstance(reply["message"], str), reply
        assert reply["code"] in ((code,) if isinstance(code, str) else code), reply
        await self.pong()
        return reply

    async def subscribe(self, room, **fields):
        return await self.ok("subscribe", room=room, **fields)

    async def pong(self):
        reply = await self.request("ping")
        assert reply["op"] == "pong", reply

    async def message(self, room=None, timeout=TIMEOUT):
        members = {} if room is None else {"room": room}
        return await self.next("message", timeout, **members)

    async def messages(self, count, room=None, timeout=TIMEOUT):
        return [await self.message(room, timeout) for _ in range(count)]

    async def none_pending(self, op="message"):
        """A round trip brought no such push."""
        await self.pong()
        pending = [frame for frame in self.backlog if frame.get("op") == op]
        assert not pending, pending

    async def closed(self, timeout=TIMEOUT):
        """Waits for the close and returns its code; frames before it stay readable by next()."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            try:
                self.backlog.append(
                    await self._receive(max(0.01, deadline - asyncio.get_running_loop().time())))
            except websockets.ConnectionClosed:
                return self.socket.close_code
            except asyncio.TimeoutError:
                raise AssertionError(f"not closed within {timeout} s; "
                                     f"got {list(self.backlog)[-10:]}") from None


@asynccontextmanager
async def connect(gateway, *, token=None, query="", headers=None, url=None, **options):
    """An open session; its first frame is in `welcome`. `token` goes into the header."""
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    options = {"compression": None, "ping_interval": None, "max_size": None, "max_queue": None,
               "open_timeout": TIMEOUT, "close_timeout": TIMEOUT} | options
    async with websockets.connect((url or gateway.ws_url) + query, extra_headers=headers,
                                  **options) as socket:
        client = Client(socket)
        client.welcome = await client.next()
        assert client.welcome["op"] == "welcome", client.welcome
        yield client


async def refused_handshake(gateway, **options):
    """HTTP status with which the upgrade is refused."""
    try:
        async with connect(gateway, **options):
            return 101
    except websockets.InvalidStatusCode as refusal:
        return refusal.status_code


async def off_loop(function, *arguments, **named):
    """A blocking call that lets the tests' sockets go on being read."""
    call = functools.partial(function, *arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(None, call)
