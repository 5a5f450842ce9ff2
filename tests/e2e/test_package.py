"""The .deb: built, examined, and really installed, upgraded, removed and purged.

It is installed in a copy of this machine's own system that is thrown away: an overlay over `/`, in
a mount and network namespace of its own, so that its configuration's ports are always free. That
its dependencies are enough on a system where nothing is installed is shown by tests/bare/run.
"""

import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import PATIENCE, REPOSITORY, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for chroot and mount")

CONFIG = "/etc/fanfare/fanfare.yaml"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def output_of(*command, **options):
    return subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, check=True, text=True,
                          stdout=subprocess.PIPE, timeout=600, **options).stdout


@pytest.fixture(scope="module")
def package():
    """Path of the package, freshly built from the release build."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("FANFARE_")}
    lines = output_of(REPOSITORY / "scripts/package", env=environment).splitlines()
    return REPOSITORY / lines[-1]


def field(package, name):
    return output_of("dpkg-deb", "--field", package, name).strip()


# -- what is in it --------------------------------------------------------------------------------

def test_metadata(package):
    version = re.search(r"project\(fanfare VERSION ([\d.]+)",
                        (REPOSITORY / "CMakeLists.txt").read_text())[1]
    assert field(package, "Package") == "fanfare"
    assert field(package, "Version") == version
    assert field(package, "Architecture") == output_of("dpkg", "--print-architecture").strip()
    assert package.name == f"fanfare_{version}_{field(package, 'Architecture')}.deb"
    assert "WebSocket" in field(package, "Description")


def test_contents(package):
    mode_of = {}
    for line in output_of("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, path = line.split(maxsplit=5)
        mode_of[path.removeprefix(".")] = mode
        assert owner == "root/root"
    for path in ("/lib/systemd/system/fanfare.service", "/lib/systemd/system/fanfare.socket",
                 "/usr/share/doc/fanfare/README.md", "/usr/share/doc/fanfare/CHANGELOG.md",
                 "/usr/share/doc/fanfare/copyright", "/usr/share/doc/fanfare/operators.md",
                 "/usr/share/doc/fanfare/examples/fanfare.yaml", "/usr/share/man/man1/fanfare.1.gz"):
        assert mode_of[path] == "-rw-r--r--", path
    assert mode_of["/usr/bin/fanfare"] == "-rwxr-xr-x"
    assert mode_of[CONFIG] == "-rw-r-----"       # it will hold secrets
    assert output_of("dpkg-deb", "--ctrl-tarfile", package, errors="replace")
    # Nothing else than what is meant: no sources, no test programs.
    assert all(path.startswith(("/etc/", "/lib/systemd/", "/usr/bin/", "/usr/share/doc/fanfare/",
                                "/usr/share/man/man1/")) or path.endswith("/") for path in mode_of)


def test_dependencies_cover_what_the_binary_loads(package, tmp_path):
    output_of("dpkg-deb", "--extract", package, tmp_path)
    depends = {re.split(r"[ (]", one.strip())[0] for one in field(package, "Depends").split(",")}
    needed = re.findall(r"NEEDED\s+(\S+)",
                        output_of("objdump", "--private-headers", tmp_path / "usr/bin/fanfare"))
    where = dict(re.findall(r"(\S+) => (/\S+)", output_of("ldd", tmp_path / "usr/bin/fanfare")))
    assert len(needed) > 5
    for library in needed:
        if library.startswith("ld-linux"):
            continue
        # Debian 12's dpkg knows libraries where they were before /lib was a link to /usr/lib.
        path = os.path.realpath(where[library])
        names = {path, path.removeprefix("/usr"), where[library], "/usr" + where[library]}
        owners = subprocess.run(["dpkg", "--search", *names], capture_output=True, text=True,
                                check=False).stdout
        owners = {line.split(":")[0] for line in owners.splitlines()}
        for owner in list(owners):
            provided = output_of("dpkg-query", "--show", "--showformat=${Provides}", owner)
            owners |= {re.split(r"[ (]", one.strip())[0] for one in provided.split(",")}
        assert owners & depends, (library, owners, depends)


def test_lintian_finds_no_error(package):
    result = subprocess.run(["lintian", "--fail-on", "error", "--allow-root", package],
                            capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


# -- installed ------------------------------------------------------------------------------------

class Root:
    """This machine's system, to be spoilt: an overlay over `/`; what is written stays in memory."""

    SETUP = r"""
        set -e
        mount -t tmpfs tmpfs "$1"
        mkdir "$1/upper" "$1/work" "$1/root"
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
        mount -t proc proc "$1/root/proc"
        mount --rbind /dev "$1/root/dev"
        mount -t tmpfs tmpfs "$1/root/run"
        echo ready
        exec sleep infinity
    """
    # SIOCSIFFLAGS: a new network namespace has a loopback device that is down.
    LOOPBACK_UP = ("import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914,"
                   " struct.pack('16sh14x', b'lo', 1))")

    def __init__(self, directory):
        self.directory = directory
        # Whatever ends this process ends the namespaces, and the mounts with them.
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--propagation", "private", "setpriv", "--pdeathsig",
             "KILL", "bash", "-c", self.SETUP, "bash", str(directory)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "ready\n", "cannot make an overlay over /"
        # --root: this may itself run in a chroot, which a mount namespace knows nothing of.
        self.enter = ["nsenter", f"--target={self.holder.pid}", "--mount", "--net", "--root"]
        self.run("/usr/bin/python3", "-c", self.LOOPBACK_UP)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    def command(self, *command, user=None):
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return [*self.enter, "chroot", str(self.directory / "root"), *as_user, *map(str, command)]

    def run(self, *command, check=True, user=None, data=None):
        result = subprocess.run(self.command(*command, user=user), input=data, check=False,
                                stdin=None if data else subprocess.DEVNULL, env=ENVIRONMENT,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        result.text = result.stdout.decode(errors="replace")
        if check:
            assert result.returncode == 0, f"{command}: {result.text}"
        return result

    def write(self, path, data):
        self.run("tee", path, data=data)

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def stat(self, path):
        return self.run("stat", "--format=%A %U:%G", path).text.strip()

    def start(self, *arguments):
        """The installed gateway, as the unit starts it."""
        return subprocess.Popen(
            self.command("/usr/bin/fanfare", "serve", "--config", CONFIG, *arguments, user="fanfare"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=ENVIRONMENT)

    def status_of(self, url):
        result = self.run("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}",
                          "--max-time", "5", url, check=False)
        return int(result.text or 0)

    def written(self):
        """Files that were made and are still there, without what the system keeps about itself."""
        text = output_of(*self.enter, "find", self.directory / "upper", "!", "-type", "d", "!",
                         "-type", "c", "-printf", "/%P\n")
        about_itself = re.compile(
            r"/(var/lib/dpkg/|var/log/|var/cache/|root/|tmp/|usr/lib/locale/|usr/share/mime/"
            r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock$)")
        return [line for line in text.splitlines() if not about_itself.match(line)]


@pytest.fixture
def root(tmp_path):
    made = Root(tmp_path)
    yield made
    made.close()


def repacked(package, directory, version, change):
    """The same package as another version; `change` may edit what is in it."""
    tree = directory / f"tree-{version}"
    output_of("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
    change(tree)
    path = directory / f"fanfare_{version}.deb"
    output_of("dpkg-deb", "--root-owner-group", "--build", tree, path)
    shutil.rmtree(tree)
    return path


def install(root, package):
    root.write("/root/fanfare.deb", package.read_bytes())
    # Asked about an edited file, nobody answers: it is kept.
    root.run("dpkg", "--install", "--force-confdef", "--force-confold", "/root/fanfare.deb")


def test_it_installs_runs_upgrades_and_goes_without_a_trace(root, package, tmp_path_factory):
    install(root, package)

    # -- installed
    assert "fanfare" in root.run("/usr/bin/fanfare", "version").text
    assert root.stat(CONFIG) == "-rw-r----- root:fanfare"
    assert root.stat("/var/lib/fanfare") == "drwxr-x--- fanfare:fanfare"
    assert root.run("cat", CONFIG, user="nobody", check=False).returncode != 0
    assert ":/usr/sbin/nologin" in root.run("getent", "passwd", "fanfare").text
    wanted = "/etc/systemd/system/multi-user.target.wants/fanfare.service"
    assert root.run("readlink", wanted).text.strip() == "/lib/systemd/system/fanfare.service"
    assert not root.exists("/etc/systemd/system/sockets.target.wants/fanfare.socket")
    checked = root.run("/usr/bin/fanfare", "check-config", CONFIG, user="fanfare").text
    assert checked.endswith("ok\n")

    # -- starts as it is: for this machine, operations apart, and nobody may do anything
    gateway = root.start()
    wait_until(lambda: root.status_of("http://127.0.0.1:8081/ready") == 200, 10 * PATIENCE, "/ready")
    assert root.status_of("http://127.0.0.1:8080/ready") == 404
    assert root.status_of("http://127.0.0.1:8080/api/v1/rooms") == 401
    assert root.status_of("http://127.0.0.1:8080/sse?room=a") == 401

    # -- upgraded while it runs: an edited file is kept, also if the package has another one
    edited = root.run("cat", CONFIG).text.replace("drain: 30s", "drain: 7s")
    assert "drain: 7s" in edited
    root.write(CONFIG, edited.encode())
    root.run("touch", "/var/lib/fanfare/state")

    def other_default(tree):
        path = tree / CONFIG.lstrip("/")
        path.write_text(path.read_text() + "# a newer default\n")
    newer = repacked(package, tmp_path_factory.mktemp("newer"), "99.1", other_default)
    install(root, newer)
    assert root.run("dpkg-query", "--show", "--showformat=${Version}", "fanfare").text == "99.1"
    assert "drain: 7s" in root.run("cat", CONFIG).text
    assert root.stat(CONFIG) == "-rw-r----- root:fanfare"
    assert root.exists(CONFIG + ".dpkg-dist") and root.exists("/var/lib/fanfare/state")
    assert root.status_of("http://127.0.0.1:8081/ready") == 200     # no systemd: nobody stopped it
    gateway.send_signal(signal.SIGTERM)
    _, log = gateway.communicate(timeout=20 * PATIENCE)
    assert gateway.returncode == 0, log.decode()

    # -- disabled by the administrator, it stays so
    root.run("systemctl", "disable", "fanfare.service")
    install(root, repacked(package, tmp_path_factory.mktemp("newest"), "99.2", lambda tree: None))
    assert not root.exists(wanted)

    # -- removed: what the administrator has written stays
    root.run("dpkg", "--remove", "fanfare")
    assert not root.exists("/usr/bin/fanfare") and not root.exists("/lib/systemd/system/fanfare.service")
    assert root.exists(CONFIG) and root.exists("/var/lib/fanfare/state")

    # -- purged: nothing is left
    root.run("dpkg", "--purge", "fanfare")
    assert not any(root.exists(path) for path in ("/etc/fanfare", "/var/lib/fanfare"))
    for database in ("passwd", "group"):
        assert root.run("getent", database, "fanfare", check=False).returncode != 0
    assert root.written() == []


def test_it_comes_back_after_remove_with_its_configuration(root, package):
    install(root, package)
    root.write(CONFIG, root.run("cat", CONFIG).text.replace("drain: 30s", "drain: 7s").encode())
    root.run("dpkg", "--remove", "fanfare")
    install(root, package)
    assert "drain: 7s" in root.run("cat", CONFIG).text
    assert root.stat(CONFIG) == "-rw-r----- root:fanfare"
    assert root.exists("/etc/systemd/system/multi-user.target.wants/fanfare.service")
