#!/usr/bin/env python3
"""The tree checks itself: includes against the arrows, and a few rules that no compiler knows.

    check_tree.py [ROOT]

The arrows are read where the build reads them, in the fanfare_module(...) lines of CMakeLists.txt.
Prints one line per fault, `file:line: what`, and exits 1 if there is any. That every public header
compiles alone is the build target `headers_alone`.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

LINES_MAX = 700
# Browsers load the client library as it lies here: one module, which no build step puts together.
LONGER = {"src/api/assets/client/fanfare.js": 1600}
CODE = {".cpp", ".hpp", ".py", ".js", ".ts", ".mjs", ".cmake", ".sh"}
TEXT = CODE | {".md", ".txt", ".yaml", ".yml", ".json", ".html", ".css", ".service", ".socket", ".lua"}
SHELVES_OF_CODE = ("src", "include", "tests", "bench", "cmake", "scripts", ".ci", "config", "systemd")
# Below these stands the name of a folder of src/.
OF_A_FOLDER = (("include", "fanfare"), ("tests", "unit"), ("tests", "programs"))
# Spelt in halves, so that this file passes too.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# Who may know a library: (what its includes look like, where they may stand, in words).
LIBRARIES = [
    (re.compile(r"spdlog/"), re.compile(r"src/base/log\.cpp"), "src/base/log.cpp"),
    (re.compile(r"prometheus/"), re.compile(r"src/base/metrics\.cpp"), "src/base/metrics.cpp"),
    (re.compile(r"yaml-cpp/"), re.compile(r"(src|tests/unit)/app/|bench/"), "src/app"),
    (re.compile(r"CLI/"), re.compile(r"(src|tests/unit)/app/|bench/"), "src/app and bench"),
]


@dataclass(frozen=True)
class Include:
    line: int
    quoted: bool
    name: str


def read_arrows(cmake: str) -> dict[str, list[str]]:
    """Folder to the folders it names after USES, in the order of declaration."""
    without_comments = re.sub(r"#.*", "", cmake)
    arrows = {}
    for arguments in re.findall(r"fanfare_module\(([^)]*)\)", without_comments):
        name, *rest = arguments.split()
        keyword, uses = "", []
        for word in rest:
            if word in ("USES", "LIBS", "PRIVATE_LIBS"):
                keyword = word
            elif keyword == "USES":
                uses.append(word)
        arrows[name] = uses
    return arrows


def reachable(arrows: dict[str, list[str]]) -> dict[str, set[str]]:
    """Folder to itself and all that its arrows lead to."""
    reach: dict[str, set[str]] = {}
    for name, uses in arrows.items():  # declared bottom up
        reach[name] = {name}.union(*(reach.get(used, {used}) for used in uses))
    return reach


def includes(text: str) -> list[Include]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            found.append(Include(number, match[1] == '"', match[2]))
    return found


class Tree:
    def __init__(self, root: Path):
        self.root = root
        self.faults: list[str] = []
        cmake = root / "CMakeLists.txt"
        self.arrows = read_arrows(cmake.read_text())
        self.reach = reachable(self.arrows)
        if not self.arrows:
            self.fault("CMakeLists.txt", 1, "has no fanfare_module line")

    def fault(self, file: str, line: int, what: str) -> None:
        self.faults.append(f"{file}:{line}: {what}")

    def files(self) -> list[Path]:
        """Every file of ours, without what a build or a package manager leaves behind."""
        found = [path for path in self.root.iterdir() if path.is_file()]
        for top in (*SHELVES_OF_CODE, "docs"):
            found += (self.root / top).rglob("*")
        skipped = {"__pycache__", "node_modules", "seeds"}
        return sorted(path for path in found
                      if path.is_file() and not skipped.intersection(path.relative_to(self.root).parts))

    def check(self) -> list[str]:
        for path in self.files():
            script = path.suffix == "" and path.parent.name in ("scripts", ".ci")
            if path.suffix not in TEXT and not script:
                continue
            name = path.relative_to(self.root).as_posix()
            text = path.read_text(errors="replace")
            self.check_text(name, text, path.suffix in CODE or script)
            if path.suffix in (".cpp", ".hpp"):
                self.check_includes(path, name, text)
        return self.faults

    def check_text(self, name: str, text: str, code: bool) -> None:
        lines_max = LONGER.get(name, LINES_MAX)
        if code and text.count("\n") > lines_max:
            self.fault(name, lines_max + 1, f"is longer than {lines_max} lines")
        if UNFINISHED.search(text):
            for number, line in enumerate(text.splitlines(), 1):
                word = UNFINISHED.search(line)
                if word:
                    self.fault(name, number, f"says {word[0]}: do it, or file it")

    def check_includes(self, path: Path, name: str, text: str) -> None:
        parts = Path(name).parts
        folder = ""  # of the concept that this file belongs to
        if parts[0] == "src" and len(parts) > 2:
            folder = parts[1]
        elif parts[:2] in OF_A_FOLDER and len(parts) > 3:
            folder = parts[2]
        elif parts[:2] == ("bench", "micro") and name.endswith("_bench.cpp"):
            folder = parts[2].removesuffix("_bench.cpp")
        elif parts[:2] == ("tests", "integration"):
            folder = "app"  # they start the gateway as the program does
        if folder and folder not in self.arrows:
            self.fault(name, 1, f"folder {folder} has no fanfare_module line in CMakeLists.txt")
        for include in includes(text):
            self.check_library(name, include)
            if include.name.startswith("fanfare/"):
                self.check_arrow(name, folder, include)
            elif include.quoted:
                self.check_quoted(path, name, folder, include)

    def check_library(self, name: str, include: Include) -> None:
        for library, place, words in LIBRARIES:
            if library.match(include.name) and not place.match(name):
                self.fault(name, include.line, f"only {words} may include <{include.name}>")

    def check_arrow(self, name: str, folder: str, include: Include) -> None:
        parts = include.name.split("/")
        if include.quoted:
            self.fault(name, include.line, f"public header in quotes: write <{include.name}>")
        if not (self.root / "include" / include.name).is_file():
            self.fault(name, include.line, f"<{include.name}> does not exist")
        used = parts[1] if len(parts) > 2 else ""
        if not used or used not in self.arrows:
            self.fault(name, include.line, f"<{include.name}> is not in a folder of CMakeLists.txt")
        elif name.startswith(("bench/load/", "bench/floor/", "bench/push_sim/")):
            self.fault(name, include.line, "load generator, floors and simulator share no code with the gateway")
        elif folder in self.arrows and used not in self.reach[folder]:
            self.fault(name, include.line, f"{folder} has no arrow to {used}")

    def check_quoted(self, path: Path, name: str, folder: str, include: Include) -> None:
        if ".." in include.name.split("/"):
            self.fault(name, include.line, f'"{include.name}" climbs out of its folder')
            return
        top = name.split("/")[0]
        places = [path.parent]
        if top == "src":
            places.append(self.root / "src" / folder)
        elif name.startswith("bench/micro/"):
            places.append(self.root / "src" / folder)
        elif name.startswith(("tests/unit/", "tests/programs/")):
            places += [self.root / "src" / folder, self.root / "tests"]
        elif name.startswith("tests/fuzz/"):  # a parser is often private
            places += [self.root / "src" / used for used in self.arrows] + [self.root / "tests"]
        elif name.startswith("tests/integration/"):
            places += [self.root / "src" / folder, self.root / "tests"]
        elif top == "tests":
            places.append(self.root / "tests")
        for place in places:
            found = place / include.name
            # From the root of tests/ only support/ may be shared.
            if found.is_file() and (place != self.root / "tests" or include.name.startswith("support/")):
                return
        self.fault(name, include.line, f'"{include.name}" is not a private header of this folder')


def main(arguments: list[str]) -> int:
    root = Path(arguments[1] if len(arguments) > 1 else Path(__file__).parents[2]).resolve()
    faults = Tree(root).check()
    for fault in faults:
        print(fault)
    print(f"tree: {len(faults)} faults" if faults else "tree: the arrows hold")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
