"""Clients on bare sockets: they say exactly the bytes a test wants, and see exactly what came back."""

import base64
import http.client
import io
import json
import os
import socket
import struct
import threading
import time
import urllib.parse
import zlib

from harness import TIMEOUT, Response

RESERVED_EVENTS = {"ready", "bye", "reset", "join", "leave", "subscribed", "unsubscribed", "acked",
                   "error", "open"}


class Stream:
    """A TCP connection with a read buffer and a deadline for each read."""

    def __init__(self, port, *, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.settimeout(TIMEOUT)
        self.socket.sendall(data)

    def send_if_open(self, data):
        """For requests that are refused early: the peer may stop reading before all is sent."""
        try:
            self.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def end_sending(self):
        """Nothing more will come from this side."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def fill(self, deadline):
        """Reads once into the buffer; False at the end of the stream (or its reset)."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing more came in time")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def read_until(self, mark, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while mark not in self.buffer:
            if not self.fill(deadline):
                raise EOFError(f"the stream ended before {mark!r}: {bytes(self.buffer)!r}")
        at = self.buffer.index(mark) + len(mark)
        return self.take(at)

    def read_exactly(self, count, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while len(self.buffer) < count:
            if not self.fill(deadline):
                raise EOFError("the stream ended early")
        return self.take(count)

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def at_end(self, timeout=TIMEOUT):
        """True if the peer closes without sending anything more."""
        deadline = time.monotonic() + timeout
        while not self.buffer:
            try:
                if not self.fill(deadline):
                    return True
            except TimeoutError:
                return False
        return False

    def read_head(self, timeout=TIMEOUT):
        """Status line and header fields: (version, status, headers)."""
        head = self.read_until(b"\r\n\r\n", timeout)
        status_line, fields = head.split(b"\r\n", 1)
        version, status = status_line.split(b" ", 2)[:2]
        return version.decode(), int(status), http.client.parse_headers(io.BytesIO(fields))


class RawHttp(Stream):
    """Requests as bytes, answers parsed by Content-Length, chunks, or the end of the stream."""

    def __init__(self, gateway):
        super().__init__(gateway.port)
        self.host = f"127.0.0.1:{gateway.port}"

    def request(self, method, path, *fields, body=b"", version="HTTP/1.1"):
        lines = [f"{method} {path} {version}", f"Host: {self.host}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def answer(self, *, head_only=False, timeout=TIMEOUT):
        version, status, headers = self.read_head(timeout)
        assert version in ("HTTP/1.1", "HTTP/1.0")
        if head_only or status < 200 or status in (204, 304):
            body = b""
        elif "chunked" in headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.read_until(b"\r\n").split(b";")[0], 16):
                body += self.read_exactly(size + 2)[:-2]
            self.read_until(b"\r\n")
        elif "Content-Length" in headers:
            body = self.read_exactly(int(headers["Content-Length"]))
        else:
            deadline = time.monotonic() + timeout
            while self.fill(deadline):
                pass
            body = self.take(len(self.buffer))
        return Response(status, headers, body)


# -- WebSocket ------------------------------------------------------------------------------------

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 4, 2, 1


def encode_frame(opcode, payload=b"", *, fin=True, rsv=0, masked=True, form=None, announced=None):
    """A frame, right or wrong: `form` is 7, 16 or 64 (bits of the length), `announced` any length."""
    length = len(payload) if announced is None else announced
    if form is None:
        form = 7 if length < 126 else 16 if length < 65536 else 64
    mask_bit = 0x80 if masked else 0
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if form == 7:
        head = struct.pack("!BB", first, mask_bit | length)
    elif form == 16:
        head = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, length)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))


def deflated(data):
    """A message's payload under permessage-deflate."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(payload):
    """The message in a payload that refers to no other message; fails if its stream ends inside."""
    unpacker = zlib.decompressobj(wbits=-15)
    data = unpacker.decompress(payload + b"\x00\x00\xff\xff")
    assert not unpacker.eof, "no block has BFINAL"
    return data


class RawWs(Stream):
    """A WebSocket whose every frame is the test's own. Pings are not answered unless the test does."""

    def __init__(self, gateway, *, path="/ws", headers=(), key=None, version="13", glued=b"",
                 receive_buffer=None):
        super().__init__(gateway.port, receive_buffer=receive_buffer)
        key = key or base64.b64encode(os.urandom(16)).decode()
        self.send("\r\n".join([f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{gateway.port}",
                               "Upgrade: websocket", "Connection: keep-alive, Upgrade",
                               f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Version: {version}",
                               *headers]).encode() + b"\r\n\r\n" + glued)
        _, self.status, self.headers = self.read_head()
        self.welcome = None
        if self.status == 101:
            self.welcome = self.json()
            assert self.welcome["op"] == "welcome"

    def frame(self, timeout=TIMEOUT):
        """The next frame as (fin, rsv, opcode, payload)."""
        first, second = self.read_exactly(2, timeout)
        assert not second & 0x80, "a server's frames are not masked"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.read_exactly(2, timeout))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.read_exactly(8, timeout))
        return bool(first & 0x80), first >> 4 & 7, first & 15, self.read_exactly(length, timeout)

    def frame_of(self, opcode, timeout=TIMEOUT):
        """The next frame with this opcode; others are passed over."""
        deadline = time.monotonic() + timeout
        while True:
            frame = self.frame(max(0.01, deadline - time.monotonic()))
            if frame[2] == opcode:
                return frame

    def json(self, timeout=TIMEOUT):
        """The next text frame, parsed."""
        fin, rsv, _, payload = self.frame_of(TEXT, timeout)
        assert fin and rsv in (0, RSV1)
        return json.loads(inflated(payload) if rsv else payload)

    def send_frame(self, opcode, payload=b"", **options):
        self.send(encode_frame(opcode, payload, **options))

    def request(self, **fields):
        """Sends a request and returns the reply with its id; pushes in between are dropped."""
        fields.setdefault("id", 1)
        self.send_frame(TEXT, json.dumps(fields).encode())
        while True:
            reply = self.json()
            if reply.get("id") == fields["id"]:
                return reply

    def closed_with(self, timeout=TIMEOUT):
        """Code of the server's Close (1005: without one); 1006 if the stream ended without a Close."""
        try:
            payload = self.frame_of(CLOSE, timeout)[3]
        except EOFError:
            return 1006
        return struct.unpack("!H", payload[:2])[0] if payload else 1005


# -- Server-Sent Events ---------------------------------------------------------------------------

class Event:
    def __init__(self, name, data, identifier):
        self.name = name
        self.data = data
        self.id = identifier      # None if the event carried no `id` field

    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"Event({self.name!r}, {self.data!r}, id={self.id!r})"


class Sse(Stream):
    """An event stream, parsed as WHATWG HTML says. `status` and `headers` tell how it began."""

    def __init__(self, gateway, rooms=(), *, token=None, last_event_id=None, headers=(), query=(),
                 method="GET", version="HTTP/1.1", port=None, receive_buffer=None):
        super().__init__(port or gateway.port, receive_buffer=receive_buffer)
        pairs = [("room", room) for room in rooms] + list(query)
        lines = [f"{method} /sse?{urllib.parse.urlencode(pairs)} {version}",
                 f"Host: 127.0.0.1:{gateway.port}", "Accept: text/event-stream", *headers]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if last_event_id is not None:
            lines.append(f"Last-Event-ID: {last_event_id}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        _, self.status, self.headers = self.read_head()
        self.chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        self.text = bytearray()          # decoded body that is not yet parsed
        self.last_event_id = None
        self.retry = None
        self.comments = 0
        self.ended = False

    @property
    def streaming(self):
        media_type = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        return self.status == 200 and media_type == "text/event-stream"

    def problem(self):
        """The body of a refusal, as an answer that assert_problem takes."""
        assert "Content-Length" in self.headers
        return Response(self.status, self.headers,
                        self.read_exactly(int(self.headers["Content-Length"])))

    def _decode(self, deadline):
        """Moves more body from the connection to `text`; False when the body has ended."""
        if self.ended:
            return False
        if not self.chunked:
            if not self.buffer and not self.fill(deadline):
                self.ended = True
                return False
            self.text += self.take(len(self.buffer))
            return True
        try:
            left = lambda: deadline - time.monotonic()
            size = int(self.read_until(b"\r\n", left()).split(b";")[0], 16)
            chunk = self.read_exactly(size + 2, left())
        except EOFError:
            self.ended = True
            return False
        self.ended = size == 0
        self.text += chunk[:-2]
        return not self.ended

    def _line(self, deadline):
        while b"\n" not in self.text:
            if not self._decode(deadline):
                return None
        at = self.text.index(b"\n")
        line = bytes(self.text[:at]).decode()
        del self.text[:at + 1]
        assert "\r" not in line, "LF alone ends a line"
        return line

    def event(self, timeout=TIMEOUT):
        """The next event that is fired, or None at the end of the stream."""
        deadline = time.monotonic() + timeout
        name, data, identifier = "", [], None
        while (line := self._line(deadline)) is not None:
            if line == "":
                if identifier is not None:
                    self.last_event_id = identifier
                if data:
                    return Event(name or "message", "\n".join(data), identifier)
                name, identifier = "", None
                continue
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if line.startswith(":"):
                self.comments += 1
            elif field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                identifier = value
            elif field == "retry":
                assert value.isdigit(), line
                self.retry = int(value)
            else:
                raise AssertionError(f"no such field: {line!r}")
        return None

    def named(self, name, timeout=TIMEOUT):
        """The next event of that name; others are passed over."""
        deadline = time.monotonic() + timeout
        while True:
            event = self.event(max(0.01, deadline - time.monotonic()))
            assert event is not None, f"the stream ended before {name}"
            if event.name == name:
                return event

    def ready(self):
        assert self.streaming, (self.status, self.headers.as_string())
        event = self.event()
        assert event.name == "ready", event
        return event.json()

    def messages(self, count, timeout=TIMEOUT):
        """The next `count` published messages; the gateway's own events are passed over."""
        deadline = time.monotonic() + timeout
        found = []
        while len(found) < count:
            event = self.event(max(0.01, deadline - time.monotonic()))
            assert event is not None, f"the stream ended after {len(found)} of {count} messages"
            if event.name not in RESERVED_EVENTS:
                found.append(event)
        return found

    def wait_comments(self, count, timeout=TIMEOUT):
        """Reads until this many comment lines have come in all, while no event is expected."""
        deadline = time.monotonic() + timeout
        while self.comments < count:
            line = self._line(deadline)
            assert line is not None, "the stream ended"
            assert line == "" or line.startswith(":"), line
            self.comments += line.startswith(":")

    def rest(self, timeout=TIMEOUT):
        """All events up to the end of the stream."""
        deadline = time.monotonic() + timeout
        events = []
        while (event := self.event(max(0.01, deadline - time.monotonic()))) is not None:
            events.append(event)
        return events


# -- a connection that can be cut -----------------------------------------------------------------

class Proxy:
    """Passes bytes between clients and the gateway until cut() breaks every connection at once."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs = []
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Shutting down wakes the thread in accept(); closing alone would leave it there.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def cut(self):
        with self.lock:
            for one in self.pairs:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.pairs.clear()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            with self.lock:
                self.pairs += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
