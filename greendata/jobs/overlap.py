"""How much of one object or dataset is contained in another, both ways."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from greendata.config import StoreSettings
from greendata.jobs.export import ROWS_PER_BATCH, Destination, write_rows
from greendata.jobs.results import fetch_one, open_catalog
from greendata.model import SCHEMA_VERSION
from greendata.shards.opening import INDEX_FORMAT

Level = Literal["object", "dataset", "all"]

COLUMNS = (
    "level",
    "a",
    "b",
    "a_in_b_documents",
    "a_in_b_text_bytes",
    "b_in_a_documents",
    "b_in_a_text_bytes",
    "a_in_b_exact_documents",
    "b_in_a_exact_documents",
    "a_documents",
    "b_documents",
    "a_text_bytes",
    "b_text_bytes",
)
_LARGEST_SHARE = (
    "greatest(a_in_b_documents, a_in_b_text_bytes, b_in_a_documents, b_in_a_text_bytes)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapRequest:
    """Which overlaps to look at; ``min_share`` (0..1) must be reached by one of the four shares."""

    catalog: str
    level: Level = "all"
    min_share: float = 0.0
    limit: int = 20
    stores: tuple[StoreSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Shares are in 0..1; exact ones count identical texts only."""

    level: Literal["object", "dataset"]
    a: str
    b: str
    a_in_b_documents: float
    a_in_b_text_bytes: float
    b_in_a_documents: float
    b_in_a_text_bytes: float
    a_in_b_exact_documents: float
    b_in_a_exact_documents: float
    a_documents: int
    b_documents: int
    a_text_bytes: int
    b_text_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """The overlaps asked for, datasets before objects, the largest share first.

    Of ``index_only_datasets`` identical texts are counted alone: their shares are lower bounds.
    """

    overlaps: tuple[Overlap, ...]
    total_overlaps: int
    index_only_datasets: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``overlap --json``."""
        return {"schema_version": SCHEMA_VERSION} | asdict(self)


def find_overlaps(request: OverlapRequest) -> Overlaps:
    """The largest overlaps of each level, ``limit`` of them."""
    where, values = _filters(request)
    query = (
        f'SELECT {", ".join(COLUMNS)} FROM "overlaps" WHERE {where} QUALIFY row_number() OVER'
        f" (PARTITION BY level ORDER BY {_LARGEST_SHARE} DESC, a, b) <= ?"
        f" ORDER BY level, {_LARGEST_SHARE} DESC, a, b"
    )
    with open_catalog(request.catalog, request.stores) as connection:
        (total,) = fetch_one(connection, f'SELECT count(*) FROM "overlaps" WHERE {where}', values)
        rows = connection.execute(query, [*values, request.limit]).fetchall()
        indexed = connection.execute(
            "SELECT DISTINCT dataset FROM objects WHERE format = ? AND status = 'read' ORDER BY 1",
            [INDEX_FORMAT],
        ).fetchall()
    found = (Overlap(**dict(zip(COLUMNS, row, strict=True))) for row in rows)
    return Overlaps(
        overlaps=tuple(found),
        total_overlaps=total,
        index_only_datasets=tuple(name for (name,) in indexed),
    )


def export_overlaps(request: OverlapRequest, destination: Destination) -> int:
    """Write all rows the filters let through, sorted by level and names; the number of rows."""
    where, values = _filters(request)
    query = f'SELECT {", ".join(COLUMNS)} FROM "overlaps" WHERE {where} ORDER BY level, a, b'
    with open_catalog(request.catalog, request.stores) as connection:
        reader = connection.sql(query, params=values).to_arrow_reader(ROWS_PER_BATCH)
        return write_rows(reader, "overlaps", destination)


def _filters(request: OverlapRequest) -> tuple[str, list[Any]]:
    clause = f"{_LARGEST_SHARE} >= ?"
    values: list[Any] = [request.min_share]
    if request.level == "all":
        return clause, values
    return f"{clause} AND level = ?", [*values, request.level]
