"""The client library in Chromium: by the demo page, and in pages of other origins."""

import asyncio
import http.server
import json
import threading

import pytest

import test_demo_page as demo
from chromium import PAGE_TIMEOUT
from client import asynchronous
from harness import Gateway, free_port, token
from library import Network, Publisher, needs_node
from test_demo_page import TRANSPORTS, browser  # noqa: F401 (a fixture)

pytestmark = needs_node     # for library.py; the browser itself needs no Node


# -- the demo page ----------------------------------------------------------------------------------------

@pytest.fixture
def embedded(tmp_path):
    port = free_port()
    gateway = Gateway(tmp_path / "empty", None, port=port, environment={
        "FANFARE_SERVER__LISTEN": f'["127.0.0.1:{port}"]', "FANFARE_CLIENTS__HEARTBEAT": "1s"})
    yield gateway.start()
    gateway.stop()


@asynchronous
async def test_the_demo_page_survives_kill_and_cut(browser, embedded, tag):  # noqa: F811
    room, seen = f"news-{tag}", []

    async def shows(page, text):
        for transport in TRANSPORTS:
            await page.wait(demo.shown(transport, text), 3 * PAGE_TIMEOUT)

    async def publish(text, **fields):
        seen.append((await asyncio.to_thread(demo.publish, embedded, room, text, **fields), text))

    with Network(embedded.port) as network:
        async with browser.page(network.url + "/") as page:
            await demo.connect(page)
            await demo.subscribe(page, room)
            # By the page's own command.
            await page.type("#text", "by curl")
            command = await page.evaluate("document.querySelector('#command').textContent")
            answer = await demo.run_in_shell(command, FANFARE_API_KEY=demo.api_key(embedded))
            seen.append((answer["offset"], "by curl"))
            await shows(page, "by curl")

            # Killed and started: what was in memory is lost, and the page says so.
            embedded.kill()
            for transport in TRANSPORTS:
                await page.wait(demo.state(transport, "waiting"))
            await asyncio.to_thread(embedded.start)
            await shows(page, f"{room}: history was lost after #1")
            await demo.subscribed(page, room)
            await publish("after the restart")
            await shows(page, "after the restart")

            # The network breaks, and comes back: nothing is lost.
            network.cut()
            for transport in TRANSPORTS:
                await page.wait(demo.state(transport, "waiting"))
            for n in range(20):
                await publish(f"while cut {n}")
            network.restore()
            await shows(page, "while cut 19")

            # The same without a sound: cables are pulled, not closed.
            await asyncio.to_thread(network.wait_heartbeats)
            network.blackhole()
            for n in range(20):
                await publish(f"in silence {n}")
            for transport in TRANSPORTS:
                await page.wait(f"!({demo.state(transport, 'open')})", 3 * PAGE_TIMEOUT)
            network.restore()
            await shows(page, "in silence 19")
            for transport in TRANSPORTS:
                assert await demo.messages(page, transport, room) == seen
                assert await demo.figure(page, transport, "duplicates") == "0"
            lost = await page.evaluate(
                "[...document.querySelectorAll('#feed .notice')].map((row) => row.textContent)"
                f".filter((text) => text.includes('{room}: history was lost')).length")
            assert lost == 2        # once for each transport
            assert page.faults == []


# -- pages of other origins -----------------------------------------------------------------------------------

class Blank(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<!doctype html><title>blank</title><link rel=icon href=data:,>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    """A site with an empty page."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def allowing(start, site):
    return start({"clients": {"allowed_origins": [site]}})


def connecting(gateway_url, url, room, **options):
    """JavaScript that imports the library from the gateway and collects what it hears."""
    return f"""(async () => {{
        const {{ connect }} = await import({json.dumps(gateway_url + "/fanfare.js")});
        const options = {json.dumps(options)};
        if (options.storage) options.storage = localStorage;
        const client = globalThis.client = connect({json.dumps(url)}, options);
        globalThis.seen = []; globalThis.lost = []; globalThis.errors = []; globalThis.closes = [];
        client.on("error", (error) => errors.push(error.code));
        client.on("close", (close) => closes.push(close.code));
        const subscription = client.subscribe({json.dumps(room)}, {{
            message: ({{ offset }}) => seen.push(offset), lost: (loss) => lost.push(loss) }});
        await subscription.ready;
        return client.transport;
    }})()"""


async def sees(page, offsets):
    expected = json.dumps(list(offsets)).replace(" ", "")
    await page.wait(f"JSON.stringify(seen) === '{expected}'")
    assert await page.evaluate("lost.length") == 0


@pytest.mark.parametrize("transport", ["websocket", "sse"])
@asynchronous
async def test_is_imported_by_a_page_of_another_origin(browser, allowing, site, tag, transport):  # noqa: F811
    room = f"chat:{tag}"
    async with browser.page(site + "/") as page:
        start = connecting(allowing.url, allowing.url, room, transport=transport, token=token("ada"), storage=True)
        assert await page.evaluate(start) == transport
        assert await page.evaluate("client.user") == "ada"
        allowing.publish_many(room, range(3))
        await sees(page, [1, 2, 3])
        # Leaving the page writes the positions; the next one goes on from there.
        await page.call("Page.reload")
        await page.wait("document.readyState === 'complete' && !globalThis.client")
        allowing.publish_many(room, range(2))
        assert await page.evaluate(start) == transport
        await sees(page, [4, 5])
        assert page.faults == []


@asynchronous
async def test_falls_back_where_upgrades_are_refused(browser, allowing, site, room):  # noqa: F811
    with Network(allowing.port) as network:
        network.refuse_upgrades = True
        async with browser.page(site + "/") as page:
            start = connecting(allowing.url, network.url, room, retryWebSocket=1000,
                               backoff={"min": 50, "max": 200})
            assert await page.evaluate(start) == "sse"
            code = await page.evaluate(f"client.publish('{room}', 1).catch((error) => error.code)")
            assert code == "unavailable"
            with Publisher(allowing, room, pause=0.005) as publisher:
                await asyncio.to_thread(publisher.more, 10)
                network.refuse_upgrades = False
                await page.wait("client.transport === 'websocket'")
                await asyncio.to_thread(publisher.more, 10)
                count = publisher.stop()
            await sees(page, range(1, count + 1))
            assert await page.evaluate(f"client.publish('{room}', 1).then(({{ offset }}) => offset)") == count + 1


@asynchronous
async def test_hints_of_the_browser_are_heard(browser, allowing, site, room):  # noqa: F811
    with Network(allowing.port) as network:
        async with browser.page(site + "/") as page:
            await page.evaluate(connecting(allowing.url, network.url, room, transport="websocket",
                                           backoff={"min": 300_000}))
            network.cut()
            await page.wait("client.state === 'waiting'")
            allowing.publish(room, 1)
            network.restore()
            # Five minutes are the plan; the browser knows better. Not at every flicker, so ask until heard.
            await page.wait("dispatchEvent(new Event('online')) && client.state === 'open'")
            await sees(page, [1])
            # While connected a hint makes it look whether that is still so.
            network.blackhole()
            allowing.publish(room, 2)
            await page.evaluate("dispatchEvent(new Event('offline'))")
            await page.wait("client.state === 'waiting'")
            network.restore()
            await page.wait("dispatchEvent(new Event('online')) && client.state === 'open'")
            await sees(page, [1, 2])


@asynchronous
async def test_an_origin_that_is_not_allowed_is_kept_out(browser, start, site, room):  # noqa: F811
    gateway = start()
    async with browser.page(site + "/") as page:
        for transport in ("websocket", "sse"):
            await page.evaluate(connecting(gateway.url, gateway.url, room, transport=transport,
                                           backoff={"min": 20, "max": 20}).replace(
                "await subscription.ready;", ""))
            await page.wait("closes.length > 2")
            assert await page.evaluate("client.state !== 'open' && closes.every((code) => code === 1006)")
            await page.evaluate("client.close()")
