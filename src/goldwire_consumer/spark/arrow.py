"""Columns as Arrow types, for the functions that Spark and `deltalake` hand rows through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldwire_consumer.extra import extra


def arrow_schema(columns: Mapping[str, str]) -> Any:
    """Return Spark's column types as a schema of pyarrow.

    Args:
        columns: by name, those types that this package uses.
    """
    with extra("spark"):
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra: imported where a table is worked on
    types = {
        "string": pa.string(),
        "bigint": pa.int64(),
        "boolean": pa.bool_(),
        "binary": pa.binary(),
        "array<binary>": pa.list_(pa.binary()),
        "map<string,string>": pa.map_(pa.string(), pa.string()),
    }
    return pa.schema([(name, types[type_]) for name, type_ in columns.items()])
