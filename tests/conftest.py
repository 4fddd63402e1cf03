"""Settings for all tests."""

import os

import pytest
from hypothesis import settings

# A slow machine is no fault of what is tested; the time limit of a test as a whole stays.
settings.register_profile("goldwire", deadline=None)
# A build server judges a change by the same examples each time; new ones are looked for by whoever runs the tests at home.
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same" if os.environ.get("CI") else "goldwire")


def pytest_collection_modifyitems(items):
    """On a build server let a test that talks to other processes try again; what needed it is named in the summary.

    Unit tests and the simulation decide nothing by the machine's pace and get no second chance.
    """
    if not os.environ.get("CI"):
        return
    for item in items:
        if {"integration", "acceptance", "azure"} & set(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=2))


def pytest_terminal_summary(terminalreporter):
    """Show what was tried again, and how many of the planted bugs were caught."""
    show_tried_again(terminalreporter)
    show_planted_bugs(terminalreporter)


def show_planted_bugs(terminalreporter):
    """Print the score: a test that is marked `planted_bug` passes if its bug was caught."""
    results = {
        outcome: sum("planted_bug" in report.keywords for report in terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "error")
    }
    if total := sum(results.values()):
        terminalreporter.write_line(f"{results['passed']} of {total} planted bugs caught")


def show_tried_again(terminalreporter):
    """Show why each test that was tried again had failed: without that nobody can mend it."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"tried again: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext[-4_000:])
