"""config/deploy: the samples agree with the gateway, and with each other.

No container is built here: what is tested is what a container engine would be told. nginx is real.
"""

import datetime
import json
import re
import shutil
import ssl
import subprocess
import time

import pytest
import websockets
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from client import asynchronous, connect, off_loop
from harness import (ALL_KEY, PATIENCE, REPOSITORY, SECRET, Gateway, default_config, free_port,
                     http_call, merged, run_command, wait_until)

DEPLOY = REPOSITORY / "config/deploy"
DOCKERFILE = DEPLOY / "container/Dockerfile"
# What the samples ask the environment for.
SECRETS = {"FANFARE_AUTH__JWT__SECRET": SECRET}


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


@pytest.fixture(scope="module")
def manifests():
    """Kind to the one object of that kind."""
    found = {}
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for one in documents(path):
            assert one["apiVersion"] and one["kind"] not in found, path
            found[one["kind"]] = one
    return found


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


# -- every sample -----------------------------------------------------------------------------------

def test_every_yaml_file_is_yaml():
    files = list(DEPLOY.rglob("*.yaml"))
    assert len(files) >= 8
    for path in files:
        assert documents(path), path


def embedded_configs(directory):
    """Every gateway configuration among the samples, as files."""
    (directory / "kubernetes.yaml").write_text(
        documents(DEPLOY / "kubernetes/configmap.yaml")[0]["data"]["fanfare.yaml"])
    shutil.copy(DEPLOY / "compose/fanfare.yaml", directory / "compose.yaml")
    shutil.copy(REPOSITORY / "config/package/fanfare.yaml", directory / "package.yaml")
    return sorted(directory.glob("*.yaml"))


def test_every_configuration_passes_the_check(tmp_path):
    for path in embedded_configs(tmp_path):
        result = run_command("check-config", path, directory=tmp_path, environment=SECRETS)
        assert result.returncode == 0, (path.name, result.output)
        # The package's is for nobody yet, and says so; those that are meant for use have no doubts.
        assert ("warning" in result.output) == (path.stem == "package"), result.output


def test_every_configuration_serves(tmp_path):
    for path in embedded_configs(tmp_path):
        port, ops = free_port(), free_port()
        config = yaml.safe_load(path.read_text())
        gateway = Gateway(tmp_path / path.stem, merged(config, {"server": {
            "listen": [f"127.0.0.1:{port}"], "ops_listen": [f"127.0.0.1:{ops}"]}}),
            port=port, environment=SECRETS | {"FANFARE_STORE__PATH": "fanfare.db"}).start()
        assert http_call(ops, "GET", "/ready").status == 200
        gateway.stop()


# -- container --------------------------------------------------------------------------------------

def instructions():
    """Instruction to its arguments, of the last stage."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    stage = text[text.rindex("\nFROM "):]
    found = {}
    for line in stage.splitlines():
        match = re.match(r"([A-Z]+) +(.*)", line)
        if match:
            found.setdefault(match[1], []).append(match[2].strip())
    return found


def test_image_is_what_the_gateway_needs(manifests):
    last = instructions()
    assert last["FROM"][0].startswith("debian:12")
    assert last["USER"] == ["10001:10001"] and last["STOPSIGNAL"] == ["SIGTERM"]
    assert json.loads(last["ENTRYPOINT"][0]) == ["/usr/bin/fanfare"]
    # Its libraries come with the package, whose dependencies test_package.py holds against the binary.
    installed = re.findall(r"apt-get install [^&]*", " ".join(last["RUN"]))
    assert len(installed) == 1 and re.search(r"/tmp/fanfare_\*\.deb\s*$", installed[0])
    # What is copied into the build is there, and what a build leaves behind is not.
    assert (REPOSITORY / "scripts/setup").exists() and (REPOSITORY / "scripts/package").exists()
    assert "build" in (REPOSITORY / ".dockerignore").read_text().split()
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == int(last["USER"][0].split(":")[0])


def test_image_starts_with_its_environment(tmp_path):
    """ENV over the packaged configuration, ports exchanged for free ones."""
    environment = dict(re.findall(r"(FANFARE_\w+)='([^']*)'", " ".join(instructions()["ENV"])))
    port, ops = free_port(), free_port()
    environment = {name: value.replace("0.0.0.0:8080", f"127.0.0.1:{port}")
                   .replace("0.0.0.0:8081", f"127.0.0.1:{ops}") for name, value in environment.items()}
    assert f"127.0.0.1:{port}" in environment["FANFARE_SERVER__LISTEN"]
    config = yaml.safe_load((REPOSITORY / "config/package/fanfare.yaml").read_text())
    config["server"]["ops_listen"] = [f"127.0.0.1:{ops}"]
    environment["FANFARE_STORE__PATH"] = "fanfare.db"   # the image has a volume for it
    gateway = Gateway(tmp_path, config, port=port, environment=environment).start()
    assert http_call(ops, "GET", "/ready").status == 200
    gateway.stop()


def test_health_check_of_the_image_tells_alive_from_dead(tmp_path, start):
    check = json.loads(instructions()["HEALTHCHECK"][0].split("CMD ", 1)[1])
    port = free_port()

    def healthy():
        command = [word.replace("8081", str(port)) for word in check]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=10, check=False).returncode == 0
    assert not healthy()
    start({"server": {"ops_listen": [f"127.0.0.1:{port}"]}})
    assert healthy()


# -- compose ----------------------------------------------------------------------------------------

def test_compose_gives_the_drain_its_time_and_agrees_about_ports():
    compose = documents(DEPLOY / "compose/compose.yaml")[0]
    config = documents(DEPLOY / "compose/fanfare.yaml")[0]
    gateway = compose["services"]["fanfare"]
    assert seconds(gateway["stop_grace_period"]) >= seconds(config["server"]["drain"]) + 10
    build = gateway["build"]
    assert (DEPLOY / "compose" / build["context"]).resolve() == REPOSITORY
    assert (REPOSITORY / build["dockerfile"]) == DOCKERFILE
    for volume in gateway["volumes"] + compose["services"]["proxy"]["volumes"]:
        source, target = volume.split(":")[:2]
        if source.startswith("./") and source != "./tls":
            assert (DEPLOY / "compose" / source).is_file(), volume
        assert target.startswith("/")
    # The one that is published is nginx, which reaches the clients' port and not that of operations.
    assert "ports" not in gateway
    port = config["server"]["listen"][0].rsplit(":", 1)[1]
    assert f"server fanfare:{port};" in (DEPLOY / "compose/nginx.conf").read_text()
    assert config["server"]["ops_listen"][0].endswith(":8081")       # of the image's health check


def test_docker_understands_the_compose_file():
    if shutil.which("docker") is None or subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no docker compose here")
    result = subprocess.run(["docker", "compose", "config", "--quiet"], cwd=DEPLOY / "compose",
                            env={"PATH": "/usr/bin:/bin", "HOME": "/tmp"} | SECRETS,
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


# -- nginx ------------------------------------------------------------------------------------------

def certificate(directory):
    """A self-signed certificate for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256()))
    (directory / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "privkey.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))


class Nginx:
    """The sample as it is, but for names, ports and paths of this test."""

    def __init__(self, directory, gateway_port):
        self.directory, self.port, plain = directory, free_port(), free_port()
        certificate(directory)
        text = (DEPLOY / "compose/nginx.conf").read_text()
        for old, new in (("fanfare:8080", f"127.0.0.1:{gateway_port}"),
                         ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
                         ("listen 80", f"listen 127.0.0.1:{plain}"),
                         ("/etc/nginx/tls", str(directory)),
                         ("worker_processes auto", "worker_processes 1"),
                         ("worker_rlimit_nofile 1048576;", ""),
                         ("worker_connections 262144", "worker_connections 256")):
            assert old in text, old
            text = text.replace(old, new)
        temporary = "".join(f"    {kind}_temp_path {directory}/{kind};\n" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        text = text.replace("http {\n", "http {\n" + temporary, 1)
        (directory / "nginx.conf").write_text(text)
        # Root's workers would be somebody else, who may not enter this directory.
        self.command = ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"),
                        "-e", "stderr", "-g", f"daemon off; pid {directory}/nginx.pid; user root;"]
        self.process = None

    def test(self):
        return subprocess.run([*self.command, "-t"], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=30, check=False)

    def start(self):
        with open(self.directory / "nginx.log", "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        context = self.tls()

        def answers():
            assert self.process.poll() is None, (self.directory / "nginx.log").read_text()
            try:
                return self.request("GET", "/sse", context=context)[0] == 400
            except OSError:
                return False
        wait_until(answers, 10 * PATIENCE, "nginx")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def tls(self):
        return ssl.create_default_context(cafile=str(self.directory / "fullchain.pem"))

    def open(self, method, path, body=None, headers=None, context=None):
        import http.client
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=5 * PATIENCE,
                                                 context=context or self.tls())
        connection.request(method, path, body=body, headers=headers or {})
        return connection, connection.getresponse()

    def request(self, *arguments, **named):
        connection, answer = self.open(*arguments, **named)
        try:
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    directory = tmp_path_factory.mktemp("proxied")
    gateway = Gateway(directory / "gateway", merged(default_config(), {
        "clients": {"allowed_origins": None}})).start()
    nginx = Nginx(directory, gateway.port)
    try:
        yield gateway, nginx.start()
    finally:
        nginx.stop()
        gateway.stop()


def test_nginx_understands_its_file(tmp_path):
    result = Nginx(tmp_path, 1).test()
    assert result.returncode == 0, result.stderr
    assert "warn" not in result.stderr, result.stderr


@asynchronous
async def test_nginx_passes_a_websocket_on(proxied, room):
    gateway, nginx = proxied
    url = f"wss://localhost:{nginx.port}/ws"
    # A page of the same host may connect: its name and port reach the gateway.
    async with connect(gateway, url=url, ssl=nginx.tls(),
                       origin=f"https://localhost:{nginx.port}") as client:
        await client.subscribe(room)
        await client.ok("publish", room=room, data="x" * 50_000)
        assert (await client.message())["data"] == "x" * 50_000
    with pytest.raises(websockets.InvalidStatusCode):
        async with connect(gateway, url=url, ssl=nginx.tls(), origin="https://other.example.com"):
            pass


def test_nginx_holds_no_event_back(proxied, room):
    gateway, nginx = proxied
    connection, stream = nginx.open("GET", f"/sse?room={room}",
                                    headers={"Accept-Encoding": "gzip"})
    assert stream.status == 200 and stream.headers["Content-Type"].startswith("text/event-stream")

    def next_data():
        while True:
            line = stream.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data:"):
                return json.loads(line[5:])
    next_data()                                   # ready
    for number in range(3):
        begun = time.monotonic()
        gateway.publish(room, number)
        # It came while the stream stays open, which a buffering proxy would not let it do.
        assert next_data()["data"] == number
        assert time.monotonic() - begun < 2 * PATIENCE
    connection.close()


def test_nginx_passes_the_api_and_its_request_ids_on(proxied, room):
    _, nginx = proxied
    body = json.dumps([{"room": room, "data": "y" * 60_000}] * 40).encode()     # 2.4 MB
    connection, answer = nginx.open("POST", "/api/v1/publish/batch", body, {
        "X-API-Key": ALL_KEY, "Content-Type": "application/json"})
    assert answer.status == 200, answer.read()
    assert len(json.loads(answer.read())["results"]) == 40
    connection.close()
    connection, answer = nginx.open("GET", "/api/v1/rooms")
    assert answer.status == 401 and re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])
    connection.close()


# -- Kubernetes -------------------------------------------------------------------------------------

def test_manifests_agree_with_each_other(manifests):
    deployment, service = manifests["Deployment"]["spec"], manifests["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (deployment["selector"]["matchLabels"], service["selector"],
                     manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    (container,) = deployment["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    config = yaml.safe_load(manifests["ConfigMap"]["data"]["fanfare.yaml"])
    assert config["server"]["listen"] == [f"0.0.0.0:{ports['clients']}"]
    assert config["server"]["ops_listen"] == [f"0.0.0.0:{ports['ops']}"]
    assert [port["targetPort"] for port in service["ports"]] == ["clients"]
    annotations = deployment["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["ops"])
    # Names that one object has and another uses.
    volumes = {volume["name"]: volume for volume in deployment["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == manifests["ConfigMap"]["metadata"]["name"]
    secret = next(one["valueFrom"]["secretKeyRef"] for one in container["env"]
                  if "secretKeyRef" in one["valueFrom"])
    assert secret["name"] == manifests["Secret"]["metadata"]["name"]
    assert secret["key"] in manifests["Secret"]["stringData"]
    for rule in manifests["Ingress"]["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            assert backend["name"] == manifests["Service"]["metadata"]["name"]
            assert backend["port"]["name"] in {port["name"] for port in service["ports"]}
    listed = manifests["Kustomization"]["resources"]
    there = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(listed) == there - {"kustomization.yaml", "secret.example.yaml"}
    assert all("namespace" not in one["metadata"] for one in manifests.values() if "metadata" in one)


def test_pod_is_given_time_to_drain_and_is_asked_the_right_questions(manifests):
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    config = yaml.safe_load(manifests["ConfigMap"]["data"]["fanfare.yaml"])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause + seconds(config["server"]["drain"]) + 10
    asked = {probe: container[probe]["httpGet"] for probe in
             ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {probe: get["path"] for probe, get in asked.items()} == {
        "startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/health"}
    assert {get["port"] for get in asked.values()} == {"ops"}
    # Rooms live in one process.
    assert manifests["Deployment"]["spec"]["replicas"] == 1
    assert manifests["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert config["server"]["reactors"] == int(container["resources"]["limits"]["cpu"])


def test_pod_is_locked_up(manifests):
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"] and container["resources"]["limits"]


def test_example_secret_fits_the_configuration(manifests, tmp_path):
    (tmp_path / "fanfare.yaml").write_text(manifests["ConfigMap"]["data"]["fanfare.yaml"])
    result = run_command("check-config", "fanfare.yaml", directory=tmp_path, environment={
        "FANFARE_AUTH__JWT__SECRET": manifests["Secret"]["stringData"]["jwt-secret"],
        "FANFARE_NODE__NAME": "fanfare-7d4b9c-x2x"})
    assert result.returncode == 0, result.output
