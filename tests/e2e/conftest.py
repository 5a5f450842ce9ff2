"""Fixtures of the end-to-end suite: a shared gateway, and gateways of one's own."""

import os
import signal
import uuid

import pytest

from harness import BINARY, Gateway, default_config, merged
from library import Library


# What these show does not depend on the system around the gateway. Where the whole suite has run on
# another system already, FANFARE_E2E_BESIDE=1 leaves them out.
SAME_EVERYWHERE = {
    "test_api", "test_batch", "test_devices", "test_durable", "test_http", "test_inbox",
    "test_inbox_crash", "test_instructions", "test_limits", "test_notifications", "test_order",
    "test_scale", "test_sse", "test_store_cli", "test_ws", "test_ws_frames", "test_ws_rooms",
    "test_drain_scale", "test_client_inbox", "test_client_faults", "test_bench", "test_h2_client",
    "test_dead_letters", "test_mass_sends", "test_push_apps", "test_push_faults", "test_push_pace",
    "test_push_peers", "test_push_sim", "test_push_sim_faults",
}


def pytest_collection_modifyitems(config, items):
    if os.environ.get("FANFARE_E2E_BESIDE") != "1":
        return
    left_out = [item for item in items if item.path.stem in SAME_EVERYWHERE]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.path.stem not in SAME_EVERYWHERE]


def pytest_sessionstart(session):
    # A shell that puts a command into the background has it ignore SIGINT, and so do all that it
    # starts: tests that press Ctrl-C would press it in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not session.config.option.collectonly and not os.access(BINARY, os.X_OK):
        pytest.exit(f"no gateway at {BINARY}: build it, or set FANFARE_BIN", returncode=2)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """The gateway that most tests share; they keep apart by using rooms and users of their own."""
    shared = Gateway(tmp_path_factory.mktemp("gateway"), default_config()).start()
    yield shared
    shared.stop()


@pytest.fixture(autouse=True)
def shared_gateway_survives(request):
    """Whatever a test sent, the shared process is still there afterwards."""
    yield
    if "gateway" in request.fixturenames:
        shared = request.getfixturevalue("gateway")
        assert shared.alive, f"the gateway died:\n{shared.log()[-4000:]}"


@pytest.fixture(scope="module")
def start_for_module(tmp_path_factory):
    """As `start`, for gateways that the tests of one file share."""
    yield from _starter(tmp_path_factory.mktemp)


@pytest.fixture
def start(tmp_path):
    """start(changes, environment=…) runs a gateway with the default configuration and `changes`."""
    yield from _starter(lambda name: tmp_path / f"{name}{uuid.uuid4().hex[:6]}")


def _starter(make_directory):
    started = []

    def start_one(changes=None, *, environment=None):
        config = merged(default_config(), changes or {})
        one = Gateway(make_directory("gateway"), config, environment=environment)
        started.append(one)
        return one.start()

    yield start_one
    failures = []
    for one in started:
        try:
            one.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@pytest.fixture
def tag():
    """A short random text that keeps the rooms and users of a test apart from all others."""
    return uuid.uuid4().hex[:10]


@pytest.fixture
def room(tag):
    """A room that anyone may subscribe to and subscribers may publish in."""
    return f"open:{tag}"


@pytest.fixture
def clients():
    """clients(url, options…) starts libraries; they are ended with the test."""
    running = []

    def start(url, *, kinds=(None,), **options):
        for kind in kinds:
            running.append(Library(url, **options, **({"transport": kind} if kind else {})))
        return running[-1] if len(kinds) == 1 else running[-len(kinds):]

    yield start
    for one in running:
        one.process.kill()
    for one in running:
        one.__exit__(None)
