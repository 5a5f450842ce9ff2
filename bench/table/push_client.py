"""The HTTP/2 client for mass push against h2load: the same requests to the same server, by client CPU."""

import json
import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from bench import Line, Row, thousands
from judging import at_least, ratios, spread
from processes import Failed

CONNECTIONS = 4
STREAMS = 100
HEADERS = ["user-agent: h2load nghttp2/1.52.0", "apns-topic: com.example.app",
           "apns-push-type: alert", "apns-priority: 10", "authorization: bearer " + "x" * 180]
BODY = json.dumps({"aps": {"alert": {"title": "Order shipped", "body": "Your parcel with two items is on "
                                     "its way and arrives tomorrow."}, "badge": 3, "sound": "default"},
                   "order": "8812736"}, separators=(",", ":"))


@contextmanager
def nghttpd(bench, tls):
    """nghttpd, whose answer is one small file; its port and the directory of the run."""
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as name:
        directory = Path(name)
        (directory / "www").mkdir()
        (directory / "www/push").write_text("")
        (directory / "body").write_text(BODY)
        files = [str(directory / "key.pem"), str(directory / "certificate.pem")]
        if tls:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", files[0], "-out", files[1],
                            "-days", "2", "-subj", "/CN=localhost", "-addext",
                            "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        options = ["--address=127.0.0.1", "-d", str(directory / "www")]
        with bench.processes.serve_other(
                lambda port: ["nghttpd", *options, str(port), *files] if tls
                else ["nghttpd", *options, "--no-tls", str(port)]) as port:
            yield port, directory


def h2load(bench, port, directory, tls, requests):
    headers = [word for header in HEADERS[1:] for word in ("-H", header)]
    out, seconds = bench.processes.run_client(
        ["h2load", "-n", str(requests), "-c", str(CONNECTIONS), "-m", str(STREAMS), *headers,
         "-d", str(directory / "body"), f"http{'s' * tls}://127.0.0.1:{port}/push"])
    succeeded = int(re.search(r"(\d+) succeeded", out)[1])
    if succeeded != requests:
        raise Failed(f"h2load: {succeeded} of {requests} requests succeeded:\n{out}")
    return requests / seconds


def ours(bench, port, directory, tls, requests):
    headers = [*HEADERS, f"content-length: {len(BODY)}"]       # as h2load sends them
    options = ["--ca-file", str(directory / "certificate.pem")] if tls else ["--plain"]
    out, seconds = bench.processes.run_client(
        [bench.processes.h2_client, "--host", "127.0.0.1", "--port", str(port), *options,
         "--requests", str(requests), "--connections", str(CONNECTIONS), "--streams", str(STREAMS),
         *(word for header in headers for word in ("--header", header)),
         "--data", str(directory / "body"), "--path", "/push"])
    report = json.loads(out)
    if report["good"] != requests:
        raise Failed(f"the client: {report}")
    return requests / seconds


def push(bench):
    lines = []
    for tls in (False, True):
        with nghttpd(bench, tls) as (port, directory):
            of = (bench, port, directory, tls, bench.pick(200_000, 2_000))
            mine, floor = bench.alternate(lambda: ours(*of), lambda: h2load(*of))
        ratio = ratios(mine, floor, float)
        lines.append(Line(f"push requests per second of client CPU, {'TLS' if tls else 'plain'}, "
                          f"{CONNECTIONS} × {STREAMS} streams, {len(BODY)} bytes; floor: h2load",
                          thousands(spread(mine).median), thousands(spread(floor).median), str(ratio),
                          at_least(0.9), ratio))
    return lines


ROWS = {"push-client": Row(push, floor=False)}
