"""HTTP/1.1 byte by byte: what is served, what is refused, and that the process survives both."""

import json

import pytest

from harness import ALL_KEY, PATIENCE, assert_problem
from wire import RawHttp


def head(raw, *lines, host=True):
    """A request head of these lines, with its Host behind the request line."""
    lines = list(lines)
    if host:
        lines.insert(1, f"Host: {raw.host}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def publish(raw, room, data, *fields):
    body = json.dumps({"room": room, "data": data}).encode()
    return raw.request("POST", "/api/v1/publish", f"X-API-Key: {ALL_KEY}",
                       "Content-Type: application/json", *fields, body=body)


# -- served ---------------------------------------------------------------------------------------

def test_connection_is_kept_alive(gateway):
    with RawHttp(gateway) as raw:
        for _ in range(3):
            raw.send(raw.request("GET", "/health"))
            assert raw.answer().status == 200


def test_pipelined_requests_are_answered_in_order(gateway, room):
    with RawHttp(gateway) as raw:
        raw.send(b"".join(publish(raw, room, n) for n in range(20))
                 + raw.request("GET", "/nothing") + raw.request("GET", "/health"))
        assert [raw.answer().json()["offset"] for _ in range(20)] == list(range(1, 21))
        assert raw.answer().status == 404
        assert raw.answer().status == 200


def test_connection_close_is_honoured(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("GET", "/health", "Connection: close"))
        response = raw.answer()
        assert response.status == 200 and response.headers["Connection"].lower() == "close"
        assert raw.at_end()


def test_http_1_0_is_served_and_closed(gateway):
    with RawHttp(gateway) as raw:
        raw.send(b"GET /health HTTP/1.0\r\n\r\n")
        response = raw.answer()
        assert response.status == 200
        assert "Transfer-Encoding" not in response.headers
        assert raw.at_end()


def test_chunked_body_is_read(gateway, room):
    body = json.dumps({"room": room, "data": "chunked"}).encode()
    chunks = b"".join(b"%x;extension=1\r\n%s\r\n" % (len(piece), piece)
                      for piece in (body[:1], body[1:10], body[10:]))
    with RawHttp(gateway) as raw:
        raw.send(raw.request("POST", "/api/v1/publish", f"X-API-Key: {ALL_KEY}",
                             "Content-Type: application/json", "Transfer-Encoding: chunked")
                 + chunks + b"0\r\nTrailer: ignored\r\n\r\n" + raw.request("GET", "/health"))
        assert raw.answer().json()["offset"] == 1
        assert raw.answer().status == 200


def test_request_may_arrive_byte_by_byte(gateway, room):
    with RawHttp(gateway) as raw:
        for byte in publish(raw, room, 1):
            raw.send(bytes([byte]))
        assert raw.answer().json()["offset"] == 1


def test_expect_100_continue_is_answered_before_the_body(gateway, room):
    with RawHttp(gateway) as raw:
        request = publish(raw, room, 1, "Expect: 100-continue")
        at = request.index(b"\r\n\r\n") + 4
        raw.send(request[:at])
        assert raw.answer().status == 100
        raw.send(request[at:])
        assert raw.answer().json()["offset"] == 1


def test_request_id_is_echoed(gateway, room):
    with RawHttp(gateway) as raw:
        for request in (raw.request("GET", "/health", "X-Request-Id: req-42"),
                        raw.request("GET", "/nothing", "X-Request-Id: req-42"),
                        publish(raw, room, 1, "X-Request-Id: req-42")):
            raw.send(request)
            assert raw.answer().headers["X-Request-Id"] == "req-42"


def test_head_is_get_without_the_body(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("HEAD", "/health") + raw.request("GET", "/health"))
        by_head = raw.answer(head_only=True)
        by_get = raw.answer()
        assert by_head.status == by_get.status == 200
        assert by_head.headers.get("Content-Type") == by_get.headers.get("Content-Type")


def test_absolute_target_is_understood(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("GET", f"http://{raw.host}/health"))
        assert raw.answer().status == 200


def test_empty_line_before_a_request_is_skipped(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("GET", "/health") + b"\r\n" + raw.request("GET", "/health"))
        assert raw.answer().status == 200
        assert raw.answer().status in (200, 400)     # RFC 9112 §2.2 asks for it with SHOULD


@pytest.mark.parametrize("path", ["/nothing", "/healthy", "/wss", "/%2e%2e/etc/passwd", "/nothing?a=b"])
def test_unknown_path_is_a_404_problem(gateway, path):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("GET", path))
        assert_problem(raw.answer(), 404, "not_found")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_other_methods_of_operations_are_405(gateway, method):
    with RawHttp(gateway) as raw:
        raw.send(raw.request(method, "/health", "Content-Length: 0"))
        response = raw.answer()
        assert_problem(response, 405, "method_not_allowed")
        assert "GET" in response.headers["Allow"]


# -- refused --------------------------------------------------------------------------------------

POST = "POST /api/v1/publish HTTP/1.1"
GET = "GET /health HTTP/1.1"

MALFORMED = {
    "no Host": lambda raw: head(raw, GET, host=False),
    "two Hosts": lambda raw: head(raw, GET, "Host: other"),
    "two equal Hosts": lambda raw: head(raw, GET, f"Host: {raw.host}"),
    "folded field": lambda raw: head(raw, GET, "X-Long: a", " b"),
    "folded with a tab": lambda raw: head(raw, GET, "X-Long: a", "\tb"),
    "bare LF": lambda raw: f"{GET}\nHost: {raw.host}\n\n".encode(),
    "bare LF in a field": lambda raw: head(raw, GET, "X-A: 1\nX-B: 2"),
    "bare CR in a field": lambda raw: head(raw, GET, "X-A: 1\rX-B: 2"),
    "NUL in a field": lambda raw: head(raw, GET, "X-A: a\0b"),
    "blank before the colon": lambda raw: head(raw, GET, "X-A : 1"),
    "field without a colon": lambda raw: head(raw, GET, "nonsense"),
    "field without a name": lambda raw: head(raw, GET, ": x"),
    "two lengths": lambda raw: head(raw, POST, "Content-Length: 3", "Content-Length: 4") + b"abc",
    "two equal lengths": lambda raw: head(raw, POST, "Content-Length: 3", "Content-Length: 3") + b"abc",
    "list of lengths": lambda raw: head(raw, POST, "Content-Length: 3, 3") + b"abc",
    "negative length": lambda raw: head(raw, POST, "Content-Length: -1"),
    "length with a plus": lambda raw: head(raw, POST, "Content-Length: +3") + b"abc",
    "length in hex": lambda raw: head(raw, POST, "Content-Length: 0x3") + b"abc",
    "length beyond 64 bits": lambda raw: head(raw, POST, "Content-Length: 99999999999999999999"),
    "length and chunked": lambda raw: head(
        raw, POST, "Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked and length": lambda raw: head(
        raw, POST, "Transfer-Encoding: chunked", "Content-Length: 3") + b"0\r\n\r\n",
    "unknown coding": lambda raw: head(raw, POST, "Transfer-Encoding: bogus"),
    "chunked is not last": lambda raw: head(raw, POST, "Transfer-Encoding: chunked, identity"),
    "chunk size that is none": lambda raw: head(
        raw, POST, f"X-API-Key: {ALL_KEY}", "Content-Type: application/json",
        "Transfer-Encoding: chunked") + b"xyz\r\n",
    "chunk size beyond 64 bits": lambda raw: head(
        raw, POST, f"X-API-Key: {ALL_KEY}", "Content-Type: application/json",
        "Transfer-Encoding: chunked") + b"fffffffffffffffff\r\n",
    "no version": lambda raw: b"GET /health\r\n\r\n",
    "version 3": lambda raw: head(raw, "GET /health HTTP/3.0"),
    "HTTP/2 preface": lambda raw: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two blanks in the request line": lambda raw: head(raw, "GET  /health HTTP/1.1"),
    "target without a slash": lambda raw: head(raw, "GET health HTTP/1.1"),
    "TLS hello": lambda raw: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    "noise": lambda raw: b"\xff\xfe\xfd\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request_is_refused_and_closed(gateway, name):
    with RawHttp(gateway) as raw:
        raw.send_if_open(MALFORMED[name](raw))
        response = raw.answer()
        assert response.status in (400, 413, 501, 505), response.status
        raw.end_sending()
        assert raw.at_end()
    assert gateway.http("GET", "/health").status == 200


def test_nothing_behind_a_refused_request_is_served(gateway, room):
    with RawHttp(gateway) as raw:
        raw.send_if_open(MALFORMED["length and chunked"](raw) + publish(raw, room, "smuggled"))
        assert raw.answer().status == 400
        raw.end_sending()
        assert raw.at_end()
    assert gateway.newest(room) == 0


def test_head_above_the_limit_is_431(gateway):
    with RawHttp(gateway) as raw:
        raw.send_if_open(raw.request("GET", "/health", "X-Pad: " + "x" * 70_000))
        assert raw.answer().status == 431


def test_endless_head_of_small_fields_is_431(gateway):
    with RawHttp(gateway) as raw:
        fields = "".join(f"X-{n}: {n}\r\n" for n in range(20_000))
        raw.send_if_open(f"{GET}\r\nHost: {raw.host}\r\n{fields}".encode())
        assert raw.answer().status == 431


def test_head_within_the_limit_passes(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("GET", "/health", "X-Pad: " + "x" * 30_000))
        assert raw.answer().status == 200


def test_endless_target_is_refused(gateway):
    with RawHttp(gateway) as raw:
        raw.send_if_open(f"GET /{'x' * 200_000} HTTP/1.1\r\n".encode())
        assert raw.answer().status in (414, 431)


@pytest.mark.parametrize("length", [10 * 1024 * 1024, 1 << 40])
def test_announced_body_above_the_limit_is_413_at_once(gateway, length):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("POST", "/api/v1/publish", f"X-API-Key: {ALL_KEY}",
                             "Content-Type: application/json", f"Content-Length: {length}"))
        assert_problem(raw.answer(), 413, "too_large")


def test_chunked_body_above_the_limit_is_413(gateway):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with RawHttp(gateway) as raw:
        raw.send(raw.request("POST", "/api/v1/publish", f"X-API-Key: {ALL_KEY}",
                             "Content-Type: application/json", "Transfer-Encoding: chunked"))
        for _ in range(40):
            raw.send_if_open(chunk)
        assert raw.answer().status == 413


def test_expectation_of_a_body_above_the_limit_is_refused_without_continue(gateway):
    with RawHttp(gateway) as raw:
        raw.send(raw.request("POST", "/api/v1/publish", f"X-API-Key: {ALL_KEY}",
                             "Content-Type: application/json", "Expect: 100-continue",
                             "Content-Length: 100000000"))
        assert raw.answer().status in (413, 417)


@pytest.mark.parametrize("sent", [b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n",
                                  b"POST /api/v1/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
                                  b"GET /sse?room=open:x HTTP/1.1\r\nHost: x\r\n\r\n", b""])
def test_client_that_goes_away_in_the_middle_does_no_harm(gateway, sent):
    with RawHttp(gateway) as raw:
        if sent:
            raw.send(sent)
    assert gateway.http("GET", "/health").status == 200


@pytest.fixture(scope="module")
def impatient(start_for_module):
    return start_for_module({"server": {"head_timeout": "1s", "max_head": "4KiB"}})


def test_slow_head_is_408_and_closed(impatient):
    with RawHttp(impatient) as raw:
        raw.send(b"GET /health HTTP/1.1\r\nHost:")
        assert raw.answer(timeout=10 * PATIENCE).status == 408
        assert raw.at_end()


def test_head_that_drips_is_408_too(impatient):
    """Each byte alone is in time; the head as a whole is not."""
    with RawHttp(impatient) as raw:
        raw.send(b"GET /health HTTP/1.1\r\nX-Drip: ")
        for _ in range(1000):
            raw.send_if_open(b"x")
            try:
                response = raw.answer(timeout=0.05)
            except TimeoutError:
                continue
            assert response.status == 408
            return
        pytest.fail("a head that never ends was never refused")


def test_configured_head_limit_holds(impatient):
    with RawHttp(impatient) as raw:
        raw.send_if_open(raw.request("GET", "/health", "X-Pad: " + "x" * 5000))
        assert raw.answer().status == 431
