"""The published suites, the fakes and the simulation."""

from goldwire.invariants import require_assertions

require_assertions()  # a suite that asserts nothing would pass
