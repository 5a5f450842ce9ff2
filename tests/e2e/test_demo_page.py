"""The demo page of the embedded default, used in Chromium."""

import asyncio
import json
import re
import subprocess
import time

import pytest

from chromium import PAGE_TIMEOUT, Chromium
from client import asynchronous
from harness import TIMEOUT, Gateway, free_port
from wire import Proxy

TRANSPORTS = ("ws", "sse")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Chromium(tmp_path_factory.mktemp("chromium"))
    yield one
    one.stop()


@pytest.fixture
def embedded(tmp_path):
    port = free_port()
    gateway = Gateway(tmp_path / "empty", None, port=port,
                      environment={"FANFARE_SERVER__LISTEN": f'["127.0.0.1:{port}"]'})
    yield gateway.start()
    gateway.stop()


def api_key(gateway):
    """The one that was printed at the last start."""
    return re.findall(r"API key\s+(\S+)", gateway.log())[-1]


def publish(gateway, room, text, **fields):
    response = gateway.api("POST", "/publish", {"room": room, "data": {"text": text}} | fields,
                           key=api_key(gateway))
    assert response.status == 200, response.body
    return response.json()["offset"]


def state(transport, value):
    return f"document.querySelector('[data-link={transport}][data-state={value}]') !== null"


def shown(transport, text):
    """Whether the list has this text, as a message or a notice, of this transport."""
    return (f"[...document.querySelectorAll('#feed li:has(.{transport})')]"
            f".some((row) => row.textContent.includes({json.dumps(text)}))")


async def messages(page, transport, room):
    """Offset and text of each message in the list, oldest first."""
    rows = await page.evaluate(
        f"[...document.querySelectorAll('#feed li[data-transport={transport}]')]"
        f".filter((row) => row.dataset.room === {json.dumps(room)})"
        ".map((row) => [Number(row.dataset.offset), row.querySelector('.data').textContent])")
    return [tuple(row) for row in reversed(rows)]


async def figure(page, transport, name):
    return await page.evaluate(
        f"[...document.querySelectorAll('[data-link={transport}] dt')]"
        f".find((term) => term.textContent === '{name}').nextSibling.textContent")


async def connect(page):
    for transport in TRANSPORTS:
        await page.click(f"[data-link={transport}] button")
        await page.wait(state(transport, "open"))


async def subscribe(page, room):
    await page.type("#room", room)
    await page.click("#join button")
    await subscribed(page, room)


async def subscribed(page, room):
    await page.wait(
        "[...document.querySelectorAll('.chip')].some((chip) => "
        f"chip.querySelector('strong').textContent === {json.dumps(room)} && "
        "chip.querySelectorAll('.badge.on').length === 2)")


@asynchronous
async def test_messages_of_both_transports_are_shown(browser, embedded, tag):
    room = f"news-{tag}"
    async with browser.page(embedded.url + "/") as page:
        await connect(page)
        await subscribe(page, room)
        publish(embedded, room, "by the API", event="headline")
        for transport in TRANSPORTS:
            await page.wait(shown(transport, "by the API"))
            await page.wait(shown(transport, "headline"))

        await page.type("#text", "by the page")
        await page.click("#send")
        for transport in TRANSPORTS:
            await page.wait(shown(transport, "by the page"))
            assert await messages(page, transport, room) == [(1, "by the API"), (2, "by the page")]
            assert (await figure(page, transport, "latency")).endswith(" ms")
        await page.wait("document.querySelector('#publish-result').textContent.includes('#2')")
        await page.wait("document.querySelector('#members').textContent"
                        f".includes('{room}: 2 anonymous')")
        assert page.faults == []


@asynchronous
async def test_its_own_curl_command_publishes(browser, embedded, tag):
    room, text = f"it's-{tag}", "it's \"quoted\" $HOME `id` \\ ü"
    async with browser.page(embedded.url + "/") as page:
        await connect(page)
        await subscribe(page, room)
        await page.type("#text", text)
        command = await page.evaluate("document.querySelector('#command').textContent")
        assert '"X-API-Key: $FANFARE_API_KEY"' in command
        with_variable = await run_in_shell(command, FANFARE_API_KEY=api_key(embedded))
        assert with_variable["room"] == room and with_variable["offset"] == 1
        await page.type("#key", api_key(embedded))
        command = await page.evaluate("document.querySelector('#command').textContent")
        assert (await run_in_shell(command))["offset"] == 2
        for transport in TRANSPORTS:
            await page.wait(shown(transport, "#2"))
            assert await messages(page, transport, room) == [(1, text), (2, text)]
        assert await page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert page.faults == []


async def run_in_shell(command, **environment):
    result = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", command], env={"PATH": "/usr/bin:/bin"} | environment,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=True)
    return json.loads(result.stdout)


@asynchronous
async def test_data_and_names_stay_text(browser, embedded, tag):
    evil = "<img src=x onerror=document.title='owned'><b>bold</b>"
    room = f"{evil}{tag}"
    async with browser.page(embedded.url + "/") as page:
        await connect(page)
        await subscribe(page, room)
        publish(embedded, room, evil, event=evil)
        for transport in TRANSPORTS:
            await page.wait(shown(transport, evil))
        assert await page.evaluate("document.querySelectorAll('main b, main img').length") == 0
        assert await page.evaluate("document.title") == "Fanfare demo"


@asynchronous
async def test_resumes_after_a_cut(browser, embedded, tag):
    room = f"news-{tag}"
    with Proxy(embedded.port) as proxy:
        async with browser.page(f"http://127.0.0.1:{proxy.port}/") as page:
            await connect(page)
            await subscribe(page, room)
            publish(embedded, room, "message 1")
            for transport in TRANSPORTS:
                await page.wait(shown(transport, "message 1"))
            proxy.cut()
            for n in range(2, 6):
                publish(embedded, room, f"message {n}")
            for transport in TRANSPORTS:
                await page.wait(shown(transport, "message 5"), 2 * PAGE_TIMEOUT)
                await page.wait(shown(transport, f"{room}: resumed (recovered: true)"))
                assert await messages(page, transport, room) == \
                    [(n, f"message {n}") for n in range(1, 6)]
                assert await figure(page, transport, "reconnects") == "1"
                assert await figure(page, transport, "duplicates") == "0"


@asynchronous
async def test_another_choice_of_rooms_loses_and_repeats_nothing(browser, embedded, tag):
    room, count = f"news-{tag}", 90     # fewer than the history keeps
    session = "document.querySelector('[data-link=sse] .session .mono').textContent"

    def publish_all():
        for n in range(1, count + 1):
            publish(embedded, room, f"message {n}")
            time.sleep(0.005)

    async with browser.page(embedded.url + "/") as page:
        await connect(page)
        await subscribe(page, room)
        publishing = asyncio.create_task(asyncio.to_thread(publish_all))
        # Another choice of rooms is another SSE stream.
        for n in range(3):
            before = await page.evaluate(session)
            await subscribe(page, f"other-{n}-{tag}")
            await page.wait(f"!['–', {json.dumps(before)}].includes({session})")
        before = await page.evaluate(session)
        await page.click("#rooms li:last-child button")
        await page.wait(f"!['–', {json.dumps(before)}].includes({session})")
        await publishing
        for transport in TRANSPORTS:
            await page.wait(shown(transport, f"message {count}"))
            assert await messages(page, transport, room) == \
                [(n, f"message {n}") for n in range(1, count + 1)]


@asynchronous
async def test_says_that_history_was_lost_with_the_gateway(browser, embedded, tag):
    room = f"news-{tag}"
    async with browser.page(embedded.url + "/") as page:
        await connect(page)
        await subscribe(page, room)
        publish(embedded, room, "before")
        for transport in TRANSPORTS:
            await page.wait(shown(transport, "before"))
        embedded.kill()
        for transport in TRANSPORTS:
            await page.wait(shown(transport, "Connection lost. Reconnecting."))
            await page.wait(state(transport, "waiting"))
        assert await page.evaluate("document.querySelector('#send').disabled")
        embedded.start()    # on the same port, with nothing in memory
        for transport in TRANSPORTS:
            await page.wait(state(transport, "open"), 2 * PAGE_TIMEOUT)
            await page.wait(shown(transport, f"{room}: history was lost after #1, as the gateway began anew"))
        await subscribed(page, room)
        publish(embedded, room, "fresh")
        for transport in TRANSPORTS:
            await page.wait(shown(transport, "fresh"))
            assert await messages(page, transport, room) == [(1, "before"), (1, "fresh")]


@pytest.mark.parametrize("width", [360, 1280])
@asynchronous
async def test_fits_its_window(browser, embedded, tag, width):
    async with browser.page(embedded.url + "/") as page:
        await page.size(width, 740)
        await connect(page)
        await subscribe(page, tag + "x" * 200)
        publish(embedded, tag + "x" * 200, "y" * 2000, event="z" * 64)
        await page.wait(shown("ws", "yyy"))
        assert await page.evaluate("innerWidth") == width
        # Nothing is wider than its place.
        assert await page.evaluate(
            "[document.documentElement, document.querySelector('#feed')]"
            ".every((node) => node.scrollWidth <= node.clientWidth)")
        # Each field and button has a name.
        assert await page.evaluate(
            "[...document.querySelectorAll('input, select, button')].filter((node) => "
            "!(node.labels?.length || node.ariaLabel || node.textContent.trim())).length") == 0
