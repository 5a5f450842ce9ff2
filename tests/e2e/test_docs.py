"""The documentation says what is there: its links lead somewhere, its tables of log events, commands,
settings and limits match the program."""

import re

import pytest

from harness import REPOSITORY, run_command

PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md",
                *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "bench").rglob("*.md")])


def text_of(page):
    """Without fenced code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)


def anchors(page):
    """As the usual renderers make them from headings."""
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", text_of(page), re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: no such file"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{target}: no such heading"


def section(page, title):
    return page.read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_operators_guide_has_every_log_event_and_no_other():
    logged = set()
    for source in (REPOSITORY / "src").rglob("*.cpp"):
        for level, event in re.findall(r'log::(error|warn|info|debug)\(\s*"(\w+)"', source.read_text()):
            logged.add((event, level))
    table = section(REPOSITORY / "docs/operators.md", "Logs")
    documented = set(re.findall(r"^\| `(\w+)` \| (error|warn|info|debug) \|", table, re.M))
    assert len(logged) > 10
    # An assertion writes its line itself: it trusts nothing of a process that is about to die.
    assert documented - {("assertion_failed", "error")} == logged


def test_the_operators_guide_has_every_command(tmp_path):
    help_text = run_command("--help", directory=tmp_path).stdout
    commands = set(re.findall(r"^  ([a-z][a-z-]+) {2,}", help_text.split("Subcommands:")[1], re.M))
    assert {"serve", "publish", "top"} <= commands
    running = section(REPOSITORY / "docs/operators.md", "Running")
    documented = set(re.findall(r"^\| `fanfare ([a-z-]+)", running, re.M))
    assert documented == commands


@pytest.mark.parametrize("command", ["serve", "check-config", "token", "publish", "top", "store check", "store backup",
                                     "store vacuum", "store stats"])
def test_the_operators_guide_has_every_option(tmp_path, command):
    help_text = run_command(*command.split(), "--help", directory=tmp_path).stdout
    options = set(re.findall(r"(--[a-z-]+)", help_text)) - {"--help"}
    running = section(REPOSITORY / "docs/operators.md", "Running")
    row = "".join(re.findall(rf"^\| `fanfare {command}[^\n]*", running, re.M))
    assert options <= set(re.findall(r"(--[a-z-]+)", row)), row


def test_the_example_configuration_has_every_key(tmp_path):
    keys = run_command("check-config", "--keys", directory=tmp_path).stdout
    names = set(re.findall(r"^([a-z_]+(?:\.[a-z_]+)*)", keys, re.M))
    example = (REPOSITORY / "config/fanfare.yaml").read_text()
    for name in names:
        assert re.search(rf"\b{name.split('.')[-1]}:", example), name
