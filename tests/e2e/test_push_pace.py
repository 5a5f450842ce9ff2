"""Who waits and who does not: the breaker, the bound of a user, what is urgent before what is not."""

import os
import time

import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from harness import PATIENCE, merged, wait_until  # noqa: E402
from push_judge import series, side_by_side, wait_all_sent  # noqa: E402
from push_sim import PROGRAM  # noqa: E402
from test_push import delivered, notify, push_config, register, shown, wait_status  # noqa: E402
from test_push import simulator  # noqa: E402, F401  # pylint: disable=unused-import

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")


@pytest.fixture(autouse=True)
def all_well(simulator):  # noqa: F811  # pylint: disable=redefined-outer-name
    yield
    simulator.control("POST", "/reset")


@pytest.fixture
def pacing(simulator, start, tmp_path):  # noqa: F811  # pylint: disable=redefined-outer-name
    return start(merged(push_config(simulator, tmp_path), {"push": {"attempts": 12}}))


def test_a_service_that_fails_is_left_alone_and_no_other(pacing, simulator, tag):  # noqa: F811
    users = [f"breaker-{tag}-{n}" for n in range(60)]
    side_by_side(lambda user: register(pacing, user), users)
    register(pacing, f"other-{tag}", platform="android")
    simulator.script("apns", tokens={"*": [{"status": 503, "reason": "ServiceUnavailable", "times": 0}]})
    ids = side_by_side(lambda user: notify(pacing, user), users)
    wait_until(lambda: series(pacing, "push_breaker", provider="apns") == 2, 20 * PATIENCE, "an open breaker")
    wait_until(lambda: series(pacing, "push_in_flight") == 0, what="nothing in flight")
    # More failures than opened it were on their way; from now on there are none.
    failures = simulator.stats("apns")["requests"]
    assert failures >= 20
    wait_status(pacing, notify(pacing, f"other-{tag}"), "sent")
    assert series(pacing, "push_breaker", provider="fcm") == 0
    late = notify(pacing, users[0], priority="critical")
    wait_until(lambda: series(pacing, "push_queue", lane="critical") == 1, what="one that waits")
    assert simulator.stats("apns")["requests"] == failures
    # What waits is not counted, and nothing is given up.
    for one in ids:
        assert shown(pacing, one)["status"] in ("processing", "retry")
        events = shown(pacing, one, "/timeline")["events"]
        assert sum(event["event"] == "push_retry" and "push" in event for event in events) <= 3
    assert shown(pacing, late)["status"] == "processing"
    assert "push_breaker_opened" in pacing.log()


def test_one_user_is_pushed_to_a_hundred_times_a_minute(pacing, simulator, tag):  # noqa: F811
    phone = register(pacing, f"often-{tag}")
    register(pacing, f"seldom-{tag}")
    begin = time.monotonic()
    side_by_side(lambda n: notify(pacing, f"often-{tag}", f"number {n}"), range(130))
    wait_until(lambda: len(delivered(simulator, phone)) >= 100, 20 * PATIENCE, "the first hundred")
    wait_status(pacing, notify(pacing, f"seldom-{tag}"), "sent")    # nobody else waits
    came = len(delivered(simulator, phone))
    # 100 at once, and what a minute's hundred brings back meanwhile.
    assert 100 <= came <= 101 + (time.monotonic() - begin) * 100 / 60
    assert series(pacing, "push_queue", lane="normal") >= 130 - came - (time.monotonic() - begin) * 100 / 60 - 1


def test_what_is_urgent_passes_what_is_not(pacing, simulator, tag):  # noqa: F811
    """A service of eight streams, each 100 ms: 200 low ones take seconds."""
    simulator.faults("apns", latency="100ms", max_concurrent_streams=2)
    users = [f"low-{tag}-{n}" for n in range(200)]
    side_by_side(lambda user: register(pacing, user), users)
    phone = register(pacing, f"otp-{tag}")
    low = side_by_side(lambda user: notify(pacing, user, priority="low"), users)
    wait_until(lambda: 0 < series(pacing, "push_queue", lane="low") < 200, what="low ones on their way")
    left = series(pacing, "push_queue", lane="low")
    assert left > 60, "too fast to say anything"
    urgent = notify(pacing, f"otp-{tag}", priority="critical")
    wait_status(pacing, urgent, "sent")
    [arrived] = delivered(simulator, phone)
    before = [one for one in simulator.requests(service="apns", limit=100000) if one["number"] < arrived["number"]]
    # Only those that were at the service already, or went meanwhile: no queue before it.
    assert len(before) <= 200 - left + 30
    wait_all_sent(pacing, low)
