"""`fanfare store`: check, backup, vacuum and stats, beside a gateway that works and without one."""

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import threading

import pytest

from harness import (BINARY, PATIENCE, Gateway, default_config, merged, quoted, run_command,
                     wait_until)

ROOMS = [{"match": "durable:*", "subscribe": "anyone", "publish": "server",
          "history": {"size": 20000, "ttl": "1h", "durable": True}}]


@pytest.fixture
def busy(start):
    """A gateway whose durable rooms keep much."""
    return start({"rooms": ROOMS})


def store_of(gateway):
    return gateway.directory / "fanfare.db"


def store(gateway, action, *arguments):
    return run_command("store", action, "--config", gateway.config_path, *arguments,
                       directory=gateway.directory)


def epoch_of(gateway, room):
    return gateway.room_info(room)["epoch"]


@contextlib.contextmanager
def publishing(gateway, room, payload="x" * 200):
    """A thread that publishes n = 1, 2, …; yields the offsets that were answered."""
    answered = []
    failures = []
    ended = threading.Event()

    def run():
        try:
            while not ended.is_set():
                n = len(answered) + 1
                result = gateway.publish(room, {"n": n, "payload": payload})
                answered.append(result["offset"])
        except Exception as failure:  # pylint: disable=broad-except
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: len(answered) >= 10 or failures, what="publishing")
        yield answered
    finally:
        ended.set()
        thread.join()
    assert not failures, failures
    # A batch was answered for each, in order.
    assert answered == list(range(1, len(answered) + 1))


def refused(result, text):
    assert result.returncode == 1, result.output
    assert result.stdout == ""
    assert text in result.stderr, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr


# -- backup ---------------------------------------------------------------------------------------

def test_a_backup_of_a_busy_gateway_is_a_prefix_that_another_starts_from(busy, tmp_path, tag):
    room = f"durable:{tag}"
    other = f"durable:other-{tag}"
    busy.publish_many(other, [{"filler": "y" * 500, "n": n} for n in range(1, 3001)])
    copy = tmp_path / "backup.db"
    with publishing(busy, room) as answered:
        before = len(answered)
        result = store(busy, "backup", copy)
        after = len(answered)
        # It goes on, and the backup did not stop it.
        wait_until(lambda: len(answered) > after + 10, what="publishing behind the backup")
    assert result.returncode == 0, result.output
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert {file.name for file in tmp_path.glob("backup*")} == {"backup.db"}
    epochs = [epoch_of(busy, one) for one in (room, other)]

    second = Gateway(tmp_path / "second", merged(default_config(), {"rooms": ROOMS}))
    shutil.copy(copy, store_of(second))
    second.start()
    try:
        assert [epoch_of(second, one) for one in (room, other)] == epochs
        newest = second.newest(room)
        # Everything that was answered before it began, and nothing that came after its end; one
        # publish may have been under way.
        assert before <= newest <= after + 1
        messages = []
        while len(messages) < newest:
            answer = second.api("GET", f"/rooms/{quoted(room)}/history?limit=1000"
                                       f"&since={len(messages)}&epoch={epochs[0]}")
            assert answer.status == 200, answer.body
            messages += answer.json()["messages"]
        assert [one["offset"] for one in messages] == list(range(1, newest + 1))
        assert [one["data"]["n"] for one in messages] == list(range(1, newest + 1))
        assert second.newest(other) == 3000
        assert second.publish(room, "on")["offset"] == newest + 1
        assert store(second, "check").returncode == 0
    finally:
        second.stop()


def test_a_backup_replaces_a_file_only_when_told_to(busy, tmp_path, tag):
    busy.publish(f"durable:{tag}", 1)
    copy = tmp_path / "backup.db"
    assert store(busy, "backup", copy).returncode == 0
    first = copy.read_bytes()
    busy.publish(f"durable:{tag}", 2)
    refused(store(busy, "backup", copy), "exists")
    assert copy.read_bytes() == first
    assert store(busy, "backup", copy, "--force").returncode == 0
    assert copy.read_bytes() != first
    refused(store(busy, "backup", store_of(busy), "--force"), "is in use")
    busy.publish(f"durable:{tag}", 3)


def small_disk(directory, kib):
    """Prefix of a command that runs it with a small file system of its own at `directory`."""
    directory.mkdir()
    prefix = ["unshare", "--mount", "sh", "-c",
              f'mount -t tmpfs -o size={kib}k none "{directory}" && "$@"; status=$?; '
              f'ls -A "{directory}" >&2; exit $status', "sh"]
    if shutil.which("unshare") is None or subprocess.run(
            [*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system may be mounted here")
    return prefix


def test_a_backup_that_the_disk_has_no_room_for_leaves_nothing(busy, tmp_path, tag):
    busy.publish_many(f"durable:{tag}", ["z" * 1000 for _ in range(1000)])
    disk = tmp_path / "disk"
    command = small_disk(disk, 200) + [BINARY, "store", "backup", "--path", str(store_of(busy)),
                                       str(disk / "backup.db")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20 * PATIENCE,
                            check=False)
    # `ls` prints to the same stream what is left: nothing.
    refused(result, f"cannot write {disk}/backup.db.partial: the disk is full")


def test_a_backup_that_was_killed_is_no_backup(busy, tmp_path, tag):
    """A limit of file size with its signal ends the process in the middle of a write."""
    busy.publish_many(f"durable:{tag}", ["z" * 1000 for _ in range(1000)])
    copy = tmp_path / "backup.db"
    killed = subprocess.run(
        ["sh", "-c", 'ulimit -c 0; ulimit -f 400; exec "$@"', "sh", BINARY, "store", "backup", "--path",
         str(store_of(busy)), str(copy)], capture_output=True, check=False, timeout=20 * PATIENCE,
        restore_signals=True)
    assert killed.returncode != 0
    assert not copy.exists()
    assert store(busy, "backup", copy).returncode == 0
    assert {file.name for file in tmp_path.glob("backup*")} == {"backup.db"}


# -- vacuum ---------------------------------------------------------------------------------------

def test_vacuum_beside_a_busy_gateway_makes_the_file_smaller(start, tag):
    gateway = start({"rooms": ROOMS})
    gone = f"durable:gone-{tag}"
    gateway.publish_many(gone, ["z" * 2000 for _ in range(3000)])
    gateway.stop()
    # As after a room's history has become too old.
    with contextlib.closing(sqlite3.connect(store_of(gateway))) as database:
        database.execute("UPDATE rooms SET newest = 3000")
        database.execute("DELETE FROM messages")
        database.commit()
    gateway.start()
    before = store_of(gateway).stat().st_size
    assert before > 5_000_000
    with publishing(gateway, f"durable:{tag}") as answered:
        begun = len(answered)
        result = store(gateway, "vacuum")
        assert result.returncode == 0, result.output
        assert len(answered) > begun, "nothing was published meanwhile"
        assert " before, " in result.stdout and " after" in result.stdout
    after = store_of(gateway).stat().st_size
    assert after < before / 4, result.stdout
    assert store(gateway, "check").returncode == 0
    gateway.kill()
    gateway.start()
    assert gateway.newest(f"durable:{tag}") == len(answered)
    assert gateway.publish(gone, 1)["offset"] == 3001


def test_vacuum_without_a_gateway(busy, tag):
    busy.publish_many(f"durable:{tag}", ["z" * 1000 for _ in range(1000)])
    busy.stop()
    with contextlib.closing(sqlite3.connect(store_of(busy))) as database:
        database.execute("DELETE FROM messages WHERE offset <= 900")
        database.commit()
    before = store_of(busy).stat().st_size
    result = store(busy, "vacuum")
    assert result.returncode == 0, result.output
    assert store_of(busy).stat().st_size < before / 4
    assert {file.name for file in busy.directory.glob("fanfare.db*")} == {"fanfare.db", "fanfare.db-lock"}
    busy.start()
    assert busy.publish(f"durable:{tag}", 1)["offset"] == 1001


# -- check ----------------------------------------------------------------------------------------

def test_check_of_a_running_gateway_counts_what_it_has(busy, tag):
    for n in range(3):
        busy.publish_many(f"durable:{n}-{tag}", range(10 + n))
    result = store(busy, "check")
    assert result.returncode == 0, result.output
    assert result.stdout.startswith(f"{store_of(busy)}: ok: ")
    assert "3 rooms, 33 messages" in result.stdout


def test_check_finds_an_overwritten_page(busy, tag):
    busy.publish_many(f"durable:{tag}", ["z" * 1000 for _ in range(1000)])
    busy.stop()
    size = store_of(busy).stat().st_size
    with open(store_of(busy), "r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(os.urandom(4096))
    damaged = store_of(busy).read_bytes()
    result = store(busy, "check")
    assert result.returncode == 1
    assert result.stdout.strip(), result.output
    assert result.stderr == f"{store_of(busy)}: damaged; put a backup in its place\n"
    assert store_of(busy).read_bytes() == damaged
    refused(store(busy, "backup", busy.directory / "backup.db"), "is damaged")
    assert not list(busy.directory.glob("backup*"))


def test_check_finds_a_missing_room(busy, tag):
    busy.publish_many(f"durable:{tag}", range(7))
    with contextlib.closing(sqlite3.connect(store_of(busy), timeout=10)) as database:
        room_id, = database.execute("SELECT id FROM rooms").fetchone()
        database.execute("DELETE FROM rooms")
        database.commit()
    result = store(busy, "check")
    assert result.returncode == 1
    assert result.stdout == f"the room with id {room_id} is missing, and 7 messages of it are there (1 to 7)\n"


def test_check_and_stats_know_notifications_and_devices(busy):
    busy.stop()
    with contextlib.closing(sqlite3.connect(store_of(busy))) as database:
        database.execute("INSERT INTO inboxes VALUES (1, 'ada', 'aaaaaaaa', 3, 1)")
        database.executemany(
            "INSERT INTO notifications (inbox, offset, id, status, priority, channels, attempts, created, "
            "expires, updated, tried, due, sweep, category, collapse_key, data) "
            "VALUES (1, ?, ?, ?, 2, 1, 0, 1, 2, 1, 0, NULL, 2, NULL, NULL, '{}')",
            [(offset, bytes([offset] * 16), status) for offset, status in ((1, 3), (2, 0), (3, 0))])
        database.execute("INSERT INTO devices VALUES (1, 'ada', 'phone', 0, '00ff', NULL, NULL, NULL, NULL, "
                         "NULL, 1, NULL)")
        database.execute("INSERT INTO dead_letters (inbox, offset, device, provider, status, reason, attempts, time) "
                         "VALUES (1, 2, 'phone', 'apns', 413, 'PayloadTooLarge', 1, 1)")
        database.commit()
    result = store(busy, "check")
    assert result.returncode == 0, result.output
    assert result.stdout.endswith(", 1 inboxes, 3 notifications, 1 devices, 1 dead letters\n"), result.output
    stats = json.loads(store(busy, "stats", "--json").stdout)
    assert (stats["inboxes"], stats["notifications"], stats["pending"], stats["devices"]) == (1, 3, 2, 1)
    assert stats["dead_letters"] == 1
    text = store(busy, "stats").stdout
    assert "notifications 3 (2 pending)\n" in text and "devices       1\ndead letters  1\n" in text
    with contextlib.closing(sqlite3.connect(store_of(busy))) as database:
        database.execute("UPDATE inboxes SET newest = 2")
        database.execute("UPDATE devices SET token = 'secret'")
        database.commit()
    result = store(busy, "check")
    assert result.returncode == 1
    assert result.stdout == ("inbox of ada: notification 3 is there, and it is at 2\n"
                             "device phone of ada: `device_token` must be the device token in hexadecimal\n")


# -- stats ----------------------------------------------------------------------------------------

def test_stats_agree_with_the_api(busy, tag):
    sizes = {f"durable:{n:02}-{tag}": n for n in range(1, 13)}
    for room, size in sizes.items():
        busy.publish_many(room, [f"{n:06}" for n in range(size)])
    busy.publish(f"durable:01-{tag}", "000000", id="a-key")
    sizes[f"durable:01-{tag}"] += 1
    result = store(busy, "stats", "--json")
    assert result.returncode == 0, result.output
    stats = json.loads(result.stdout)
    assert stats["path"] == str(store_of(busy))
    assert stats["rooms"] == 12
    assert stats["messages"] == sum(sizes.values())
    assert stats["message_bytes"] == 8 * sum(sizes.values())
    assert stats["publish_keys"] == 1
    assert stats["inboxes"] == stats["notifications"] == stats["pending"] == 0
    assert stats["bytes"] == store_of(busy).stat().st_size
    assert stats["log_bytes"] == (busy.directory / "fanfare.db-wal").stat().st_size
    assert 0 < stats["oldest"] <= stats["newest"]
    assert len(stats["largest"]) == 10
    assert [one["messages"] for one in stats["largest"]] == sorted(sizes.values(), reverse=True)[:10]
    for one in stats["largest"]:
        assert one["messages"] == one["offset"] == busy.newest(one["room"])
        assert one["bytes"] == 8 * one["messages"]
    text = store(busy, "stats").stdout
    assert f"messages      {sum(sizes.values())}\n" in text
    assert f"  durable:12-{tag}\n" in text


# -- which store, and what is none ----------------------------------------------------------------

def test_the_store_is_named_by_option_configuration_or_environment(busy, tmp_path, tag):
    busy.publish(f"durable:{tag}", 1)
    path = store_of(busy)

    def stats(*arguments, environment=None):
        return run_command(*arguments, "--json", directory=tmp_path, environment=environment)

    for result in (stats("store", "stats", "--path", path),
                   stats("store", "stats", "--config", busy.config_path),
                   stats("--config", busy.config_path, "store", "stats"),
                   stats("store", "stats", environment={"FANFARE_STORE__PATH": str(path)})):
        assert result.returncode == 0, result.output
        assert json.loads(result.stdout)["messages"] == 1
    default = run_command("store", "stats", directory=tmp_path)
    if default.returncode != 0:
        assert "/var/lib/fanfare/fanfare.db" in default.stderr
    for wrong in (("store",), ("store", "backup"), ("store", "shrink"),
                  ("store", "check", "--path", path, "--config", busy.config_path),
                  ("--config", busy.config_path, "store", "check", "--path", path),
                  ("store", "check", "--config", tmp_path / "none.yaml")):
        assert run_command(*wrong, directory=tmp_path).returncode == 2


@pytest.mark.parametrize("action", ["check", "backup", "vacuum", "stats"])
def test_a_file_that_is_no_store_is_named_as_what_it_is(tmp_path, action):
    def run(path):
        target = ["target.db"] if action == "backup" else []
        return run_command("store", action, "--path", path, *target, directory=tmp_path)

    refused(run("none.db"), "none.db: there is no such file")
    refused(run("none/none.db"), "there is no such file")
    refused(run("."), ". is a directory")
    (tmp_path / "text").write_text("a text that is long enough to be looked at " * 20)
    refused(run("text"), "text is not an SQLite file")
    (tmp_path / "empty").touch()
    refused(run("empty"), "empty is empty")
    with contextlib.closing(sqlite3.connect(tmp_path / "foreign")) as database:
        database.execute("CREATE TABLE t (x)")
        database.commit()
    refused(run("foreign"), "but not Fanfare's")
    with contextlib.closing(sqlite3.connect(tmp_path / "newer")) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute(f"PRAGMA application_id={0x46616e66}")
        database.execute("PRAGMA user_version=99")
        database.commit()
    refused(run("newer"), "newer Fanfare (schema 99")
    assert {file.name for file in tmp_path.iterdir()} == {"text", "empty", "foreign", "newer"}


@pytest.mark.parametrize("action", ["check", "backup", "vacuum", "stats"])
def test_a_store_of_another_user_is_refused(busy, tmp_path, tag, action):
    busy.publish(f"durable:{tag}", 1)
    as_nobody = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    else:
        store_of(busy).chmod(0)
    target = [str(tmp_path / "target.db")] if action == "backup" else []
    result = subprocess.run([*as_nobody, BINARY, "store", action, "--path", str(store_of(busy)), *target],
                            capture_output=True, text=True, timeout=20 * PATIENCE, check=False)
    refused(result, f"{store_of(busy)} cannot be read: Permission denied")
