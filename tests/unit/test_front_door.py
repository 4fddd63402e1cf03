"""What a contributor meets first fits what is there: workflows, forms, hooks, the README's demo, the site's navigation."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(file for file in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if file.name != "config.yml")
PROJECTS = [ROOT / "pyproject.toml", *sorted((ROOT / "src").glob("*/pyproject.toml"))]
EXPORTING = sorted(path for path in (ROOT / "src").rglob("*.py") if "\n__all__ = [" in path.read_text(encoding="utf-8"))
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Path) -> list[dict[str, Any]]:
    return list(chain.from_iterable(job["steps"] for job in read(workflow)["jobs"].values()))


@pytest.mark.parametrize("project", PROJECTS, ids=short)
def test_the_matrix_has_each_python_that_a_distribution_names_and_no_other(project: Path) -> None:
    stated = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    named = [line.rpartition(" ")[2] for line in stated["classifiers"] if re.search(r":: 3\.\d+$", line)]
    matrix = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == named
    assert stated["requires-python"] == f">={named[0]}"
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=short)
def test_every_make_target_that_a_workflow_runs_exists(workflow: Path) -> None:
    named = {target for step in steps(workflow) for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert named
    assert named - MAKE_TARGETS == set()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=short)
def test_a_workflow_may_only_read_unless_a_job_needs_more_and_pins_its_actions(workflow: Path) -> None:
    assert read(workflow)["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (.+)", workflow.read_text(encoding="utf-8"))
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    assert all(job["timeout-minutes"] for job in read(workflow)["jobs"].values())


def test_a_release_is_published_without_a_stored_secret_from_what_was_attested() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert "secrets." not in text
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert set(jobs["publish"]["needs"]) == {"build", "test"}
    assert not any("continue-on-error" in job or "if" in job for job in jobs.values())
    assert jobs["build"]["permissions"]["attestations"] == "write"
    assert [step["with"]["subject-path"] for step in jobs["build"]["steps"] if "actions/attest@" in step.get("uses", "")] == [
        "dist/*"
    ]


def test_a_release_runs_every_test_and_tries_the_wheels() -> None:
    runs = [
        step["run"] for step in read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]["test"]["steps"] if "run" in step
    ]
    assert "make test WORKERS=4 ARGS=-rs" in runs, "and no test is left out"
    (wheels,) = (run for run in runs if run.startswith("make test-optional "))
    (file,) = re.findall(r"tests/\S+\.py", wheels)
    assert "@pytest.mark.optional" in (ROOT / file).read_text(encoding="utf-8")


def test_folders_that_a_command_or_a_tool_goes_through_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = [
        word for words in re.findall(r"\$\(wildcard ([a-z ]+)\)|\tfind ([a-z ]+) -name", makefile) for word in words if word
    ]
    folders = {folder for words in named for folder in words.split()}
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    folders |= {*ruff["src"], *(pattern.partition("/")[0] for pattern in ruff["lint"]["per-file-ignores"])}
    assert {"src", "tests", "scripts"} <= folders
    assert [folder for folder in sorted(folders) if not (ROOT / folder).is_dir()] == []


@pytest.mark.parametrize("form", FORMS, ids=short)
def test_a_form_asks_for_something_and_each_field_has_a_name_of_its_own(form: Path) -> None:
    content = read(form)
    assert content["name"]
    assert content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(names) == len(set(names))
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_every_other_file_of_the_front_door_is_yaml() -> None:
    (update,) = read(ROOT / ".github" / "dependabot.yml")["updates"]
    assert (update["package-ecosystem"], update["directory"]) == ("github-actions", "/"), "the locks are renewed by `make lock`"
    assert read(ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": False}


def test_every_hook_runs_from_the_environment_and_names_files_that_exist() -> None:
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {"ruff", "ruff-format"} <= {hook["id"] for hook in hooks}
    for hook in hooks:
        program, *words = hook["entry"].split()
        assert program.startswith(".venv/bin/")
        assert [word for word in words if re.search(r"\.py$", word) and not (ROOT / word).exists()] == []


def test_the_build_server_runs_targets_that_exist_and_leaves_out_no_test() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert set(re.findall(r"^make --no-print-directory ([a-z-]+)", text, re.MULTILINE)) - MAKE_TARGETS == set()
    assert re.findall(r"--ignore=(\S+?)[\"\s]", text) == ["tests/unit"]
    assert "COVERED ?= tests/unit" in (ROOT / "Makefile").read_text(encoding="utf-8"), "what is ignored runs with coverage"


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    def leaves(item: Any) -> list[str]:
        if isinstance(item, str):
            return [item]
        return list(chain.from_iterable(map(leaves, item.values() if isinstance(item, dict) else item)))

    shown = leaves(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])
    pages = {short(page) for folder in ("docs", "examples") for page in (ROOT / folder).rglob("*.md")}
    pages = {page for page in pages if not re.match(r"docs/adr/(\d|template)", page)} | {
        page.name for page in ROOT.glob("*.md")
    }
    assert sorted(shown) == sorted(pages)


def demo_output(page: Path) -> list[str]:
    found = re.search(r"<!-- demo-output:start -->\n```text\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1].splitlines()


def test_the_readme_shows_at_most_forty_lines_of_the_demo_and_only_such_as_it_prints() -> None:
    shown, whole = demo_output(ROOT / "README.md"), demo_output(ROOT / "docs" / "demo.md")
    assert len(shown) <= 40
    assert [line for line in shown if line != "…" and line not in whole] == []


def test_no_page_says_to_install_by_a_name_that_is_not_published() -> None:
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "src").rglob("*.md"),
    ]
    by_name = re.compile(r"pip install [\"']?goldwire[\w-]*(?:\[[\w,]+\])?(?! @ )[\"'`\s]")
    assert {short(page): found for page in pages if (found := by_name.findall(page.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize("path", EXPORTING, ids=short)
def test_every_name_that_a_module_exports_can_be_imported(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    module = import_module(name)
    assert module.__all__
    assert [each for each in module.__all__ if not hasattr(module, each)] == []
