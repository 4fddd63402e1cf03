"""The house rules that a program can check."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from goldwire.cli.main import app
from goldwire.cli.reference_pages import pages

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FORBIDDEN_NAMES = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "manager",
    "sink",
    "job",
    "provider",
    "plugin",
}
LIMIT_LINES = 500
LIMIT_FUNCTION_LINES = 50


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_room_imports_only_the_rooms_above_it() -> None:
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_a_source_file_has_one_duty_and_says_it_first(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LIMIT_LINES
    tree = ast.parse(text)
    if not is_generated(path):
        assert ast.get_docstring(tree), "the docstring opens with the module's duty"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body_lines = (node.end_lineno or 0) - node.body[0].lineno + 1
            assert body_lines <= LIMIT_FUNCTION_LINES, f"{node.name} has {body_lines} lines"


def is_generated(path: Path) -> bool:
    return "migrations" in path.parts


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_names_say_what_a_thing_is(path: Path) -> None:
    names = {part.lower() for part in path.relative_to(ROOT / "src").with_suffix("").parts}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names |= set(re.findall(r"[A-Z]?[a-z]+", node.name.replace("_", " ")))
    assert not {name.lower() for name in names} & FORBIDDEN_NAMES


def imported(path: Path) -> set[str]:
    """Every name that a file imports, whole: `goldwire.errors.InputError`, also where only a type checker imports it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


ROOMS = ROOT / "src" / "goldwire"
COMPOSITION_ROOT = ROOMS / "services" / "application.py"


def test_a_service_takes_what_it_uses_and_not_the_whole_application() -> None:
    services = [path for path in (ROOMS / "services").rglob("*.py") if path != COMPOSITION_ROOT]
    assert len(services) > 20
    assert [short(path) for path in services if "goldwire.services.application" in imported(path)] == []
    assert "goldwire.services.application" in imported(ROOMS / "python_api.py"), "the doors ask it for services"


def test_a_service_and_the_relay_name_the_ports_that_they_use_and_not_the_whole_store() -> None:
    whole = "goldwire.changelog.ports.store.Store"
    users = [path for room in ("services", "relay") for path in (ROOMS / room).rglob("*.py") if whole in imported(path)]
    assert users == [COMPOSITION_ROOT]


def test_the_relay_reports_to_a_port_and_knows_no_metric_and_no_logger() -> None:
    tools = {"prometheus_client", "structlog", "logging"}
    assert [short(path) for path in (ROOMS / "relay").rglob("*.py") if imported(path) & tools] == []
    assert imported(ROOMS / "observability" / "reports.py") >= {"structlog", "logging"}


def test_no_file_of_the_tests_is_longer_than_a_file_of_the_source_may_be() -> None:
    lengths = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in TESTS}
    assert {path: length for path, length in lengths.items() if length > LIMIT_LINES} == {}


def test_a_test_file_is_no_package() -> None:
    assert not [short(path) for path in TESTS if path.name == "__init__.py"]


def test_nothing_of_our_own_is_mocked() -> None:
    mocking = re.compile(r"unittest\.mock|\bmonkeypatch\.setattr|mocker\.")
    found = [short(path) for path in TESTS if path != Path(__file__) and mocking.search(path.read_text(encoding="utf-8"))]
    assert not found


def test_every_lint_exception_gives_its_reason_once_in_its_file() -> None:
    comment = re.compile(r"#\s*(?:noqa:|type:\s*ignore\[)\s*([A-Za-z0-9-]+)[^#\n]*?\]?(\s+[-#]\s+\w.*)?$", re.MULTILINE)
    found = []
    for path in SOURCES:
        said = comment.findall(path.read_text(encoding="utf-8"))
        reasoned = {code for code, reason in said if reason}
        found += [f"{short(path)}: {code}" for code, _ in said if code not in reasoned]
    assert found == []


@pytest.fixture(scope="module")
def made_pages() -> dict[str, str]:
    return pages(app)


@pytest.mark.parametrize("name", ["commands.md", "configuration.md", "errors.md", "metrics.md", "goldwire.schema.json"])
def test_a_page_made_from_the_code_is_up_to_date(name: str, made_pages: dict[str, str]) -> None:
    page = ROOT / "docs" / name
    assert page.exists(), "run `make docs`"
    assert page.read_text(encoding="utf-8") == made_pages[name], "run `make docs`"


def test_every_error_of_ours_is_on_the_page_of_errors(made_pages: dict[str, str]) -> None:
    classes = re.compile(r"^class (\w+)\((?:\w+\.)?(?:GoldwireError|ConfigError|InputError)\)", re.MULTILINE)
    named = {name for path in SOURCES for name in classes.findall(path.read_text(encoding="utf-8"))}
    assert named
    assert {name for name in named if f"`{name}`" not in made_pages["errors.md"]} == set()


def test_every_setting_error_and_metric_says_what_it_means(made_pages: dict[str, str]) -> None:
    silent = [
        f"{name}: {line}"
        for name, text in made_pages.items()
        for line in text.splitlines()
        if line.startswith("| `") and re.search(r"\|\s*\|$", line) and name != "commands.md"
    ]
    assert not silent


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme


def test_each_answer_to_where_is_exists() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Where is")[2].partition("\n## ")[0]
    answers = [row.split("|")[2] for row in section.splitlines() if row.startswith("| ") and "`src" in row]
    assert len(answers) >= 20
    paths = [path for answer in answers for path in re.findall(r"`(src/[^`]+)`", answer)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_nothing_names_a_path_of_one_machine() -> None:
    machine = re.compile(r"/work/|/tmp/w\b|\.library\b")
    paths = [
        *SOURCES,
        *TESTS,
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "scripts").iterdir(),
        ROOT / "README.md",
        ROOT / "Makefile",
    ]
    found = [
        short(path) for path in paths if path.is_file() and path != Path(__file__) and machine.search(path.read_text("utf-8"))
    ]
    assert not found


@pytest.mark.parametrize("distribution", sorted(path.name for path in (ROOT / "src").iterdir() if path.is_dir()))
def test_a_class_name_stands_once_in_a_distribution(distribution: str) -> None:
    found: dict[str, list[str]] = {}
    for path in (ROOT / "src" / distribution).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(short(path))
    assert {name: sorted(paths) for name, paths in found.items() if len(paths) > 1} == {}


NOUNS_IN_ING = {
    "ceiling": "the highest figure of a machine",
    "dead_lettering": "the usual name of what is done with events that cannot be applied",
    "mastering": "the usual name of what makes golden records",
    "setting": "one value that a person sets, or the scene of a measurement",
    "store_setting": "the scene of a test of a store",
    "testing": "what other projects import for their tests, as Python's own packages name it",
}


def test_no_module_is_named_by_a_gerund() -> None:
    names = {part for path in SOURCES for part in path.relative_to(ROOT / "src").with_suffix("").parts}
    assert {name for name in names if name.endswith("ing")} - NOUNS_IN_ING.keys() == set()
    assert NOUNS_IN_ING.keys() <= names, "what is no longer there needs no reason"


BANNED_WORDS = re.compile(r"\b_?(told|whoever|nobody|strangers?)\b", re.IGNORECASE)
"""Plain English says `reported`, `the caller`, `none` or `nothing`, `another`."""
BANNED_NAMES = re.compile(r"(?:^|_)(places?|judge|told|nobody|strangers?)(?:_|$)", re.IGNORECASE)
"""`place` had six meanings: destination, location, index, ordinal, position, to resolve. Use the one that is meant."""


def banned_words(text: str) -> set[str]:
    """The words that plain English does not need; a name counts like a word, prose of several words does not hide one."""
    names = {token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NAME}
    return {found.group() for found in BANNED_WORDS.finditer(text)} | {name for name in names if BANNED_NAMES.search(name)}


PROGRAMS = [*SOURCES, *sorted((ROOT / "examples").rglob("*.py")), *sorted((ROOT / "scripts").rglob("*.py"))]
MARKDOWN = [
    *ROOT.glob("*.md"),
    *(page for folder in ("docs", "examples", "src", ".github") for page in (ROOT / folder).rglob("*.md")),
]


@pytest.mark.parametrize("path", PROGRAMS, ids=short)
def test_words_that_were_given_up_do_not_come_back(path: Path) -> None:
    assert banned_words(path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("page", sorted(MARKDOWN), ids=short)
def test_a_page_holds_no_word_that_was_given_up(page: Path) -> None:
    assert BANNED_WORDS.findall(page.read_text(encoding="utf-8")) == []


def prose_of(text: str) -> str:
    """The comments and docstrings of a program: what its names and the texts that it works with are does not count."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join([*docstrings, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


@pytest.mark.parametrize("path", [path for path in TESTS if path != Path(__file__)], ids=short)
def test_the_comments_and_docstrings_of_a_test_hold_no_word_that_was_given_up(path: Path) -> None:
    assert BANNED_WORDS.findall(prose_of(path.read_text(encoding="utf-8"))) == []


def test_of_a_test_only_comments_and_docstrings_count() -> None:
    text = 'def told():\n    """Nobody is."""\n    return "whoever"  # a stranger\n'
    assert BANNED_WORDS.findall(prose_of(text)) == ["Nobody", "stranger"]


@pytest.mark.parametrize("path", TESTS, ids=short)
def test_a_test_names_nothing_a_place(path: Path) -> None:
    with path.open("rb") as opened:
        names = {token.string for token in tokenize.tokenize(opened.readline) if token.type == tokenize.NAME}
    assert names.isdisjoint({"place", "places", "_place", "_places"})


def test_a_word_that_was_given_up_is_found_and_a_word_that_holds_it_is_not() -> None:
    text = "_place = placed_by = replace_keys = placement = 1  # Whoever is told judges.\ndef judge(): 'Nobody.'\n"
    assert banned_words(text) == {"_place", "Whoever", "told", "judge", "Nobody"}
