"""The client library against what the gateway never sends: all close codes, rubbish, an inbox that fails."""

import json
import random
import subprocess

import pytest

from harness import PATIENCE
from library import ENVIRONMENT, MODULE, SCRIPTS, needs_node

pytestmark = needs_node


@pytest.fixture(scope="module")
def results():
    seed = random.randrange(2**32)
    run = subprocess.run(["node", str(SCRIPTS / "faults.mjs"), str(MODULE), str(seed)], text=True,
                         env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True,
                         timeout=120 * PATIENCE, check=False)
    assert run.returncode == 0, f"seed {seed}\n{run.stdout[-4000:]}\n{run.stderr[-4000:]}"
    print(f"seed {seed}")
    return json.loads(run.stdout)


def test_nothing_escapes(results):
    assert results["wild"] == []


def test_the_waits_double_up_to_a_minute(results):
    backoff = results["backoff"]
    assert backoff["plain"] == [3000, 6000, 12000, 24000, 48000, 60000, 60000, 60000]
    assert backoff["shortest"] == [1500, 3000, 6000]
    assert backoff["longest"] == [4500, 9000, 18000]
    assert backoff["own"] == [100, 200, 300, 300]


def test_the_table_of_close_codes(results):
    codes = {int(code): what for code, what in results["codes"].items()}
    assert all(what["seen"] == code for code, what in codes.items())
    away = {code for code, what in codes.items() if not what["returns"]}
    assert away == {1002, 1003, 1007, 1009, 4400, 4403, 4429}
    assert {code for code, what in codes.items() if what["asked"]} == {4401}


def test_a_bye_that_makes_no_sense_is_bounded(results):
    waits = results["byes"]
    assert [wait for n, wait in enumerate(waits) if n not in (4, 5)] == [0, 0, 0, 0, 0]
    assert 0 <= waits[4] <= 30 and waits[5] <= 86_400_000


def test_rubbish_among_frames_changes_nothing(results):
    assert results["frames"] == {"inOrder": True, "count": 3000, "lost": 0, "state": "open", "connections": 1}


def test_rubbish_among_events_changes_nothing(results):
    assert results["streams"] == {"inOrder": True, "count": 600, "lost": 0, "state": "open"}


def test_a_reset_and_a_hole_are_said(results):
    reset = results["reset"]
    assert reset["seen"] == [8, 21, 25]
    assert reset["errors"] == ["internal"]      # the first answer had no position, and was asked for again
    assert reset["lost"] == [
        {"room": "r", "reason": "reset", "since": {"epoch": "e", "offset": 8}, "epoch": "f", "offset": 20,
         "missed": None},
        {"room": "r", "reason": "trimmed", "since": {"epoch": "f", "offset": 21}, "epoch": "f", "offset": 24,
         "missed": 3}]


def test_what_is_no_stream_is_tried_again_or_said(results):
    assert results["answers"] == [[200, True, None], [204, True, None], [500, True, None], [429, True, None],
                                  [302, True, None], [400, False, "bad_request"], [200, True, None]]


def test_the_inbox_may_have_gaps_and_repeats(results):
    inbox = results["inbox"]
    assert inbox["seen"] == [3, 7, 9, 12] and inbox["lost"] == 0
    assert inbox["acked"] == [{"room": "@me", "offset": 12}]
    assert inbox["answer"] == {"room": "@me", "offset": 7}
    assert inbox["acks"] == [7, {"session": "s", "room": "@me", "offset": 9}]
    assert inbox["byStream"] == {"room": "@me", "offset": 9}


def test_an_inbox_that_could_not_be_read_is_asked_for_again(results):
    for transport, asked in (("websocket", [None, 4]), ("sse", [None, "100"])):
        assert results["unreadable"][transport] == {
            "asked": asked, "seen": [3, 4, 5, 9], "errors": [["unavailable", "@me"]], "ends": [], "lost": [],
            "active": True}


def test_misuse_is_said_at_once(results):
    assert results["misuse"] == ["TypeError"] * 8
    assert results["notJson"] == "TypeError"
    assert results["afterwards"] == {"room": "r"}
