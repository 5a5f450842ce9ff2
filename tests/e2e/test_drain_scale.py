"""10,000 library clients under a drain: they leave, and come back, spread over the window (issue 3).

The gateway is restarted as soon as it has ended, on the same port: the hard case. Clients that were told to
come back earlier find nobody, and their further tries must not pile up on those of the others. The first
attempts alone are what another gateway behind the same address would see.
"""

import json
import signal
import subprocess
import threading
import time

import pytest

from harness import PATIENCE, wait_until
from library import ENVIRONMENT, MODULE, SCRIPTS, needs_node
from test_scale import descriptors  # noqa: F401 (a fixture)

pytestmark = needs_node

CLIENTS = 10_000
PROCESSES = 4
WINDOW = 12.0               # seconds
EVEN = CLIENTS / WINDOW     # a second


class Crowd:
    def __init__(self, url, room, count):
        self.process = subprocess.Popen(
            ["node", "--max-old-space-size=2048", str(SCRIPTS / "crowd.mjs"), str(MODULE), url, room, str(count)],
            env=ENVIRONMENT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.open = 0
        self.times = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "open" in said:
                self.open = said["open"]
            else:
                self.times = said

    def ask(self):
        self.process.stdin.write("times\n")
        self.process.stdin.flush()
        return wait_until(lambda: self.times, 30 * PATIENCE, "the times")


def busiest_second(times):
    """The most that happened within any second, at whatever moment it begins."""
    times = sorted(times)
    most = begin = 0
    for end, at in enumerate(times):
        while times[begin] <= at - 1000:
            begin += 1
        most = max(most, end - begin + 1)
    return most


@pytest.fixture
def crowds():
    running = []
    yield running
    for one in running:
        one.process.kill()
        one.process.wait()


def test_10000_clients_come_back_spread_over_the_window(descriptors, start, room, crowds):  # noqa: F811
    gateway = start({"server": {"drain": f"{WINDOW:g}s"}})
    for _ in range(PROCESSES):
        crowds.append(Crowd(gateway.url, room, CLIENTS // PROCESSES))

    def everyone():
        assert all(one.process.poll() is None for one in crowds), "a crowd ended"
        return sum(one.open for one in crowds) == CLIENTS
    wait_until(everyone, 60 * PATIENCE, "all clients are there")
    gateway.wait_subscribers(room, CLIENTS)

    begin = time.time() * 1000
    gateway.signal(signal.SIGTERM)
    gateway.wait_exit(WINDOW + 10 * PATIENCE)
    assert gateway.exit_status == 0
    gateway.start()
    wait_until(everyone, 60 * PATIENCE, "all clients are back")
    gateway.wait_subscribers(room, CLIENTS)

    times = [one.ask() for one in crowds]
    byes, firsts, attempts, returns, late = ([at for one in times for at in one[name]]
                                             for name in ("byes", "firsts", "attempts", "returns", "late"))
    assert all(one["errors"] == {} for one in times)
    busiest = {name: busiest_second(all_times) / EVEN for name, all_times in
               (("byes", byes), ("first attempts", firsts), ("all attempts", attempts), ("returns", returns))}
    late.sort()
    figures = (f"{len(byes)} byes over {(max(byes) - min(byes)) / 1000:.1f} s, {len(attempts)} attempts, "
               f"{len(returns)} returns over {(max(returns) - min(returns)) / 1000:.1f} s, the last "
               f"{(max(returns) - begin) / 1000:.1f} s after SIGTERM; busiest second, of the even rate {EVEN:.0f}/s: "
               f"{', '.join(f'{name} {ratio:.2f}' for name, ratio in busiest.items())}; "
               f"came when told, off by {late[len(late) // 2]} ms (median), {late[-1]} ms (most)")
    print(f"\n{figures}")
    assert len(byes) == len(firsts) == len(returns) == CLIENTS, figures
    assert max(byes) - begin < WINDOW * 1000 + 1000 * PATIENCE, figures
    assert all(ratio <= 2 for ratio in busiest.values()), figures
    # Exactly when told. The process may lose the processor between taking two times, so not the extremes.
    assert late[CLIENTS // 100] >= -5 and late[CLIENTS * 99 // 100] < 500 * PATIENCE, figures
