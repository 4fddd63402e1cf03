"""What users import to test a target or a store of their own: the published suites and the fakes."""

from goldwire.invariants import require_assertions

require_assertions()  # a suite that asserts nothing would pass
