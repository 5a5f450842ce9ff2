"""What docs/operators.md and docs/capacity.md promise beyond the gateway itself: sizing, kernel settings,
proxies for TLS.

The proxies are run with the text of the guide; only addresses and certificate files are put in their
place.
"""

import asyncio
import datetime
import ipaddress
import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client import asynchronous, connect, off_loop
from harness import PATIENCE, REPOSITORY, TIMEOUT, free_port, wait_until

GUIDE = (REPOSITORY / "docs/operators.md").read_text(encoding="utf-8")
CAPACITY = (REPOSITORY / "docs/capacity.md").read_text(encoding="utf-8")
SYSCTL = REPOSITORY / "config/deploy/sysctl/99-fanfare.conf"


# -- sizing ---------------------------------------------------------------------------------------

def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)[1]


def table_rows(text, columns):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if len(row) == columns]


def words_of(source, *patterns):
    text = (REPOSITORY / "src" / source).read_text(encoding="utf-8")
    found = [word for pattern in patterns for word in re.findall(pattern, text)]
    assert len(found) >= len(patterns), source
    return set(found)


def test_each_reason_of_a_failed_push_is_explained():
    part = re.search(r"^### Reasons of failed pushes\n(.*?)(?=^##)", GUIDE, re.MULTILINE | re.DOTALL)[1]
    explained = set(re.findall(r"`([^`]+)`", part))
    reasons = words_of("providers/apns_answer.cpp", r'Row\{\d+, "(\w+)"')
    reasons |= words_of("providers/fcm_answer.cpp", r'Word\{"(\w+)"')
    reasons |= words_of("providers/webpush_answer.cpp", r'Phrase\{"[^"]*", "([^"]+)"', r'"(\w*(?:Vapid|Jwt|Header)\w*)"')
    reasons |= words_of("http/h2_link.cpp", r'\blose\("([^"]+)"\)', r'"(connection closed)"')
    reasons |= words_of("http/h2_session.cpp", r'Kind::lost, "([^"]+)"')
    assert reasons - explained == set()


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def test_capacity_follows_from_its_formulas():
    letters = {row[0].strip("*"): numbers(row[2])[0]
               for row in table_rows(CAPACITY, 3) if re.fullmatch(r"\*\w\*", row[0])}
    assert set(letters) == set("usirkqdbphc")
    rows = [row for row in table_rows(CAPACITY, 8) if row[0][0].isdigit()]
    assert [row[0] for row in rows] == ["100,000", "1,000,000", "5,000,000"]

    def close(text, *expected):
        shown = numbers(text)
        assert len(shown) == len(expected)
        for one, other in zip(shown, expected):     # two significant digits
            assert abs(one - other) <= 0.051 * other, (text, expected)

    def memory(clients):
        idle = clients * (letters["u"] + letters["k"]) / 1e6
        return idle, idle + clients * letters["q"] / 1e6

    for row in rows:
        clients, servers, left = (int(numbers(cell)[0]) for cell in row[:3])
        assert abs(left - clients / (servers - 1)) < 1
        assert numbers(row[3]) == [left + 1100]
        close(row[4], *memory(left))
        if left > 100_000:
            close(row[5], left * letters["h"] / 30 / 1e6)
        close(row[6], left * letters["d"] / 1e6)
        close(row[7], left * letters["c"] / 1e6)

    third = 333_333
    sentence = re.search(r"each has (333,333 clients: .*?)\.\n\n", CAPACITY, re.DOTALL)[1]
    close(sentence, third, third + 1100, *memory(third), third * letters["h"] / 30 / 1e6,
          third * letters["d"] / 1e6)
    room = re.search(r"one room of 500,000 takes ([\d.]+) CPU-seconds.*?: ([\d.]+) s with eight", CAPACITY, re.DOTALL)
    close(" ".join(room.groups()), 0.5 * letters["d"], 0.5 * letters["d"] / 8)


# -- kernel settings ------------------------------------------------------------------------------

def settings():
    """Key to (values, optional)."""
    found = {}
    for line in SYSCTL.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            key, value = (part.strip() for part in line.split("="))
            found[key.removeprefix("-")] = (value.split(), key.startswith("-"))
    return found


@pytest.mark.parametrize("key", settings())
def test_kernel_setting_exists_and_is_in_the_guide(key):
    values, optional = settings()[key]
    assert f"`{key}`" in section("Kernel settings")
    path = Path("/proc/sys", *key.split("."))
    if not path.exists():
        # Its module is not loaded, or this is a network namespace that does not show it.
        assert optional or key.startswith("net."), f"{key} does not exist on this kernel"
        pytest.skip(f"{key} is not shown here")
    assert len(path.read_text(encoding="ascii").split()) == len(values)
    assert all(re.fullmatch(r"\d+", value) for value in values)


def test_kernel_settings_suffice_for_a_million_clients():
    value = {key: [int(one) for one in values] for key, (values, _) in settings().items()}
    clients = 1_000_000
    assert value["fs.nr_open"][0] >= 1_048_576 >= clients + 1100
    assert value["fs.file-max"][0] > 3 * clients            # a proxy beside the gateway has two more
    assert value["fs.epoll.max_user_watches"][0] > 3 * clients
    assert value["net.core.somaxconn"][0] >= 4096           # what the listeners ask for
    assert value["net.ipv4.tcp_mem"] == sorted(value["net.ipv4.tcp_mem"])
    assert value["net.ipv4.tcp_mem"][0] >= clients          # a page each
    for key in ("net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem"):
        assert value[key] == sorted(value[key])
    low, high = value["net.ipv4.ip_local_port_range"]
    assert low > 9000 and high - low > 45_000
    assert value["net.netfilter.nf_conntrack_max"][0] > 2 * clients


# -- TLS ------------------------------------------------------------------------------------------

def proxy_text(name):
    found = re.findall(rf"^```\w+ proxy={name}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a self-signed certificate for 127.0.0.1: certificate, key, both in one."""
    directory = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "push.example.com")])
    now = datetime.datetime.utcnow()
    signed = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
              .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
              .not_valid_after(now + datetime.timedelta(days=1))
              .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
              .sign(key, hashes.SHA256()))
    pem = signed.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
    for file, content in (("tls.crt", pem), ("tls.key", key_pem), ("tls.pem", pem + key_pem)):
        (directory / file).write_bytes(content)
    return directory


def nginx(text, directory, certificate, port, gateway):
    text = text.replace("listen 443", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{gateway}")
    for file in ("crt", "key"):
        text = text.replace(f"/etc/ssl/push.example.com.{file}", str(certificate / f"tls.{file}"))
    paths = "".join(f"{kind}_temp_path {directory}/{kind};\n"
                    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (directory / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;\n"
        f"events {{ worker_connections 64; }}\nhttp {{ access_log off;\n{paths}{text}}}\n")
    return ["nginx", "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(directory / "nginx.conf")]


def haproxy(text, directory, certificate, port, gateway):
    text = text.replace("bind :443", f"bind 127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{gateway}")
    text = text.replace("/etc/haproxy/push.example.com.pem", str(certificate / "tls.pem"))
    (directory / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]


def caddy(text, directory, certificate, port, gateway):
    text = text.replace("push.example.com {", f"https://127.0.0.1:{port} {{\n    bind 127.0.0.1\n    "
                        f"tls {certificate}/tls.crt {certificate}/tls.key")
    text = text.replace("reverse_proxy 127.0.0.1:8080", f"reverse_proxy 127.0.0.1:{gateway}")
    (directory / "Caddyfile").write_text("{\n    admin off\n    auto_https disable_redirects\n}\n" + text)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


@pytest.fixture(scope="module")
def gateway(start_for_module):
    """One that compares origins with the Host that it gets, as it does by default."""
    return start_for_module({"clients": {"allowed_origins": None}})


@pytest.fixture(params=[nginx, haproxy, caddy], ids=lambda make: make.__name__)
def proxy(request, tmp_path, certificate, gateway):
    """The TLS port of a proxy in front of the gateway."""
    make = request.param
    if shutil.which(make.__name__) is None:
        pytest.skip(f"{make.__name__} is not installed")
    port = free_port()
    command = make(proxy_text(make.__name__), tmp_path, certificate, port, gateway.port)
    with open(tmp_path / "log", "w+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=os.environ | {"HOME": str(tmp_path)})
        try:
            def accepts():
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    return True
                except OSError:
                    return False
            wait_until(accepts, 10 * PATIENCE, f"{command[0]} accepting")
            yield port
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def tls(certificate):
    return ssl.create_default_context(cafile=str(certificate / "tls.crt"))


@asynchronous
async def test_proxy_passes_websockets(proxy, tls, gateway, room):
    # The page's origin is the proxy's address, so this works only if the Host comes through.
    async with connect(gateway, url=f"wss://127.0.0.1:{proxy}/ws", ssl=tls,
                       origin=f"https://127.0.0.1:{proxy}") as client:
        await client.subscribe(room)
        await off_loop(gateway.publish, room, "through the proxy")
        assert (await client.message(room))["data"] == "through the proxy"
        await client.ok("publish", room=room, data="and back")
    with pytest.raises(websockets.InvalidStatusCode) as refusal:
        async with connect(gateway, url=f"wss://127.0.0.1:{proxy}/ws", ssl=tls, origin="https://evil.example"):
            pass
    assert refusal.value.status_code == 403


@asynchronous
async def test_proxy_does_not_hold_back_events(proxy, tls, gateway, room):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy, ssl=tls)
    try:
        writer.write(f"GET /sse?room={room} HTTP/1.1\r\nHost: 127.0.0.1:{proxy}\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"event: ready"), TIMEOUT)
        for n in range(3):      # each arrives before the next one is sent, and the stream goes on
            await off_loop(gateway.publish, room, f"event {n}")
            await asyncio.wait_for(reader.readuntil(f'"event {n}"'.encode()), TIMEOUT)
    finally:
        writer.close()


@asynchronous
async def test_proxy_keeps_the_backend_api_inside(proxy, tls):
    for path in ("/api/v1/rooms", "/metrics", "/ready", "/"):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy, ssl=tls)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{proxy}\r\nConnection: close\r\n\r\n".encode())
            assert b" 404 " in await asyncio.wait_for(reader.readline(), TIMEOUT), path
        finally:
            writer.close()
