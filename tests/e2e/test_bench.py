"""The benchmark table (bench/table): every row has a figure, and nothing is left running.

What the figures are does not matter here: the runs are short and the machine is shared.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import BINARY, PATIENCE, REPOSITORY, free_port, wait_until

RELEASE = REPOSITORY / "build/release"
LOAD = os.environ.get("FANFARE_LOAD", str(RELEASE / "fanfare-load"))
FLOOR = os.environ.get("FANFARE_FLOOR", str(RELEASE / "fanfare-floor"))
TABLE = [sys.executable, "-B", str(REPOSITORY / "bench/table/table.py")]
ENVIRONMENT = os.environ | {"FANFARE_BIN": BINARY, "FANFARE_LOAD": LOAD, "FANFARE_FLOOR": FLOOR}

pytestmark = pytest.mark.skipif(not (os.access(LOAD, os.X_OK) and os.access(FLOOR, os.X_OK)),
                                reason="needs fanfare-load and fanfare-floor")

# Row to the number of its lines in the table.
LINES = {"floor": 2, "memory-ws": 1, "memory-sse": 1, "memory-rooms": 1, "memory-burst": 2, "rooms": 2,
         "fan-out-ws": 2, "fan-out-sse": 1, "fan-out-burst": 1, "small-rooms": 1, "fan-out-deflate": 1,
         "small-rooms-deflate": 1, "batch": 1, "publish": 1, "publish-batch": 2, "push-client": 2,
         "push-memory": 2, "push-queue": 2, "push-urgent": 1, "push-accept": 1, "push-queued": 1, "latency-paced": 2, "last-receive-1000": 1, "last-receive-10000": 1, "latency": 2, "compression": 3,
         "connects": 1, "heartbeat": 1, "resume-storm": 2}
# What has no bar: it is there to be known.
WITHOUT_BAR = {"batch", "publish-batch", "last-receive-1000", "last-receive-10000", "latency", "compression"}
COLUMNS = ["what", "figure", "floor", "ratio: median (quartiles)", "bar", "verdict", "row"]


def test_quick_table_has_a_figure_in_every_row(tmp_path):
    # But the row that test_instructions.py runs anyway.
    rows = [f"--row={row}" for row in LINES]
    run = subprocess.run([*TABLE, "--quick", *rows, "--out", str(tmp_path)], env=ENVIRONMENT, text=True,
                         capture_output=True, timeout=240 * PATIENCE, check=False)
    assert run.returncode == 0, run.stderr
    header, *lines = [[cell.strip() for cell in line.strip("|").split("|")]
                      for line in run.stdout.splitlines() if line.startswith("|")]
    assert header == COLUMNS
    assert lines.pop(0) == ["---"] * len(COLUMNS)
    rows = [line[-1].strip("`") for line in lines]
    assert {row: rows.count(row) for row in rows} == LINES
    for row, (what, figure, floor, ratio, bar, verdict, _) in zip(rows, lines):
        assert what
        assert re.search(r"\d", floor if row == "floor" else figure), (row, figure, floor)
        assert re.fullmatch(r"[≥≤] \d.*", bar) or row in WITHOUT_BAR, (row, bar)
        assert verdict.startswith("void (") and "quick" in verdict, (row, verdict)
        assert ratio == "–" or re.search(r"\d", ratio), (row, ratio)
        if row in ("memory-ws", "memory-sse"):      # the promise: at most 10 KB an idle connection
            assert 0 < int(re.match(r"(\d+) B", figure)[1]) < 10_000 - 4_100
    assert (tmp_path / "table.md").read_text() == run.stdout
    whole = json.loads((tmp_path / "table.json").read_text())
    assert [row["row"] for row in whole["rows"]] == list(LINES) and not whole["failures"]
    for raw in whole["rows"]:
        row = raw["row"]
        assert json.loads((tmp_path / f"{row}.json").read_text()) == raw
        assert all(line["judged"]["values"] for line in raw["lines"] if line["judged"]), row
        assert all(each["report"]["settings"] for each in raw["runs"]), row
        # Rows of pushes count themselves what the service took.
        assert sum(len(each["report"]["checks"]) for each in raw["runs"]) > 0 or row.startswith("push-")


# The verdict is what the table is for: its rules, without a single run.
sys.path.insert(0, str(REPOSITORY / "bench/table"))
import judging  # noqa: E402  (not a package: the table is a program)
import peers  # noqa: E402
from processes import accepts  # noqa: E402


@pytest.mark.parametrize("bar,values,void,verdict", [
    (judging.at_least(0.93), [0.95, 0.94, 0.96], [], "met"),
    (judging.at_least(0.93), [0.91, 0.92, 0.90], [], "missed"),
    (judging.at_least(0.93, aim=0.97), [0.98, 0.97, 0.99], [], "met, aim too"),
    (judging.at_least(0.93), [0.90, 0.92, 0.95, 0.96], [], "within the spread; the median meets it"),
    (judging.at_least(0.93), [0.90, 0.91, 0.92, 0.99, 0.99], [],
     "within the spread; the median misses it"),
    (judging.at_most(480, aim=384), [384.0], [], "met, aim too"),
    (judging.at_most(480, aim=384), [400.0], [], "met"),
    (judging.at_most(480, aim=384), [481.0], [], "missed"),
    (judging.at_most(1.5), [1.0], ["9% of the machine went to others", "quick"],
     "void (9% of the machine went to others; quick)"),
    (None, [1.0], [], "–"),
    (None, [1.0], ["quick"], "void (quick)"),
])
def test_verdict(bar, values, void, verdict):
    assert judging.verdict(bar, judging.spread(values), void) == verdict


def test_spread_shows_the_median_and_the_quartiles():
    assert str(judging.spread([1.0, 5.0, 2.0, 4.0, 3.0])) == "3.00 (2.00–4.00)"
    assert str(judging.spread([0.934])) == "0.93"


def test_a_peer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(peers.PEER_PROGRAMS, "ws", ("sh", "no-such-program"))
    assert peers.missing("ws") == "no-such-program"
    monkeypatch.setitem(peers.PEER_PROGRAMS, "ws", ("sh", "/bin"))
    assert peers.missing("ws") == ""


@pytest.mark.parametrize("peer", [peer for peer in peers.PEERS if not peers.missing(peer)])
def test_quick_rows_of_a_peer(tmp_path, peer):
    run = subprocess.run([*TABLE, "--quick", "--peer", peer, "--out", str(tmp_path)], env=ENVIRONMENT,
                         text=True, capture_output=True, timeout=60 * PATIENCE, check=False)
    assert run.returncode == 0, run.stderr
    for row in (f"{peer}-memory", f"{peer}-fan-out"):
        assert re.search(rf"^\| [^|]+ \| [^|]*[1-9][^|]* \|.*`{row}` \|$", run.stdout, re.M), run.stdout


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


@pytest.mark.parametrize("arguments", [["--row", "nonsense"], ["--pairs", "0"], ["--pairs", "x"],
                                       ["--peer", "nonsense"]])
def test_wrong_usage_is_status_2(arguments):
    run = subprocess.run([*TABLE, *arguments], env=ENVIRONMENT, text=True, capture_output=True,
                         timeout=20 * PATIENCE, check=False)
    assert run.returncode == 2 and "usage: scripts/bench" in run.stderr


@pytest.fixture
def floor_port():
    """A floor that listens; ended by its own pid."""
    port = free_port()
    with subprocess.Popen([FLOOR, str(port), "--seconds", "60"]) as floor:
        try:
            wait_until(lambda: accepts(port), what="the floor listens")
            yield port
        finally:
            floor.terminate()


def load(port, *arguments):
    """One run of the load generator, to its end."""
    return subprocess.run([LOAD, "--url", f"http://127.0.0.1:{port}", "--quiet", *map(str, arguments)],
                          text=True, capture_output=True, timeout=60 * PATIENCE, check=False)


@pytest.mark.parametrize("arguments,why", [
    (["--ws", 1, "--all-rooms"], "--all-rooms is for --mode idle with --ws"),
    (["--mode", "idle", "--sse", 1, "--all-rooms"], "--all-rooms is for --mode idle with --ws"),
    (["--dialect", "nchan", "--sse", 1], "--dialect nchan is for --mode idle and broadcast"),
    (["--dialect", "nchan", "--ws", 1, "--publishers", 2], "--dialect nchan is for"),
    (["--dialect", "nchan", "--mode", "storm", "--ws", 1], "--dialect nchan is for"),
])
def test_load_options_that_do_not_fit_are_status_2(arguments, why):
    run = load(1, *arguments)
    assert run.returncode == 2 and why in run.stderr


def test_samples_are_the_latencies_and_within_the_run(floor_port, tmp_path):
    begin = time.monotonic_ns()
    run = load(floor_port, "--ws", 5, "--messages", 20, "--rate", 200, "--settle", 0.1,
               "--kernel-timestamps", "--samples", tmp_path / "samples")
    report = json.loads(run.stdout)
    assert run.returncode == 0, run.stdout
    samples = [tuple(map(int, line.split())) for line in (tmp_path / "samples").read_text().splitlines()]
    assert len(samples) == 5 * 20 == report["latency_us"]["count"]
    assert all(begin < sent < sent + latency < time.monotonic_ns() for sent, latency in samples)
    assert abs(max(latency for _, latency in samples) / 1000 - report["latency_us"]["max"]) < 0.01


def test_samples_that_cannot_be_written_are_an_error(floor_port, tmp_path):
    run = load(floor_port, "--ws", 1, "--messages", 1, "--samples", tmp_path / "nowhere/samples")
    assert run.returncode == 1 and "nowhere/samples" in run.stderr


def test_storm_returns_everyone_at_once(floor_port):
    run = load(floor_port, "--mode", "storm", "--ws", 200, "--sse", 100, "--messages", 1, "--settle", 0.1,
               "--away", 0.2, "--drain", 0.2, "--allow-unrecovered")
    report = json.loads(run.stdout)
    assert report["connections"]["reconnects"] == 300 == report["connections"]["live_at_end"]
    assert report["messages"]["unrecovered"] == 300      # the floor has no history, and says so
    assert 0 < report["storm"]["seconds_until_live"] <= report["storm"]["seconds"]
    assert report["storm"]["begin_ns"] - report["storm"]["left_ns"] >= 0.2e9


def test_enough_ends_publishing_with_a_whole_result(floor_port):
    command = [LOAD, "--url", f"http://127.0.0.1:{floor_port}", "--ws", "5", "--rate", "100",
               "--duration", "50", "--settle", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            while not re.search(r" published [1-9]", run.stderr.readline()):
                assert run.poll() is None
            run.send_signal(signal.SIGUSR1)
            out, _ = run.communicate(timeout=20 * PATIENCE)
        finally:
            run.kill()
    report = json.loads(out)
    assert run.returncode == 0 and report["ok"] and report["seconds"] < 20


def test_user_time_is_sampled_and_says_if_it_cannot_be(floor_port):
    def after(*arguments):
        run = load(floor_port, "--mode", "idle", "--ws", 1, "--hold", 0.1, "--settle", 0, *arguments)
        return json.loads(run.stdout)["server"]["after"]

    own = after("--pid", os.getpid())
    assert own["readable"] and own["run_s"] > 0
    assert 0 <= own["user_s"] <= own["run_s"] or not own["user_is_sampled"]
    nobody = after("--pid", 2**22 + 1)          # above any pid
    assert not nobody["readable"] and not nobody["user_is_sampled"]


def test_row_whose_server_does_not_start_fails_and_says_why(tmp_path):
    broken = tmp_path / "gateway"
    broken.write_text("#!/bin/sh\n[ $1 = version ] && echo broken && exit\necho no luck today\nexit 1\n")
    broken.chmod(0o755)
    run = subprocess.run([*TABLE, "--row", "publish", "--quick", "--out", str(tmp_path)], text=True,
                         env=ENVIRONMENT | {"FANFARE_BIN": str(broken)}, capture_output=True,
                         timeout=60 * PATIENCE, check=False)
    assert run.returncode == 1
    assert "no luck today" in run.stderr and "| publishes" not in run.stdout
