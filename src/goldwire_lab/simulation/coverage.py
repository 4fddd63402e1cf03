"""Says which settings a simulation draws, by drawing: what it always leaves at one value is not drawn, whatever was meant."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from random import Random

from msgspec import Struct

from goldwire.contract.spec import ContractSpec
from goldwire.relay.settings import DeliverySettings, GuardSettings
from goldwire.targets.sql.settings import SqlSettings
from goldwire_lab.simulation.drawn_settings import NOT_DRAWN, draw_delivery, draw_guards, draw_sql, draw_start
from goldwire_lab.simulation.terms import draw_terms

DRAWS = 1_000
MANY = 10
"""From so many different values on their number says nothing."""

TARGETS = ("every", "latest", "snapshot")

BLOCKS: dict[type[Struct], str] = {
    ContractSpec: "contract", DeliverySettings: "delivery", GuardSettings: "guards", SqlSettings: "settings of `sql`",
}  # fmt: skip
"""What a person sets of a target, by struct, as a page names it."""

OF_A_TARGET = ("start", "clearance", "keys")
"""What is drawn beside these structs."""

CHECKED = {
    "body": "every byte, against the event that the contract makes of the change in a second, plain implementation",
    "hash, previousHash": "the hash is computed anew; the predecessor is what arrived before",
    "headers": "each of wire.md, computed anew, also of a replay",
    "classification, retention": "the tags of what is in the event after its masks, and the shortest retention",
    "remote id": "sent: only one that the target gave; kept: the one that it answered last",
    "outcome": "`delivered` or `duplicate` in the control row, as it was answered",
    "dead letter": "its reason is one that was answered, and it was sent as often as it says",
    "rate": "between any two sends of a relay, and of a replay, no more than its rate and one burst",
    "sends": "no larger than `batch_size`, no more at once than `concurrency`, never two of one entity",
    "stop": "no send begins once a relay was asked to stop; what was delivered is settled, nothing else stays declared",
    "fenced out": "a relay that was taken over settles nothing",
    "an older store": "the target is stopped for it only where something was lost; a resync of everything mends it",
    "`mode: every`": "each version arrives that every contract shows whole",
    "clearance": "no contract compiles that lets out what its target is not cleared for",
}
"""What of that which leaves, or is kept of it, is checked, and against what."""


def drawn() -> dict[str, set[str]]:
    """Draw, and return by setting (`ContractSpec.kinds`) the values that came."""
    random = Random(0)
    found: dict[str, set[str]] = defaultdict(set)
    for _ in range(DRAWS):
        for target in TARGETS:
            terms = draw_terms(target, random)
            for struct in (terms.spec, draw_delivery(random, None), draw_guards(random), draw_sql("x.db", random)):
                for name in struct.__struct_fields__:
                    found[f"{type(struct).__name__}.{name}"].add(repr(getattr(struct, name)))
            found["start"].add(draw_start(target, random))
            found["clearance"].add(repr(terms.clearance))
            found["keys"].add(repr(terms.keys))
    return found


def tables() -> str:
    """Return the tables of docs/simulation.md."""
    return "\n".join(
        ["| setting | values |", "|---|---|", *_settings(), "", "| what | against what |", "|---|---|", *_checked()]
    )


def _settings() -> Iterator[str]:
    found = drawn()
    for struct, named in BLOCKS.items():
        for name in struct.__struct_fields__:
            key = f"{struct.__name__}.{name}"
            values = f"not drawn: {NOT_DRAWN[key]}" if key in NOT_DRAWN else _said(len(found[key]))
            yield f"| {named}: `{name}` | {values} |"
    for name in OF_A_TARGET:
        yield f"| {name} of the target | {_said(len(found[name]))} |"


def _said(values: int) -> str:
    return str(values) if values < MANY else "many"


def _checked() -> Iterator[str]:
    for what, against in CHECKED.items():
        yield f"| {what} | {against} |"


if __name__ == "__main__":
    sys.stdout.write(tables() + "\n")
