"""What parts of a relay need of the store, each no more than it uses."""

from __future__ import annotations

from typing import Protocol

from goldwire.changelog.ports.deliveries import Deliveries
from goldwire.changelog.ports.log import Log
from goldwire.changelog.ports.resyncs import Resyncs
from goldwire.changelog.ports.revisions import Revisions


class ResyncStore(Log, Deliveries, Resyncs, Revisions, Protocol):
    """What a resync needs."""
