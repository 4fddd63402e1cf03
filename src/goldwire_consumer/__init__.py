"""The kit for subscribers of Goldwire's events: verify, apply once, notice what was lost, set poison aside.

It needs nothing of Goldwire itself. Begin with `Consumer`, a store and an adapter; or with `parse` and `apply` alone.
"""

from goldwire_consumer.consumer import Consumer, Handler, Result
from goldwire_consumer.dead_letter import DeadLetter, from_line, to_file
from goldwire_consumer.errors import (
    AlteredError,
    GapDetected,
    Link,
    MislabelledError,
    PoisonError,
    RejectedError,
    StoppedError,
    StreamMadeAgainError,
    SubscriberError,
    TooManyDeadLettersError,
    TryAgainError,
    UnreadableError,
)
from goldwire_consumer.event import Attribute, Changes, Edge, Event, ExternalId, parse
from goldwire_consumer.fold import Record, fold
from goldwire_consumer.guard import Guard, Outcome, apply
from goldwire_consumer.heads import Difference, Heads, HeadsError, compare
from goldwire_consumer.message import Message, Position
from goldwire_consumer.settings import Settings
from goldwire_consumer.store.base import Store, Transaction
from goldwire_consumer.store.functions import FunctionStore
from goldwire_consumer.store.sqlite import SqliteStore, SqliteTransaction
from goldwire_consumer.verdict import Held

__all__ = [
    "AlteredError",
    "Attribute",
    "Changes",
    "Consumer",
    "DeadLetter",
    "Difference",
    "Edge",
    "Event",
    "ExternalId",
    "FunctionStore",
    "GapDetected",
    "Guard",
    "Handler",
    "Heads",
    "HeadsError",
    "Held",
    "Link",
    "Message",
    "MislabelledError",
    "Outcome",
    "PoisonError",
    "Position",
    "Record",
    "RejectedError",
    "Result",
    "Settings",
    "SqliteStore",
    "SqliteTransaction",
    "StoppedError",
    "Store",
    "StreamMadeAgainError",
    "SubscriberError",
    "TooManyDeadLettersError",
    "Transaction",
    "TryAgainError",
    "UnreadableError",
    "apply",
    "compare",
    "fold",
    "from_line",
    "parse",
    "to_file",
]
