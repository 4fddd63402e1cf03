"""Looks at one target's own set-up: connects as the relay would, and asks what it can without writing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct

from goldwire.errors import ConfigError, GoldwireError
from goldwire.relay.placement.check import check_placement, shared_destinations
from goldwire.relay.placement.placements import Placements
from goldwire.services.event_loop import loop_factory
from goldwire.services.targets import TargetMaker
from goldwire.targets.base import Checks, Finding, Target


class Checked(Struct, frozen=True):
    """What a check found."""

    target: str
    kind: str
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Whether nothing has to be mended."""
        return all(finding.state != "fix" for finding in self.findings)


def check_target(name: str, targets: TargetMaker, placements: Callable[[], Placements | None]) -> Checked:
    """Check a target.

    Args:
        name: the target.
        targets: those of the configuration.
        placements: reads where targets deliver and may have delivered; returns None where no store is there that knows it.

    Raises:
        NotFoundError: there is none of this name.
    """
    kind = targets.config(name).kind
    try:
        target = targets.make(name)
    except ConfigError as error:
        return Checked(name, kind, [Finding("settings", "fix", str(error))])
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return Checked(
            name, kind, [*runner.run(_look(target)), *_patience(name, targets), *_placement(name, targets, placements)]
        )


async def _look(target: Target) -> Sequence[Finding]:
    try:
        await target.open()
    except Exception as error:  # noqa: BLE001 - a target may be written by a third party
        return [_not_open(error)]
    try:
        opened = Finding("connection", "ok", "opens")
        return [opened, *(await target.check() if isinstance(target, Checks) else [])]
    except Exception as error:  # noqa: BLE001 - the same
        return [Finding("connection", "fix", f"it opened, and then could not be looked at ({type(error).__name__}); try again")]
    finally:
        await target.close()


def _not_open(error: Exception) -> Finding:
    if isinstance(error, GoldwireError):
        return Finding("settings", "fix", str(error))
    if isinstance(error, BlockingIOError):
        return Finding("connection", "note", f"{error.strerror or error}: while it is in use, it cannot be looked at")
    if isinstance(error, OSError):
        return Finding("connection", "fix", f"not reachable: {error.strerror or error}")
    return Finding("connection", "fix", f"it does not open ({type(error).__name__})")


def _placement(name: str, targets: TargetMaker, placements: Callable[[], Placements | None]) -> list[Finding]:
    """Return what a relay would refuse, where there is a store that knows what the target has had."""
    try:
        found = placements()
        if found is None:
            return []
        shared = shared_destinations(found, targets.names, name)
        conflicts = check_placement(found, [name])
    except GoldwireError as error:
        return [Finding("placement", "note", f"could not be compared with those before: {error}")]
    return [
        *(Finding("destination", "note", text) for text in shared),
        *(Finding(f"setting {conflict.setting}", "fix", str(conflict)) for conflict in conflicts),
    ]


def _patience(name: str, targets: TargetMaker) -> list[Finding]:
    """Compare the target's own time limit with the relay's: the side that gives up first does not know the outcome."""
    own = getattr(targets.settings(name), "timeout_seconds", None)
    limit = targets.config(name).delivery.timeout_seconds
    if own is None or own < limit:
        return []
    text = f"timeout_seconds is {own:g}, but delivery.timeout_seconds gives up after {limit:g}; raise the latter"
    return [Finding("time limits", "fix", text)]
