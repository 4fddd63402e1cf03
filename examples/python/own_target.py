"""A target kind of one's own: here a dictionary of names; see docs/how-to-add-a-target.md for a whole one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, ClassVar

from customers import configuration

from goldwire import Goldwire
from goldwire.clock import Clock
from goldwire.targets.base import DELIVERED, Duplicate, Item, Outcome
from goldwire.targets.registry import target_kind
from goldwire.targets.settings import Settings, about

phone_book: dict[str, tuple[int, str]] = {}


class PhoneBookSettings(Settings, frozen=True):
    """What a phone book is asked for."""

    attribute: Annotated[str, about("The attribute that is listed.", examples=["name"])] = "name"


@target_kind("phone_book", settings=PhoneBookSettings)
class PhoneBook:
    """Lists one attribute of each record, and refuses to go backwards."""

    batch_limit: ClassVar[int] = 100

    def __init__(self, name: str, settings: PhoneBookSettings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock

    async def open(self) -> None:
        """Nothing to connect."""

    async def send(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """Take each event that is newer than what is listed."""
        return [self._take(item) for item in items]

    async def close(self) -> None:
        """Nothing to release."""

    def _take(self, item: Item) -> Outcome:
        version, _ = phone_book.get(item.event.entity_id, (0, ""))
        if version >= item.event.version:
            return Duplicate()
        listed = json.loads(item.event.body)["changes"]["attributes"].get(self.settings.attribute, {"value": ""})
        phone_book[item.event.entity_id] = item.event.version, listed["value"]
        return DELIVERED


book = {"kind": "phone_book", "contract": "whole", "clearance": ["pii"]}
with Goldwire.open(configuration(targets={"book": book})) as goldwire:
    goldwire.apply()
    goldwire.ingest("crm")
    goldwire.run()

print("listed:", ", ".join(sorted(name for _, name in phone_book.values())))
