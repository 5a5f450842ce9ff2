"""A program under valgrind's callgrind, and what it executed between two moments.

callgrind counts every instruction that the program executes in user space. With --dump-instr it says
so for each address, which tells two things more, by looking at the bytes there: how many of them
locked a cache line (an atomic operation, whoever wrote it: ours, the library's, Asio's), and how many
entered the kernel, by the function of the C library that did.
"""

import struct
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from processes import Failed

VGDB_SECONDS_MAX = 60


@dataclass
class Cost:
    instructions: float = 0
    # Executed instructions that lock a cache line; calls of the kernel. Each by the function they are in.
    locked: Counter = field(default_factory=Counter)
    syscalls: Counter = field(default_factory=Counter)

    def __sub__(self, other):
        return Cost(self.instructions - other.instructions, difference(self.locked, other.locked),
                    difference(self.syscalls, other.syscalls))

    def __mul__(self, factor):
        return Cost(self.instructions * factor, *(Counter({name: count * factor for name, count in counts.items()})
                                                  for counts in (self.locked, self.syscalls)))

    def __truediv__(self, divisor):
        return self * (1 / divisor)


def difference(more, less):
    return Counter({name: more[name] - less[name] for name in more.keys() | less.keys()})


class Callgrind:
    """Counts one process. The command that starts it: `command(…)`; its pid is the process's own,
    which stays the same when valgrind replaces itself by its tool."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.dumps = 0

    def command(self, program, *arguments):
        return ["valgrind", "--quiet", "--tool=callgrind", f"--vgdb-prefix={self._prefix}",
                f"--callgrind-out-file={self.directory}/profile", "--dump-instr=yes",
                "--compress-pos=no", "--compress-strings=no", program, *arguments]

    @property
    def _prefix(self):
        return self.directory / "vgdb"

    def instrument(self, pid, on):
        """Off: nothing is counted, and the program runs several times faster."""
        self._tell(pid, "instrumentation", "on" if on else "off")

    def zero(self, pid):
        """Counting begins."""
        self._tell(pid, "zero")

    def take(self, pid):
        """The cost since `zero`, or since the last `take`."""
        self._tell(pid, "dump", "taken")
        self.dumps += 1
        dump = Path(f"{self.directory}/profile.{self.dumps}")
        cost = read_profile(dump)
        dump.unlink()
        return cost

    def _tell(self, pid, *words):
        # A process that sleeps in the kernel does not look for commands: vgdb wakes it (ptrace), after
        # so many milliseconds.
        command = ["vgdb", f"--vgdb-prefix={self._prefix}", f"--pid={pid}", "--max-invoke-ms=1", *words]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=VGDB_SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            raise Failed("valgrind did not hear a command; vgdb needs ptrace for that") from None
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def read_profile(path):
    """Sums up a profile of callgrind (format: callgrind manual, "Callgrind Format Specification")."""
    cost = Cost()
    code = None
    function = ""
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("0x"):
                address, _, executed = line.split()
                executed = int(executed)
                cost.instructions += executed
                kind = code.kind(int(address, 16)) if code else None
                if kind == "locked":
                    cost.locked[function] += executed
                elif kind == "syscall":
                    cost.syscalls[function] += executed
            elif line.startswith("calls="):
                next(lines)             # what the callee cost: it has lines of its own
            elif line.startswith("fn="):
                function = line[3:].strip().split("'")[0].split("@")[0]
            elif line.startswith("ob="):
                code = code_of(line[3:].strip())
    return cost


class Code:
    """The instructions of an ELF file, by the addresses that it was linked to."""

    LEGACY_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3")

    def __init__(self, path):
        self.bytes = path.read_bytes()
        offset, = struct.unpack_from("<Q", self.bytes, 0x20)
        size, number = struct.unpack_from("<HH", self.bytes, 0x36)
        self.segments = []
        for i in range(number):
            kind, _, at, address, _, length = struct.unpack_from("<IIQQQQ", self.bytes, offset + i * size)
            if kind == 1:               # PT_LOAD
                self.segments.append((address, at, length))
        self.kinds = {}

    def kind(self, address):
        """"locked", "syscall", or None for all others."""
        if address not in self.kinds:
            self.kinds[address] = self._kind(address)
        return self.kinds[address]

    def _kind(self, address):
        code = next((self.bytes[at + address - begin:at + address - begin + 15]
                     for begin, at, length in self.segments if begin <= address < begin + length), b"")
        i = 0
        while i < len(code) and code[i] in self.LEGACY_PREFIXES:
            i += 1
        if code[i:i + 1] == b"\xf0":
            return "locked"
        if 0x40 <= int.from_bytes(code[i:i + 1], "little") <= 0x4F:     # REX
            i += 1
        # xchg with memory locks without being told to (Intel SDM vol. 2, XCHG).
        if code[i:i + 1] in (b"\x86", b"\x87") and code[i + 1] >> 6 != 3:
            return "locked"
        return "syscall" if code[i:i + 2] == b"\x0f\x05" else None


@lru_cache(maxsize=None)
def code_of(name):
    path = Path(name)
    return Code(path) if path.is_file() else None     # "???": no file is mapped there
