"""The HTTP/2 client for push against servers that we did not write: Node's http2, and nghttpd.

The client is fanfare-h2-client (bench/h2_client), which sends one request again and again.
"""

import json
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager

import pytest

from harness import PATIENCE, REPOSITORY, free_port, wait_until

CLIENT = os.environ.get("FANFARE_H2_CLIENT", str(REPOSITORY / "build/release/fanfare-h2-client"))
SERVER = REPOSITORY / "tests/e2e/node/h2_server.mjs"

pytestmark = pytest.mark.skipif(not os.access(CLIENT, os.X_OK), reason="needs fanfare-h2-client")


@pytest.fixture(name="certificate")
def fixture_certificate(tmp_path):
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return certificate, key


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


@contextmanager
def node_server(**options):
    """Yields its port and a list; what it saw is there after the block."""
    seen = []
    with subprocess.Popen(["node", str(SERVER), json.dumps(options)], text=True,
                          stdout=subprocess.PIPE) as process:
        try:
            yield int(process.stdout.readline()), seen
        finally:
            process.terminate()
            seen.append(json.loads(process.stdout.read() or "null"))
            process.wait(30 * PATIENCE)


def push(port, *arguments, requests, body=None):
    command = [CLIENT, "--host", "127.0.0.1", "--port", str(port), "--requests", str(requests),
               "--seconds-max", str(int(60 * PATIENCE)), *map(str, arguments)]
    if body is not None:
        command += ["--data", str(body)]
    run = subprocess.run(command, text=True, capture_output=True, timeout=90 * PATIENCE, check=False)
    assert run.stdout, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("tls", [False, True])
def test_node_answers_each_request_once(tls, tmp_path, certificate):
    (tmp_path / "body").write_text('{"aps":{"alert":"hello"}}')
    options = dict(zip(("certificate", "key"), certificate)) if tls else {}
    with node_server(streams=50, **options) as (port, seen):
        report = push(port, *(("--ca-file", certificate[0]) if tls else ("--plain",)), "--streams", 1000,
                      "--connections", 2, requests=5_000, body=tmp_path / "body")
    assert report["good"] == 5_000
    assert report["connections"] == 2
    assert seen[0]["requests"] == 5_000
    assert seen[0]["bytes"] == 5_000 * 25
    assert seen[0]["sessions"] == 2
    assert seen[0]["most"] <= 50


def test_bodies_larger_than_nodes_windows(tmp_path):
    (tmp_path / "body").write_text("x" * 300_000)
    with node_server(streams=10) as (port, seen):
        report = push(port, "--plain", requests=200, body=tmp_path / "body")
    assert report["good"] == 200
    assert seen[0]["bytes"] == 200 * 300_000


def test_node_ends_session_after_session(tmp_path):
    """What a GOAWAY cuts off is refused or answered, and what is answered was seen once."""
    (tmp_path / "body").write_text("{}")
    with node_server(streams=100, closeAfter=300) as (port, seen):
        report = push(port, "--plain", "--connections", 2, requests=6_000, body=tmp_path / "body")
    assert report["good"] + report["refused"] + report["lost"] == 6_000
    assert report["other"] == report["unreachable"] == 0
    assert seen[0]["sessions"] >= 6_000 // 300 // 2
    assert report["good"] <= seen[0]["requests"] <= report["good"] + report["lost"]


@pytest.mark.skipif(shutil.which("nghttpd") is None, reason="needs nghttpd")
@pytest.mark.parametrize("tls", [False, True])
def test_nghttpd_answers_each_request(tls, tmp_path, certificate):
    (tmp_path / "www").mkdir()
    (tmp_path / "www/push").write_text("{}")
    (tmp_path / "body").write_text("{}")
    port = free_port()
    files = (certificate[1], certificate[0]) if tls else ()
    command = ["nghttpd", "--address=127.0.0.1", "-d", str(tmp_path / "www"), *(() if tls else ("--no-tls",)),
               str(port), *files]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: accepts(port))
            report = push(port, *(("--ca-file", certificate[0]) if tls else ("--plain",)), "--path", "/push",
                          "--connections", 3, requests=10_000, body=tmp_path / "body")
        finally:
            server.terminate()
    assert report["good"] == 10_000
    assert report["connections"] == 3
