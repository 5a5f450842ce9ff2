"""What the hot paths execute, counted under callgrind (bench/table/instructions.py).

Counts repeat, times do not: a change that makes a delivery or a publish dearer fails here. So does one that
makes it cheaper, until the new count is recorded; a later loss would be unseen otherwise.
"""

import os
import shutil
import subprocess
import sys

import pytest

from harness import BINARY, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "bench/table"))

import callgrind  # noqa: E402  pylint: disable=wrong-import-position
import instructions  # noqa: E402  pylint: disable=wrong-import-position
from processes import Failed  # noqa: E402  pylint: disable=wrong-import-position

pytestmark = pytest.mark.skipif(shutil.which("vgdb") is None, reason="needs valgrind")

# Atomic operations of a message, whatever its subscribers are: the turns of the loops that it passes, its
# mailbox entries, its counts. Per reactor that takes part.
LOCKED_PER_MESSAGE_AND_REACTOR = 100


def has_avx2():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        return any(line.startswith("flags") and " avx2 " in line for line in info)


@pytest.fixture(scope="module")
def costs():
    if not has_avx2():
        pytest.skip("the C library and simdjson have other code, with other counts, for a CPU without AVX2")
    os.environ["FANFARE_BIN"] = BINARY
    try:
        return instructions.measure()
    except Failed as failure:
        if "ptrace" in str(failure):
            pytest.skip(str(failure))       # forbidden here; a container may do so
        raise


def test_every_figure_is_the_recorded_one(costs):
    recorded = instructions.read_recorded()
    now = instructions.rounded(costs)
    assert now.keys() == recorded.keys()
    faults = [fault for name in now if (fault := instructions.judge(name, now[name], recorded))]
    assert not faults, "\n".join(faults)


def test_a_figure_that_is_off_is_named():
    recorded = {"ws_delivery": 100.0}
    judge = instructions.judge
    assert judge("ws_delivery", 104.9, recorded) is None
    assert judge("ws_delivery", 95.1, recorded) is None
    assert judge("burst_delivery", 18, {"burst_delivery": 17.0}) is None
    assert "ws_delivery: 106.0 instructions, recorded 100.0 (+6.0%)" in judge("ws_delivery", 106, recorded)
    assert "record the improvement" in judge("ws_delivery", 94, recorded)
    assert "not recorded yet" in judge("new", 94, recorded)


@pytest.mark.parametrize("name", ["ws_delivery", "sse_delivery", "burst_delivery", "two_reactors_delivery"])
def test_a_delivery_has_no_atomic_operation(costs, name):
    assert abs(sum(costs[name].locked.values())) < 0.05, costs[name].locked


def test_a_delivery_is_one_system_call_and_in_a_burst_a_part_of_one(costs):
    for name in ("ws_delivery", "sse_delivery", "two_reactors_delivery"):
        assert abs(sum(costs[name].syscalls.values()) - 1) < 0.05, costs[name].syscalls
    assert sum(costs["burst_delivery"].syscalls.values()) < 0.2


def test_atomics_and_wake_ups_of_a_message_are_a_matter_of_reactors(costs):
    one, two = costs["ws_message"], costs["two_reactors_message"]
    assert 0 < sum(one.locked.values()) < LOCKED_PER_MESSAGE_AND_REACTOR, one.locked
    assert 0 < sum(two.locked.values()) < 2 * LOCKED_PER_MESSAGE_AND_REACTOR, two.locked
    # A wake-up is a write to the eventfd of a mailbox: each side sleeps before a message, and the
    # publisher's once more before the answer.
    assert sum(count for name, count in one.syscalls.items() if "write" in name) < 0.05, one.syscalls
    assert 0.5 < sum(count for name, count in two.syscalls.items() if "write" in name) <= 3.05, two.syscalls


def test_two_reactors_cost_a_delivery_no_more_than_one(costs):
    assert costs["two_reactors_delivery"].instructions < 1.05 * costs["ws_delivery"].instructions


def test_many_rooms_cost_a_publish_no_more_than_few(costs):
    few, many = (costs[name].instructions for name in ("publish_few_rooms", "publish_many_rooms"))
    assert abs(many / few - 1) < 0.02


def test_a_slope_tells_a_delivery_from_the_rest_of_its_message():
    few, many = callgrind.Cost(1000 + 100 * 7), callgrind.Cost(1000 + 300 * 7)
    delivery, message = instructions.slope({300: many, 100: few})
    assert delivery.instructions == pytest.approx(7) and message.instructions == pytest.approx(1000)


LOOP = """
    .globl _start
_start:
    mov $1000, %ebx
again:
    lock incl word(%rip)
    lock cmpxchg %r10, long(%rip)
    xchg %eax, word(%rip)           # locks, though it does not say so
    xchg %r9, long(%rip)
    xchg %eax, %ecx                 # does not: no memory
    movl $0xf0, word(%rip)          # does not: the prefix's byte, but elsewhere
    mov $39, %eax                   # getpid
    syscall
    dec %ebx
    jnz again
    mov $60, %eax                   # exit
    xor %edi, %edi
    syscall
    .bss
word: .zero 4
    .balign 8
long: .zero 8
"""


def test_atomic_operations_and_system_calls_are_counted_exactly(tmp_path):
    """Of a program that does nothing else, a thousand times: a count of nothing would please the tests above."""
    (tmp_path / "loop.s").write_text(LOOP)
    program = tmp_path / "loop"
    # Position-independent as the gateway is: callgrind then writes addresses as the file has them.
    subprocess.run(["gcc", "-nostdlib", "-static-pie", "-o", program, tmp_path / "loop.s"], check=True, timeout=60)
    subprocess.run(callgrind.Callgrind(tmp_path).command(str(program)), check=True, timeout=60)
    cost = callgrind.read_profile(tmp_path / "profile")
    assert cost.instructions == 1 + 1000 * 10       # callgrind leaves out the end, which does not return
    assert sum(cost.locked.values()) == 4 * 1000
    assert sum(cost.syscalls.values()) == 1000
