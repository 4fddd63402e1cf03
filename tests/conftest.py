"""Settings for all tests."""

import os
import signal
from itertools import groupby
from pathlib import Path

from hypothesis import settings

# A slow machine is no fault of what is tested; the time limit of a test as a whole stays.
settings.register_profile("goldwire", deadline=None)
# A build server judges a change by the same examples each time; a run at home looks for new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same" if os.environ.get("CI") else "goldwire")


def pytest_configure():
    """Let Ctrl-C raise KeyboardInterrupt, also where the tests run in the background of a script.

    A shell without job control starts what stands before `&` with SIGINT ignored. Python leaves it so, children inherit it, and
    the tests that interrupt themselves or a child would fail or wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Order the tests so that workers, who take one after the other, are busy to the end.

    What takes long comes first: files that compute mixed with files that wait. Unit tests, a few milliseconds each, fill up.
    """
    rooms = {}
    for path, tests in groupby(items, key=lambda item: item.path):
        rooms.setdefault(path.relative_to(Path(__file__).parent).parts[0], []).append(list(tests))
    last = rooms.pop("unit", [])
    first = [(number / len(files), tests) for files in rooms.values() for number, tests in enumerate(files)]
    first.sort(key=lambda one: one[0])
    items[:] = [test for tests in [*(tests for _, tests in first), *last] for test in tests]


def pytest_terminal_summary(terminalreporter):
    """Show how many of the planted bugs were caught."""
    show_planted_bugs(terminalreporter)


def show_planted_bugs(terminalreporter):
    """Print the score: a test that is marked `planted_bug` passes if its bug was caught."""
    results = {
        outcome: sum("planted_bug" in getattr(report, "keywords", ()) for report in terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "error")
    }
    if total := sum(results.values()):
        terminalreporter.write_line(f"{results['passed']} of {total} planted bugs caught")
    searched = [
        bug
        for report in terminalreporter.stats.get("passed", [])
        for name, bug in report.user_properties
        if name == "unknown_seed"
    ]
    if searched:
        terminalreporter.write_line(
            f"{len(searched)} of them after a search, since the known seed catches them no longer; "
            f"to renew: .venv/bin/python tests/support/known_seeds.py"
        )
