"""Durable rooms with the built binary: kill -9, restarts, history behind memory, keys, a full disk."""

import http.client
import json
import random
import sqlite3
import subprocess
import threading
import time
from contextlib import contextmanager

import pytest

from harness import (ALL_KEY, PATIENCE, Gateway, assert_problem, default_config, merged,
                     quoted, wait_until)
from wire import RawWs, Sse


def rules(*more, **history):
    """Rooms `durable:*` with this history, then `more`, then `memory:*` with the same history."""
    kept = {"size": 1_000_000, "ttl": "24h"} | history
    return {"rooms": [
        *more,
        {"match": "durable:*", "subscribe": "anyone", "publish": "server",
         "history": kept | {"durable": True}},
        {"match": "memory:*", "subscribe": "anyone", "publish": "server", "history": kept}]}


def history(gateway, room, **query):
    path = f"/rooms/{quoted(room)}/history?" + "&".join(f"{k}={v}" for k, v in query.items())
    answer = gateway.api("GET", path)
    assert answer.status == 200, answer.body
    return answer.json()


def whole_history(gateway, room, since=0):
    """Everything after `since`, page by page, oldest first; and the epoch."""
    found = []
    while True:
        page = history(gateway, room, since=since, limit=1000)
        found += page["messages"]
        if not page["more"]:
            return found, page["epoch"]
        since = found[-1]["offset"]


# -- kill -9 --------------------------------------------------------------------------------------

class Ledger:
    """What was promised: by answers, and by what subscribers were shown."""

    def __init__(self, rooms):
        self.rooms = rooms
        self.lock = threading.Lock()
        self.answered = {room: {} for room in rooms}      # offset: data
        self.seen = {room: set() for room in rooms}       # data, over SSE
        self.epochs = {}
        self.stored = {room: [] for room in rooms}        # data, by offset - 1: as found last
        self.failures = []

    def note(self, room, epoch, offset, data):
        with self.lock:
            assert self.epochs.setdefault(room, epoch) == epoch, f"{room}: another epoch"
            assert self.answered[room].setdefault(offset, data) == data, \
                f"{room}#{offset} is two messages"

    def promises(self):
        with self.lock:
            return ({room: dict(offsets) for room, offsets in self.answered.items()},
                    {room: set(seen) for room, seen in self.seen.items()})

    def check(self, gateway, promises, whole=False):
        """What was promised until then is there. Looks at what came since the last call."""
        answered, seen = promises
        for room in self.rooms:
            stored = self.stored[room]
            since = 0 if whole else max(0, len(stored) - 200)
            found, epoch = whole_history(gateway, room, since)
            assert epoch == self.epochs.get(room, epoch), f"{room}: another epoch"
            offsets = [message["offset"] for message in found]
            assert offsets == list(range(since + 1, since + 1 + len(found))), \
                f"{room}: a hole or a duplicate"
            data = [message["data"] for message in found]
            assert data[:len(stored) - since] == stored[since:], f"{room}: what was there has changed"
            stored[since:] = data
            assert len(set(stored)) == len(stored), f"{room}: a key was published twice"
            lost = [offset for offset, text in answered[room].items()
                    if offset > len(stored) or stored[offset - 1] != text]
            assert not lost, f"{room}: answered or seen, and lost: {lost[:5]}"
            lost = seen[room] - set(stored)
            assert not lost, f"{room}: seen over SSE, and lost: {list(lost)[:5]}"


class Actor(threading.Thread):
    """Does its `turn` again and again, also over the gateway's deaths, until it is told to end."""

    def __init__(self, gateway, ledger):
        super().__init__(daemon=True)
        self.gateway, self.ledger = gateway, ledger
        self.ending = threading.Event()

    def run(self):
        try:
            while not self.ending.is_set():
                try:
                    self.turn()
                except (OSError, EOFError, http.client.HTTPException):
                    self.ending.wait(0.01)
        except BaseException as failure:  # pylint: disable=broad-except; reported by the test
            self.ledger.failures.append(failure)


class KeyedPublisher(Actor):
    """Each message has a key, and is repeated until it is answered: it is there once."""

    def __init__(self, gateway, ledger, name):
        super().__init__(gateway, ledger)
        self.name_, self.random = name, random.Random(name)
        self.sent = self.repeats = self.duplicates = 0
        self.connection = None

    def run(self):
        super().run()
        if self.connection:
            self.connection.close()

    def turn(self):
        self.sent += 1
        key = f"{self.name_}.{self.sent}"
        rooms = self.random.sample(self.ledger.rooms, self.random.choice((1, 1, 2, 3)))
        data = key + "x" * self.random.randrange(600)
        place = {"room": rooms[0]} if len(rooms) == 1 else {"rooms": rooms}
        body = json.dumps(place | {"data": data, "id": key})
        # Its last one is answered too: the test ends it while the gateway is there.
        status, answer = self.until_answered(body)
        assert status == 200, answer
        self.duplicates += answer.get("duplicate", False)
        for result in answer.get("results", [answer]):
            self.ledger.note(result["room"], result["epoch"], result["offset"], data)
        assert [r["room"] for r in answer.get("results", [answer])] == rooms

    def until_answered(self, body):
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port,
                                                                 timeout=10 * PATIENCE)
                self.connection.request("POST", "/api/v1/publish", body,
                                        {"X-API-Key": ALL_KEY, "Content-Type": "application/json"})
                answer = self.connection.getresponse()
                return answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                self.connection.close()
                self.connection = None
                self.repeats += 1
                assert time.monotonic() < deadline, "the gateway did not come back"
                time.sleep(0.005)


class WsWatcher(Actor):
    """Subscribes to all rooms over one WebSocket, and resumes where it was."""

    def __init__(self, gateway, ledger):
        super().__init__(gateway, ledger)
        self.at = {room: None for room in ledger.rooms}    # position
        self.messages = self.resumed = 0

    def turn(self):
        with RawWs(self.gateway) as socket:
            ids = {}
            for number, room in enumerate(self.ledger.rooms):
                ids[number] = room
                wish = {"since": self.at[room]} if self.at[room] else {}
                socket.send_frame(1, json.dumps({"id": number, "op": "subscribe",
                                                 "room": room} | wish).encode())
            while not self.ending.is_set():
                try:
                    frame = socket.json(0.2)
                except TimeoutError:
                    continue
                if frame["op"] == "message":
                    room, at = frame["room"], self.at[frame["room"]]
                    assert frame["offset"] == at["offset"] + 1, \
                        f"{room}: {frame['offset']} came after {at['offset']}"
                    self.ledger.note(room, at["epoch"], frame["offset"], frame["data"])
                    self.at[room] = at | {"offset": frame["offset"]}
                    self.messages += 1
                    continue
                room = ids[frame["id"]]
                assert frame["op"] == "ok", frame
                if self.at[room]:
                    assert frame["recovered"] is True, frame
                    self.resumed += 1
                else:
                    self.at[room] = {"epoch": frame["epoch"], "offset": frame["offset"]}


class SseWatcher(Actor):
    """One room over SSE, resumed by its cursor."""

    def __init__(self, gateway, ledger, room):
        super().__init__(gateway, ledger)
        self.room, self.cursor, self.data = room, None, []

    def turn(self):
        with Sse(self.gateway, [self.room], last_event_id=self.cursor) as stream:
            while not self.ending.is_set():
                try:
                    event = stream.event(0.2)
                except TimeoutError:
                    continue
                if event is None:
                    return
                assert event.name != "reset", event
                self.cursor = stream.last_event_id
                if event.name == "message":
                    text = event.json()["data"]
                    self.data.append(text)
                    with self.ledger.lock:
                        self.ledger.seen[self.room].add(text)


def test_kill_9_takes_nothing_that_was_answered_or_seen(start):
    rounds = 50
    gateway = start(merged(rules(), {"log": {"level": "warn"}}))
    ledger = Ledger([f"durable:{n}" for n in range(4)])
    publishers = [KeyedPublisher(gateway, ledger, f"p{n}") for n in range(4)]
    sockets = [WsWatcher(gateway, ledger) for _ in range(2)]
    streams = [SseWatcher(gateway, ledger, room) for room in ledger.rooms[:2]]
    actors = sockets + streams + publishers
    for actor in actors:
        actor.start()
    wait_until(lambda: ledger.failures or all(publisher.sent > 5 for publisher in publishers))
    for _ in range(rounds):
        assert not ledger.failures, ledger.failures[0]
        time.sleep(random.uniform(0.02, 0.15))    # whenever: that is the point
        gateway.kill()
        promises = ledger.promises()
        gateway.start()
        ledger.check(gateway, promises)
    for publisher in publishers:
        publisher.ending.set()
    for publisher in publishers:
        publisher.join()
    newest = {room: gateway.newest(room) for room in ledger.rooms}
    wait_until(lambda: ledger.failures or all(
        all(watcher.at[room] and watcher.at[room]["offset"] == newest[room] for room in newest)
        for watcher in sockets), what="subscribers that have caught up")
    for actor in actors:
        actor.ending.set()
    for actor in actors:
        actor.join()
    assert not ledger.failures, ledger.failures[0]
    ledger.check(gateway, ledger.promises(), whole=True)
    for stream in streams:    # a run of its room, without hole or duplicate
        stored = ledger.stored[stream.room]
        first = stored.index(stream.data[0])
        assert stream.data == stored[first:first + len(stream.data)]
    assert sum(publisher.repeats for publisher in publishers) >= rounds
    assert all(socket.resumed >= rounds for socket in sockets)
    print(f"{rounds} kills, {sum(map(len, ledger.stored.values()))} messages, "
          f"{sum(p.repeats for p in publishers)} repeats, "
          f"{sum(p.duplicates for p in publishers)} answered as duplicates, "
          f"{sum(s.messages for s in sockets)} over WebSocket, "
          f"{sum(len(s.data) for s in streams)} over SSE")


# -- history behind memory ------------------------------------------------------------------------

def shape(reply):
    """What two replies must have in common."""
    return ([(message["offset"], message["data"]) for message in reply["messages"]],
            reply["offset"], reply["more"])


def restarts(gateway):
    """As it is, after SIGTERM, after SIGKILL."""
    yield "before"
    gateway.stop()
    gateway.start()
    yield "after a stop"
    gateway.kill()
    gateway.start()
    yield "after a kill"


def test_history_behind_memory_is_what_memory_would_say(start, tag):
    """Memory holds 100 messages of a durable room: a room in memory is the model for the rest."""
    gateway = start(rules(size=1000))
    durable, memory = f"durable:{tag}", f"memory:{tag}"
    gateway.publish_many(durable, range(500))
    gateway.publish_many(memory, range(500))
    queries = [{"limit": limit} | since | reverse
               for limit in (0, 1, 5, 99, 100, 101, 150, 499, 500, 501, 1000)
               for since in ({}, *({"since": n} for n in (0, 1, 9, 350, 399, 400, 401, 498, 499,
                                                          500, 501)))
               for reverse in ({}, {"reverse": "true"})]
    model = [shape(history(gateway, memory, **query)) for query in queries]
    epoch = gateway.room_info(durable)["epoch"]
    for moment in restarts(gateway):
        assert gateway.room_info(durable) == \
            {"room": durable, "epoch": epoch, "offset": 500, "subscribers": 0}, moment
        for query, expected in zip(queries, model):
            assert shape(history(gateway, durable, **query)) == expected, (moment, query)
        with RawWs(gateway) as socket:
            for query, expected in zip(queries, model):
                wish = dict(query)
                if "since" in wish:
                    wish["since"] = {"epoch": epoch, "offset": wish["since"]}
                if "reverse" in wish:
                    wish["reverse"] = True
                reply = socket.request(op="history", room=durable, **wish)
                assert reply["op"] == "ok" and shape(reply) == expected, (moment, query)
            foreign = socket.request(op="history", room=durable, limit=3,
                                     since={"epoch": "AAAAAAAA", "offset": 400})
            assert [message["offset"] for message in foreign["messages"]] == [1, 2, 3]


def test_pages_that_are_cut_by_their_bytes_have_all_of_it(start, tag):
    gateway = start(rules())
    room = f"durable:{tag}"
    texts = [f"{n}." + "x" * (n * 37 % 20_000) for n in range(600)]
    for begin in range(0, 600, 100):
        gateway.publish_many(room, texts[begin:begin + 100])
    for moment in restarts(gateway):
        found, _ = whole_history(gateway, room)
        assert [message["data"] for message in found] == texts, moment
        backwards, since = [], {}
        while True:
            page = history(gateway, room, limit=1000, reverse="true", **since)
            backwards += [message["data"] for message in page["messages"]]
            if not page["more"]:
                break
            since = {"since": page["messages"][-1]["offset"]}
        assert backwards == texts[::-1], moment
        # At the limit and at the bytes at once, there is more too.
        fits = len(history(gateway, room, since=0, limit=1000)["messages"])
        assert 1 < fits < 500
        for limit in (fits - 1, fits, fits + 1):
            page = history(gateway, room, since=0, limit=limit)
            assert (len(page["messages"]), page["more"]) == (min(limit, fits), True), (moment, limit)


def replayed(gateway, room, count, **wish):
    """Subscribes, and reads `count` messages; the reply, their offsets, and that nothing follows."""
    with RawWs(gateway) as socket:
        reply = socket.request(op="subscribe", room=room, **wish)
        assert reply["op"] == "ok", reply
        got = [socket.json() for _ in range(count)]
        socket.send_frame(1, b'{"id":99,"op":"ping"}')
        after = socket.json()
        assert after.get("id") == 99, after
        return reply, [(message["offset"], message["data"]) for message in got]


def test_resume_and_last_reach_behind_memory(start, tag):
    gateway = start(rules(size=700))
    room = f"durable:{tag}"
    epoch = gateway.publish_many(room, range(1, 1001))["epoch"]
    numbered = [(n, n) for n in range(1, 1001)]
    for moment in restarts(gateway):
        for since in (300, 301, 650, 899, 900, 901, 999, 1000):
            reply, got = replayed(gateway, room, 1000 - since,
                                  since={"epoch": epoch, "offset": since})
            assert reply["recovered"] is True and got == numbered[since:], (moment, since)
        for since in (0, 299):    # older than what is kept
            reply, got = replayed(gateway, room, 0, since={"epoch": epoch, "offset": since})
            assert reply["recovered"] is False, (moment, since)
        for last, count in ((1, 1), (100, 100), (101, 101), (650, 650), (700, 700), (1000, 700)):
            _, got = replayed(gateway, room, count, last=last)
            assert got == numbered[1000 - count:], (moment, last)


def test_count_limit_holds_over_a_restart(start, tag):
    gateway = start(rules(size=150))
    room = f"durable:{tag}"
    gateway.publish_many(room, range(1, 401))
    for moment in restarts(gateway):
        for query in ({"limit": 1000}, {"limit": 1000, "since": 0}, {"limit": 1000, "since": 100}):
            reply = history(gateway, room, **query)
            assert shape(reply) == ([(n, n) for n in range(251, 401)], 400, False), (moment, query)
    assert gateway.publish(room, 401)["offset"] == 401


def test_age_limit_holds_over_a_restart(start, tag):
    gateway = start(rules(ttl="2s"))
    room, before = f"durable:{tag}", time.monotonic()
    epoch = gateway.publish_many(room, range(1, 201))["epoch"]
    if time.monotonic() - before < 1:
        assert len(history(gateway, room, limit=1000)["messages"]) == 200
    wait_until(lambda: not history(gateway, room, limit=1000)["messages"], 6 * PATIENCE,
               "that all messages are too old")
    gateway.publish(room, 201)
    gateway.publish(room, 202)
    gateway.kill()
    gateway.start()
    # The young ones may be too old meanwhile; the old ones do not come back.
    for query in ({"limit": 1000}, {"limit": 1000, "since": 0}, {"limit": 1000, "since": 100}):
        reply = history(gateway, room, **query)
        assert {m["offset"] for m in reply["messages"]} <= {201, 202} and not reply["more"]
    reply, _ = replayed(gateway, room, 0, since={"epoch": epoch, "offset": 100})
    assert reply["recovered"] is False
    assert gateway.publish(room, 203) == {"room": room, "epoch": epoch, "offset": 203}


# -- keys -----------------------------------------------------------------------------------------

def test_a_key_is_known_after_a_restart(start, tag):
    gateway = start(rules())
    room = f"durable:{tag}"
    body = {"room": room, "data": {"n": 1}, "id": f"k-{tag}"}
    first = gateway.api("POST", "/publish", body).json()
    gateway.publish(room, 2)
    for moment in restarts(gateway):
        again = gateway.api("POST", "/publish", body)
        assert (again.status, again.json()) == (200, first | {"duplicate": True}), moment
        assert_problem(gateway.api("POST", "/publish", body | {"data": {"n": 2}}), 409, "conflict")
        assert gateway.newest(room) == 2, moment
    # The store alone, first with the other body: the key stays the first one's.
    gateway.kill()
    gateway.start()
    assert_problem(gateway.api("POST", "/publish", body | {"data": {"n": 2}}), 409, "conflict")
    assert gateway.api("POST", "/publish", body).json() == first | {"duplicate": True}


def test_a_key_of_a_call_for_durable_and_memory_rooms(start, tag):
    gateway = start(rules())
    rooms = [f"durable:{tag}a", f"memory:{tag}", f"durable:{tag}b"]
    body = {"rooms": rooms, "data": 1, "id": f"k-{tag}"}
    first = gateway.api("POST", "/publish", body).json()
    assert [result["offset"] for result in first["results"]] == [1, 1, 1]
    assert gateway.api("POST", "/publish", body).json() == first | {"duplicate": True}
    gateway.stop()
    gateway.start()
    # The key of the room in memory was written behind, before the end: all of it is known.
    assert gateway.api("POST", "/publish", body).json() == first | {"duplicate": True}
    assert [gateway.newest(room) for room in rooms] == [1, 0, 1]
    gateway.kill()
    # A crash between the commits of one call: the row of one room is missing.
    with sqlite3.connect(gateway.directory / "fanfare.db") as database:
        parts = database.execute("SELECT count(*) FROM publish_keys").fetchone()[0]
        assert parts == 3
        database.execute("DELETE FROM publish_keys WHERE part = 1")
    database.close()
    gateway.start()
    again = gateway.api("POST", "/publish", body).json()
    assert again["results"][::2] == first["results"][::2]
    assert again["results"][1]["room"] == rooms[1] and again["results"][1]["offset"] == 1
    assert [gateway.newest(room) for room in rooms] == [1, 1, 1]
    assert gateway.api("POST", "/publish", body).json() == again | {"duplicate": True}


# -- a full disk ----------------------------------------------------------------------------------

@contextmanager
def small_disk(directory):
    """A file system of 1 MiB, or a skip where this user may not mount one."""
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk here: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def test_full_disk_is_told_and_is_over_when_there_is_space(tmp_path, tag):
    with small_disk(tmp_path / "disk") as disk:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 300_000)
        config = merged(default_config(),
                        rules() | {"store": {"path": str(disk / "fanfare.db")}})
        gateway = Gateway(tmp_path / "gateway", config).start()
        try:
            check_full_disk(gateway, tag, filler.unlink)
        finally:
            gateway.stop()


def check_full_disk(gateway, tag, make_space):
    durable, memory, published = f"durable:{tag}", f"memory:{tag}", []

    def publish():
        text = f"{len(published)}." + "x" * 9_000
        answer = gateway.api("POST", "/publish", {"room": durable, "data": text})
        if answer.status == 200:
            published.append(text)
            assert answer.json()["offset"] == len(published)
        return answer

    def publish_until_full():
        while (answer := publish()).status == 200:
            assert len(published) < 500, "the disk does not fill"
        return answer

    with RawWs(gateway) as socket:
        for number, room in enumerate((durable, memory)):
            assert socket.request(id=number, op="subscribe", room=room)["op"] == "ok"
        refused = publish_until_full()
        problem = assert_problem(refused, 503, "unavailable")
        assert problem["detail"] == "the store's disk is full"
        assert int(refused.headers["Retry-After"]) >= 1
        # What is nearly full may take a small write; a full one is full again with the next.
        def said():
            publish()
            ready = gateway.http("GET", "/ready")
            return ready if ready.status == 503 else None
        ready = wait_until(said, what="/ready that tells of the disk")
        assert ready.json()["reason"] == "the store's disk is full"
        # Memory and subscribers go on.
        assert gateway.publish(memory, "here")["offset"] == 1
        seen = []
        while (frame := socket.json())["room"] != memory:
            seen.append(frame["data"])
        assert seen == published[:len(seen)]
        assert len(history(gateway, durable, limit=20)["messages"]) == 20
        make_space()
        wait_until(lambda: gateway.http("GET", "/ready").status == 200, what="recovery by itself")
        for _ in range(5):
            assert publish().status == 200
        while len(seen) < len(published):
            seen.append(socket.json()["data"])
        assert seen == published
    gateway.kill()
    gateway.start()
    found, _ = whole_history(gateway, durable)
    assert [message["data"] for message in found] == published
    assert [message["offset"] for message in found] == list(range(1, len(published) + 1))


# -- a store that cannot be used ------------------------------------------------------------------

def garbage(path):
    path.write_bytes(b"no database " * 1000)


def of_another(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (a)")
    database.close()


def newer(path):
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA application_id=%d" % application_id(path.parent))
        database.execute("PRAGMA user_version=99")
        database.execute("CREATE TABLE later (a)")
    database.close()


def application_id(directory):
    one = Gateway(directory / "for_its_id", merged(default_config(), rules())).start()
    one.stop()
    database = sqlite3.connect(one.directory / "fanfare.db")
    try:
        return database.execute("PRAGMA application_id").fetchone()[0]
    finally:
        database.close()


@pytest.mark.parametrize("make, says", [
    (garbage, "the store's file is damaged"),
    (of_another, "not Fanfare's"),
    (newer, "newer Fanfare"),
    (lambda path: path.mkdir(), "s a directory"),
    (None, "create its directory"),
], ids=["garbage", "of_another", "newer", "directory", "missing_directory"])
def test_store_that_cannot_be_used_ends_the_start_with_one_line(tmp_path, make, says):
    path = tmp_path / "store.db" if make else tmp_path / "missing" / "store.db"
    if make:
        make(path)
    before = path.read_bytes() if path.is_file() else None
    gateway = Gateway(tmp_path / "gateway",
                      merged(default_config(), rules() | {"store": {"path": str(path)}}))
    assert gateway.spawn().wait_exit() == 1
    last = gateway.log().splitlines()
    assert len(last) == 1 and says in last[0] and str(path) in last[0], last
    assert (path.read_bytes() if path.is_file() else None) == before


def test_second_gateway_on_a_store_ends_with_one_line(start, tmp_path, tag):
    first = start(rules())
    first.publish(f"durable:{tag}", 1)
    path = str(first.directory / "fanfare.db")
    second = Gateway(tmp_path / "second",
                     merged(default_config(), rules() | {"store": {"path": path}}))
    assert second.spawn().wait_exit() == 1
    last = second.log().splitlines()
    assert len(last) == 1 and "in use by another gateway" in last[0] and path in last[0], last
    assert first.publish(f"durable:{tag}", 2)["offset"] == 2
