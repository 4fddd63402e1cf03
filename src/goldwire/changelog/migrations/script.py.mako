"""${message}."""

from __future__ import annotations

from goldwire.changelog.migrations import BREAKS

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
effect = BREAKS  # or EXPANDS: see docs/compatibility.md for what that asks


def upgrade() -> None:
    """${message}."""
