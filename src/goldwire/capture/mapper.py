"""One row of a file becomes one fact, as the source's mapping says; a bad row becomes a reject that names the field."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from goldwire.capture.fact import Edge, ExternalId, Fact, RejectedRow
from goldwire.capture.source_spec import ColumnSpec, SourceSpec
from goldwire.capture.values import NULL, RefusedError, from_text, from_value, is_undated, moment, moment_of, share
from goldwire.clock import timestamp
from goldwire.errors import InputError


class _Column(NamedTuple):
    """Where one attribute comes from."""

    attribute: str
    spec: ColumnSpec


class _BadField(Exception):  # noqa: N818 - it steers one row's way to its reject and never leaves this file
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


class Mapper:
    """Turns rows (column to value) into facts.

    Args:
        spec: the source's mapping; its `id` is set.
        now: POSIX seconds; when rows that give no time were observed.
        columns: the file's columns where they are known beforehand (CSV, Parquet).
        path: the file, for errors.

    Raises:
        InputError: a mapped column is not among the file's.
    """

    def __init__(self, spec: SourceSpec, now: float, columns: Collection[str] | None, path: str) -> None:
        assert spec.id is not None
        self._spec = spec
        self._id = spec.id
        self._now = now
        self._fixed_time = _fixed_time(spec, now)
        self._fixed_confidence = None if isinstance(spec.confidence, str) else float(spec.confidence)
        self._truthy = frozenset(value.casefold() for value in spec.deleted.values) if spec.deleted else frozenset()
        self._columns = [_Column(name, column) for name, column in spec.columns().items()]
        self._special = self._special_columns()
        if columns is not None:
            self._check(columns, path)
            if not self._columns:
                self._columns = self._all_of(columns)

    def fact(self, row: dict[str, Any], origin: str) -> Fact | RejectedRow:
        """Return the row's fact, or why there is none."""
        try:
            return self._fact(row, origin)
        except _BadField as bad:
            return RejectedRow(origin, bad.field, bad.reason)

    def _fact(self, row: dict[str, Any], origin: str) -> Fact:
        spec = self._spec
        external_id = self._text(row, self._id)
        if not external_id:
            raise _BadField(self._id, "the record's id is missing; fill it in")
        deleted = spec.deleted is not None and self._is_deleted(row)
        observed_at, dated_here = self._fixed_time or self._time(row)
        return Fact(
            spec.system,
            external_id,
            spec.type,
            {} if deleted else self._attributes(row),
            observed_at,
            self._fixed_confidence if self._fixed_confidence is not None else self._confidence(row),
            () if deleted or not spec.edges else self._edges(row),
            (self._text(row, spec.entity_id) or None) if spec.entity_id else None,
            deleted,
            origin,
            dated_here,
        )

    def _attributes(self, row: dict[str, Any]) -> dict[str, bytes]:
        limit, strip = self._spec.max_value_bytes, self._spec.strip
        attributes = {}
        for name, column in self._columns or self._all_of(row):
            if column.column not in row:
                continue  # JSON lines may leave members out: the row says nothing of them
            value = row[column.column]
            try:
                if type(value) is str:
                    if strip:
                        value = value.strip()
                    encoded = NULL if not value and column.empty_is_null else from_text(value, column.type or "string")
                else:
                    encoded = from_value(value, column.type)
            except RefusedError as refused:
                raise _BadField(column.column, str(refused)) from refused
            if len(encoded) > limit:
                raise _BadField(
                    column.column,
                    f"{len(encoded)} bytes are more than the limit of {limit}; shorten it or raise `max_value_bytes`",
                )
            attributes[name] = encoded
        return attributes

    def _edges(self, row: dict[str, Any]) -> tuple[Edge, ...]:
        edges = []
        for spec in self._spec.edges:
            if spec.column in row:
                to = self._text(row, spec.column)
                edges.append(
                    Edge(spec.rel, ExternalId(spec.system, to), sole=True) if to else Edge(spec.rel, removed=True, sole=True)
                )
        return tuple(edges)

    def _text(self, row: dict[str, Any], column: str) -> str:
        value = row.get(column)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise _BadField(column, f"an id is a text or a whole number, not a {type(value).__name__}")
        text = str(value)
        try:
            from_text(text, "string")
        except RefusedError as refused:
            raise _BadField(column, str(refused)) from refused
        return text.strip() if self._spec.strip else text

    def _time(self, row: dict[str, Any]) -> tuple[str, bool]:
        column = self._spec.observed_at
        assert column is not None
        value = row.get(column)
        value = value.strip() if isinstance(value, str) else value
        try:
            return moment_of(value, self._now), is_undated(value)
        except RefusedError as refused:
            raise _BadField(column, str(refused)) from refused

    def _confidence(self, row: dict[str, Any]) -> float:
        column = str(self._spec.confidence)
        value = row.get(column)
        try:
            return share(value.strip() if isinstance(value, str) else value)
        except RefusedError as refused:
            raise _BadField(column, str(refused)) from refused

    def _is_deleted(self, row: dict[str, Any]) -> bool:
        assert self._spec.deleted is not None
        value = row.get(self._spec.deleted.column)
        return value is not None and str(value).strip().casefold() in self._truthy

    def _special_columns(self) -> set[str]:
        spec = self._spec
        named = {self._id, *(edge.column for edge in spec.edges)}
        if spec.entity_id:
            named.add(spec.entity_id)
        if spec.deleted:
            named.add(spec.deleted.column)
        if isinstance(spec.confidence, str):
            named.add(spec.confidence)
        if spec.observed_at and not self._fixed_time:
            named.add(spec.observed_at)
        return named

    def _all_of(self, columns: Collection[str]) -> list[_Column]:
        return [_Column(name, ColumnSpec(column=name)) for name in columns if name not in self._special]

    def _check(self, columns: Collection[str], path: str) -> None:
        for wanted in sorted(self._special | {column.spec.column for column in self._columns}):
            if wanted not in columns:
                raise InputError(
                    f"{path}: there is no column `{wanted}`, which the source's mapping names; "
                    f"the file has {', '.join(columns) or 'none'}"
                )


def _fixed_time(spec: SourceSpec, now: float) -> tuple[str, bool] | None:
    """The time of all rows and whether it is that of reading, or None where a column gives it."""
    if spec.observed_at is None:
        return timestamp(now), True
    try:
        return moment(spec.observed_at), False
    except RefusedError:
        return None
