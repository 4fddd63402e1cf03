"""Runs the code cells of a notebook as a kernel does: in one namespace, on a running event loop, with `await` at the top."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
from pathlib import Path
from typing import Any


async def run(cells: list[str]) -> None:
    names: dict[str, Any] = {}
    for number, text in enumerate(cells, 1):
        found = eval(compile(text, f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.iscoroutine(found):
            await found


if __name__ == "__main__":
    notebook = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(run(["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]))
