"""The benchmark table (bench/table): every row has a figure, and nothing is left running.

What the figures are does not matter here: the runs are short and the machine is shared.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import BINARY, PATIENCE, REPOSITORY, wait_until

RELEASE = REPOSITORY / "build/release"
LOAD = os.environ.get("FANFARE_LOAD", str(RELEASE / "fanfare-load"))
FLOOR = os.environ.get("FANFARE_FLOOR", str(RELEASE / "fanfare-floor"))
TABLE = [sys.executable, "-B", str(REPOSITORY / "bench/table/table.py")]
ENVIRONMENT = os.environ | {"FANFARE_BIN": BINARY, "FANFARE_LOAD": LOAD, "FANFARE_FLOOR": FLOOR}

pytestmark = pytest.mark.skipif(not (os.access(LOAD, os.X_OK) and os.access(FLOOR, os.X_OK)),
                                reason="needs fanfare-load and fanfare-floor")

# Row to the number of its lines in the table.
LINES = {"memory-ws": 1, "memory-sse": 1, "fan-out-ws": 1, "fan-out-sse": 1, "fan-out-deflate": 1,
         "fan-out-burst": 1, "small-rooms": 1, "last-receive-1000": 1, "last-receive-10000": 1,
         "publish": 1, "publish-batch": 2, "latency": 2, "compression": 3}
WITHOUT_FLOOR = {"publish-batch"}
WITHOUT_RATIO = WITHOUT_FLOOR | {"memory-ws", "memory-sse"}


def test_quick_table_has_a_figure_in_every_row(tmp_path):
    run = subprocess.run([*TABLE, "--quick", "--out", str(tmp_path)], env=ENVIRONMENT, text=True,
                         capture_output=True, timeout=240 * PATIENCE, check=False)
    assert run.returncode == 0, run.stderr
    header, *lines = [[cell.strip() for cell in line.strip("|").split("|")]
                      for line in run.stdout.splitlines() if line.startswith("|")]
    assert header == ["what", "figure", "floor", "ratio", "command"]
    assert lines.pop(0) == ["---"] * 5
    rows = [re.fullmatch(r"`scripts/bench --row ([\w-]+)`", line[-1])[1] for line in lines]
    assert {row: rows.count(row) for row in rows} == LINES
    for row, (what, figure, floor, ratio, _) in zip(rows, lines):
        assert what
        assert re.search(r"[1-9]", figure), (row, figure)
        assert re.search(r"\d", floor) or row in WITHOUT_FLOOR, (row, floor)
        assert re.search(r"[1-9]", ratio) or row in WITHOUT_RATIO, (row, ratio)
        if row.startswith("memory"):        # the promise: at most 10 KB an idle connection
            assert 0 < int(re.match(r"(\d+) B", figure)[1]) < 10_000 - 4_100
    assert (tmp_path / "table.md").read_text() == run.stdout
    for row in LINES:
        raw = json.loads((tmp_path / f"{row}.json").read_text())
        assert all(each["report"]["settings"] for each in raw["runs"]), row
        assert sum(len(each["report"]["checks"]) for each in raw["runs"]) > 0


def children(pid):
    """Of a process that lives, by /proc; they are children of its only thread."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("number,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143),
                                           (signal.SIGKILL, -signal.SIGKILL)])
def test_interrupted_table_leaves_nothing_running(tmp_path, number, status):
    command = [*TABLE, "--row", "memory-ws", "--out", str(tmp_path)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as table:
        try:
            started = wait_until(lambda: (found := children(table.pid)) and len(found) == 2 and found,
                                 15 * PATIENCE, "a server and a load generator running")
            table.send_signal(number)
            assert table.wait(20 * PATIENCE) == status
        finally:
            table.kill()
    wait_until(lambda: all(gone(pid) for pid in started), what="both have ended")


@pytest.mark.parametrize("arguments", [["--row", "nonsense"], ["--pairs", "0"], ["--pairs", "x"]])
def test_wrong_usage_is_status_2(arguments):
    run = subprocess.run([*TABLE, *arguments], env=ENVIRONMENT, text=True, capture_output=True,
                         timeout=20 * PATIENCE, check=False)
    assert run.returncode == 2 and "usage: scripts/bench" in run.stderr


def test_row_whose_server_does_not_start_fails_and_says_why(tmp_path):
    broken = tmp_path / "gateway"
    broken.write_text("#!/bin/sh\n[ $1 = version ] && echo broken && exit\necho no luck today\nexit 1\n")
    broken.chmod(0o755)
    run = subprocess.run([*TABLE, "--row", "publish", "--quick", "--out", str(tmp_path)], text=True,
                         env=ENVIRONMENT | {"FANFARE_BIN": str(broken)}, capture_output=True,
                         timeout=60 * PATIENCE, check=False)
    assert run.returncode == 1
    assert "no luck today" in run.stderr and "| publishes" not in run.stdout
