"""Scale: 17,000 clients on one process all get a broadcast, and their memory comes back (§5, issue 2).

Clients and publisher are fanfare-load (bench/load), a process of its own: each side has its own
20,000 descriptors.
"""

import json
import os
import resource
import subprocess

import pytest

from harness import ALL_KEY, PATIENCE, REPOSITORY, wait_until

LOAD = os.environ.get("FANFARE_LOAD", str(REPOSITORY / "build/release/fanfare-load"))

WEBSOCKETS = 15_000
STREAMS = 2_000
DESCRIPTORS = 20_000
MESSAGES = 5
MIB = 1024 * 1024
LEFT_OVER = 16 * MIB    # after all have left


def memory(pid, field):
    """A line of /proc/<pid>/status in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))


@pytest.fixture
def descriptors():
    """Room for all clients in the processes that the test starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors per process, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def broadcast(gateway, prefix):
    """Connects everyone, publishes to all of them, checks every delivery; returns the report."""
    command = [LOAD, "--url", f"http://127.0.0.1:{gateway.port}", "--api-key", ALL_KEY,
               "--mode", "broadcast", "--ws", str(WEBSOCKETS), "--sse", str(STREAMS),
               "--room-prefix", prefix, "--messages", str(MESSAGES), "--rate", "2",
               "--connect-rate", "2500", "--connect-timeout", str(20 * PATIENCE), "--settle", "0.5",
               # Ports of the last round may still be in TIME_WAIT.
               "--source-addresses", "127.0.0.1", "127.0.0.2", "127.0.0.3",
               "--timeout", str(40 * PATIENCE), "--quiet", "--pid", str(gateway.pid)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert run.returncode == 0, f"{run.stdout[-4000:]}\n{run.stderr[-2000:]}\n{gateway.log()[-2000:]}"
    return json.loads(run.stdout)


@pytest.mark.skipif(not os.access(LOAD, os.X_OK), reason=f"no load generator at {LOAD}")
def test_17000_clients_get_a_broadcast_and_give_their_memory_back(descriptors, start):
    gateway = start()
    begin = memory(gateway.pid, "VmRSS")
    peaks = []
    after = []
    for round_number in range(2):
        report = broadcast(gateway, f"open:scale{round_number}")
        assert report["checks"] and all(report["checks"].values()), report["checks"]
        assert report["messages"]["deliveries"] == MESSAGES * (WEBSOCKETS + STREAMS)
        peaks.append(memory(gateway.pid, "VmHWM"))
        # The gateway trims its heap some seconds after many clients have left.
        wait_until(lambda: memory(gateway.pid, "VmRSS") - begin < LEFT_OVER, 20 * PATIENCE,
                   "the memory is back near the start")
        after.append(memory(gateway.pid, "VmRSS"))
    figures = (f"start {begin / MIB:.1f} MiB, peaks "
               f"{' and '.join(f'{peak / MIB:.1f}' for peak in peaks)} MiB, after "
               f"{' and '.join(f'{rest / MIB:.1f}' for rest in after)} MiB, "
               f"{(peaks[0] - begin) / (WEBSOCKETS + STREAMS):.0f} bytes per client")
    print(f"\n{figures}")
    assert peaks[1] < 1.02 * peaks[0], figures
