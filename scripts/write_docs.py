"""Writes the pages of `docs/` that are made from the code (`make docs`)."""

from __future__ import annotations

from pathlib import Path

from goldwire.cli.main import app
from goldwire.cli.output import say
from goldwire.cli.reference_pages import pages


def main() -> None:
    """Write every page that changed."""
    docs = Path(__file__).parent.parent / "docs"
    for name, text in pages(app).items():
        page = docs / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
            say(f"docs/{name}")


if __name__ == "__main__":
    main()
