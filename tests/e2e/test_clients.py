"""Other clients: aiohttp and curl, unchanged and with their own defaults."""

import asyncio
import json
import subprocess

import aiohttp

from client import asynchronous
from harness import ALL_KEY, TIMEOUT, token


@asynchronous
async def test_aiohttp_speaks_websocket_with_compression(gateway, tag):
    room, data = f"chat:{tag}", {"pad": "lorem ipsum " * 100}
    headers = {"Authorization": f"Bearer {token('aiohttp')}"}
    async with aiohttp.ClientSession(headers=headers) as session, \
            session.ws_connect(gateway.ws_url, compress=15,
                               protocols=["fanfare.json.v1"]) as socket:
        assert socket.compress and socket.protocol == "fanfare.json.v1"
        assert (await socket.receive_json(timeout=TIMEOUT))["user"] == "aiohttp"
        await socket.send_json({"id": 1, "op": "subscribe", "room": room})
        assert (await socket.receive_json(timeout=TIMEOUT))["op"] == "ok"
        for n in range(1, 11):
            await socket.send_json({"id": 1 + n, "op": "publish", "room": room, "data": data})
            assert (await socket.receive_json(timeout=TIMEOUT))["offset"] == n
            assert (await socket.receive_json(timeout=TIMEOUT))["data"] == data


@asynchronous
async def test_aiohttp_reads_an_event_stream_and_publishes_on_one_pool(gateway, room):
    async with aiohttp.ClientSession(gateway.url) as session, \
            session.get("/sse", params={"room": room}) as stream:
        assert stream.status == 200
        lines = []

        async def line_that_starts(start):
            while True:
                line = await asyncio.wait_for(stream.content.readline(), TIMEOUT)
                assert line, "the stream ended"
                lines.append(line.decode().rstrip("\n"))
                if lines[-1].startswith(start):
                    return lines[-1][len(start):].strip()
        assert await line_that_starts("event:") == "ready"
        await line_that_starts("data:")
        for n in range(1, 21):
            async with session.post("/api/v1/publish", json={"room": room, "data": n},
                                    headers={"X-API-Key": ALL_KEY}) as answer:
                assert (await answer.json())["offset"] == n
            event = json.loads(await line_that_starts("data:"))
            assert (event["offset"], event["data"]) == (n, n)


def curl(*arguments, **options):
    return subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(TIMEOUT), *arguments],
                          stdout=subprocess.PIPE, timeout=2 * TIMEOUT, check=False, **options)


def test_curl_publishes_and_reads_history(gateway, room):
    for n in (1, 2):
        result = curl("--fail", f"{gateway.url}/api/v1/publish", "--header", f"X-API-Key: {ALL_KEY}",
                      "--json", json.dumps({"room": room, "data": n}))
        assert result.returncode == 0
        assert json.loads(result.stdout)["offset"] == n
    result = curl("--fail", "--compressed", f"{gateway.url}/api/v1/rooms/{room}/history",
                  "--oauth2-bearer", ALL_KEY)
    assert [message["data"] for message in json.loads(result.stdout)["messages"]] == [1, 2]


def test_curl_publishes_a_large_batch_with_expect(gateway, tag):
    items = "".join(json.dumps({"room": f"news:{tag}", "data": "x" * 20_000}) + "\n" for _ in range(100))
    result = curl("--fail", f"{gateway.url}/api/v1/publish/batch", "--header", f"X-API-Key: {ALL_KEY}",
                  "--header", "Content-Type: application/x-ndjson", "--header", "Expect: 100-continue",
                  "--data-binary", "@-", input=items.encode())
    assert result.returncode == 0
    assert len(json.loads(result.stdout)["results"]) == 100


def test_curl_follows_an_event_stream(gateway, room):
    command = ["curl", "--silent", "--no-buffer", "--max-time", str(4 * TIMEOUT),
               "--header", "Accept: text/event-stream", f"{gateway.url}/sse?room={room}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            for line in process.stdout:
                if line.startswith(b"event: ready"):
                    break
            for n in range(5):
                gateway.publish(room, {"n": n})
            seen = []
            for line in process.stdout:
                if line.startswith(b"data: ") and b'"offset"' in line and b'"rooms"' not in line:
                    seen.append(json.loads(line[6:]))
                if len(seen) == 5:
                    break
            assert [(event["offset"], event["data"]["n"]) for event in seen] == [
                (n + 1, n) for n in range(5)]
        finally:
            process.kill()
