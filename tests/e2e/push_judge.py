"""What a push service had, against what the gateway says of it: nothing lost, nothing doubled without need."""

import concurrent.futures
import itertools
import json
import re
import time

from harness import PATIENCE, http_call, wait_until
from test_push import shown

# Between a service's word and the gateway's note of it: what is lost on the way is not known to either.
ON_THE_WAY = 500 * PATIENCE
TAKEN = (200, 201)
UNKNOWN = ("reset", "dropped", "connection_lost", "connection_ended")


def side_by_side(call, each):
    """In the order of `each`; many at once, as backends call."""
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return list(threads.map(call, each))


class Cuts:
    """When all connections were torn, or the gateway killed: what was answered a moment before may not have arrived."""

    def __init__(self):
        self.spans = []
        self.in_flight = 0

    def within(self, act, in_flight):
        """`in_flight`: so many requests at most are cut off."""
        begin = time.time() * 1000 - ON_THE_WAY
        act()
        self.spans.append((begin, time.time() * 1000 + 1))
        self.in_flight += in_flight

    def explain(self, record):
        return any(begin <= record["time"] <= end for begin, end in self.spans)


def judge(devices, cuts):
    """Each device got it; each request but the first of a device has a reason; all of a device have one id."""
    records = devices.records()
    assert sorted(records) == sorted(devices.tokens)
    ids, doubled = set(), 0
    for tries in records.values():
        assert tries[-1]["status"] in TAKEN, tries
        for before in tries[:-1]:
            if before["status"] in TAKEN:
                assert cuts.explain(before), (before, tries)
                doubled += 1
            else:
                assert before["status"] in (429, 503) or before["fate"] in (*UNKNOWN, "not_processed"), tries
        own = {message_id(devices.service, one) for one in tries}
        assert len(own) == 1, tries
        ids |= own
    assert len(ids) == len(devices.tokens)
    assert doubled <= cuts.in_flight
    return records


def message_id(service, record):
    return json.loads(record["plaintext"])["id"] if service == "webpush" else record["id"]


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(one in rest for one in part)


def judge_timelines(gateway, ids, devices, records, cuts, reasons):
    """Each attempt is there with what the service said; `reasons`: by HTTP status. Returns them."""
    attempts = []
    for one, token in zip(ids, devices.tokens):
        events = shown(gateway, one, "/timeline")["events"]
        mine = [each for each in events if "push" in each]
        assert [each["event"] for each in mine] == ["push_retry"] * (len(mine) - 1) + ["push_sent"], events
        assert [each["attempt"] for each in mine] == list(range(1, len(mine) + 1))
        for each in mine:
            said = each["push"]
            assert (said["device"], said["provider"]) == ("phone", devices.service)
            if each["event"] == "push_sent":
                assert said["status"] in TAKEN
            elif "status" in said:
                assert said["reason"] == reasons[said["status"]], each
            else:
                assert said["reason"], each
        heard = [each["push"]["status"] for each in mine if "status" in each["push"]]
        said = [each["status"] for each in records[token] if "fate" not in each]
        assert is_subsequence(heard, said), (mine, records[token])
        certain = [each["status"] for each in records[token] if "fate" not in each and not cuts.explain(each)]
        assert is_subsequence(certain, heard), (mine, records[token])
        attempts += mine
    # What was not processed is no attempt, and what nobody knows of is one.
    had = [each.get("fate") for each in itertools.chain.from_iterable(records.values())]
    assert len(had) - had.count("not_processed") <= len(attempts) + cuts.in_flight
    assert len(attempts) <= len(had) - had.count("not_processed") + cuts.in_flight
    return attempts


def series(gateway, name, **labels):
    text = http_call(gateway.ops_port, "GET", "/metrics").body.decode()
    found = re.findall(rf"^fanfare_{name}({{[^}}]*}})? (\S+)$", text, re.M)
    return sum(float(value) for shown_labels, value in found
               if all(f'{label}="{wanted}"' in shown_labels for label, wanted in labels.items()))


def wait_all_sent(gateway, ids):
    waiting = set(ids)

    def none_left():
        waiting.difference_update([one for one in waiting
                                   if shown(gateway, one, "/status")["status"] == "sent"])
        return not waiting
    wait_until(none_left, 60 * PATIENCE, "all of them sent")


def wait_settled(gateway):
    wait_until(lambda: series(gateway, "push_in_flight") == 0 and series(gateway, "push_queue") == 0,
               20 * PATIENCE, "nothing in flight and nothing that waits")
