"""systemd: the units as systemd reads them, notifications, the watchdog, inherited sockets.

There is no service manager here. Its side of each contract is played by systemd's own tools
(systemd-analyze, systemd-socket-activate), by a notify socket, and by sockets that the test opens.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from client import asynchronous, connect, off_loop
from harness import (BINARY, PATIENCE, REPOSITORY, Gateway, default_config, free_port, http_call,
                     merged, wait_until)

SERVICE = REPOSITORY / "systemd/fanfare.service"
SOCKET = REPOSITORY / "systemd/fanfare.socket"


# -- the units ------------------------------------------------------------------------------------

def settings(path):
    """Every `Key=value` of a unit, as key to list of values."""
    found = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith(("#", "[")):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def units(tmp_path):
    """The units, with the binary of this test where theirs will be."""
    for unit in (SERVICE, SOCKET):
        text = unit.read_text()
        (tmp_path / unit.name).write_text(text.replace("/usr/bin/fanfare", BINARY))
    assert f"ExecStart={BINARY} serve" in (tmp_path / SERVICE.name).read_text()
    return tmp_path


def test_systemd_understands_every_line_of_the_units(units):
    result = analyze("verify", units / SERVICE.name, units / SOCKET.name)
    # It answers 0 although it complains about unknown keys.
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


def test_systemd_would_complain_about_a_mistake(units):
    """The test above can fail."""
    unit = units / SERVICE.name
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyze("verify", unit).stderr


def test_service_is_locked_up(units):
    result = analyze("security", "--offline=yes", "--threshold=20", units / SERVICE.name)
    assert result.returncode == 0, result.stdout[-300:] + result.stderr
    exposure = re.search(r"exposure level for fanfare.service: ([\d.]+)", result.stdout)
    assert float(exposure[1]) <= 2.0


def test_service_gives_the_drain_its_time():
    defaults = (REPOSITORY / "config/fanfare.yaml").read_text()
    drain = int(re.search(r"^  drain: (\d+)s$", defaults, re.MULTILINE)[1])
    service = settings(SERVICE)
    assert int(service["TimeoutStopSec"][0].removesuffix("s")) >= drain + 10
    assert service["Type"] == ["notify"] and service["WatchdogSec"]
    assert int(service["LimitNOFILE"][0]) >= 1_000_000


# -- notifications --------------------------------------------------------------------------------

class NotifySocket:
    """Where a service manager listens: datagrams of KEY=value lines."""

    def __init__(self, directory, abstract=False):
        name = f"fanfare-{os.getpid()}-{time.monotonic_ns()}"
        self.address = f"@{name}" if abstract else str(Path(directory) / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.bind("\0" + name if abstract else self.address)
        self.seen = []

    def close(self):
        self.socket.close()

    def next(self, timeout=10 * PATIENCE):
        """The next message, as a mapping; None if none comes in time."""
        self.socket.settimeout(timeout)
        try:
            text = self.socket.recv(65536).decode()
        except TimeoutError:
            return None
        message = dict(line.split("=", 1) for line in text.splitlines())
        message["at"] = time.monotonic()
        self.seen.append(message)
        return message

    def wait(self, key, timeout=10 * PATIENCE):
        """The next message that has `key`."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.next(max(0.01, deadline - time.monotonic()))
            assert message is not None, f"no {key}; got {self.seen[-10:]}"
            if key in message:
                return message

    def wait_status(self, pattern):
        while True:
            message = self.wait("STATUS")
            if re.search(pattern, message["STATUS"]):
                return message


@pytest.fixture
def notify(tmp_path):
    opened = NotifySocket(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def spawn(tmp_path):
    """spawn(changes, …) starts a gateway and waits for nothing."""
    started = []

    def spawn_one(changes=None, **options):
        config = merged(default_config(), changes or {})
        one = Gateway(tmp_path / f"gateway{len(started)}", config, **options)
        started.append(one)
        return one.spawn()

    yield spawn_one
    for one in started:
        one.stop()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_ready_is_said_when_clients_are_served(spawn, tmp_path, abstract):
    notify = NotifySocket(tmp_path, abstract)
    gateway = spawn(environment={"NOTIFY_SOCKET": notify.address})
    first = notify.next()
    assert first["READY"] == "1" and first["STATUS"].startswith("Serving 0 connections")
    assert gateway.http("GET", "/ready").status == 200     # at once, without another try
    gateway.stop()
    notify.close()


def test_a_gateway_that_cannot_start_says_nothing(spawn, notify):
    busy = spawn()
    busy._wait_ready()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = spawn({"server": {"listen": [f"127.0.0.1:{port}"]}},
                        environment={"NOTIFY_SOCKET": notify.address})
        assert gateway.wait_exit() == 1
    assert notify.next(0.1) is None


def test_reload_is_said_with_its_time_and_ends_with_ready(spawn, notify):
    gateway = spawn(environment={"NOTIFY_SOCKET": notify.address})
    notify.wait("READY")
    before = time.monotonic()
    gateway.signal(signal.SIGHUP)
    reloading = notify.wait("RELOADING")
    assert reloading["RELOADING"] == "1" and "READY" not in reloading
    assert before <= int(reloading["MONOTONIC_USEC"]) / 1e6 <= reloading["at"]
    assert "failed" not in notify.wait("READY")["STATUS"]
    # One that fails ends as well, and the status says so until one succeeds.
    good = gateway.config_path.read_text()
    gateway.config_path.write_text("rooms: [\n")
    gateway.signal(signal.SIGHUP)
    notify.wait("RELOADING")
    assert "reload failed" in notify.wait("READY")["STATUS"]
    gateway.config_path.write_text(good)
    gateway.signal(signal.SIGHUP)
    notify.wait("RELOADING")
    assert "failed" not in notify.wait("READY")["STATUS"]


@asynchronous
async def test_status_counts_connections_and_a_drain_asks_for_time(spawn, notify, tag):
    gateway = spawn({"server": {"drain": "5s"}}, environment={"NOTIFY_SOCKET": notify.address})
    await off_loop(notify.wait, "READY")
    async with connect(gateway) as client:
        await client.subscribe(f"open:{tag}")
        await off_loop(notify.wait_status, "^Serving 1 connections$")
        begun = time.monotonic()
        gateway.signal(signal.SIGTERM)
        stopping = await off_loop(notify.wait, "STOPPING")
        assert stopping["STATUS"].startswith("Draining")
        # More time than until the next such message, every two seconds.
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) >= 4_000_000
        await client.closed(15 * PATIENCE)
    assert await off_loop(gateway.wait_exit) == 0
    lasted = time.monotonic() - begun
    while await off_loop(notify.next, 0.1):
        pass
    asked = [message["at"] for message in notify.seen if "EXTEND_TIMEOUT_USEC" in message]
    assert len(asked) >= lasted // 2.5, (asked, lasted)


def test_a_notify_socket_that_is_gone_is_logged_and_does_no_harm(spawn, tmp_path, room):
    gateway = spawn(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gateway._wait_ready()
    gateway.publish(room, 1)
    assert gateway.log().count("notify_failed") == 1


# -- watchdog -------------------------------------------------------------------------------------

def test_watchdog_is_fed_well_within_its_time(spawn, notify):
    gateway = spawn(environment={"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "2000000"})
    notify.wait("READY")
    fed = [notify.wait("WATCHDOG")["at"] for _ in range(12)]
    gaps = [later - earlier for earlier, later in zip(fed, fed[1:])]
    assert max(gaps) < 1.0 * PATIENCE, gaps     # half of it is what systemd recommends
    assert gateway.alive


def test_without_a_watchdog_nothing_is_fed(spawn, notify):
    spawn(environment={"NOTIFY_SOCKET": notify.address})
    notify.wait("READY")
    # The process looks after itself every two seconds: two of these.
    while notify.next(4.5):
        pass
    assert not any("WATCHDOG" in message for message in notify.seen)


def test_a_watchdog_of_another_process_is_none(spawn, notify):
    spawn(environment={"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "400000",
                       "WATCHDOG_PID": str(os.getpid())})
    notify.wait("READY")
    assert notify.next(1.0) is None


class StoppedThread:
    """Stops one thread of a process as a debugger does; it is as stuck as in an endless loop."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid, name):
        tasks = Path(f"/proc/{pid}/task").iterdir()
        self.thread = next(int(task.name) for task in tasks
                           if (task / "comm").read_text().strip() == name)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self._call(self.SEIZE)
        self._call(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)

    def _call(self, request):
        arguments = [ctypes.c_long(request), ctypes.c_long(self.thread)] + [ctypes.c_void_p(0)] * 2
        if self.libc.ptrace(*arguments) == -1:
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)}: ptrace {request:#x}")

    def release(self):
        try:
            self._call(self.DETACH)
        except ProcessLookupError:
            # The process has ended. What is left of a traced thread is its tracer's to collect, and
            # the process cannot be waited for until that is done.
            os.waitpid(self.thread, self.WALL)


def test_a_stuck_reactor_starves_the_watchdog(spawn, notify):
    ops = free_port()
    gateway = spawn({"server": {"ops_listen": [f"127.0.0.1:{ops}"]}},
                    environment={"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "2000000"})
    notify.wait("WATCHDOG")
    assert http_call(ops, "GET", "/health").status == 200
    # Operations are served by the first reactor, this is the other.
    stopped = StoppedThread(gateway.pid, "fanfare-1")
    try:
        wait_until(lambda: "reactor_stuck" in gateway.log(), 10 * PATIENCE, "reactor_stuck")
        while notify.next(0.01):
            pass
        # A whole period without food: this is where systemd ends the process.
        deadline = time.monotonic() + 2.1
        while time.monotonic() < deadline:
            message = notify.next(deadline - time.monotonic() + 0.01)
            assert message is None or "WATCHDOG" not in message
        answer = http_call(ops, "GET", "/health")
        assert answer.status == 503 and answer.json()["parts"]["reactors"] == "failed"
        line = next(line for line in gateway.log().splitlines() if "reactor_stuck" in line)
        assert '"level":"error"' in line and '"reactor":1' in line and '"for_ms":' in line
    finally:
        stopped.release()
    notify.wait("WATCHDOG")
    assert http_call(ops, "GET", "/health").status == 200
    assert "reactor_recovered" in gateway.log()
    assert gateway.log().count("reactor_stuck") == 1


def test_sigterm_ends_the_process_although_a_reactor_is_stuck(spawn, notify):
    gateway = spawn({"server": {"drain": "1s"}},
                    environment={"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "1000000"})
    notify.wait("WATCHDOG")
    stopped = StoppedThread(gateway.pid, "fanfare-0")
    try:
        wait_until(lambda: "reactor_stuck" in gateway.log(), 10 * PATIENCE, "reactor_stuck")
        gateway.signal(signal.SIGTERM)
        # Who does not read what is said holds up whoever says it.
        wait_until(lambda: (notify.next(0.01), '"event":"stopped"' in gateway.log())[1],
                   15 * PATIENCE, "the end")
    finally:
        stopped.release()
    assert gateway.wait_exit() == 1


# -- inherited sockets ----------------------------------------------------------------------------

def inherited(*sockets, names=None):
    """Options for a gateway that gets `sockets` as descriptors 3, 4, … from whoever starts it."""
    high = [os.dup(one.fileno()) for one in sockets]
    moves = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(high))
    shell = f'LISTEN_PID=$$ exec "$@" {moves}'
    environment = {"LISTEN_FDS": str(len(high))}
    if names is not None:
        environment["LISTEN_FDNAMES"] = ":".join(names)
    return {"environment": environment, "pass_fds": high,
            "wrapper": ["/bin/bash", "-c", shell, "bash"]}


def high_listener(address=("127.0.0.1", 0), family=socket.AF_INET):
    """A listening socket whose descriptor is out of the way of 3, 4, …"""
    made = socket.create_server(address, family=family, backlog=64)
    moved = socket.socket(fileno=os.dup(made.fileno()))
    made.close()
    return moved


def port_of(listener):
    return listener.getsockname()[1]


def test_systemd_socket_activate_starts_it_and_a_client_publishes(tmp_path, room):
    port = free_port()
    gateway = Gateway(tmp_path, default_config() | {"server": {
        "listen": ["192.0.2.1:1"], "reactors": 2, "drain": "1s"}}, port=port,
        wrapper=["systemd-socket-activate", "-l", f"127.0.0.1:{port}"])
    gateway.start()        # the first question for /ready is what starts it

    @asynchronous
    async def talk():
        async with connect(gateway) as one, connect(gateway) as two:
            await one.subscribe(room)
            await two.subscribe(room)
            await one.ok("publish", room=room, data="through systemd's socket")
            assert (await two.message())["data"] == "through systemd's socket"
    talk()
    log = gateway.log()
    gateway.stop()
    assert f'"listen":"127.0.0.1:{port}"' in log and "sockets_inherited" in log


def test_systemd_socket_activate_with_names(tmp_path, room):
    port, ops = free_port(), free_port()
    gateway = Gateway(tmp_path, default_config() | {"server": {
        "listen": ["192.0.2.1:1"], "ops_listen": [f"127.0.0.1:{ops}"], "drain": "1s"}}, port=port,
        wrapper=["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-l", f"127.0.0.1:{ops}",
                 "--fdname=clients:ops"])
    gateway.start()
    gateway.publish(room, 1)
    assert gateway.http("GET", "/metrics").status == 404
    assert http_call(ops, "GET", "/metrics").status == 200
    assert f'"ops_listen":"127.0.0.1:{ops}"' in gateway.log()
    gateway.stop()


def test_each_kind_of_address_is_replaced_alone(tmp_path):
    with high_listener() as listener:
        options = inherited(listener, names=["ops"])
        gateway = Gateway(tmp_path, default_config(), **options)
        gateway.spawn()
        wait_until(lambda: _status(port_of(listener), "/ready") == 200, 10 * PATIENCE, "/ready")
        # `server.listen` is bound, and operations are not served there.
        assert _status(gateway.port, "/api/v1/rooms") == 401
        assert _status(gateway.port, "/ready") == 404
        gateway.stop()


def _status(port, path):
    try:
        return http_call(port, "GET", path).status
    except OSError:
        return None


def test_several_sockets_and_ipv6(tmp_path):
    try:
        six = high_listener(("::1", 0), socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with six, high_listener() as four:
        options = inherited(four, six, names=["clients", "clients"])
        gateway = Gateway(tmp_path, default_config(), port=port_of(four), **options).start()
        with socket.create_connection(("::1", port_of(six))) as client:
            client.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert f'"listen":"127.0.0.1:{port_of(four)}, [::1]:{port_of(six)}"' in gateway.log()
        gateway.stop()


def test_whoever_connects_during_a_restart_is_not_refused(tmp_path):
    with high_listener() as listener:
        port = port_of(listener)
        options = inherited(listener)
        gateway = Gateway(tmp_path, default_config(), port=port, **options).start()
        gateway.stop()
        with socket.create_connection(("127.0.0.1", port)) as client:     # nobody is there
            client.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            gateway.start()
            client.settimeout(10 * PATIENCE)
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        gateway.stop()


def test_embedded_default_takes_an_inherited_socket_too(tmp_path):
    with high_listener() as listener:
        port = port_of(listener)
        gateway = Gateway(tmp_path, None, port=port, **inherited(listener)).start()
        assert f"http://127.0.0.1:{port}/" in gateway.log()
        assert gateway.http("GET", "/", headers={"Host": "evil.example.com"}).status == 403
        gateway.stop()


def test_sockets_for_another_process_are_ignored(tmp_path):
    with high_listener() as listener:
        options = inherited(listener)
        options["wrapper"][2] = options["wrapper"][2].replace("$$", "1")
        gateway = Gateway(tmp_path, default_config(), **options).start()
        assert "sockets_inherited" not in gateway.log()
        gateway.stop()


def _bound(kind):
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("127.0.0.1", 0))
    return made


def _unix(directory):
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(directory / "socket"))
    made.listen()
    return made


WRONG_SOCKETS = {
    "unix": (_unix, None, "neither IPv4 nor IPv6"),
    "datagrams": (lambda _: _bound(socket.SOCK_DGRAM), None, "not TCP"),
    "not listening": (lambda _: _bound(socket.SOCK_STREAM), None, "does not listen"),
    "a file": (lambda directory: open(directory / "file", "w", encoding="ascii"), None,
               "not a socket"),
    "unknown name": (lambda _: high_listener(), ["metrics"], "clients"),
    "Accept=yes": (lambda _: high_listener(), ["connection"], "unknown name"),
    "more names than sockets": (lambda _: high_listener(), ["clients", "ops"], "LISTEN_FDNAMES"),
}


@pytest.mark.parametrize("name", WRONG_SOCKETS)
def test_a_socket_of_another_kind_stops_the_start(tmp_path, name):
    make, names, reason = WRONG_SOCKETS[name]
    with make(tmp_path) as wrong:
        gateway = Gateway(tmp_path / "g", default_config(), **inherited(wrong, names=names)).spawn()
        assert gateway.wait_exit() == 2
    # One line, that names the descriptor and what would be right.
    assert reason in gateway.log() and len(gateway.log().splitlines()) == 1, gateway.log()
    assert "inherited socket" in gateway.log()
