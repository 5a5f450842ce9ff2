"""Inboxes over kill -9: what was answered, seen or acknowledged stays so."""

import http.client
import json
import random
import threading
import time

from harness import ALL_KEY, PATIENCE, merged, quoted, token, wait_until
from test_durable import Actor, KeyedPublisher, Ledger, rules
from wire import RawWs, Sse

ATTEMPTS = 5


class InboxLedger:
    """What was promised of inboxes."""

    def __init__(self, users):
        self.users = users
        self.lock = threading.Lock()
        self.failures = []
        self.answered = {}                          # id: (user, title)
        self.seen = {user: {} for user in users}    # offset: (id, title)
        self.sent = {user: set() for user in users}     # (offset, attempt)
        self.acked = {user: 0 for user in users}    # answered with ok
        self.epochs = {}

    def note_epoch(self, user, epoch):
        with self.lock:
            assert self.epochs.setdefault(user, epoch) == epoch, f"{user}: another epoch"

    def note_message(self, user, message, acked_before):
        """A client was sent this; `acked_before`: what was acknowledged when it subscribed."""
        offset, attempt = message["offset"], message.get("attempt", 1)
        with self.lock:
            assert offset > acked_before, f"{user}#{offset} came again after its ack"
            assert attempt <= ATTEMPTS, f"{user}#{offset}: attempt {attempt}"
            assert (offset, attempt) not in self.sent[user], \
                f"{user}#{offset}: attempt {attempt} was made twice"
            self.sent[user].add((offset, attempt))
            found = (message["id"], message["data"]["title"])
            assert self.seen[user].setdefault(offset, found) == found, f"{user}#{offset} is two"

    def promises(self):
        with self.lock:
            return (dict(self.answered), {u: dict(s) for u, s in self.seen.items()},
                    dict(self.acked), dict(self.epochs))

    def check(self, gateway, promises):
        answered, seen, acked, epochs = promises
        titles = {user: [] for user in self.users}
        for user in self.users:
            found, view = whole_inbox(gateway, user)
            assert view.get("epoch", epochs.get(user)) == epochs.get(user, view.get("epoch"))
            offsets = [message["offset"] for message in found]
            assert offsets == list(range(1, len(found) + 1)), f"{user}: a hole or a duplicate"
            titles[user] = [message["data"]["title"] for message in found]
            assert len(set(titles[user])) == len(titles[user]), f"{user}: a key was placed twice"
            for offset, (identifier, title) in seen[user].items():
                message = found[offset - 1]
                assert (message["id"], message["data"]["title"]) == (identifier, title), \
                    f"{user}#{offset}: seen, and lost or changed"
            assert view["acked"] >= acked[user], f"{user}: an ack was lost"
            for message in found[:view["acked"]]:
                assert message["status"] == "delivered", message
            by_id = {message["id"]: message["data"]["title"] for message in found}
            for identifier, (whose, title) in answered.items():
                if whose == user:
                    assert by_id.get(identifier) == title, f"{user}: {identifier} was lost"


def whole_inbox(gateway, user):
    """All messages, oldest first, and the first page."""
    found, cursor, first = [], None, None
    while True:
        path = f"/users/{quoted(user)}/inbox?limit=1000" + (f"&cursor={cursor}" if cursor else "")
        answer = gateway.api("GET", path)
        assert answer.status == 200, answer.body
        view = answer.json()
        first = first or view
        found += view["messages"]
        cursor = view.get("cursor")
        if not cursor:
            return found[::-1], first


class Notifier(Actor):
    """Each notification has a key, and is repeated until it is answered: it is there once."""

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
        title = f"{self.name_}.{self.sent}" + "x" * self.random.randrange(400)
        users = self.random.sample(self.ledger.users, self.random.choice((1, 1, 3)))
        whom = {"user_id": users[0]} if len(users) == 1 else {"user_ids": users}
        priority = self.random.choice(("critical", "high", "normal", "low"))
        status, answer = self.until_answered(json.dumps(whom | {
            "title": title, "priority": priority, "idempotency_key": f"{self.name_}.{self.sent}"}))
        assert status == 202, answer
        self.duplicates += answer.get("duplicate", False)
        with self.ledger.lock:
            for user, result in zip(users, answer.get("results", [answer])):
                self.ledger.answered[result["id"]] = (user, title)

    def until_answered(self, body):
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port,
                                                                 timeout=10 * PATIENCE)
                self.connection.request("POST", "/api/v1/notifications", body,
                                        {"X-API-Key": ALL_KEY, "Content-Type": "application/json"})
                answer = self.connection.getresponse()
                return answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                self.connection.close()
                self.connection = None
                self.repeats += 1
                assert time.monotonic() < deadline, "the gateway did not come back"
                time.sleep(0.005)


class Recipient(Actor):
    """One session per user, which acknowledges now and then."""

    def __init__(self, gateway, ledger, user):
        super().__init__(gateway, ledger)
        self.user, self.random = user, random.Random(user)
        self.messages = self.acks = self.sessions = 0

    def turn(self):
        acked_before = self.ledger.acked[self.user]
        with RawWs(self.gateway, headers=[f"Authorization: Bearer {token(self.user)}"]) as socket:
            socket.send_frame(1, b'{"id":0,"op":"subscribe","room":"@me"}')
            self.sessions += 1
            until = time.monotonic() + self.random.uniform(0.05, 0.6)
            while not self.ending.is_set() and time.monotonic() < until:
                try:
                    frame = socket.json(0.05)
                except TimeoutError:
                    continue
                self.take(socket, frame, acked_before)

    def take(self, socket, frame, acked_before):
        if frame["op"] == "message":
            self.messages += 1
            self.ledger.note_message(self.user, frame, acked_before)
            if self.random.random() < 0.1:
                socket.send_frame(1, json.dumps({"id": frame["offset"], "op": "ack", "room": "@me",
                                                 "offset": frame["offset"]}).encode())
        elif frame.get("id") == 0:
            assert frame["op"] == "ok", frame
            if frame["offset"]:    # before its first notification an inbox has no life to keep
                self.ledger.note_epoch(self.user, frame["epoch"])
        elif frame["op"] != "acked":    # that one is of the session before, which did not wait
            assert frame["op"] == "ok", frame
            self.acks += 1
            with self.ledger.lock:
                self.ledger.acked[self.user] = max(self.ledger.acked[self.user], frame["offset"])


class StreamRecipient(Recipient):
    """The same over SSE, resuming by cursor; it acknowledges over HTTP."""

    cursor = None

    def turn(self):
        bearer = token(self.user)
        with Sse(self.gateway, ["@me"], token=bearer, last_event_id=self.cursor) as stream:
            session = None
            self.sessions += 1
            until = time.monotonic() + self.random.uniform(0.05, 0.6)
            while not self.ending.is_set() and time.monotonic() < until:
                try:
                    event = stream.event(0.05)
                except TimeoutError:
                    continue
                if event is None:
                    return
                self.cursor = stream.last_event_id
                if event.name == "ready":
                    session = event.json()["session"]
                    continue
                assert event.name in ("message", "acked", "bye"), event
                if event.name != "message":
                    continue
                self.messages += 1
                message = event.json()
                with self.ledger.lock:
                    found = (message["id"], message["data"]["title"])
                    seen = self.ledger.seen[self.user]
                    assert seen.setdefault(message["offset"], found) == found
                if self.random.random() < 0.1:
                    answer = self.gateway.http(
                        "POST", "/sse/ack", {"session": session, "room": "@me",
                                             "offset": message["offset"]},
                        {"Authorization": f"Bearer {bearer}"})
                    assert answer.status == 204, answer.body
                    self.acks += 1
                    with self.ledger.lock:
                        self.ledger.acked[self.user] = max(self.ledger.acked[self.user],
                                                           message["offset"])


def test_kill_9_takes_nothing_from_inboxes(start):
    rounds = 50
    gateway = start(merged(rules(), {
        "log": {"level": "warn"}, "inbox": {"ack_timeout": "200ms", "attempts": ATTEMPTS}}))
    rooms = Ledger([f"durable:{n}" for n in range(3)])
    ledger = InboxLedger([f"u{n}" for n in range(5)])
    recipients = [Recipient(gateway, ledger, user) for user in ledger.users[:3]]
    recipients.append(StreamRecipient(gateway, ledger, ledger.users[3]))    # u4 is away
    notifiers = [Notifier(gateway, ledger, f"n{n}") for n in range(2)]
    publishers = [KeyedPublisher(gateway, rooms, f"p{n}") for n in range(2)]
    actors = recipients + notifiers + publishers
    for actor in actors:
        actor.start()

    def unhurt():
        for failure in ledger.failures + rooms.failures:
            raise failure

    wait_until(lambda: unhurt() or all(one.sent > 5 for one in notifiers + publishers))
    for _ in range(rounds):
        unhurt()
        time.sleep(random.uniform(0.02, 0.2))    # whenever: that is the point
        gateway.kill()
        promises, room_promises = ledger.promises(), rooms.promises()
        gateway.start()
        ledger.check(gateway, promises)
        rooms.check(gateway, room_promises)
    for one in notifiers + publishers:
        one.ending.set()
    for one in notifiers + publishers:
        one.join()
    wait_until(lambda: unhurt() or all(one.acks for one in recipients), 30 * PATIENCE)
    for actor in recipients:
        actor.ending.set()
    for actor in recipients:
        actor.join()
    unhurt()
    ledger.check(gateway, ledger.promises())
    rooms.check(gateway, rooms.promises(), whole=True)
    placed = len(ledger.answered)
    assert sum(one.repeats for one in notifiers) >= rounds / 2
    print(f"{rounds} kills, {placed} notifications, {sum(n.repeats for n in notifiers)} repeats, "
          f"{sum(n.duplicates for n in notifiers)} answered as duplicates, "
          f"{sum(r.messages for r in recipients)} messages, {sum(r.acks for r in recipients)} acks, "
          f"{sum(r.sessions for r in recipients)} sessions")
