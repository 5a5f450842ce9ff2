"""Prints the benchmark table with its verdicts; scripts/bench builds what it needs and calls it.

The table is Markdown, fit for docs/performance.md. build/bench/ keeps it as table.md and, with all runs
behind it, as table.json; each row also as <row>.json. Exit status: 0 all rows have a figure (whatever
the verdicts), 1 one has none, 2 usage. How to read it: README.md.
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

import floor
from bench import Bench
from judging import verdict
from peers import PEERS, missing, peer_rows
from processes import DESCRIPTORS_MAX, REPOSITORY, Failed, Processes
from rows import ROWS

# Above this share of the machine's time, taken by others while a row ran, its figures are void.
NOISE_MAX = 0.05

COLUMNS = ["what", "figure", "floor", "ratio: median (quartiles)", "bar", "verdict", "row"]


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0],
                                     epilog="Any other arguments: one run of fanfare-load with them "
                                            "(see its --help) against a fresh gateway.")
    parser.add_argument("--row", action="append", choices=ROWS, metavar="NAME",
                        help="only this row; may be repeated. One of: " + ", ".join(ROWS))
    parser.add_argument("--peer", action="append", choices=PEERS, metavar="NAME",
                        help="rows of another server instead (scripts/setup --bench-peers installs "
                             "them); may be repeated. One of: " + ", ".join(PEERS))
    parser.add_argument("--quick", action="store_true",
                        help="small and short: proves that every row works, its figures mean nothing")
    parser.add_argument("--pairs", type=int, default=7, metavar="N",
                        help="how often gateway and floor alternate (7)")
    parser.add_argument("--out", default=str(REPOSITORY / "build/bench"), metavar="DIR",
                        help="where the raw results go (build/bench)")
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error("--pairs: at least 1")
    for peer in arguments.peer or ():
        if lacking := missing(peer):
            parser.error(f"--peer {peer}: {lacking} is not there; scripts/setup --bench-peers installs it")
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
        # Interrupts serve the loopback traffic of the runs, and what a process is charged includes them.
        busy = user + nice + system + irq + soft + steal
        return busy - ours, busy + idle + iowait

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


class Table:
    """Runs rows one after the other and collects what they say."""

    def __init__(self, processes, arguments, out):
        self.processes = processes
        self.arguments = arguments
        self.out = out
        self.unsound = []       # why the floor of this table is none
        self.results = []
        self.failures = []

    def add(self, name, row):
        print(f"bench: {name} …", file=sys.stderr, flush=True)
        self.processes.runs = []
        noise = Noise()
        begun = time.monotonic()
        try:
            lines = row.run(Bench(self.processes, self.arguments.pairs, self.arguments.quick))
        except Failed as failure:
            self.failures.append(f"{name}: {failure}")
            print(f"bench: {name}: {failure}", file=sys.stderr)
            return
        share = noise.share()
        busy = self._busy(share)
        general = (["quick"] if self.arguments.quick else []) + (self.unsound if row.floor else [])
        result = {"row": name, "quick": self.arguments.quick, "pairs": self.arguments.pairs,
                  "others_cpu_share": round(share, 3), "seconds": round(time.monotonic() - begun, 1),
                  "lines": [self._line(line, general + (busy if line.timed else [])) for line in lines],
                  "runs": self.processes.runs}
        self.results.append(result)
        write_json(self.out / f"{name}.json", result)
        if name == "floor":
            self.unsound = floor.unsound(lines)

    def _busy(self, share):
        """Why figures that depend on time do not count."""
        busy = []
        if self.processes.load_core is None:
            busy.append("server and generator shared a core")
        if share > NOISE_MAX:
            busy.append(f"{share:.0%} of the machine went to others")
        return busy

    @staticmethod
    def _line(line, void):
        judged = line.judged
        return {"what": line.what, "figure": line.figure, "floor": line.floor, "ratio": line.ratio,
                "bar": "–" if line.bar is None else str(line.bar),
                "verdict": verdict(line.bar, judged, line.void + void),
                "judged": None if judged is None else
                          {"median": judged.median, "low": judged.low, "high": judged.high,
                           "values": list(judged.values)}}

    def markdown(self, header):
        cells = [COLUMNS, ["---"] * len(COLUMNS)]
        for result in self.results:
            cells += [[line[key] for key in ("what", "figure", "floor", "ratio", "bar", "verdict")] +
                      [f"`{result['row']}`"] for line in result["lines"]]
        return f"{header}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in cells)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def chosen_rows(arguments):
    """Name to row, the floor's own first where a row depends on it."""
    if arguments.peer:
        chosen = {name: row for peer in arguments.peer for name, row in peer_rows(peer).items()}
    else:
        chosen = {name: ROWS[name] for name in arguments.row or ROWS}
    if any(row.floor for row in chosen.values()):
        chosen = {"floor": ROWS["floor"]} | chosen
    return chosen


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

    processes = Processes(sorted(os.sched_getaffinity(0)))
    out = type(REPOSITORY)(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    table = Table(processes, arguments, out)
    for name, row in chosen_rows(arguments).items():
        table.add(name, row)
    header = machine(processes)
    seconds = round(time.monotonic() - begun)
    text = table.markdown(f"{header}; {arguments.pairs} pairs, {seconds // 60} min {seconds % 60} s")
    (out / "table.md").write_text(text, encoding="utf-8")
    write_json(out / "table.json", {"machine": header, "pairs": arguments.pairs, "seconds": seconds,
                                    "quick": arguments.quick, "failures": table.failures,
                                    "rows": table.results})
    print(text, end="")
    return 1 if table.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
