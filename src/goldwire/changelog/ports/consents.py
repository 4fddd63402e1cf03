"""The port of consents: what a person let pass a target's guards, and what these are measured by."""

from __future__ import annotations

from typing import Protocol

from goldwire.changelog.consents import Consent, Holdings


class Consents(Protocol):
    """The newest consent of each target; an older one is covered by it."""

    def keep_consent(self, target: str, consent: Consent) -> None:
        """Replace the target's consent, and let its resync go on that waits for one.

        Raises:
            InputError: the target was never acquired.
        """
        ...

    def consent(self, target: str) -> Consent | None:
        """The newest consent; None where none was ever given."""
        ...

    def holdings(self, target: str, since: str, above: int) -> Holdings:
        """Count what a target holds; reads all its control rows.

        Args:
            target: its name.
            since: a moment, RFC 3339; removals settled from then on are counted,
            above: where their position is above this one.
        """
        ...
