"""Push while the services misbehave: each device gets its notification, none is lost, and one comes twice only where
the protocol leaves it open whether the service had it."""

import collections
import itertools
import os
import random
import time

import pytest

pytest.importorskip("hyperframe")
pytest.importorskip("hpack")

from harness import PATIENCE, merged, wait_until  # noqa: E402
from push_judge import (Cuts, judge, judge_timelines, series, side_by_side, wait_all_sent,
                        wait_settled)  # noqa: E402
from push_sim import PROGRAM, VAPID_KEY, b64, point  # noqa: E402
from test_push import notify, push_config, register, shown  # noqa: E402
from test_push import simulator  # noqa: E402, F401  # pylint: disable=unused-import

pytestmark = pytest.mark.skipif(not os.access(PROGRAM, os.X_OK), reason="needs fanfare-push-sim")

NOTIFICATIONS = 200
IN_FLIGHT = 12      # three streams on each of four connections
UNWRITTEN = 50      # outcomes on their way to the disk, at most

PLATFORM = {"apns": "ios", "fcm": "android", "webpush": "web"}
# What a service says, and the reason that a timeline shows for it.
TOO_MANY = {"apns": ({"reason": "TooManyRequests"}, "TooManyRequests"),
            "fcm": ({"reason": "QUOTA_EXCEEDED"}, "QUOTA_EXCEEDED"),
            "webpush": ({}, "errno 201")}
DOWN = {"apns": ({"reason": "ServiceUnavailable"}, "ServiceUnavailable"),
        "fcm": ({"reason": "UNAVAILABLE"}, "UNAVAILABLE"),
        "webpush": ({}, "errno 201")}


@pytest.fixture(autouse=True)
def all_well(simulator):
    yield
    simulator.control("POST", "/reset")


@pytest.fixture(params=sorted(PLATFORM))
def service(request):
    return request.param


class Devices:
    """A user with one device each, and what the simulator got for it."""

    def __init__(self, gateway, simulator, service, tag, count=NOTIFICATIONS):
        self.gateway, self.simulator, self.service = gateway, simulator, service
        self.users = [f"fault-{tag}-{n}" for n in range(count)]
        self.tokens = side_by_side(self.register, self.users)

    def register(self, user):
        if self.service != "webpush":
            return register(self.gateway, user, platform=PLATFORM[self.service])
        subscription = self.simulator.subscribe(vapid_key=b64(point(VAPID_KEY)))
        register(self.gateway, user, platform="web",
                 subscription={name: subscription[name] for name in ("endpoint", "keys")})
        return subscription["id"]

    def notify_all(self):
        return side_by_side(lambda user: notify(self.gateway, user, body=f"for {user}", priority="high"), self.users)

    def records(self):
        """By device, in their order: what came to the service, the requests that it refused to process included."""
        by_token = collections.defaultdict(list)
        for one in self.simulator.requests(service=self.service, limit=100000):
            by_token[one["token"]].append(one)
        return by_token

    def count(self):
        return self.simulator.stats(self.service)["requests"]


def scripted(service, tokens):
    """Steps for a part of the devices, and how many requests of each device they answer in another way than 200."""
    def answer(status, saying, **more):
        return {"status": status, "retry_after": "1", **saying[service][0], **more}
    kinds = [([answer(503, DOWN)], 20),
             ([answer(429, TOO_MANY)], 20),
             ([answer(429, TOO_MANY), answer(503, DOWN)], 8),
             ([{"do": "reset", "error_code": "REFUSED_STREAM", "times": 2}], 12),
             ([{"do": "reset", "error_code": "CANCEL"}], 6),
             ([{"do": "reset", "error_code": "INTERNAL_ERROR"}], 6),
             ([answer(503, DOWN, then="goaway", then_reason="Shutdown")], 2),
             ([{"status": 200, "then": "goaway", "then_reason": "Shutdown"}], 2)]
    scripts = itertools.chain.from_iterable([steps] * count for steps, count in kinds)
    return dict(zip(tokens, scripts))


def commands(simulator, service, cuts):
    """What the service does to the connections while the pushes come, one after the other."""
    def order(**script):
        return lambda: simulator.script(service, **script)
    yield order(goaway={"variant": "middle"})
    yield order(faults={"max_concurrent_streams": 1})
    yield lambda: cuts.within(order(drop=True), IN_FLIGHT)
    yield order(faults={"max_concurrent_streams": 3, "open_streams": "refuse"})
    yield order(goaway={"variant": "graceful"})
    yield order(reset_streams="REFUSED_STREAM")
    yield order(goaway={"variant": "twice"})
    yield lambda: cuts.within(order(reset_streams="CANCEL"), IN_FLIGHT)
    yield order(goaway={"variant": "close"})
    yield order(goaway={"variant": "empty"})
    yield order(faults={"max_concurrent_streams": 2})
    yield lambda: cuts.within(order(drop=True), IN_FLIGHT)


def under_faults(gateway, simulator, service, tag, cuts, kill_at=None):
    devices = Devices(gateway, simulator, service, tag)
    order = list(range(NOTIFICATIONS))
    random.Random(tag).shuffle(order)
    simulator.script(service, tokens=scripted(service, [devices.tokens[n] for n in order]),
                     faults={"latency": "uniform:50-150ms", "max_concurrent_streams": 2})
    ids = devices.notify_all()
    for number, command in enumerate(commands(simulator, service, cuts)):
        had = devices.count()
        wait_until(lambda enough=had + 10: devices.count() >= enough, 20 * PATIENCE, f"requests after {had}")
        if number == kill_at:
            cuts.within(gateway.kill, IN_FLIGHT + UNWRITTEN)
            gateway.start()
        command()
    wait_all_sent(gateway, ids)
    return devices, ids


def config(simulator, directory):
    # So many attempts that chance does not end them.
    return merged(push_config(simulator, directory), {"push": {"attempts": 12}})


def test_nothing_is_lost_and_nothing_doubled_without_need(simulator, start, tmp_path, service, tag):
    gateway = start(config(simulator, tmp_path))
    cuts = Cuts()
    devices, ids = under_faults(gateway, simulator, service, tag, cuts)
    records = judge(devices, cuts)
    attempts = judge_timelines(gateway, ids, devices, records, cuts,
                               {429: TOO_MANY[service][1], 503: DOWN[service][1]})

    wait_settled(gateway)
    outcomes = collections.Counter(each["event"] for each in attempts)
    assert series(gateway, "push_attempts_total", provider=service, outcome="sent") == outcomes["push_sent"] == 200
    assert series(gateway, "push_attempts_total", provider=service, outcome="later") == outcomes["push_retry"]
    assert series(gateway, "push_attempts_total", provider=service, outcome="not_attempted") > 0
    for outcome in ("dropped", "refused", "paused", "stopped"):
        assert series(gateway, "push_attempts_total", provider=service, outcome=outcome) == 0
    assert series(gateway, "push_seconds_count", provider=service) == \
        series(gateway, "push_attempts_total", provider=service)
    assert series(gateway, "push_breaker", provider=service) == 0
    stats = simulator.stats(service)
    assert stats["streams_over_limit"] == 0
    assert 0 < series(gateway, "h2_client_goaways_total", pool=service) <= stats["goaways_sent"]


def test_nothing_is_lost_by_kill_9_amid_faults(simulator, start, tmp_path, service, tag):
    gateway = start(config(simulator, tmp_path))
    cuts = Cuts()
    devices, ids = under_faults(gateway, simulator, service, tag, cuts, kill_at=4)
    judge(devices, cuts)
    wait_settled(gateway)
    for one in ids:
        assert shown(gateway, one)["outcomes"][1]["devices"][0]["status"] == "sent"


def test_the_end_waits_for_no_connection_to_a_service(simulator, start, tmp_path, service, tag):
    gateway = start(merged(config(simulator, tmp_path), {"server": {"drain": "30s"}}))
    devices = Devices(gateway, simulator, service, tag, 1)
    wait_all_sent(gateway, devices.notify_all())
    wait_settled(gateway)
    assert series(gateway, "h2_client_connections", pool=service) > 0
    begin = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begin < 10 * PATIENCE


def test_one_broken_connection_is_no_reason_to_stop(simulator, start, tmp_path, service, tag):
    """All that is under way breaks with it, and goes on at once: the breaker stays closed."""
    gateway = start(config(simulator, tmp_path))
    devices = Devices(gateway, simulator, service, tag, 60)
    simulator.faults(service, latency="5000ms", max_concurrent_streams=100, ramp=False)
    ids = devices.notify_all()
    wait_until(lambda: simulator.stats(service)["streams_open"] >= 30, what="pushes under way")
    cuts = Cuts()
    cuts.within(lambda: simulator.script(service, drop=True), 60)
    simulator.faults(service, latency="10ms")
    wait_all_sent(gateway, ids)
    judge(devices, cuts)
    assert "push_breaker_opened" not in gateway.log()
    assert series(gateway, "push_breaker", provider=service) == 0
