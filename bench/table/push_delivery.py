"""Rows of pushes, from memory and from the durable queue, against h2load; urgency; acceptance; memory."""

import json
import re
import time

from bench import Line, Row, thousands
from judging import at_least, at_most, ratios, spread
from processes import Failed, anonymous_bytes, await_quiet, run_seconds
from push_world import (TEXT, TITLE, TOPIC, await_taken, device_token, in_background, world)

CONNECTIONS, STREAMS = 4, 100


def apns_request():
    body = {"aps": {"alert": {"title": TITLE, "body": TEXT}, "sound": "default", "mutable-content": 1},
            "id": "x" * 22, "data": {"order": "8812736"}}
    headers = ["authorization: bearer " + provider_token(), f"apns-topic: {TOPIC}",
               "apns-push-type: alert", "apns-priority: 10",
               "apns-id: 123e4567-e89b-12d3-a456-426655440000",
               f"apns-expiration: {int(time.time()) + 86400}"]
    return f"/3/device/{device_token('apns', 0)}", headers, body


def provider_token():
    """Well formed; the simulator is not asked to check signatures."""
    from base64 import urlsafe_b64encode

    def part(data):
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = json.dumps({"iss": "TEAM123456", "iat": int(time.time())}, separators=(",", ":"))
    return ".".join((part(b'{"alg":"ES256","kid":"KEY1234567"}'), part(claims.encode()), part(bytes(64))))


def fcm_request():
    body = {"message": {"token": device_token("fcm", 0), "notification": {"title": TITLE, "body": TEXT},
                        "data": {"id": "x" * 22, "data": '{"order":"8812736"}'},
                        "android": {"priority": "NORMAL", "ttl": "86399s",
                                    "notification": {"sound": "default"}}}}
    headers = ["authorization: Bearer " + "x" * 150, "content-type: application/json"]
    return "/v1/projects/demo/messages:send", headers, body


REQUESTS = {"apns": apns_request, "fcm": fcm_request}


def h2load(bench, sim, service, count, directory):
    """The same request again and again. Its pushes per second of its CPU time, and how busy it was."""
    path, headers, body = REQUESTS[service]()
    file = directory / "body"
    file.write_text(json.dumps(body, separators=(",", ":")))
    begun = time.monotonic()
    out, seconds = bench.processes.run_client(
        ["h2load", "-n", str(count), "-c", str(CONNECTIONS), "-m", str(STREAMS),
         *(word for header in headers for word in ("-H", header)), "-d", str(file),
         f"https://127.0.0.1:{sim.ports[service]}{path}"], core=bench.processes.server_core)
    good = int(re.search(r"status codes: (\d+) 2xx", out)[1])
    if good != count:
        raise Failed(f"h2load: {good} of {count} requests were taken:\n{out}")
    return count / seconds, seconds / (time.monotonic() - begun)


def from_memory(bench):
    lines = []
    for service in REQUESTS:
        count = bench.pick(100_000, 2_000)
        with world(bench, "--no-record") as here:
            def ours():
                out, seconds = bench.processes.run_client(
                    [bench.processes.push_load, "--service", service, "--port",
                     str(here.sim.ports[service]), "--account", str(here.directory / "account.json"),
                     "--ca", here.sim.ca, "--pushes", str(count)], core=bench.processes.server_core)
                report = json.loads(out)
                if report["sent"] != count:
                    raise Failed(f"pushes from memory: {report}")
                return count / seconds

            mine, floor = bench.alternate(
                ours, lambda: h2load(bench, here.sim, service, count, here.directory))
            busy = here.sim.busiest()
        lines.append(against_h2load(f"pushes from memory, {service}, payloads built", mine, floor, busy, 0.9))
    return lines


def against_h2load(what, mine, floor, busy, bar):
    ratio = ratios(mine, [rate for rate, _ in floor], float)
    share = spread([share for _, share in floor]).median
    return Line(f"{what}: per second of client CPU; h2load {CONNECTIONS} × {STREAMS} streams, "
                f"{share:.0%} of its core; simulator at most {busy:.0%} of its",
                thousands(spread(mine).median), thousands(spread([rate for rate, _ in floor]).median),
                str(ratio), at_least(bar), ratio)


def from_queue(bench):
    """All are in the store when the gateway starts; its CPU time until all are sent and settled."""
    lines = []
    for service in REQUESTS:
        count = bench.pick(100_000, 2_000)

        def ours():
            with world(bench, "--no-record") as here:
                here.register(service, count)
                with here.gateway(reachable=False) as gateway:
                    here.notify_all(gateway, count)
                with here.gateway() as gateway:
                    await_taken(here.sim, service, count)
                    gateway.await_empty_queue()
                    used = run_seconds(gateway.pid)
                busiest.append(here.sim.busiest())
                return count / used

        def theirs():
            with world(bench, "--no-record") as here:
                return h2load(bench, here.sim, service, count, here.directory)

        busiest = []
        mine, floor = bench.alternate(ours, theirs)
        lines.append(against_h2load(f"pushes from the durable queue, {service}, start of the gateway "
                                    "included", mine, floor, max(busiest), 0.7))
    return lines


def urgent(bench):
    """From the API call of a critical notification to the service, alone and beside a mass."""
    count, samples = bench.pick(100_000, 2_000), bench.pick(200, 10)

    def times(here, gateway, first, while_running=None):
        sent = {}
        for n in range(first, first + samples):
            if sent and while_running is not None and not while_running():
                break
            token = device_token("apns", n)
            sent[token] = time.time() * 1000
            gateway.api("/notifications", {"user_id": f"user-{n}", "channels": ["push"],
                                           "title": "Your code is 123456", "priority": "critical"})
            time.sleep(0.01)
        took = []
        for token, begun in sent.items():
            deadline = time.monotonic() + 20
            while not (found := here.sim.control(f"/requests?token={token}")["requests"]):
                if time.monotonic() > deadline:
                    raise Failed("a critical push did not arrive")
                time.sleep(0.01)
            took.append(found[0]["time"] - begun)
        return took

    def both():
        with world(bench, "--record-max", str(2 * count)) as here:
            here.register("apns", count + 2 * samples)
            with here.gateway(pinned=False) as gateway:
                quiet = times(here, gateway, count)
                mass = in_background(lambda: here.notify_all(gateway, count, per_call=10_000))
                while here.sim.taken("apns") < samples + count // 50:
                    time.sleep(0.005)
                busy = times(here, gateway, count + samples,
                             lambda: here.sim.taken("apns") < samples + count)
                mass.join()
                await_taken(here.sim, "apns", count + samples + len(busy))
            return quantile(quiet), quantile(busy), len(busy)

    runs = [both() for _ in range(bench.pick(3, 1))]
    ratio = ratios([busy for _, busy, _ in runs], [quiet for quiet, _, _ in runs], float)
    return [Line(f"critical push beside {count:,} low ones, from the API to the service, p99 "
                 f"({spread([n for _, _, n in runs]).median:.0f} of them); floor: the same alone",
                 f"{spread([busy for _, busy, _ in runs]).median:.1f} ms",
                 f"{spread([quiet for quiet, _, _ in runs]).median:.1f} ms", str(ratio), at_most(2), ratio)]


def quantile(values, part=0.99):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def accepted(bench):
    """One notification a call, each of a million users in turn."""
    rate, seconds = bench.pick(10_000, 500), bench.pick(60, 1)
    with world(bench) as here, here.gateway(pinned=False) as gateway:
        report = bench.load(gateway, "--mode", "publish", "--notify", "realtime", "--publishers", 64,
                            "--rooms", 1_000_000, "--rate", rate, "--duration", seconds,
                            "--room-prefix", "user-", pinned=False, timeout=seconds + 30)
        kept = gateway.metric("inbox_depth")
    taken = report["messages"]["messages_published"]
    taken = report["messages"]["published"] if "published" in report["messages"] else kept
    if kept != taken:
        raise Failed(f"{taken} notifications were accepted, {kept} are kept")
    answered = spread([(report["publish_us"]["p99"] + report["schedule_lag_us"]["p99"]) / 1000])
    reached = taken / seconds
    return [Line(f"notifications accepted, one a call, 64 connections, {rate:,} a second for {seconds} s: "
                 f"{thousands(reached)}/s, none lost; p99 of the answer, lateness of the call included",
                 f"{answered.median:.1f} ms", bar=at_most(50, unit=" ms"), judged=answered)]


def queued(bench):
    """Memory of a gateway before and after a million pushes wait in it."""
    count = bench.pick(1_000_000, 5_000)
    with world(bench) as here:
        here.register("apns", count)
        with here.gateway(reachable=False, pinned=False) as gateway:
            here.notify_all(gateway, min(count, 5_000))     # caches are as full as they get
            await_quiet(gateway.pid, 60)
            before = anonymous_bytes(gateway.pid)
            here.notify_all(gateway, count - min(count, 5_000), first=min(count, 5_000))
            waiting = gateway.metric("push_queue")
            if waiting != count:
                raise Failed(f"{waiting} of {count} pushes wait")
            await_quiet(gateway.pid, 60)
            after = anonymous_bytes(gateway.pid)
    grown = spread([(after - before) / 2**20])
    return [Line(f"{count:,} pushes that wait: memory of the gateway, in all {after / 2**20:.0f} MiB; growth "
                 "from 5,000 that wait", f"{grown.median:.1f} MiB", bar=at_most(64, unit=" MiB"),
                 judged=grown, timed=False)]


ROWS = {
    "push-memory": Row(from_memory, floor=False),
    "push-queue": Row(from_queue, floor=False),
    "push-urgent": Row(urgent, floor=False),
    "push-accept": Row(accepted, floor=False),
    "push-queued": Row(queued, floor=False),
}
