"""The page on the Python API and its examples do what they show."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from goldwire.services.starter import write_start

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"
EXAMPLES = ROOT / "examples" / "python"
KERNEL = ROOT / "tests" / "support" / "notebook_kernel.py"
FENCE = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "---- next block ----"

SHOWN = {
    "files_to_webhook": ["shop is caught up: 6 delivered, 6 requests received"],
    "masks": [
        "the partner sees {'city': 'London', 'email': 'a***@analytical.example', 'name': 'REDACTED'}",
        "has tag 'pii', for which target 'partner' has no clearance",
    ],
    "own_target": ["listed: Ada Lovelace, Edsger Dijkstra, Grace Hopper, Katherine Johnson"],
    "subscriber": ["8 messages: 4 applied, 4 ignored", "cities: Arlington, Hampton, London, Nuenen"],
    "replay": ["done: 4 events repeated, of which 1 was held again already", "the same bytes: True"],
    "dead_letters": ["3 delivered, 1 dead", "position 2, version 1:", "1 due again", "4 delivered, 0 dead"],
    "sql_target": ["Grace Hopper, Arlington", "Mary Jackson, Hampton"],
    "ledger_and_verify": [
        "8 committed = 8 delivered + 0 superseded + 0 pending",
        "the recount agrees: True and it balances: True",
        "whole: True",
        "after tampering, line 6: altered",
    ],
    "steward_decisions": [
        "2 decisions: 1 merge, 3 versions",
        "crm/C-1 is at version 3; city: Bath",
        "billing/B-79 and crm/C-3 are one: True",
        "events holds version 3",
    ],
}


def run(*words: str, folder: Path) -> str:
    """Run Python as a program, warnings being errors; return what it printed."""
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(EXAMPLES)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    return done.stdout


def test_every_block_of_the_page_prints_what_stands_below_it(tmp_path: Path) -> None:
    write_start(tmp_path)
    blocks = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    languages = [language for language, _ in blocks]
    assert languages == ["python", "text"] * (len(blocks) // 2)
    program = f"\nprint({MARK!r})\n".join(text for language, text in blocks if language == "python")
    (tmp_path / "page.py").write_text(program, encoding="utf-8")
    printed = run("page.py", folder=tmp_path).split(MARK + "\n")
    assert printed == [text for language, text in blocks if language == "text"]


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_does_what_it_shows(name: str, tmp_path: Path) -> None:
    printed = run(str(EXAMPLES / f"{name}.py"), folder=tmp_path)
    assert [line for line in SHOWN[name] if line not in printed] == [], printed


def test_every_example_is_run_and_is_in_the_list() -> None:
    programs = {path.stem for path in EXAMPLES.glob("*.py")} - {"customers"}
    assert programs == set(SHOWN)
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.[pi][yp]*") if path.name not in listed] == []


def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    printed = run(str(KERNEL), str(EXAMPLES / "notebook.ipynb"), folder=tmp_path)
    assert printed.splitlines() == [
        "8 versions, 0 merged by rules", "events is caught up", "9 delivered",
        "{'city': 'London', 'email': 'ada@analytical.example', 'name': 'Ada Lovelace'}", "balanced: True", "whole: True",
    ]  # fmt: skip


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = "import sys, goldwire; print([name for name in sys.modules if name.startswith('goldwire.')], goldwire.__version__)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("[] 0.")


def test_every_struct_that_a_method_returns_can_be_imported_from_the_api() -> None:
    import goldwire.python_api as api  # noqa: PLC0415 - its source is read, not what it does

    tree = ast.parse(inspect.getsource(api.Goldwire))
    returned = {
        name.id
        for method in ast.walk(tree)
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_") and method.returns
        for name in ast.walk(method.returns)
        if isinstance(name, ast.Name)
    }
    assert returned - {"Self", "str", "int", "list"} <= set(api.__all__)
