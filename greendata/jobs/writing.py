"""Result tables of a scan as Parquet files, each of as many rows as are sorted in memory.

DuckDB's sort spills, but not safely: of millions of rows from tables that were spilled themselves
it takes all memory, and then cannot read the rest (duckdb 2.0; 6.3 million rows in 512 MiB).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from greendata.catalog.queries import SQL_TYPES
from greendata.catalog.schemas import SCHEMAS
from greendata.jobs.duplicate_rows import sorted_duplicates

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROW_BYTES = 1024
"""Of memory for each row that is sorted at once; one takes a quarter of it at most."""

_MOST_RANGES = 200
"""Of objects in one condition."""

_ORDER = {
    "pairs": "a_digest_high, a_digest_low, b_digest_high, b_digest_low",
    "duplicates": "document_uri, document_row",
    "groups": "text_group, digest_high, digest_low",
    "settled": "digest_high, digest_low",
    "overlaps": "level, a, b",
}
_LEADING_DIGEST = {"pairs": "a_digest_high", "groups": "text_group", "settled": "digest_high"}


def write_results(
    connection: DuckDBPyConnection, name: str, folder: Path, *, memory_bytes: int
) -> list[Path]:
    """Write a result table in the catalog's schema to Parquet files; none where it has no rows.

    All files together are sorted, so that equal results are equal files. ``memory_bytes`` are those
    of the connection.
    """
    columns = ", ".join(
        f"{column.name}::{SQL_TYPES[str(column.type)]} AS {column.name}" for column in SCHEMAS[name]
    )
    folder.mkdir(exist_ok=True)
    paths: list[Path] = []
    for number, part in enumerate(_parts(connection, name, max(1, memory_bytes // ROW_BYTES))):
        if name == "duplicates":
            query = sorted_duplicates(part, _ORDER[name])
        else:
            query = f"SELECT * FROM {_table(name)} WHERE {part} ORDER BY {_ORDER[name]}"
        path = folder / f"{number}.parquet"
        target = str(path).replace("'", "''")
        copied = connection.execute(
            f"COPY (SELECT {columns} FROM ({query})) TO '{target}'"
            " (FORMAT parquet, COMPRESSION zstd)"
        )
        if copied.fetchall()[0][0]:
            paths.append(path)
    return paths


def _table(name: str) -> str:
    return f"{name.removesuffix('s')}_rows"


def _parts(connection: DuckDBPyConnection, name: str, at_once: int) -> Iterator[str]:
    """Conditions, one after the other in the table's order, under which about so many rows are."""
    counted = "duplicate_numbers" if name == "duplicates" else _table(name)
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {counted}").fetchall()
    if not rows:
        return
    if rows <= at_once or name == "overlaps":
        yield "true"
    elif name == "duplicates":
        yield from _object_parts(connection, at_once)
    else:
        count = -(-rows // at_once)
        bounds = [-(2**63) + (2**64 * part) // count for part in range(count + 1)]
        for low, high in itertools.pairwise(bounds):
            yield f"{_LEADING_DIGEST[name]} BETWEEN {low} AND {high - 1}"


def _object_parts(connection: DuckDBPyConnection, at_once: int) -> Iterator[str]:
    """Of ``duplicate_numbers``: objects in the order of their URIs, large ones by their rows."""
    counts = connection.execute(
        "SELECT object_order, rows FROM (SELECT document_order, count(*) AS rows"
        " FROM duplicate_numbers GROUP BY document_order)"
        " JOIN named ON object_order = document_order ORDER BY uri"
    ).fetchall()
    places = {order: place for place, order in enumerate(sorted(order for order, _ in counts))}
    ranges: list[tuple[int, int]] = []
    total = 0
    for order, rows in counts:
        follows = bool(ranges) and places[ranges[-1][1]] + 1 == places[order]
        if ranges and (total + rows > at_once or (len(ranges) == _MOST_RANGES and not follows)):
            yield _within(ranges)
            ranges, total, follows = [], 0, False
        if rows > at_once:
            yield from _row_parts(connection, order, at_once)
            continue
        total += rows
        if follows:
            ranges[-1] = (ranges[-1][0], order)
        else:
            ranges.append((order, order))
    if ranges:
        yield _within(ranges)


def _within(ranges: list[tuple[int, int]]) -> str:
    found = " OR ".join(f"document_order BETWEEN {low} AND {high}" for low, high in ranges)
    return f"({found})"


def _row_parts(connection: DuckDBPyConnection, order: int, at_once: int) -> Iterator[str]:
    found = connection.execute(
        "SELECT document_row FROM duplicate_numbers WHERE document_order = ?", [order]
    ).fetchnumpy()
    bounds = np.sort(np.asarray(found["document_row"], np.int64))[::at_once].tolist()
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        below = "" if high is None else f" AND document_row < {high}"
        yield f"document_order = {order} AND document_row >= {low}{below}"
