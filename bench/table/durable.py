"""Rows of publishing into durable rooms."""

import json
import re
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from bench import Line, Row, thousands
from judging import at_least, ratios, spread

PUBLISHERS = 64
ROOMS = 64
BYTES = 128


def rate(report):
    return report["rows_per_s"]


def store_figures(server):
    """Operations per commit so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as response:
        text = response.read().decode()

    def value(name):
        return float(re.search(rf"^fanfare_{name} (\S+)$", text, re.MULTILINE).group(1))

    return value("store_batch_entries_sum") / max(1, value("store_batch_entries_count"))


def published(report):
    return report["rates"]["publishes_per_s"]


def durable(bench):
    """Gateway and bare loop in turn; the loop's batch is what the gateway's was just before."""
    batches = []

    def gateway():
        with bench.gateway(durable=True) as server:
            report = bench.load(server, "--mode", "publish", "--publishers", PUBLISHERS, "--rooms",
                                ROOMS, "--payload", BYTES, "--duration", bench.pick(3, 0.3))
            batches.append(store_figures(server))
        return report | {"rows_per_s": published(report)}

    def loop():
        with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory:
            command = [str(bench.processes.store_floor), str(Path(directory) / "floor.db"),
                       "--rows", str(bench.pick(100_000, 2_000)), "--rooms", str(ROOMS), "--bytes",
                       str(BYTES), "--batch", str(max(1, round(batches[-1])))]
            return json.loads(bench.processes.run_pinned(command))

    ours, floor = bench.alternate(gateway, loop)
    ratio = ratios(ours, floor, rate)
    p99 = spread([report["publish_us"]["p99"] for report in ours])
    return [Line(f"durable publishes, {PUBLISHERS} publishers, {ROOMS} rooms, synchronous full; floor: "
                 f"bare SQLite loop, batches of {spread(batches).median:.0f} as the gateway's",
                 thousands(spread(map(rate, ours)).median) + "/s, p99 "
                 + f"{p99.median / 1000:.1f} ms",
                 thousands(spread(map(rate, floor)).median) + "/s", str(ratio), at_least(0.5), ratio)]


def beside(bench):
    """Memory-only publishes beside others at a fixed rate: durable ones, or memory-only ones too."""
    def run(prefix):
        with bench.gateway(durable=True) as server, bench.processes.background_load(
                server, "--mode", "publish", "--publishers", PUBLISHERS, "--rooms", ROOMS, "--rate",
                1_000, "--duration", 30, "--room-prefix", prefix, phase="publishing"):
            return bench.load(server, "--mode", "publish", "--publishers", 16, "--room-prefix",
                              "memory-front", "--duration", bench.pick(2, 0.3))

    shared, alone = bench.alternate(lambda: run("load"), lambda: run("memory-back"))
    ratio = ratios(shared, alone, published)
    return [Line("memory-only publishes beside 1,000 durable ones a second; against 1,000 memory-only "
                 "ones",
                 thousands(spread(map(published, shared)).median) + "/s",
                 thousands(spread(map(published, alone)).median) + "/s", str(ratio),
                 at_least(0.85), ratio)]


ROWS = {
    "durable-publish": Row(durable, floor=False),
    "durable-beside": Row(beside, floor=False),
}
