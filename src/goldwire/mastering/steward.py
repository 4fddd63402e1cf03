"""What stewards decided about an entity, kept by the entity they decided it about, so that an unmerge gives it back.

Two decisions about the same thing: the later one holds, in any order of arrival.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct, field

from goldwire.redaction import shows

Approval = Literal["approved", "pending", "withdrawn"]
Override = tuple[str, bool, bytes]
"""When it was decided, whether it holds (or was released), and the value's canonical bytes."""

NOTHING = b"{}"


@shows("approval", "deleted_at")
class Decided(Struct):
    """Decisions about one entity."""

    overrides: dict[str, Override] = field(default_factory=dict)
    approval: tuple[str, Literal["approved", "withdrawn"]] | None = None
    deleted_at: str = ""
    """When a steward last deleted it; empty: never. A record that joins later brings nothing from before."""

    def newest(self) -> str:
        """When the latest of these decisions was made; empty where there is none."""
        return max(self.times())

    def times(self) -> set[str]:
        """Return when each of these decisions was made."""
        return {at for at, _, _ in self.overrides.values()} | {self.approval[0] if self.approval else "", self.deleted_at}

    def redate(self, new: dict[str, str]) -> None:
        """Give decisions other times, where there are any for them."""
        self.overrides = {name: (new.get(each[0], each[0]), *each[1:]) for name, each in self.overrides.items()}
        self.deleted_at = new.get(self.deleted_at, self.deleted_at)
        if self.approval is not None:
            self.approval = (new.get(self.approval[0], self.approval[0]), self.approval[1])

    def override(self, attribute: str, claim: Override) -> None:
        """Keep the later of two decisions about an attribute."""
        held = self.overrides.get(attribute)
        if held is None or claim > held:
            self.overrides[attribute] = claim

    def decide_approval(self, decided_at: str, approval: Literal["approved", "withdrawn"]) -> None:
        """Keep the later of two approvals; of two at one time the withdrawal."""
        if self.approval is None or (decided_at, approval) > self.approval:
            self.approval = (decided_at, approval)


@shows("approval", "deleted_at")
class _StewardBody(Struct, array_like=True):
    overrides: dict[str, tuple[str, bool, Raw]]
    approval: tuple[str, Literal["approved", "withdrawn"]] | None
    deleted_at: str


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(dict[str, _StewardBody])


def encode_steward(homes: dict[str, Decided]) -> bytes:
    """Return the decisions as the store keeps them."""
    if not homes:
        return NOTHING
    return _ENCODER.encode(
        {
            entity_id: _StewardBody(
                {name: (at, holds, Raw(value)) for name, (at, holds, value) in decided.overrides.items()},
                decided.approval,
                decided.deleted_at,
            )
            for entity_id, decided in homes.items()
        }
    )


def decode_steward(stored: bytes) -> dict[str, Decided]:
    """Return stored decisions by the entity that they were made about."""
    if stored in (NOTHING, b""):
        return {}
    return {
        entity_id: Decided(
            {name: (at, holds, bytes(raw)) for name, (at, holds, raw) in body.overrides.items()},
            body.approval,
            body.deleted_at,
        )
        for entity_id, body in _DECODER.decode(stored).items()
    }


def overrides_of(homes: dict[str, Decided]) -> dict[str, tuple[str, bytes]]:
    """Return the overrides that hold: attribute to (decided at, value)."""
    latest: dict[str, Override] = {}
    for decided in homes.values():
        for name, claim in decided.overrides.items():
            latest[name] = max(claim, latest.get(name, claim))
    return {name: (at, value) for name, (at, holds, value) in latest.items() if holds}


def approval_of(homes: dict[str, Decided], initial: Approval) -> Approval:
    """Return the approval state. Merging must not publish what was withdrawn: one withdrawal among the merged holds."""
    if not homes:
        return initial
    decisions = {decided.approval[1] for decided in homes.values() if decided.approval is not None}
    if "withdrawn" in decisions:
        return "withdrawn"
    return "approved" if decisions else initial
