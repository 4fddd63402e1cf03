"""What users import to test a target or a store of their own.

Published, and kept as stable as the ports they test:

- `target_suite`: `TargetSuite`, the tests that every target passes, with `Held` and `SECRET` for its hooks.
- `store_suite`: `StoreSuite`, the tests that every store engine passes; its hooks stand in `store_setting`.
- `events`: sealed events made by hand (`sealed`, `deleted`, `chain`).
- `webhook_receiver`: a receiver of webhooks that misbehaves at will, as a class and as a process.

The other modules are parts of these. What only Goldwire's own tests use stands in the repository's `tests/support`.
"""

from goldwire.invariants import require_assertions

require_assertions()  # a suite that asserts nothing would pass
