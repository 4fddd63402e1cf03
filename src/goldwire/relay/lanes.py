"""Deliveries that the stream left behind: each entity's open ones, worked on from the oldest, one in flight.

Before one of them is sent again it is marked ambiguous in a transaction of its own. So a crash right after the send finds, on
the next start, a delivery that must be repeated identically, and never one that a newer version may replace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from goldwire.changelog.rows import DELIVERED, FILTERED, SUPERSEDED, Closing, Control, OpenDelivery, Settlement

Lane = Sequence[OpenDelivery]


class LaneWork:
    """One round over lanes whose first delivery is due.

    Args:
        position: the target's cursor, which this work does not move.
        lanes: the open deliveries of each entity, oldest first.
        latest: whether a newer version supersedes what has certainly not been received.
    """

    def __init__(self, target: str, epoch: int, position: int, lanes: Mapping[str, Lane], *, latest: bool) -> None:
        self._target = target
        self._epoch = epoch
        self._position = position
        self._lanes = {entity_id: list(lane) for entity_id, lane in lanes.items()}
        self._latest = latest
        self._closed: list[Closing] = []
        self._updated: dict[int, OpenDelivery] = {}
        self._controls: dict[str, Control] = {}

    def choose(self, revision: int) -> tuple[list[OpenDelivery], Settlement]:
        """Pick the delivery of each lane that is to be sent now.

        Args:
            revision: the newest of the target's contract; it seals what certainly had no effect so far.

        Returns:
            the deliveries as they were, each with the revision that is to seal it, and the settlement that supersedes older
            ones and marks the chosen as ambiguous. It must be committed before anything is sent.
        """
        chosen: list[OpenDelivery] = []
        marked: list[OpenDelivery] = []
        closed: list[Closing] = []
        for entity_id, lane in self._lanes.items():
            if self._latest:
                index = next((i for i, delivery in enumerate(lane) if delivery.ambiguous), len(lane) - 1)
                closed += [Closing(delivery.seq, SUPERSEDED) for delivery in lane[:index]]
                lane = self._lanes[entity_id] = lane[index:]  # noqa: PLW2901 - the lane that is left
            head = lane[0]._replace(state="retrying")
            if not head.ambiguous:
                head = head._replace(revision=revision)
            chosen.append(head)
            marked.append(head._replace(ambiguous=True))
        return chosen, self._settlement(updated=marked, closed=closed)

    def filtered(self, delivery: OpenDelivery, control: Control | None) -> None:
        """End a delivery that the contract no longer shows; `control` when the record's presence changed."""
        if control is not None:
            self._controls[control.entity_id] = control
        self._end(delivery, FILTERED)

    def superseded(self, delivery: OpenDelivery) -> None:
        """End a delivery whose version the target already holds, or a newer one."""
        self._end(delivery, SUPERSEDED)

    def delivered(self, delivery: OpenDelivery, control: Control) -> None:
        """End a delivery that the target took."""
        self._controls[control.entity_id] = control
        self._end(delivery, DELIVERED)

    def failed(self, judged: OpenDelivery) -> None:
        """Keep a delivery open, or dead, as it was judged."""
        self._updated[judged.seq] = judged
        if judged.state == "dead":
            for waiting in self._lanes[judged.entity_id][1:]:
                if waiting.state != "dead":
                    self._updated[waiting.seq] = waiting._replace(state="parked")

    def settlement(self, stop: str | None) -> Settlement:
        """Return all that this round did."""
        return self._settlement(updated=list(self._updated.values()), closed=self._closed, stop=stop)

    def _end(self, delivery: OpenDelivery, code: int) -> None:
        self._closed.append(Closing(delivery.seq, code, delivery.revision))
        waiting = self._lanes[delivery.entity_id][1:]
        # A dead letter further on stays dead until a person redrives it, and goes on parking its entity.
        if waiting and waiting[0].state != "dead":
            self._updated[waiting[0].seq] = waiting[0]._replace(state="retrying", due_at=0.0)

    def _settlement(self, *, updated: list[OpenDelivery], closed: list[Closing], stop: str | None = None) -> Settlement:
        return Settlement(
            target=self._target,
            epoch=self._epoch,
            position_from=self._position,
            position_to=self._position,
            codes=b"",
            controls=list(self._controls.values()),
            updated=updated,
            closed=closed,
            stop=stop,
        )
