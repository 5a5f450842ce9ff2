"""A gateway that pushes to the push simulator, and what a row asks of the two."""

import hashlib
import json
import re
import secrets
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import Failed, Server, answers, await_start, free_port, run_seconds

TOPIC, TEAM, KEY_ID = "com.example.app", "TEAM123456", "KEY1234567"
TITLE = "Order shipped"
TEXT = "Your parcel with two items is on its way and arrives tomorrow."
PLATFORMS = {"apns": 0, "fcm": 1}
TOKEN_BYTES = {"apns": 32, "fcm": 80}


def post(url, body, key=None, timeout=30):
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.load(response)


def get(url, key=None):
    request = urllib.request.Request(url, headers={"X-API-Key": key} if key else {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


def device_token(service, number):
    return hashlib.shake_128(f"{service} {number}".encode()).hexdigest(TOKEN_BYTES[service])


@dataclass
class Simulator:
    ports: dict
    ca: str

    def control(self, path, body=None):
        url = f"http://127.0.0.1:{self.ports['control']}{path}"
        return post(url, body) if body is not None else json.loads(get(url))

    def taken(self, service):
        return self.control("/stats")["services"][service].get("answers_ok", 0)

    def busiest(self):
        """The share of a core that its thread used in its busiest second."""
        return max(self.control("/stats")["seconds"]["peak"]["busy"], default=0)


@contextmanager
def simulator(bench, *options):
    """Every service, one thread, on the load generator's core."""
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as name, \
            open(Path(name) / "log", "w+b") as log:
        command = [bench.processes.push_sim, *(word for service in ("apns", "fcm", "oauth", "control")
                                               for word in (f"--{service}", "0")),
                   "--dir", name, "--threads", "1", "--fcm-any-token", *options]
        with bench.processes.started(command, bench.processes.load_core, stdout=subprocess.PIPE,
                                     stderr=log, text=True) as process:
            line = process.stdout.readline()
            if not line:
                raise Failed("the push simulator did not start")
            ready = json.loads(line)
            made = Simulator(ready, ready["ca"])
            made.control("/script", {"service": "apns", "faults": {"ramp": False}})
            yield made


class Gateway(Server):
    def api(self, path, body):
        return post(f"http://127.0.0.1:{self.port}/api/v1{path}", body, self.key)

    def metric(self, name):
        """The sum over all labels."""
        text = get(f"http://127.0.0.1:{self.port}/metrics", self.key)
        return sum(float(value) for value in
                   re.findall(rf"^fanfare_{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))

    def await_empty_queue(self, seconds_max=120):
        deadline = time.monotonic() + seconds_max
        while self.metric("push_queue") != 0:
            if time.monotonic() > deadline:
                raise Failed(f"pushes still wait after {seconds_max} s")
            time.sleep(0.02)


class World:
    """A store and keys in a directory, that gateways start on one after the other."""

    def __init__(self, bench, directory, sim):
        self.bench, self.directory, self.sim = bench, Path(directory), sim
        self.key = "bench-" + secrets.token_hex(16)
        self.store = self.directory / "fanfare.db"
        ec = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        rsa = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        for name, command in (("apns.p8", ec), ("google.pem", rsa)):
            subprocess.run([*command, "-out", str(self.directory / name)], check=True,
                           capture_output=True)
        (self.directory / "account.json").write_text(json.dumps({
            "type": "service_account", "project_id": "demo", "private_key_id": "k1",
            "client_email": "push@demo.iam.gserviceaccount.com",
            "private_key": (self.directory / "google.pem").read_text(),
            "token_uri": f"https://localhost:{sim.ports['oauth']}/token"}))

    @contextmanager
    def gateway(self, *, reachable=True, reactors=1, pinned=True):
        """`reachable`: else the services are not there, and what is pushed waits."""
        port = free_port()
        ports = {name: self.sim.ports[name] if reachable else free_port() for name in ("apns", "fcm")}
        config = self.directory / "fanfare.yaml"
        config.write_text(f"""\
server: {{listen: ["127.0.0.1:{port}"], reactors: {reactors}, drain: 0s}}
api: {{keys: [{{name: bench, hash: "sha256:{hashlib.sha256(self.key.encode()).hexdigest()}",
              scopes: [publish, read, notify, admin]}}]}}
store: {{path: {self.store}}}
push:
  apns: {{endpoint: "https://localhost:{ports['apns']}", key: apns.p8, key_id: {KEY_ID},
         team_id: {TEAM}, topic: {TOPIC}, ca: "{self.sim.ca}"}}
  fcm: {{endpoint: "https://localhost:{ports['fcm']}", service_account: account.json,
        ca: "{self.sim.ca}"}}
log: {{level: error, format: text}}
""", encoding="utf-8")
        with open(self.directory / "log", "w+b") as log, self.bench.processes.server(
                [self.bench.processes.gateway, "serve", "--config", str(config)], pinned, log) as process:
            await_start(process, log, lambda: answers(f"http://127.0.0.1:{port}/ready"))
            yield Gateway("gateway", process.pid, port, self.key)

    def register(self, service, count, first=0):
        """Devices of `user-<n>`, as rows: over the API each would cost more than its pushes."""
        if not self.store.exists():
            with self.gateway(reachable=False):
                pass
        now = int(time.time() * 1000)
        with sqlite3.connect(self.store) as store:
            store.executemany(
                "INSERT INTO devices (user, name, platform, token, registered) VALUES (?, 'phone', ?, ?, ?)",
                ((f"user-{n}", PLATFORMS[service], device_token(service, n), now)
                 for n in range(first, first + count)))
        store.close()

    def notify_all(self, gateway, count, first=0, per_call=100, **fields):
        for begin in range(first, first + count, per_call):
            users = [f"user-{n}" for n in range(begin, min(first + count, begin + per_call))]
            gateway.api("/notifications", {"user_ids": users, "channels": ["push"], "title": TITLE,
                                           "body": TEXT, "data": {"order": "8812736"},
                                           "priority": "low"} | fields)


@contextmanager
def world(bench, *options):
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as directory, \
            simulator(bench, *options) as sim:
        yield World(bench, directory, sim)


def await_taken(sim, service, count, seconds_max=120):
    deadline = time.monotonic() + seconds_max
    while (taken := sim.taken(service)) < count:
        if time.monotonic() > deadline:
            raise Failed(f"{service}: {taken} of {count} pushes after {seconds_max} s")
        time.sleep(0.02)



def in_background(act):
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread
