#!/usr/bin/env python3
"""Breaks each rule of check_tree.py once, in a tree of a few files."""

import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import check_tree  # noqa: E402

CMAKE = """
# fanfare_module(commented USES nothing)
fanfare_module(base LIBS fmt::fmt PRIVATE_LIBS spdlog::spdlog)
fanfare_module(net  USES base)   # comment
fanfare_module(room USES net
                    PRIVATE_LIBS simdjson::simdjson)
fanfare_module(http USES net)
fanfare_module(app  USES http room)
"""
GOOD = {
    "CMakeLists.txt": CMAKE,
    "include/fanfare/base/log.hpp": "#pragma once\n#include <string>\n",
    "include/fanfare/net/reactor.hpp": "#pragma once\n#include <fanfare/base/log.hpp>\n",
    "include/fanfare/room/room.hpp": "#pragma once\n#include <fanfare/net/reactor.hpp>\n",
    "include/fanfare/http/message.hpp": "#pragma once\n",
    "src/base/log.cpp": "#include <fanfare/base/log.hpp>\n#include <spdlog/spdlog.h>\n",
    "src/base/metrics.cpp": "#include <prometheus/registry.h>\n",
    "src/room/history.hpp": "#pragma once\n",
    "src/room/history.cpp": '#include "history.hpp"\n#include <fanfare/base/log.hpp>\n',
    "src/room/sub/deep.cpp": '#include "history.hpp"\n',
    "src/app/config.cpp": "#include <yaml-cpp/yaml.h>\n#include <CLI/CLI.hpp>\n",
    "tests/support/manual_clock.hpp": "#pragma once\n",
    "tests/unit/room/history_test.cpp": '#include "history.hpp"\n#include "support/manual_clock.hpp"\n',
    "tests/integration/node_test.cpp": '#include <fanfare/room/room.hpp>\n',
    "tests/fuzz/history_fuzz.cpp": '#include "history.hpp"\n',
    "tests/programs/room/history_tool.cpp": '#include "history.hpp"\n',
    "bench/micro/room_bench.cpp": '#include "history.hpp"\n#include <fanfare/room/room.hpp>\n',
    "bench/load/main.cpp": "#include <CLI/CLI.hpp>\n",
}


def check(changes: dict[str, str]) -> list[str]:
    with tempfile.TemporaryDirectory() as root:
        for name, text in {**GOOD, **changes}.items():
            path = Path(root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return check_tree.Tree(Path(root)).check()


class CheckTree(unittest.TestCase):
    def broken(self, file: str, text: str, fault: str) -> None:
        faults = check({file: text})
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(fault, faults[0])
        self.assertTrue(faults[0].startswith(file + ":"), faults[0])

    def test_a_good_tree_has_no_fault(self):
        self.assertEqual(check({}), [])

    def test_arrows_are_read_and_followed(self):
        arrows = check_tree.read_arrows(CMAKE)
        self.assertEqual(arrows["app"], ["http", "room"])
        self.assertEqual(arrows["room"], ["net"])
        self.assertNotIn("commented", arrows)
        self.assertEqual(check_tree.reachable(arrows)["room"], {"room", "net", "base"})

    def test_arrow_upwards(self):
        self.broken("src/net/a.cpp", "#include <fanfare/room/room.hpp>\n", "net has no arrow to room")

    def test_arrow_sideways_in_a_public_header(self):
        self.broken("include/fanfare/http/b.hpp", "#include <fanfare/room/room.hpp>\n",
                    "http has no arrow to room")

    def test_arrow_in_a_unit_test(self):
        self.broken("tests/unit/room/a_test.cpp", "#include <fanfare/http/message.hpp>\n",
                    "room has no arrow to http")

    def test_header_that_does_not_exist(self):
        self.broken("src/room/a.cpp", "#include <fanfare/net/gone.hpp>\n", "does not exist")

    def test_folder_without_a_module_line(self):
        self.broken("src/extra/a.cpp", "int x;\n", "has no fanfare_module line")

    def test_public_header_in_quotes(self):
        self.broken("src/room/a.cpp", '#include "fanfare/net/reactor.hpp"\n', "write <fanfare/")

    def test_private_header_of_another_folder(self):
        self.broken("src/app/a.cpp", '#include "history.hpp"\n', "not a private header")

    def test_private_header_of_another_folder_in_a_unit_test(self):
        self.broken("tests/programs/net/a.cpp", '#include "history.hpp"\n', "not a private header")
        self.broken("bench/micro/net_bench.cpp", '#include "history.hpp"\n', "not a private header")
        self.broken("tests/unit/net/a_test.cpp", '#include "history.hpp"\n', "not a private header")

    def test_private_header_in_a_public_one(self):
        self.broken("include/fanfare/room/a.hpp", '#include "history.hpp"\n', "not a private header")

    def test_one_test_suite_does_not_include_another(self):
        self.broken("tests/unit/room/a_test.cpp", '#include "integration/node_test.cpp"\n',
                    "not a private header")

    def test_climbing_out(self):
        self.broken("src/app/a.cpp", '#include "../room/history.hpp"\n', "climbs out")
        self.broken("src/room/a.cpp", '#include "sub/../history.hpp"\n', "climbs out")

    def test_libraries_have_one_place(self):
        self.broken("src/base/a.cpp", "#include <spdlog/sinks/sink.h>\n", "only src/base/log.cpp")
        self.broken("src/net/a.cpp", "#  include <prometheus/counter.h>\n", "only src/base/metrics.cpp")
        self.broken("src/room/a.cpp", "#include <yaml-cpp/yaml.h>\n", "only src/app")
        self.broken("src/net/a.cpp", "#include <CLI/App.hpp>\n", "only src/app and bench")

    def test_load_generator_shares_no_code(self):
        self.broken("bench/load/a.cpp", "#include <fanfare/base/log.hpp>\n", "share no code")

    def test_long_file(self):
        self.broken("src/room/a.cpp", "\n" * 701, "longer than 700")
        self.assertEqual(check({"src/room/a.cpp": "\n" * 700}), [])
        self.broken("src/api/assets/client/fanfare.js", "\n" * 1601, "longer than 1600")

    def test_unfinished_work(self):
        self.broken("src/room/a.cpp", "int a;\n// TO" "DO later\n", ":2: says")
        self.broken("scripts/run", "# FIX" "ME\n", "says")
        self.broken("docs/a.md", "X" "XX\n", "says")
        self.assertEqual(check({"src/room/a.cpp": "// MASTO" "DON\n"}), [])

    def test_the_real_tree_takes_under_a_second(self):
        start = time.process_time()
        check_tree.Tree(Path(__file__).parents[2]).check()
        self.assertLess(time.process_time() - start, 1)


if __name__ == "__main__":
    unittest.main()
