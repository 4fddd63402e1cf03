"""The contracts of one target: which revision seals which position."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from goldwire.changelog.rows import Revision
from goldwire.contract.compiled import CompiledContract
from goldwire.errors import ConfigError

Compile = Callable[[Revision], CompiledContract]


class ContractRevisions:
    """Compiled revisions by the positions they seal. What may have been sent keeps its own, so a resend is identical.

    Args:
        target: its name.
        compile_revision: makes a revision ready to seal with.
        on_where_failed: called with the reason, each time that a `where` has no result.
    """

    def __init__(self, target: str, compile_revision: Compile, on_where_failed: Callable[[str], None] | None = None) -> None:
        self._target = target
        self._compile = compile_revision
        self._on_where_failed = on_where_failed
        self._known: dict[int, CompiledContract] = {}
        self._after: list[int] = []
        self._revisions: list[Revision] = []
        self._in_force: list[Revision] = []
        """Those that seal positions, by where they begin to."""

    def refresh(self, revisions: Sequence[Revision]) -> bool:
        """Read what has been applied since, and return whether anything was.

        Raises:
            ConfigError: nothing was ever applied to this target.
        """
        if not revisions:
            raise ConfigError(f"target {self._target}: no contract was applied yet; run `goldwire apply`")
        is_news = len(revisions) != len(self._revisions)
        self._revisions = list(revisions)
        in_force: list[Revision] = []
        for revision in revisions:
            # What was declared may have been released since an older one was applied: then that one seals nothing any more.
            while in_force and in_force[-1].effective_after >= revision.effective_after:
                in_force.pop()
            in_force.append(revision)
        self._in_force = in_force
        self._after = [revision.effective_after for revision in in_force]
        return is_news

    def at(self, seq: int) -> CompiledContract:
        """Return the contract that seals this position; the first one also seals what was before it."""
        return self._compiled(self._in_force[max(bisect_left(self._after, seq) - 1, 0)])

    @property
    def newest(self) -> int:
        """The revision that was applied last, as far as this was refreshed; 0 before the first refresh."""
        return self._revisions[-1].revision if self._revisions else 0

    @property
    def newest_effective_after(self) -> int:
        """It seals the positions above this one; 0 before the first refresh."""
        return self._revisions[-1].effective_after if self._revisions else 0

    def misses(self, newest: int) -> bool:
        """Return whether `refresh` has something to read.

        Args:
            newest: the number of the newest revision in the store; 0: there is none, which `refresh` reports.
        """
        return newest == 0 or newest != self.newest

    def revision(self, number: int) -> CompiledContract:
        """Return the contract of a revision that was applied."""
        return self._compiled(next(revision for revision in self._revisions if revision.revision == number))

    def without_reports(self) -> ContractRevisions:
        """Return unread revisions of the same contracts that report no `where` without a result."""
        return ContractRevisions(self._target, self._compile)

    def last_position_of(self, seq: int, upto: int) -> int:
        """Return the last position, at most `upto`, that the contract of `seq` seals."""
        following = bisect_left(self._after, seq)
        return min(upto, self._after[following]) if following < len(self._after) else upto

    def _compiled(self, revision: Revision) -> CompiledContract:
        contract = self._known.get(revision.revision)
        if contract is None:
            contract = self._known[revision.revision] = self._compile(revision)
            if self._on_where_failed is not None and contract.where is not None:
                contract.where.failed = self._on_where_failed
        return contract
