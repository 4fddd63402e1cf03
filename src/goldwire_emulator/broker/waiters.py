"""The receivers that wait for messages of an entity: callbacks, called whenever there may be something new."""

from __future__ import annotations

from collections.abc import Callable


class Waiting:
    """The waiting receivers of one entity."""

    def __init__(self) -> None:
        self._wakes: list[Callable[[], None]] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._wakes)

    def add(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` when there may be something new, until the returned function is called. It must only schedule work."""
        self._wakes.append(wake)

        def stop() -> None:
            if wake in self._wakes:
                self._wakes.remove(wake)

        return stop

    def wake(self) -> None:
        """Call all, each time another one first, so that no receiver is always served before the others."""
        if self._wakes:
            self._wakes.append(self._wakes.pop(0))
        for wake in tuple(self._wakes):
            wake()
