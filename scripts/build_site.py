"""Builds the documentation's site into `site/`, strictly: a broken link or anchor ends it (`make docs`).

The pages link to each other, and to files of the repository, by relative paths. So the site is built from a copy that has the
repository's own layout, in `build/pages/`: the pages, and each file that one of them links to.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "pages"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)")
FETCHED = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def sources() -> set[Path]:
    """Every page of the documentation and each file of the repository that one of them links to."""
    pages = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")}
    linked = {
        (page.parent / link).resolve()
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", link)
    }
    return pages | {file for file in linked if file.is_file() and file.is_relative_to(ROOT)}


def main() -> None:
    """Copy the pages, build, and look for anything that a page would fetch from another host."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for file in sorted(sources()):
        copy = PAGES / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    built = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=ROOT, check=False)
    if built.returncode:
        sys.exit("The site was not built; see above.")
    for page in sorted((ROOT / "site").rglob("*.html")):
        if found := FETCHED.search(page.read_text(encoding="utf-8")):
            sys.exit(f"{page.relative_to(ROOT)} fetches from another host: {found.group()}")


if __name__ == "__main__":
    main()
