"""WebSocket on the wire: frames right and wrong, close codes, compression (RFC 6455, RFC 7692)."""

import json
import zlib

import pytest

from client import asynchronous, connect
from wire import (BINARY, CLOSE, CONTINUATION, PING, PONG, RSV1, RSV2, RSV3, TEXT, RawWs,
                  deflated, encode_frame, inflated)

PING_OP = b'{"id":1,"op":"ping"}'
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


# -- violations and their close codes -------------------------------------------------------------

VIOLATIONS = {
    "unmasked frame": (1002, encode_frame(TEXT, PING_OP, masked=False)),
    "reserved opcode 3": (1002, encode_frame(3, b"x")),
    "reserved opcode 7": (1002, encode_frame(7, b"x")),
    "reserved control opcode 11": (1002, encode_frame(11)),
    "reserved control opcode 15": (1002, encode_frame(15)),
    "RSV1 without an extension": (1002, encode_frame(TEXT, PING_OP, rsv=RSV1)),
    "RSV2": (1002, encode_frame(TEXT, PING_OP, rsv=RSV2)),
    "RSV3": (1002, encode_frame(TEXT, PING_OP, rsv=RSV3)),
    "ping of 126 bytes": (1002, encode_frame(PING, b"x" * 126)),
    "fragmented ping": (1002, encode_frame(PING, b"x", fin=False)),
    "continuation of nothing": (1002, encode_frame(CONTINUATION, b"x")),
    "text inside a fragmented text": (
        1002, encode_frame(TEXT, b"{", fin=False) + encode_frame(TEXT, PING_OP)),
    "5 bytes with a 16-bit length": (1002, encode_frame(TEXT, b"12345", form=16)),
    "200 bytes with a 64-bit length": (1002, encode_frame(TEXT, b"x" * 200, form=64)),
    "64-bit length with the top bit": ((1002, 1009), encode_frame(TEXT, form=64, announced=1 << 63)),
    "close payload of 1 byte": (1002, encode_frame(CLOSE, b"\x03")),
    "close code 999": (1002, encode_frame(CLOSE, (999).to_bytes(2, "big"))),
    "close code 1005": (1002, encode_frame(CLOSE, (1005).to_bytes(2, "big"))),
    "close code 1016": (1002, encode_frame(CLOSE, (1016).to_bytes(2, "big"))),
    "close reason that is no UTF-8": (
        (1002, 1007), encode_frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff")),
    "binary frame": (1003, encode_frame(BINARY, PING_OP)),
    "text that is no UTF-8": (1007, encode_frame(TEXT, b'{"op":"\xc3\x28"}')),
    "overlong UTF-8": (1007, encode_frame(TEXT, b'{"op":"\xc0\x80"}')),
    "surrogate in UTF-8": (1007, encode_frame(TEXT, b'{"op":"\xed\xa0\x80"}')),
    "UTF-8 cut at the end": (1007, encode_frame(TEXT, b'{"op":"\xe2\x82')),
    "bad UTF-8 over two fragments": (
        1007, encode_frame(TEXT, b'{"op":"\xe2', fin=False) + encode_frame(CONTINUATION, b'"}')),
    "length above the limit": (1009, encode_frame(TEXT, announced=64 * 1024 + 1)),
    "length of 2^40": (1009, encode_frame(TEXT, announced=1 << 40)),
    "length of 2^62": (1009, encode_frame(TEXT, announced=1 << 62)),
    "fragments above the limit": (
        1009, encode_frame(TEXT, b" " * 40_000, fin=False) + encode_frame(CONTINUATION, b" " * 40_000)),
    "array": (4400, encode_frame(TEXT, b"[1]")),
    "number": (4400, encode_frame(TEXT, b"7")),
    "string": (4400, encode_frame(TEXT, b'"ping"')),
    "null": (4400, encode_frame(TEXT, b"null")),
    "empty message": (4400, encode_frame(TEXT)),
    "no JSON at all": (4400, encode_frame(TEXT, b"hello")),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_closes_with_its_code(gateway, name):
    codes, frames = VIOLATIONS[name]
    with RawWs(gateway) as raw:
        raw.send_if_open(frames)
        assert raw.closed_with() in ((codes,) if isinstance(codes, int) else codes)
        raw.end_sending()
        assert raw.at_end()


@pytest.mark.parametrize("name", ["unmasked frame", "RSV2", "binary frame", "reserved opcode 3"])
def test_violation_inside_a_fragmented_message_closes_too(gateway, name):
    _, frames = VIOLATIONS[name]
    with RawWs(gateway) as raw:
        raw.send(encode_frame(TEXT, b"{", fin=False))
        raw.send_if_open(frames)
        assert raw.closed_with() in (1002, 1003)


def test_message_of_exactly_the_limit_passes(gateway):
    body = b'{"id":1,"op":"ping","pad":"' + b"x" * (64 * 1024 - 29) + b'"}'
    assert len(body) == 64 * 1024
    with RawWs(gateway) as raw:
        raw.send_frame(TEXT, body)
        assert raw.json()["id"] == 1


@pytest.mark.parametrize("payload, answers", [
    (b"", (1000, 1005)),
    ((1000).to_bytes(2, "big"), (1000,)),
    ((1001).to_bytes(2, "big") + b"gone", (1001,)),
    ((3000).to_bytes(2, "big"), (3000,)),
    ((4999).to_bytes(2, "big") + "é".encode(), (4999,)),
])
def test_close_of_the_client_is_echoed_and_ends_the_connection(gateway, payload, answers):
    with RawWs(gateway) as raw:
        raw.send_frame(CLOSE, payload)
        assert raw.closed_with() in answers
        assert raw.at_end()


def test_nothing_is_answered_after_the_close(gateway):
    with RawWs(gateway) as raw:
        raw.send(encode_frame(CLOSE, b"\x03\xe8") + encode_frame(PING, b"late")
                 + encode_frame(TEXT, PING_OP))
        assert raw.frame()[2] == CLOSE
        assert raw.at_end()


def test_connection_cut_without_a_close_leaves_no_subscriber(gateway, room):
    raw = RawWs(gateway)
    raw.request(op="subscribe", room=room)
    assert gateway.subscribers(room) == 1
    raw.close()
    gateway.wait_subscribers(room, 0)


# -- frames that are right ------------------------------------------------------------------------

@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))])
def test_ping_is_answered_with_its_payload(gateway, payload):
    with RawWs(gateway) as raw:
        raw.send_frame(PING, payload)
        assert raw.frame() == (True, 0, PONG, payload)


def test_ping_between_fragments_is_answered_at_once(gateway):
    with RawWs(gateway) as raw:
        raw.send_frame(TEXT, PING_OP[:5], fin=False)
        raw.send_frame(PING, b"now")
        assert raw.frame() == (True, 0, PONG, b"now")
        raw.send_frame(CONTINUATION, b"", fin=False)
        raw.send_frame(CONTINUATION, PING_OP[5:])
        assert raw.json() == {"id": 1, "op": "pong"}


def test_pong_that_nobody_asked_for_is_ignored(gateway):
    with RawWs(gateway) as raw:
        raw.send_frame(PONG, b"unasked")
        assert raw.request(op="ping", id=1)["op"] == "pong"


def test_frames_may_arrive_byte_by_byte(gateway):
    message = '{"id":1,"op":"ping","note":"é€😀"}'.encode()
    with RawWs(gateway) as raw:
        for byte in encode_frame(TEXT, message):
            raw.send(bytes([byte]))
        assert raw.json() == {"id": 1, "op": "pong"}


def test_utf8_may_be_split_at_any_byte(gateway):
    message = '{"id":1,"op":"ping","note":"é€😀"}'.encode()
    with RawWs(gateway) as raw:
        for at in range(1, len(message)):
            raw.send(encode_frame(TEXT, message[:at], fin=False)
                     + encode_frame(CONTINUATION, message[at:]))
            assert raw.json() == {"id": 1, "op": "pong"}


def test_many_requests_in_one_write_are_answered_in_order(gateway):
    with RawWs(gateway) as raw:
        raw.send(b"".join(encode_frame(TEXT, json.dumps({"id": n, "op": "ping"}).encode())
                          for n in range(500)))
        assert [raw.json()["id"] for _ in range(500)] == list(range(500))


# -- permessage-deflate ---------------------------------------------------------------------------

OFFERS = {
    "plain": ("permessage-deflate", True),
    "as browsers": ("permessage-deflate; client_max_window_bits", True),
    "no takeover": (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover", True),
    "quoted window": ('permessage-deflate; server_max_window_bits="15"', True),
    "small window": ("permessage-deflate; server_max_window_bits=10", True),
    "second element": ("permessage-deflate; bogus, permessage-deflate", True),
    "behind another extension": ("x-other; a=b, permessage-deflate", True),
    "unknown parameter": ("permessage-deflate; bogus", False),
    "parameter twice": ("permessage-deflate; client_no_context_takeover; "
                        "client_no_context_takeover", False),
    "leading zero": ("permessage-deflate; server_max_window_bits=08", False),
    "window out of range": ("permessage-deflate; server_max_window_bits=16", False),
    "missing value": ("permessage-deflate; server_max_window_bits", False),
    "value where none belongs": ("permessage-deflate; server_no_context_takeover=1", False),
    "other extension": ("x-webkit-deflate-frame", False),
}


@pytest.mark.parametrize("name", OFFERS)
def test_deflate_offer_is_agreed_or_declined(gateway, name):
    offer, agreed = OFFERS[name]
    with RawWs(gateway, headers=[f"Sec-WebSocket-Extensions: {offer}"]) as raw:
        assert raw.status == 101
        answer = raw.headers.get("Sec-WebSocket-Extensions", "")
        assert ("permessage-deflate" in answer) == agreed
        if name == "small window" and agreed:
            bits = [part.split("=")[1].strip(' "') for part in answer.split(";")
                    if part.strip().startswith("server_max_window_bits=")]
            assert bits and int(bits[0]) <= 10
        assert raw.request(op="ping")["op"] == "pong"


def sample_orders():
    """What a backend might send: an order with its lines."""
    return {"type": "order.updated", "order": {"id": "ord_20261120_000417", "status": "shipped",
            "customer": {"name": "Ada Lovelace", "email": "ada@example.com"},
            "lines": [{"sku": f"SKU-{n:05}", "title": f"Part number {n}", "quantity": n % 3 + 1,
                       "price": {"amount": 1000 + n, "currency": "EUR"}} for n in range(20)]}}


def test_broadcast_is_compressed_to_less_than_half(gateway, room):
    with RawWs(gateway, headers=[DEFLATE]) as one, RawWs(gateway, headers=[DEFLATE]) as two, \
            RawWs(gateway) as plain:
        for raw in (one, two, plain):
            raw.request(op="subscribe", room=room)
        for _ in range(2):       # each message stands alone: no context from the one before
            gateway.publish(room, sample_orders())
            fin, rsv, _, payload = one.frame_of(TEXT)
            assert fin and rsv == RSV1
            text = inflated(payload)
            assert json.loads(text)["data"] == sample_orders()
            assert inflated(two.frame_of(TEXT)[3]) == text
            assert plain.json() == json.loads(text)
        print(f"\npermessage-deflate: {len(text)} → {len(payload)} bytes, "
              f"{100 - 100 * len(payload) / len(text):.0f} % saved")
        assert len(payload) < len(text) / 2


def test_small_messages_are_not_compressed(gateway, room):
    with RawWs(gateway, headers=[DEFLATE]) as raw:
        raw.request(op="subscribe", room=room)
        gateway.publish(room, "aaaaaaaaaaaaaaaaaaaaaaaa")
        fin, rsv, _, payload = raw.frame_of(TEXT)
        assert fin and rsv == 0
        assert json.loads(payload)["data"] == "aaaaaaaaaaaaaaaaaaaaaaaa"


def test_client_frames_may_be_compressed(gateway):
    request = json.dumps({"id": 1, "op": "ping", "pad": "x" * 1000}).encode()
    with RawWs(gateway, headers=[DEFLATE]) as raw:
        raw.send_frame(TEXT, deflated(request), rsv=RSV1)
        assert raw.json() == {"id": 1, "op": "pong"}
        packed = deflated(request)
        raw.send(encode_frame(TEXT, packed[:3], rsv=RSV1, fin=False)
                 + encode_frame(CONTINUATION, packed[3:]))
        assert raw.json() == {"id": 1, "op": "pong"}
        final = zlib.compressobj(wbits=-15)
        raw.send_frame(TEXT, final.compress(request) + final.flush() + b"\x00", rsv=RSV1)
        assert raw.json() == {"id": 1, "op": "pong"}
        raw.send_frame(TEXT, request)
        assert raw.json() == {"id": 1, "op": "pong"}


@pytest.mark.parametrize("codes, frame", [
    ((1007, 1002), encode_frame(TEXT, b"\xff\xff\xff\xff", rsv=RSV1)),
    ((1007,), encode_frame(TEXT, deflated(b'{"op":"\xff"}'), rsv=RSV1)),
    ((1009,), encode_frame(TEXT, deflated(b" " * 10_000_000), rsv=RSV1)),
    ((1002,), encode_frame(PING, b"x", rsv=RSV1)),
    ((1002,), encode_frame(TEXT, b"{", fin=False) + encode_frame(CONTINUATION, b"}", rsv=RSV1)),
], ids=["corrupt", "bad UTF-8 inside", "bomb", "RSV1 on a ping", "RSV1 on a continuation"])
def test_violation_under_deflate_closes_with_its_code(gateway, codes, frame):
    with RawWs(gateway, headers=[DEFLATE]) as raw:
        raw.send_if_open(frame)
        assert raw.closed_with() in codes


@asynchronous
async def test_deflate_with_the_websockets_library(gateway, room):
    async with connect(gateway, compression="deflate") as client, connect(gateway) as plain:
        assert "permessage-deflate" in client.socket.response_headers["Sec-WebSocket-Extensions"]
        for one in (client, plain):
            await one.subscribe(room)
        for n in range(20):
            data = {"n": n, "order": sample_orders()}
            await client.ok("publish", room=room, data=data)
            assert (await client.message())["data"] == data
            assert (await plain.message())["data"] == data
