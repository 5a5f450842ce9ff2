"""docs/recipes.md is run as it stands: its files are taken out of the page, nothing of them is here.

A fenced block with `recipe=NAME file=FILE` behind its language is a file of that recipe. What the tests
look at is what a user would see: the views that a page is told to draw, or the page itself in Chromium.
"""

import functools
import http.server
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
import yaml

from chromium import Chromium
from client import asynchronous, connect, off_loop
from harness import (ALL_KEY, PATIENCE, REPOSITORY, SECRET, TIMEOUT, Gateway, free_port, http_call,
                     key_hash, wait_until)
from test_clients_node import MODULES
from wire import Proxy

PAGE = REPOSITORY / "docs/recipes.md"
DRIVER = REPOSITORY / "tests/e2e/node/recipe.mjs"
LIBRARY = REPOSITORY / "src/api/assets/client"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r" recipe=([a-z]+) file=([\w.-]+)")
FILES = {
    "chat": {"fanfare.yaml", "backend.mjs", "chat.js", "announce.sh"},
    "dashboard": {"fanfare.yaml", "feed.py", "index.html"},
    "orders": {"fanfare.yaml", "shop.py", "order.js"},
    "bell": {"fanfare.yaml", "backend.py", "bell.js", "index.html"},
}
# The library waits 3 s, give or take half, before it comes back; a browser's EventSource up to 5 s.
RECONNECT = 12.0 * PATIENCE

needs_node = pytest.mark.skipif(shutil.which("node") is None or not os.path.isdir(f"{MODULES}/ws"),
                                reason="needs nodejs and node-ws")


def recipe_files(name):
    """File name to text."""
    found = {}
    for _, rest, text in FENCE.findall(PAGE.read_text(encoding="utf-8")):
        mark = MARK.fullmatch(rest)
        if mark and mark[1] == name:
            assert mark[2] not in found, f"two files {mark[2]} in recipe {name}"
            found[mark[2]] = text
    return found


def test_every_block_of_the_page_is_run_here():
    blocks = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    marked = {}
    for language, rest, text in blocks:
        mark = MARK.fullmatch(rest)
        if mark:
            marked.setdefault(mark[1], set()).add(mark[2])
        else:       # the two of the introduction, which repeat what the recipes do
            assert text.strip() == "fanfare serve --config fanfare.yaml" or "importmap" in text, (language, text)
    assert marked == FILES


class Recipe:
    """A recipe's files in a directory of their own, its gateway, and programs that run there."""

    def __init__(self, name, directory):
        self.directory = directory
        self.gateway_port, self.backend_port = free_port(), free_port()
        self.backend = f"http://127.0.0.1:{self.backend_port}"
        self.programs = []
        addresses = {"https://push.example.com": f"http://127.0.0.1:{self.gateway_port}",
                     "https://app.example.com": self.backend}
        for file, text in recipe_files(name).items():
            for ours, real in addresses.items():
                text = text.replace(ours, real)
            (directory / file).write_text(text, encoding="utf-8")
        config = yaml.safe_load((directory / "fanfare.yaml").read_text(encoding="utf-8"))
        keys = [{"name": "backend", "hash": key_hash(ALL_KEY), "scopes": ["publish", "read", "notify"]}]
        self.gateway = Gateway(directory / "gateway", config, port=self.gateway_port, environment={
            "FANFARE_API__KEYS": json.dumps(keys), "FANFARE_AUTH__JWT__SECRET": SECRET,
            "FANFARE_SERVER__DRAIN": "0s"}).start()
        self.environment = os.environ | {
            "FANFARE_URL": self.gateway.url, "FANFARE_API_KEY": ALL_KEY, "JWT_SECRET": SECRET,
            "PORT": str(self.backend_port), "NODE_PATH": MODULES, "PYTHONUNBUFFERED": "1"}
        # In a browser <script type="module"> says so; older versions of Node.js want to be told, too.
        (directory / "package.json").write_text('{"type": "module"}', encoding="utf-8")
        modules = directory / "node_modules/fanfare-client"
        modules.mkdir(parents=True)
        shutil.copy(LIBRARY / "package.json", modules)
        served = self.gateway.http("GET", "/fanfare.js")
        assert served.status == 200
        (modules / "fanfare.js").write_bytes(served.body)

    def run(self, *command):
        """A program that runs until the test ends; waits for the line that says it is ready, if it says so."""
        program = Program(command, self.directory, self.environment)
        self.programs.append(program)
        return program

    def page(self, function, module, **options):
        return self.run("node", str(DRIVER), str(self.directory / module), function, json.dumps(options))

    def restart_gateway(self):
        """Killed and started anew: it remembers nothing."""
        self.gateway.kill()
        self.gateway.start()

    def stop(self):
        for program in self.programs:
            program.stop()
        self.gateway.stop()


class Program:
    def __init__(self, command, directory, environment):
        self.log = open(directory / f"{os.path.basename(command[-1])[:20]}.log", "w+b")
        self.process = subprocess.Popen(command, cwd=directory, env=environment, text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.lines = queue.Queue()
        self.seen = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def line(self, timeout=2 * TIMEOUT):
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"nothing came within {timeout} s; before: {self.seen[-5:]}\n"
                                 f"{self.errors()}") from None
        assert line is not None, f"it ended with {self.process.wait()}:\n{self.errors()}"
        self.seen.append(line.strip())
        return line.strip()

    def ready(self):
        assert self.line() == "ready"
        return self

    def view(self, condition, timeout=2 * TIMEOUT):
        """The next view for which the condition holds."""
        while True:
            report = json.loads(self.line(timeout))
            assert "view" in report, report
            if condition(report["view"]):
                return report["view"]

    def call(self, name, *args):
        self.process.stdin.write(json.dumps({"call": name, "args": args}) + "\n")
        self.process.stdin.flush()

    def errors(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            stream.close()


@pytest.fixture
def recipe(request, tmp_path):
    """The recipe whose name is the test's: test_chat_…"""
    one = Recipe(request.node.name.split("_")[1], tmp_path)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Chromium(tmp_path_factory.mktemp("chromium"))
    yield one
    one.stop()


# -- chat -----------------------------------------------------------------------------------------

ROOM = "chat:garden"


def texts(view):
    return [line["text"] for line in view["lines"]]


def chat_page(recipe, user, url=None):
    return recipe.page("openChat", "chat.js", url=url or recipe.gateway.url, room=ROOM,
                       tokenUrl=f"{recipe.backend}/token?user={user}")


@needs_node
def test_chat_shows_history_presence_and_typing(recipe):
    recipe.run("node", "backend.mjs").ready()
    for _ in range(2):      # the key makes the second one no second announcement
        subprocess.run(["sh", "-e", "announce.sh"], cwd=recipe.directory, env=recipe.environment, check=True,
                       stdout=subprocess.DEVNULL, timeout=20 * PATIENCE)
    ann = chat_page(recipe, "ann")
    view = ann.view(lambda view: view["lines"] and view["here"])
    assert view["lines"] == [{"from": "system", "text": "The garden opens at nine."}]
    assert view["here"] == ["ann"]
    ben = chat_page(recipe, "ben")
    ann.view(lambda view: view["here"] == ["ann", "ben"])
    ben.view(lambda view: view["here"] == ["ann", "ben"] and len(view["lines"]) == 1)

    for _ in range(5):
        ben.call("typed")
    assert ann.view(lambda view: view["typing"] == ["ben"])
    ben.call("say", "good morning")
    view = ann.view(lambda view: len(view["lines"]) == 2)
    assert view["typing"] == [] and view["lines"][1] == {"from": "ben", "text": "good morning"}
    view = ben.view(lambda view: view["lines"][-1] == {"from": "ben", "text": "good morning"})
    assert len(view["lines"]) == 2      # what is being sent is replaced by what came back
    ben.call("typed")
    ann.view(lambda view: view["typing"] == ["ben"])
    ann.view(lambda view: view["typing"] == [])      # by its timer
    ben.call("close")
    ann.view(lambda view: view["here"] == ["ann"], RECONNECT)


@needs_node
def test_chat_message_said_without_a_network_arrives_once(recipe):
    recipe.run("node", "backend.mjs").ready()
    ann = chat_page(recipe, "ann")
    ann.view(lambda view: view["here"] == ["ann"])
    with Proxy(recipe.gateway_port) as proxy:
        ben = chat_page(recipe, "ben", f"http://127.0.0.1:{proxy.port}")
        ben.view(lambda view: view["here"] == ["ann", "ben"])
        ann.view(lambda view: view["here"] == ["ann", "ben"])
        proxy.cut()
        ben.view(lambda view: view["state"] != "open")
        ben.call("say", "are you there?")
        ann.call("say", "hello?")
        assert ben.view(lambda view: view["lines"])["lines"] == [
            {"from": "me", "text": "are you there?", "pending": True}]
        view = ben.view(lambda view: len(view["lines"]) == 2 and not any("pending" in line for line in view["lines"]),
                        RECONNECT)
        assert view["lines"] == [{"from": "ann", "text": "hello?"}, {"from": "ben", "text": "are you there?"}]
        assert ann.view(lambda view: len(view["lines"]) == 2)["lines"] == view["lines"]
        # It was away for less than presence_linger: nobody saw it leave.
        assert all(json.loads(line)["view"]["here"] == ["ann", "ben"] for line in ann.seen[-3:])


@needs_node
def test_chat_says_when_messages_are_lost_and_refuses_strangers(recipe):
    recipe.run("node", "backend.mjs").ready()
    ann = chat_page(recipe, "ann")
    ann.view(lambda view: view["here"] == ["ann"])
    ann.call("say", "before")
    ann.view(lambda view: texts(view) == ["before"] and "pending" not in view["lines"][0])
    recipe.restart_gateway()
    recipe.gateway.publish(ROOM, {"text": "after"}, event="said")
    view = ann.view(lambda view: view["notice"], RECONNECT)
    assert texts(view) == ["after"] and "could not be brought back" in view["notice"]
    stranger = chat_page(recipe, "eve")
    view = stranger.view(lambda view: view["notice"] or view["state"] == "closed", RECONNECT)
    assert view["lines"] == []


# -- dashboard ------------------------------------------------------------------------------------

@contextmanager
def serve(directory, port):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def points(room):
    """How many values the line of a room has."""
    return (f"[...document.querySelectorAll('#values tr')].filter((row) => row.querySelector('th').textContent === "
            f"'{room}').map((row) => row.querySelector('polyline').points.length)[0]")


@asynchronous
async def test_dashboard_draws_what_was_and_what_comes(recipe, browser):
    feed = recipe.run(sys.executable, "feed.py")
    room = "dash:memory"
    await off_loop(wait_until, lambda: recipe.gateway.newest(room) >= 2)
    with serve(recipe.directory, recipe.backend_port):
        async with browser.page(recipe.backend + "/index.html") as page:
            await page.wait("document.querySelector('#link').textContent === 'live'")
            before = await page.wait(points(room))
            assert before >= 2      # the page did not start empty
            await page.wait(f"{points(room)} > {before + 1}")
            value = float(await page.evaluate("document.querySelectorAll('.now')[1].textContent"))
            assert 0 < value < 100
            await page.wait(f"{points(room)} >= 5")
            recipe.gateway.kill()
            await page.wait("document.querySelector('#link').textContent === 'reconnecting'")
            recipe.gateway.start()
            await page.wait("document.querySelector('#link').textContent === 'live'", RECONNECT)
            # The history is gone, so the line has begun anew: it has no more values than the room. And it grows.
            assert await page.evaluate(points(room)) <= await off_loop(recipe.gateway.newest, room)
            await page.wait(f"{points(room)} >= 2")
            assert page.faults == []
    assert feed.process.poll() is None      # it went on without the gateway


# -- orders ---------------------------------------------------------------------------------------

def order_page(recipe, user="ann", order="A-17", storage="storage.json"):
    return recipe.page("trackOrder", "order.js", url=recipe.gateway.url, shop=recipe.backend, order=order, user=user,
                       storage=str(recipe.directory / storage))


def take_step(recipe, status, order="A-17"):
    response = http_call(recipe.backend_port, "POST", f"/orders/{order}", {"status": status}, timeout=30 * PATIENCE)
    assert response.status == 200
    return response.json()["pushed"]


@needs_node
def test_orders_page_goes_on_where_it_was(recipe):
    shop = recipe.run(sys.executable, "shop.py").ready()

    def loads():
        return shop.errors().count("GET /orders/A-17?")

    assert take_step(recipe, "placed")
    page = order_page(recipe)
    assert page.view(lambda view: view["steps"])["steps"] == ["placed"]
    assert take_step(recipe, "packed")
    page.view(lambda view: view["steps"] == ["placed", "packed"])
    assert loads() == 1
    # Only what was processed counts: wait until the position is kept too.
    wait_until(lambda: '"offset":2' in (recipe.directory / "storage.json").read_text().replace("\\", ""))
    page.process.send_signal(signal.SIGKILL)
    page.process.wait()

    assert take_step(recipe, "sent") and take_step(recipe, "at the door")
    page = order_page(recipe)
    assert page.view(lambda view: True)["steps"] == ["placed", "packed"]     # drawn before anything is asked
    view = page.view(lambda view: len(view["steps"]) == 4)
    assert view["steps"] == ["placed", "packed", "sent", "at the door"] and view["problem"] is None
    assert loads() == 1     # they were replayed by the gateway
    recipe.restart_gateway()
    assert take_step(recipe, "delivered")
    page.view(lambda view: view["steps"][-1] == "delivered" and len(view["steps"]) == 5, RECONNECT)
    wait_until(lambda: loads() == 2, what="the order is loaded after the loss")


@needs_node
def test_orders_step_reaches_the_page_though_the_gateway_was_away(recipe):
    recipe.run(sys.executable, "shop.py").ready()
    page = order_page(recipe)
    page.view(lambda view: view["state"] == "open")
    recipe.gateway.kill()
    assert take_step(recipe, "placed") is False
    recipe.gateway.start()
    page.view(lambda view: view["steps"] == ["placed"], RECONNECT)


@needs_node
@asynchronous
async def test_orders_of_others_stay_closed(recipe):
    recipe.run(sys.executable, "shop.py").ready()
    assert http_call(recipe.backend_port, "GET", "/orders/A-17/token?user=ben").status == 404
    token = http_call(recipe.backend_port, "GET", "/orders/A-18/token?user=ben").json()["token"]
    async with connect(recipe.gateway, token=token) as client:
        await client.ok("subscribe", room="order:A-18")
        await client.refused("forbidden", "subscribe", room="order:A-17")


# -- bell -----------------------------------------------------------------------------------------

def unread(count):
    return f"document.querySelector('#unread').textContent === '{count}'"


TITLES = "[...document.querySelectorAll('#titles li')].map((item) => item.textContent)"
READ = "[...document.querySelectorAll('#titles li.read')].map((item) => item.textContent)"


async def happens(recipe, title, key, user="ann"):
    """Something that the backend is to tell the user."""
    response = await off_loop(http_call, recipe.backend_port, "POST", f"/notify?user={user}&key={key}",
                              title.encode(), None, 30 * PATIENCE)
    assert response.status == 200


@asynchronous
async def test_bell_shows_the_same_number_everywhere(recipe, browser):
    recipe.run(sys.executable, "backend.py").ready()
    for _ in range(2):      # the key makes the second one nothing
        await happens(recipe, "Welcome", "welcome")
    address = f"{recipe.backend}/index.html?user="
    async with browser.page(address + "ann") as one, browser.page(address + "ann") as two, \
            browser.page(address + "ben") as other:
        for page in (one, two):
            await page.wait(unread(1))
        await other.wait(unread(0))
        await happens(recipe, "Your parcel is here", "parcel")
        for page in (one, two):
            await page.wait(unread(2))
            assert await page.evaluate(TITLES) == ["Your parcel is here", "Welcome"]
            assert await page.evaluate(READ) == []
        await one.click("#bell")
        for page in (one, two):
            await page.wait(unread(0))
            assert await page.evaluate(READ) == ["Your parcel is here", "Welcome"]
        assert await other.evaluate(unread(0)) and await other.evaluate(TITLES) == []
        assert one.faults == two.faults == other.faults == []
    async with browser.page(address + "ann") as later:
        await later.wait(unread(0))
        await later.wait(f"{READ}.length === 2")


@asynchronous
async def test_bell_loses_and_repeats_nothing_when_both_ends_are_killed(recipe, browser):
    backend = recipe.run(sys.executable, "backend.py").ready()
    address = f"{recipe.backend}/index.html?user=ann"
    await happens(recipe, "Welcome", "welcome")
    async with browser.page(address) as one, browser.page(address) as two:
        for page in (one, two):
            await page.wait(unread(1))
        await one.click("#bell")
        for page in (one, two):
            await page.wait(unread(0))
        # The gateway is away when it happens, and then the backend dies too.
        recipe.gateway.kill()
        await happens(recipe, "You missed this", "missed")
        backend.process.kill()
        backend.process.wait()
        await off_loop(recipe.gateway.start)
        recipe.run(sys.executable, "backend.py").ready()
        for page in (one, two):
            await page.wait(unread(1), RECONNECT)
            await page.wait(f"{TITLES}.length === 2")
            assert await page.evaluate(TITLES) == ["You missed this", "Welcome"]
            assert await page.evaluate(READ) == ["Welcome"]
        await two.click("#bell")
        for page in (one, two):
            await page.wait(unread(0))
        await happens(recipe, "You missed this", "missed")      # by a service that does not know that it had said so
        await happens(recipe, "News", "news")
        for page in (one, two):
            await page.wait(unread(1))
            assert await page.evaluate(TITLES) == ["News", "You missed this", "Welcome"]
