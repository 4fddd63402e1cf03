"""Settings for all tests."""

from hypothesis import settings

# a slow machine is no fault of what is tested; the time limit of a test as a whole stays
settings.register_profile("goldwire", deadline=None)
settings.load_profile("goldwire")
