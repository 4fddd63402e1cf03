"""Settings for all tests."""

import os

from hypothesis import settings

# A slow machine is no fault of what is tested; the time limit of a test as a whole stays.
settings.register_profile("goldwire", deadline=None)
# A build server judges a change by the same examples each time; new ones are looked for by whoever runs the tests at home.
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same" if os.environ.get("CI") else "goldwire")
