"""An HTTP/2 client that does exactly what a test says, sensible or not: frames by hyperframe, headers by hpack."""

import socket
import ssl
import time
from dataclasses import dataclass, field

import hpack
from hyperframe import frame as frames

from harness import TIMEOUT

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REFUSED_STREAM = 7


@dataclass
class Answer:
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    pieces: list = field(default_factory=list)     # sizes of the DATA frames
    ended: bool = False
    reset: int | None = None                       # the error code of RST_STREAM

    @property
    def status(self):
        return int(self.headers.get(":status", 0))


class H2Client:
    def __init__(self, port, ca=None, *, certificate=None, protocols=("h2",), name="localhost"):
        raw = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.protocol = None
        try:
            if ca:
                context = ssl.create_default_context(cafile=ca)
                context.set_alpn_protocols(list(protocols))
                if certificate:
                    context.load_cert_chain(*certificate)
                raw = context.wrap_socket(raw, server_hostname=name)
                self.protocol = raw.selected_alpn_protocol()
        except BaseException:
            raw.close()
            raise
        self.socket = raw
        self.authority = f"localhost:{port}"
        self.scheme = "https" if ca else "http"
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer = b""
        self.answers = {}
        self.order = []                            # streams as they ended
        self.settings = []                         # every SETTINGS frame as {id: value}
        self.goaways = []                          # (last stream, error code, debug data)
        self.pongs = 0
        self.closed = False
        self.ack_settings = True
        self.next_stream = 1
        self.socket.sendall(PREFACE + frames.SettingsFrame(0).serialize())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def limit(self):
        """The last SETTINGS_MAX_CONCURRENT_STREAMS."""
        values = [each[3] for each in self.settings if 3 in each]
        return values[-1] if values else None

    def send(self, *some):
        self.socket.sendall(b"".join(each.serialize() for each in some))

    def request(self, path, headers=(), body=b"", method="POST", end=True):
        """Sends one request and returns its stream; nothing is waited for."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        fields = [(":method", method), (":scheme", self.scheme), (":authority", self.authority), (":path", path),
                  *(headers.items() if isinstance(headers, dict) else headers)]
        head = frames.HeadersFrame(stream, self.encoder.encode(fields))
        head.flags.add("END_HEADERS")
        self.answers[stream] = Answer()
        whole = [head]
        if body:
            whole.append(frames.DataFrame(stream, body))
        if end:
            whole[-1].flags.add("END_STREAM")
        self.send(*whole)
        return stream

    def ping(self):
        self.send(frames.PingFrame(0, b"fanfare!"))

    def wait(self, condition, what="the condition", timeout=TIMEOUT):
        """Reads frames until `condition` holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0 and not self.closed, f"{what}: {'closed' if self.closed else 'time is up'}"
            self.socket.settimeout(left)
            self.read_some()
        return True

    def call(self, path, headers=(), body=b"", method="POST"):
        stream = self.request(path, headers, body, method)
        return self.answer(stream)

    def answer(self, stream):
        answer = self.answers[stream]
        self.wait(lambda: answer.ended or answer.reset is not None, f"answer of stream {stream}")
        return answer

    def wait_closed(self, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while not self.closed:
            left = deadline - time.monotonic()
            assert left > 0, "the connection stays open"
            self.socket.settimeout(left)
            self.read_some()

    def read_some(self):
        try:
            got = self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError) as error:
            if isinstance(error, ssl.SSLError) and "timed out" in str(error):
                return
            got = b""
        except TimeoutError:
            return
        self.closed = not got
        self.buffer += got
        while len(self.buffer) >= 9:
            head, length = frames.Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                return
            head.parse_body(memoryview(self.buffer[9:9 + length]))
            self.buffer = self.buffer[9 + length:]
            self.take(head)

    def take(self, one):
        if isinstance(one, frames.SettingsFrame):
            if "ACK" not in one.flags:
                self.settings.append(dict(one.settings))
                if self.ack_settings:
                    self.send(frames.SettingsFrame(0, flags=["ACK"]))
        elif isinstance(one, frames.PingFrame):
            self.pongs += "ACK" in one.flags
        elif isinstance(one, frames.GoAwayFrame):
            self.goaways.append((one.last_stream_id, one.error_code, bytes(one.additional_data)))
        elif isinstance(one, frames.RstStreamFrame):
            self.answers[one.stream_id].reset = one.error_code
        elif isinstance(one, frames.HeadersFrame):
            answer = self.answers[one.stream_id]
            fields = self.decoder.decode(one.data)
            answer.headers = dict(fields)
            assert len(answer.headers) == len(fields), fields
            self.end(one, answer)
        elif isinstance(one, frames.DataFrame):
            answer = self.answers[one.stream_id]
            answer.body += bytes(one.data)
            answer.pieces.append(len(one.data))
            self.end(one, answer)

    def end(self, one, answer):
        if "END_STREAM" in one.flags:
            answer.ended = True
            self.order.append(one.stream_id)
