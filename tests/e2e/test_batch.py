"""Rooms whose rule says `batch`: messages wait for company, and none is lost or out of order."""

import time

from client import asynchronous, connect, off_loop
from wire import Sse

BATCH = 0.3


def with_batch(start):
    return start({"rooms": [
        {"match": "waits*", "subscribe": "anyone", "batch": f"{int(BATCH * 1000)}ms"},
        {"match": "*", "subscribe": "anyone"}]})


@asynchronous
async def test_messages_wait_for_company_and_leave_in_order(start):
    gateway = with_batch(start)
    async with connect(gateway) as client:
        stream = await off_loop(Sse, gateway, ["waits"])
        try:
            await client.subscribe("waits")
            await off_loop(stream.ready)
            begun = time.monotonic()
            for n in range(5):
                await off_loop(gateway.publish, "waits", n)
            answered = time.monotonic()
            assert [m["data"] for m in await client.messages(5)] == list(range(5))
            assert time.monotonic() - begun >= BATCH
            # The answers did not wait: with them it would have been five times as long.
            assert answered - begun < 5 * BATCH
            assert [m.json()["data"] for m in await off_loop(stream.messages, 5)] == list(range(5))
        finally:
            await off_loop(stream.close)


@asynchronous
async def test_who_joins_meanwhile_gets_each_message_once(start):
    gateway = with_batch(start)
    async with connect(gateway) as early, connect(gateway) as late:
        await early.subscribe("waits")
        for n in range(3):
            await off_loop(gateway.publish, "waits", n)
        await late.subscribe("waits", last=2)
        for n in range(3, 6):
            await off_loop(gateway.publish, "waits", n)
        assert [m["data"] for m in await early.messages(6)] == list(range(6))
        assert [m["data"] for m in await late.messages(5)] == list(range(1, 6))
