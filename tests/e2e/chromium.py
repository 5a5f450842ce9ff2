"""Chromium without a window, driven over its DevTools protocol."""

import asyncio
import itertools
import json
import os
import subprocess
import time
from contextlib import asynccontextmanager

import websockets

from harness import PATIENCE, wait_until

BINARY = os.environ.get("FANFARE_CHROMIUM", "chromium")
# A browser's first page on a loaded machine takes longer than anything the gateway does.
PAGE_TIMEOUT = 15.0 * PATIENCE


class Chromium:
    """One browser process with a profile of its own in `directory`."""

    def __init__(self, directory):
        profile = directory / "profile"
        with open(directory / "chromium.log", "ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                 "--disable-dev-shm-usage", "--disable-extensions", "--disable-component-update",
                 "--disable-background-networking", "--disable-sync", "--remote-debugging-port=0",
                 f"--user-data-dir={profile}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        address = profile / "DevToolsActivePort"

        def port_and_path():
            assert self.process.poll() is None, (directory / "chromium.log").read_text()[-4000:]
            lines = address.read_text().split("\n") if address.exists() else []
            return lines if len(lines) == 2 else None

        try:
            port, path = wait_until(port_and_path, 60 * PATIENCE, "Chromium telling its port")
        except AssertionError:
            self.stop()
            raise
        self.url = f"ws://127.0.0.1:{port}{path}"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @asynccontextmanager
    async def page(self, url):
        """A page of its own, opened at `url`; closed afterwards."""
        async with websockets.connect(self.url, max_size=None, compression=None) as socket:
            page = Page(socket)
            reader = asyncio.create_task(page.read())
            try:
                await page.open(url)
                yield page
            finally:
                await page.close()
                reader.cancel()


class Page:
    def __init__(self, socket):
        self.socket = socket
        self.session = None
        self.target = None
        self.ids = itertools.count(1)
        self.replies = {}
        self.faults = []    # uncaught exceptions, and what the content security policy blocked

    async def read(self):
        async for text in self.socket:
            frame = json.loads(text)
            if "id" in frame:
                reply = self.replies.pop(frame["id"], None)
                if reply is not None and not reply.done():
                    reply.set_result(frame)
            elif frame["method"] == "Runtime.exceptionThrown":
                self.faults.append(frame["params"]["exceptionDetails"])
            elif frame["method"] == "Log.entryAdded":
                entry = frame["params"]["entry"]
                if entry["source"] == "security" or "Content Security Policy" in entry["text"]:
                    self.faults.append(entry)

    async def call(self, method, **params):
        """One DevTools command to its answer."""
        number = next(self.ids)
        reply = self.replies[number] = asyncio.get_running_loop().create_future()
        frame = {"id": number, "method": method, "params": params}
        if self.session:
            frame["sessionId"] = self.session
        await self.socket.send(json.dumps(frame))
        answer = await asyncio.wait_for(reply, PAGE_TIMEOUT)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    async def open(self, url):
        self.target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=self.target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            await self.call(domain + ".enable")
        result = await self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        await self.wait("document.readyState === 'complete' && location.protocol === 'http:'")

    async def close(self):
        self.session = None
        if self.target:
            await self.call("Target.closeTarget", targetId=self.target)

    async def evaluate(self, expression):
        """The value of a JavaScript expression, promises awaited."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                                 awaitPromise=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    async def wait(self, expression, timeout=PAGE_TIMEOUT):
        """Until the expression is truthy; returns its value."""
        deadline = time.monotonic() + timeout
        while not (value := await self.evaluate(expression)):
            assert time.monotonic() < deadline, \
                f"{expression} did not hold within {timeout} s; the page says:\n" + \
                await self.evaluate("document.body.innerText")
            await asyncio.sleep(0.02)
        return value

    async def click(self, selector):
        """With the mouse, in the middle of the element: it must be there and not covered."""
        place = await self.wait(f"""(() => {{
            const node = document.querySelector({json.dumps(selector)});
            if (!node || node.disabled) return null;
            node.scrollIntoView({{block: "center", behavior: "instant"}});
            const box = node.getBoundingClientRect();
            const x = box.x + box.width / 2, y = box.y + box.height / 2;
            return node.contains(document.elementFromPoint(x, y)) ? {{x, y}} : null;
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1,
                            **place)

    async def type(self, selector, text):
        """Replaces what a field holds."""
        await self.click(selector)
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        await self.call("Input.insertText", text=text)

    async def size(self, width, height):
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                        deviceScaleFactor=1, mobile=False)
