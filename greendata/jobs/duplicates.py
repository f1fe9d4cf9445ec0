"""The duplicates in a catalog: the largest groups with their texts' difference, and exports."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from greendata.config import StoreSettings
from greendata.jobs.difference import Difference, compare_words
from greendata.jobs.export import ROWS_PER_BATCH, Destination, write_rows
from greendata.jobs.results import fetch_one, open_catalog
from greendata.model import SCHEMA_VERSION

if TYPE_CHECKING:
    import duckdb

    from greendata.jobs.texts import DocumentReader

Kind = Literal["exact", "near", "candidate"]
VERIFIED_KINDS: tuple[Kind, ...] = ("exact", "near")
"""Candidates could not be compared; they are shown only when asked for and never counted."""

TEXT_START_CHARACTERS = 200

EXPORT_COLUMNS = (
    "document_uri",
    "document_row",
    "kept_uri",
    "kept_row",
    "kind",
    "jaccard",
    "containment",
    "document_text_bytes",
    "kept_text_bytes",
    "document_dataset",
    "kept_dataset",
    "document_etag",
    "kept_etag",
    "document_digest",
    "kept_digest",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicatesRequest:
    """Which duplicates to look at. ``uri_glob`` is matched against the redundant document's URI."""

    catalog: str
    kinds: tuple[Kind, ...] = VERIFIED_KINDS
    dataset: str | None = None
    min_jaccard: float | None = None
    uri_glob: str | None = None
    limit: int = 10
    members: int = 5
    with_texts: bool = True
    stores: tuple[StoreSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A redundant document of a group; its row group is -1 where the format has none."""

    document_uri: str
    document_row: int
    document_row_group: int
    document_etag: str
    document_dataset: str
    document_text_bytes: int
    kind: Kind
    jaccard: float | None
    containment: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One kept document and its redundant ones; ``duplicates`` begins with the least similar.

    ``text_start`` is how the kept text begins. ``difference`` compares it with the text of the
    first of ``duplicates``. Where a text cannot be read back, ``text_problem`` says why.
    """

    kept_uri: str
    kept_row: int
    kept_row_group: int
    kept_etag: str
    kept_dataset: str
    kept_text_bytes: int
    redundant_documents: int
    redundant_text_bytes: int
    duplicates: tuple[Member, ...]
    text_start: str | None = None
    difference: Difference | None = None
    text_problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroups:
    """The groups asked for, largest first, and how much there is in all."""

    groups: tuple[Group, ...]
    total_groups: int
    total_redundant_documents: int
    total_redundant_text_bytes: int
    unverified_candidates: int

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``duplicates --json``."""
        return {"schema_version": SCHEMA_VERSION} | asdict(self)


def find_groups(request: DuplicatesRequest) -> DuplicateGroups:
    """The largest groups by redundant bytes of text, with the difference of their texts."""
    with open_catalog(request.catalog, request.stores) as connection:
        return groups_of(connection, request)


def groups_of(connection: duckdb.DuckDBPyConnection, request: DuplicatesRequest) -> DuplicateGroups:
    """The same over the views of an open catalog."""
    totals, candidates = _count(connection, request)
    groups = _largest_groups(connection, request)
    if request.with_texts:
        from greendata.jobs.texts import DocumentReader
        from greendata.stores.opening import Stores

        reader = DocumentReader(connection, Stores(request.stores))
        groups = [_with_difference(group, reader) for group in groups]
    return DuplicateGroups(
        groups=tuple(groups),
        total_groups=totals[0],
        total_redundant_documents=totals[1],
        total_redundant_text_bytes=totals[2],
        unverified_candidates=candidates,
    )


def export_duplicates(request: DuplicatesRequest, destination: Destination) -> int:
    """Write all rows the filters let through, sorted by document; the number of rows."""
    where, values = _filters(request)
    query = (
        f"SELECT {', '.join(EXPORT_COLUMNS)} FROM duplicates WHERE {where}"
        " ORDER BY document_uri, document_row, kept_uri, kept_row"
    )
    with open_catalog(request.catalog, request.stores) as connection:
        reader = connection.sql(query, params=values).to_arrow_reader(ROWS_PER_BATCH)
        return write_rows(reader, "duplicates", destination)


def _filters(request: DuplicatesRequest) -> tuple[str, list[Any]]:
    """A WHERE clause over the view and the values bound to it."""
    clauses: list[str] = ["list_contains(?, kind)"]
    bound: list[Any] = [list(request.kinds)]
    for clause, value in (
        ("document_dataset = ?", request.dataset),
        ("jaccard >= ?", request.min_jaccard),
        ("document_uri GLOB ?", request.uri_glob),
    ):
        if value is not None:
            clauses.append(clause)
            bound.append(value)
    return " AND ".join(clauses), bound


def _count(
    connection: duckdb.DuckDBPyConnection, request: DuplicatesRequest
) -> tuple[tuple[int, int, int], int]:
    where, values = _filters(request)
    groups, documents, text_bytes = fetch_one(
        connection,
        "SELECT count(DISTINCT (kept_uri, kept_row)), count(*),"
        f" coalesce(sum(document_text_bytes), 0) FROM duplicates WHERE {where}",
        values,
    )
    (candidates,) = fetch_one(
        connection, "SELECT count(*) FROM duplicates WHERE kind = 'candidate'", []
    )
    return (groups, documents, int(text_bytes)), candidates


_GROUP_COLUMNS = (
    "kept_uri",
    "kept_row",
    "kept_row_group",
    "kept_etag",
    "kept_dataset",
    "kept_text_bytes",
    "redundant_documents",
    "redundant_text_bytes",
)
_MEMBER_COLUMNS = (
    "document_uri",
    "document_row",
    "document_row_group",
    "document_etag",
    "document_dataset",
    "document_text_bytes",
    "kind",
    "jaccard",
    "containment",
)
_GROUPS_QUERY = f"""
WITH chosen AS (SELECT * FROM duplicates WHERE {{where}}),
largest AS (
    SELECT kept_uri, kept_row, count(*) AS redundant_documents,
        sum(document_text_bytes)::BIGINT AS redundant_text_bytes
    FROM chosen GROUP BY kept_uri, kept_row
    ORDER BY redundant_text_bytes DESC, kept_uri, kept_row LIMIT ?
),
placed AS (
    SELECT chosen.*, redundant_documents, redundant_text_bytes, row_number() OVER (
        PARTITION BY kept_uri, kept_row ORDER BY jaccard NULLS LAST, document_uri, document_row
    ) AS place
    FROM chosen JOIN largest USING (kept_uri, kept_row)
)
SELECT {", ".join(_GROUP_COLUMNS + _MEMBER_COLUMNS)} FROM placed WHERE place <= ?
ORDER BY redundant_text_bytes DESC, kept_uri, kept_row, place
"""


def _largest_groups(
    connection: duckdb.DuckDBPyConnection, request: DuplicatesRequest
) -> list[Group]:
    where, values = _filters(request)
    query = _GROUPS_QUERY.format(where=where)
    rows = connection.execute(query, [*values, request.limit, request.members]).fetchall()
    width = len(_GROUP_COLUMNS)
    members: dict[tuple[Any, ...], list[Member]] = {}
    for row in rows:
        member = Member(**dict(zip(_MEMBER_COLUMNS, row[width:], strict=True)))
        members.setdefault(row[:width], []).append(member)
    return [
        Group(**dict(zip(_GROUP_COLUMNS, head, strict=True)), duplicates=tuple(found))
        for head, found in members.items()
    ]


def _with_difference(group: Group, reader: DocumentReader) -> Group:
    """The group with the difference of its kept text and its least similar member's."""
    first = group.duplicates[0]
    kept = reader.read(group.kept_uri, group.kept_row, group.kept_row_group)
    document = reader.read(first.document_uri, first.document_row, first.document_row_group)
    problem = kept.problem or document.problem
    if problem is not None:
        return replace(group, text_problem=problem)
    return replace(
        group,
        text_start=kept.text[:TEXT_START_CHARACTERS],
        difference=compare_words(kept.text, document.text),
    )
