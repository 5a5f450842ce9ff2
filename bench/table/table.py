"""Prints one table of the first figures; scripts/bench builds what it needs and calls it.

The table is Markdown, fit for docs/performance.md; the reports behind each row are left in
build/bench/<row>.json, the table in build/bench/table.md. Exit status: 0 all rows have a figure, 1 one
has none, 2 usage.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time

from processes import DESCRIPTORS_MAX, REPOSITORY, Failed, Processes
from rows import ROWS, UNTIMED, Bench

# Above this share of the machine's time, taken by others while a row ran, the row is marked.
NOISE_MAX = 0.05


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0],
                                     epilog="Any other arguments: one run of fanfare-load with them "
                                            "(see its --help) against a fresh gateway.")
    parser.add_argument("--row", action="append", choices=ROWS, metavar="NAME",
                        help="only this row; may be repeated. One of: " + ", ".join(ROWS))
    parser.add_argument("--quick", action="store_true",
                        help="small and short: proves that every row works, its figures mean nothing")
    parser.add_argument("--pairs", type=int, default=3, metavar="N",
                        help="how often fan-out and publish rows alternate gateway and floor (3)")
    parser.add_argument("--out", default=str(REPOSITORY / "build/bench"), metavar="DIR",
                        help="where the raw results go (build/bench)")
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error("--pairs: at least 1")
    return arguments


class Noise:
    """How much of the machine's CPU time others took, the hypervisor included."""

    def __init__(self):
        self.begin = self._sample()

    @staticmethod
    def _sample():
        with open("/proc/stat", encoding="ascii") as stat:
            user, nice, system, idle, iowait, irq, soft, steal = map(int, stat.readline().split()[1:9])
        own = os.times()
        ours = (own.user + own.system + own.children_user + own.children_system) * os.sysconf("SC_CLK_TCK")
        # Interrupts serve the loopback traffic of the runs themselves.
        return user + nice + system + steal - ours, user + nice + system + idle + iowait + irq + soft + steal

    def share(self):
        """Since the construction. Children count as others until they were waited for."""
        others, total = (now - then for now, then in zip(self._sample(), self.begin))
        return max(0.0, others / max(total, 1))


def machine(processes):
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    version = subprocess.run([processes.gateway, "version"], capture_output=True, text=True,
                             timeout=10, check=True).stdout.split("\n", 1)[0]
    return (f"{os.cpu_count()} × {model}, Linux {platform.release()}, {version}, "
            f"{datetime.date.today().isoformat()}")


def run_row(name, processes, arguments, out):
    """The row's lines as table cells; raises Failed."""
    processes.runs = []
    noise = Noise()
    begun = time.monotonic()
    lines = ROWS[name](Bench(processes, arguments.pairs, arguments.quick))
    share = noise.share()
    result = {"row": name, "lines": [vars(line) for line in lines], "quick": arguments.quick,
              "others_cpu_share": round(share, 3), "seconds": round(time.monotonic() - begun, 1),
              "runs": processes.runs}
    (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    mark = f" *({share:.0%} others)*" if share > NOISE_MAX and name not in UNTIMED else ""
    command = f"`scripts/bench --row {name}`"
    return [[line.what + mark, line.figure, line.floor, line.ratio, command] for line in lines]


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

    processes = Processes(sorted(os.sched_getaffinity(0)))
    out = type(REPOSITORY)(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    cells = [["what", "figure", "floor", "ratio", "command"], ["---"] * 5]
    failures = []
    for name in arguments.row or ROWS:
        print(f"bench: {name} …", file=sys.stderr, flush=True)
        try:
            cells += run_row(name, processes, arguments, out)
        except Failed as failure:
            failures.append(f"{name}: {failure}")
            print(f"bench: {name}: {failure}", file=sys.stderr)
    rows = "".join(f"| {' | '.join(row)} |\n" for row in cells)
    table = f"{machine(processes)}\n\n{rows}"
    (out / "table.md").write_text(table, encoding="utf-8")
    print(table, end="")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
