"""Processes of a benchmark: the gateway, the floor, the load generator.

Each is bounded in time and ended by its own pid, whatever ends the benchmark: leaving a `with` block
ends it, Ctrl-C and SIGTERM leave all blocks, and if the benchmark itself is killed the kernel kills
its children (setpriv --pdeathsig).
"""

import hashlib
import json
import os
import random
import resource
import secrets
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RELEASE = REPOSITORY / "build/release"
PEERS = REPOSITORY / "bench/peers"
SERVER_SECONDS_MAX = 180
DESCRIPTORS_MAX = 1_048_576     # more only slow down what walks them


class Failed(Exception):
    """A run whose figures mean nothing; the text says why."""


@dataclass
class Server:
    name: str           # gateway, floor, or a peer
    pid: int | str      # several: comma-separated
    port: int
    key: str
    options: tuple = ()     # that the load generator needs to drive it


class Processes:
    """Starts programs, pinned where asked, and keeps each run's report for the raw results."""

    def __init__(self, cores):
        self.gateway = os.environ.get("FANFARE_BIN", str(RELEASE / "fanfare"))
        self.floor = os.environ.get("FANFARE_FLOOR", str(RELEASE / "fanfare-floor"))
        self.store_floor = os.environ.get("FANFARE_STORE_FLOOR", str(RELEASE / "fanfare-store-floor"))
        self.h2_client = os.environ.get("FANFARE_H2_CLIENT", str(RELEASE / "fanfare-h2-client"))
        self.push_load = os.environ.get("FANFARE_PUSH_LOAD", str(RELEASE / "fanfare-push-load"))
        self.push_sim = os.environ.get("FANFARE_PUSH_SIM", str(RELEASE / "bench/fanfare-push-sim"))
        self.load = os.environ.get("FANFARE_LOAD", str(RELEASE / "fanfare-load"))
        # Server and generator each on a core of its own; on a single core that would be no help.
        self.server_core, self.load_core = cores[:2] if len(cores) > 1 else (None, None)
        self.runs = []

    # -- servers ------------------------------------------------------------------------------

    @contextmanager
    def serve_gateway(self, *, pinned=True, reactors=1, history=1000, client_messages=100, batch="0s",
                      durable=False):
        """A fresh gateway with one rule: any room, with a history of that many messages. With
        `durable` it keeps those that the load generator names by default; not `memory…`."""
        port = free_port()
        key = "bench-" + secrets.token_hex(16)
        with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory:
            config = Path(directory) / "fanfare.yaml"
            text_of_config = gateway_config(port, key, reactors, history, client_messages, batch)
            if durable:
                text_of_config = with_durable_rooms(text_of_config, directory)
            config.write_text(text_of_config, encoding="utf-8")
            with open(Path(directory) / "log", "w+b") as log:
                command = [self.gateway, "serve", "--config", str(config)]
                with self.server(command, pinned, log) as process:
                    url = f"http://127.0.0.1:{port}/ready"
                    await_start(process, log, lambda: answers(url))
                    yield Server("gateway", process.pid, port, key)

    @contextmanager
    def serve_floor(self, *, pinned=True, batch=False):
        port = free_port()
        command = [self.floor, str(port), "--seconds", str(SERVER_SECONDS_MAX)]
        with tempfile.TemporaryFile() as log:
            with self.server(command + ["--batch"] * batch, pinned, log) as process:
                await_start(process, log, lambda: accepts(port))
                yield Server("floor", process.pid, port, "none")

    @contextmanager
    def serve_peer(self, name):
        """Another server that the load generator can drive (bench/peers)."""
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory, \
                tempfile.TemporaryFile() as log:
            command = peer_command(name, port, Path(directory))
            environment = {"NODE_PATH": "/usr/share/nodejs:/usr/lib/nodejs"}
            with self.server(command, True, log, environment) as process:
                await_start(process, log, lambda: accepts(port))
                # nginx serves in a worker; its master costs nothing and counts too.
                pids = [process.pid, *children(process.pid)]
                dialect = ("--dialect", "nchan") if name == "nchan" else ()
                yield Server(name, ",".join(map(str, pids)), port, "none", dialect)

    @contextmanager
    def serve_other(self, command):
        """A server that speaks its own protocol; `command` makes its command of a port."""
        port = free_port()
        with tempfile.TemporaryFile() as log, self.server(command(port), True, log) as process:
            await_start(process, log, lambda: accepts(port))
            yield port

    @contextmanager
    def server(self, command, pinned, log, more_environment=None):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("FANFARE_")}      # would override the configuration
        with self.started(command, self.server_core if pinned else None,
                           env=environment | (more_environment or {}),
                           stdout=log, stderr=log) as process:
            watchdog = threading.Timer(SERVER_SECONDS_MAX, process.kill)
            watchdog.daemon = True
            watchdog.start()
            try:
                yield process
            finally:
                watchdog.cancel()
            if process.poll() is not None:
                raise Failed(f"the server ended by itself, status {process.returncode}:\n{text(log)}")

    # -- load ---------------------------------------------------------------------------------

    def run_load(self, server, *arguments, pinned=True, spin=True, nice=0, timeout=60, label=None):
        """One run of the generator to its end; its report. All of the generator's checks must hold.
        `nice`: above 0 it yields to another generator on its core."""
        command = self._load_command(server, arguments, timeout)
        if pinned and spin and self.load_core is not None:
            command.append("--spin")
        with self.started(command, self.load_core if pinned else None, nice=nice, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=timeout + 15)
            except subprocess.TimeoutExpired:
                raise Failed(f"the load generator did not end within {timeout + 15} s") from None
        return self._report(server, command, out, err, label)

    @contextmanager
    def background_load(self, server, *arguments, phase, timeout=60, label=None):
        """A run that is in `phase` when the block begins, and is told to end when the block does.
        Yields a list; its report is there after the block. It does not spin: another has the core."""
        command = self._load_command(server, arguments, timeout)
        command.remove("--quiet")
        reports = []
        with self.started(command, self.load_core, text=True, bufsize=1,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            progress = await_line(process, f" {phase} ", timeout)
            yield reports
            process.send_signal(signal.SIGUSR1)
            out, err = process.communicate(timeout=30)
        reports.append(self._report(server, command, out, progress + err, label))

    def hold_load(self, server, *arguments, timeout=60, label=None):
        """Clients that are connected when the block begins, and leave when it ends."""
        return self.background_load(server, *arguments, "--mode", "idle", "--hold", timeout,
                                    phase="holding", timeout=timeout, label=label)

    def _load_command(self, server, arguments, timeout):
        return [self.load, "--url", f"http://127.0.0.1:{server.port}", "--api-key", server.key,
                "--pid", str(server.pid), "--quiet", "--timeout", str(timeout),
                *server.options, *map(str, arguments)]

    def _report(self, server, command, out, err, label):
        try:
            report = json.loads(out)
        except ValueError:
            raise Failed(f"the load generator said:\n{out}{err}") from None
        shown = ["$KEY" if word == server.key else word for word in command]
        shown[0] = Path(shown[0]).name
        self.runs.append({"server": server.name, "label": label, "command": " ".join(shown),
                          "report": report})
        failed = [name for name, holds in report["checks"].items() if not holds]
        if failed:
            raise Failed(f"{server.name}: checks of the load generator failed: {', '.join(failed)}; "
                         f"{json.dumps(report['connections'])}; {json.dumps(report['messages'])}\n"
                         f"{' '.join(shown)}")
        return report

    def run_pinned(self, command, timeout=60):
        """A program on the server's core, to its end; what it printed."""
        with self.started(command, self.server_core, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=timeout)
        if process.returncode != 0:
            raise Failed(f"{Path(command[0]).name}: status {process.returncode}: {err}")
        return out

    def run_client(self, command, timeout=120, core=None):
        """A program on the generator's core, or that one, to its end; what it printed, and the CPU time of all of
        it: no other child ends meanwhile."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with self.started(command, self.load_core if core is None else core, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate(timeout=timeout)
        if process.returncode != 0:
            raise Failed(f"{Path(command[0]).name}: status {process.returncode}: {out}{err}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return out, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # -- both ---------------------------------------------------------------------------------

    @contextmanager
    def started(self, command, core, nice=0, **arguments):
        prefix = ["taskset", "--cpu-list", str(core)] if core is not None else []
        if nice > 0:
            prefix += ["nice", "-n", str(nice)]
        # All these programs replace themselves by the next one, so the pid is the command's.
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *prefix, *command],
                                   stdin=subprocess.DEVNULL, start_new_session=True, **arguments)
        try:
            yield process
        finally:
            end(process)


def end(process):
    """SIGTERM, and SIGKILL if that does not help."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def peer_command(name, port, directory):
    if name == "ws":
        return ["node", str(PEERS / "ws.js"), str(port)]
    config = (PEERS / "nchan.conf").read_text(encoding="utf-8")
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for key, value in (("PORT", port), ("DIRECTORY", directory), ("DESCRIPTORS", descriptors)):
        config = config.replace(f"@{key}@", str(value))
    (directory / "nginx.conf").write_text(config, encoding="utf-8")
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]


def children(pid):
    return [int(child) for child in
            Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def gateway_config(port, key, reactors, history, client_messages, batch):
    key_hash = hashlib.sha256(key.encode()).hexdigest()
    return f"""\
server: {{listen: ["127.0.0.1:{port}"], reactors: {reactors}, drain: 0s}}
api: {{keys: [{{name: bench, hash: "sha256:{key_hash}", scopes: [publish, read]}}]}}
clients: {{anonymous: true, rate: {{messages: {client_messages}, per: 1s}}}}
rooms: [{{match: "*", subscribe: anyone, publish: server, batch: {batch},
         history: {{size: {history}, ttl: 5m}}}}]
log: {{level: warn, format: text}}
"""


def with_durable_rooms(config, directory):
    rule = '{match: "load*", subscribe: anyone, publish: server, history: {size: 1000, ttl: 1h, durable: true}}'
    return config.replace("rooms: [", f"store: {{path: {directory}/fanfare.db}}\nrooms: [{rule}, ")


def free_port():
    """A free port below the range that outgoing connections use, so nobody takes it by chance."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return response.status == 200
    except OSError:
        return False


def anonymous_bytes(pid):
    """User memory of a process: private and anonymous, as the load generator counts it."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Anonymous:"))


def run_seconds(pid):
    """CPU time of all threads of a process."""
    return sum(int(path.read_text(encoding="ascii").split()[0])
               for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def await_quiet(pid, seconds_max=10):
    """Until the process takes less than 2 % of a core."""
    deadline = time.monotonic() + seconds_max
    used = run_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.3)
        before, used = used, run_seconds(pid)
        if used - before < 0.02 * 0.3:
            return
    raise Failed(f"the server was still busy after {seconds_max} s")


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def await_start(process, log, ready):
    deadline = time.monotonic() + 15
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"{process.args[-1]} did not start:\n{text(log)}")
        time.sleep(0.02)


def await_line(process, wanted, timeout):
    """Reads stderr up to the line with `wanted`; returns what came."""
    deadline = time.monotonic() + timeout
    seen = ""
    while wanted not in seen:
        readable, _, _ = select.select([process.stderr], [], [], max(0, deadline - time.monotonic()))
        line = process.stderr.readline() if readable else ""
        if not line:
            raise Failed(f"the load generator did not get to{wanted}:\n{seen}")
        seen += line
    return seen


def text(log):
    log.seek(0)
    return log.read().decode(errors="replace")
