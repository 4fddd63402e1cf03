"""What `goldwire init` writes: a commented configuration and a few customers of two systems."""

from __future__ import annotations

from pathlib import Path

START = Path(__file__).parent / "starter_files"
"""The files as they are written, in their folders."""


def write_start(directory: Path) -> list[Path]:
    """Copy the files to start from into a directory; return them, or nothing where one of them exists already."""
    sources = sorted(file for file in START.rglob("*") if file.is_file())
    files = [directory / file.relative_to(START) for file in sources]
    if any(file.exists() for file in files):
        return []
    begun: list[Path] = []
    try:
        for source, file in zip(sources, files, strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as fresh:  # never over a file that appeared meanwhile
                begun.append(file)
                fresh.write(source.read_bytes())
    except OSError:
        # Half of a configuration would stand in the way of the next attempt.
        for file in begun:
            file.unlink()
        raise
    return files
