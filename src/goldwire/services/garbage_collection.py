"""When Python's cyclic garbage collector runs: its passes over the rows of a batch find nothing, and cost much of the batch."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 50_000
"""Objects between two passes: several chunks of the log at once, yet only a few MB of what a pass would free."""


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep the collector still: all that an ingest batch makes lives until it is committed, so there is nothing to find.

    Its passes over a batch cost a fifth of the whole ingest.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@contextmanager
def rare_collection() -> Iterator[None]:
    """Let the collector run rarely: a relay goes on for months, but a chunk's rows are freed without it.

    Its passes over the rows cost a twentieth of a relayed event.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(RARELY, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
