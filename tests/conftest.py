"""Settings for all tests."""

import os

from hypothesis import settings

# A slow machine is no fault of what is tested; the time limit of a test as a whole stays.
settings.register_profile("goldwire", deadline=None)
# A build server judges a change by the same examples each time; new ones are looked for by whoever runs the tests at home.
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same" if os.environ.get("CI") else "goldwire")


def pytest_terminal_summary(terminalreporter):
    """Show how many of the planted bugs were caught."""
    show_planted_bugs(terminalreporter)


def show_planted_bugs(terminalreporter):
    """Print the score: a test that is marked `planted_bug` passes if its bug was caught."""
    results = {
        outcome: sum("planted_bug" in report.keywords for report in terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "error")
    }
    if total := sum(results.values()):
        terminalreporter.write_line(f"{results['passed']} of {total} planted bugs caught")
