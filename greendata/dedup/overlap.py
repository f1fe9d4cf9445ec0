"""How much of one dataset or object is contained in another, in SQL over what was verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Level = Literal["dataset", "object"]

_UNIT: dict[Level, str] = {"dataset": "dataset", "object": "uri"}

MAX_PARTNERS: dict[Level, int] = {"dataset": 1024, "object": 64}
"""Datasets or objects that hold one text and are looked at as partners of the others that do. A
text in more of them is boilerplate: counting all pairs would be quadratic. Beyond the bound, shares
with the partners left out are lower bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Names of the tables that overlaps are counted from.

    Attributes:
        documents: one row a document of these texts, of others or not.
        shared_texts: (digest_high, digest_low), all texts that have a copy or a verified partner.
        verified: (a_digest_high, a_digest_low, b_digest_high, b_digest_low).
    """

    documents: str = "documents"
    shared_texts: str = "shared_texts"
    verified: str = "verified"


def load_overlaps(connection: DuckDBPyConnection, level: Level, sources: Sources) -> int:
    """Append to table ``overlap_rows`` the overlap of all two datasets or objects that share text.

    Needs the tables of ``sources`` and ``totals(level, unit, documents, text_bytes)``.

    Returns:
        Texts held by more partners than MAX_PARTNERS.
    """
    crowded = count_contained(connection, level, sources, "contained")
    connection.execute(_ROWS, {"level": level})
    return crowded


def update_overlaps(
    connection: DuckDBPyConnection, level: Level, before: Sources, now: Sources
) -> int:
    """Append to ``overlap_rows`` those of table ``overlaps``, made right for some texts.

    Args:
        before: these texts as they were when ``overlaps`` were counted.
        now: as they are now.

    Returns:
        Texts held by more partners than MAX_PARTNERS, of those that are looked at.
    """
    count_contained(connection, level, before, "contained_before")
    crowded = count_contained(connection, level, now, "contained_now")
    connection.execute(_UPDATED, {"level": level})
    connection.execute(_ROWS, {"level": level})
    return crowded


def count_contained(
    connection: DuckDBPyConnection, level: Level, sources: Sources, table: str
) -> int:
    """Table of (a, b, documents, text_bytes, exact_documents): what of ``a`` is in ``b``."""
    unit = _UNIT[level]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE units AS SELECT unit, (row_number() OVER (ORDER BY unit)"
        f" - 1)::INTEGER AS number FROM (SELECT DISTINCT {unit} AS unit FROM {sources.documents})"
    )
    ((units,),) = connection.execute("SELECT count(*) FROM units").fetchall()
    most = MAX_PARTNERS[level]
    connection.execute(_TABLES)
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {sources.documents}").fetchall()
    parts = 1 << max(0, (int(rows) // DOCUMENTS_AT_ONCE).bit_length()) if units > 1 else 0
    numbered = "row_number() OVER (PARTITION BY digest_high, digest_low ORDER BY u.number)"
    holdings = _HOLDINGS.format(
        documents=sources.documents,
        shared_texts=sources.shared_texts,
        unit=unit,
        place=numbered if units > most else 1,
    )
    matches = _MATCHES.format(shared_texts=sources.shared_texts, verified=sources.verified)
    for part in range(parts):  # each text is in one part, whose joins and groups fit in memory
        connection.execute(holdings, {"mask": parts - 1, "part": part})
    for part in range(parts):
        connection.execute(matches, {"mask": parts - 1, "part": part, "most": most})
    connection.execute(_CONTAINED.format(table=table))
    crowded = connection.execute("SELECT count(*) FROM holdings WHERE place = ? + 1", [most])
    return int(crowded.fetchall()[0][0])


DOCUMENTS_AT_ONCE = 500_000
"""Joined and grouped at once: DuckDB holds up to twice their rows, and cannot tell how many."""

_TABLES = """
CREATE OR REPLACE TEMP TABLE holdings(digest_high BIGINT, digest_low BIGINT, unit INTEGER,
    documents BIGINT, text_bytes BIGINT, place BIGINT);
CREATE OR REPLACE TEMP TABLE contained_parts(a INTEGER, b INTEGER, documents BIGINT,
    text_bytes BIGINT, exact_documents BIGINT);
"""

_HOLDINGS = """
INSERT INTO holdings
SELECT digest_high, digest_low, u.number AS unit, count(*) AS documents,
    sum(text_bytes)::BIGINT AS text_bytes, {place} AS place
FROM (SELECT * FROM {documents} WHERE digest_low & $mask = $part)
SEMI JOIN (SELECT * FROM {shared_texts} WHERE digest_low & $mask = $part)
USING (digest_high, digest_low) LEFT JOIN units u ON u.unit = {unit}
GROUP BY digest_high, digest_low, u.number
"""

# contained(a, b): what of unit a has an identical or verified text in unit b.
_MATCHES = """
INSERT INTO contained_parts
WITH neighbours AS (
    SELECT digest_high, digest_low, digest_high AS other_high, digest_low AS other_low, true AS same
    FROM {shared_texts} WHERE digest_low & $mask = $part
    UNION ALL SELECT a_digest_high, a_digest_low, b_digest_high, b_digest_low, false
    FROM {verified} WHERE a_digest_low & $mask = $part
    UNION ALL SELECT b_digest_high, b_digest_low, a_digest_high, a_digest_low, false
    FROM {verified} WHERE b_digest_low & $mask = $part
), matches AS (
    SELECT h.digest_high, h.digest_low, h.unit AS a, o.unit AS b, bool_or(n.same) AS same,
        any_value(h.documents) AS documents, any_value(h.text_bytes) AS text_bytes
    FROM (SELECT * FROM holdings WHERE digest_low & $mask = $part) h
    JOIN neighbours n USING (digest_high, digest_low)
    JOIN holdings o ON o.digest_high = n.other_high AND o.digest_low = n.other_low
        AND o.place <= $most AND o.unit <> h.unit
    GROUP BY h.digest_high, h.digest_low, h.unit, o.unit
)
SELECT a, b, sum(documents) AS documents, sum(text_bytes) AS text_bytes,
    coalesce(sum(documents) FILTER (same), 0) AS exact_documents
FROM matches GROUP BY a, b
"""

_CONTAINED = """
CREATE OR REPLACE TEMP TABLE {table} AS
SELECT ua.unit AS a, ub.unit AS b, sum(documents) AS documents, sum(text_bytes) AS text_bytes,
    sum(exact_documents) AS exact_documents
FROM contained_parts p JOIN units ua ON ua.number = p.a JOIN units ub ON ub.number = p.b
GROUP BY ua.unit, ub.unit
"""

# Shares times their totals are the counts again, exactly.
_UPDATED = """
CREATE OR REPLACE TEMP TABLE contained AS
SELECT a, b, sum(documents)::BIGINT AS documents, sum(text_bytes)::BIGINT AS text_bytes,
    sum(exact_documents)::BIGINT AS exact_documents
FROM (
    SELECT a, b, round(a_in_b_documents * a_documents)::BIGINT AS documents,
        round(a_in_b_text_bytes * a_text_bytes)::BIGINT AS text_bytes,
        round(a_in_b_exact_documents * a_documents)::BIGINT AS exact_documents
    FROM "overlaps" WHERE level = $level
    UNION ALL SELECT b, a, round(b_in_a_documents * b_documents)::BIGINT,
        round(b_in_a_text_bytes * b_text_bytes)::BIGINT,
        round(b_in_a_exact_documents * b_documents)::BIGINT
    FROM "overlaps" WHERE level = $level
    UNION ALL SELECT a, b, -documents, -text_bytes, -exact_documents FROM contained_before
    UNION ALL SELECT a, b, documents, text_bytes, exact_documents FROM contained_now
) GROUP BY a, b HAVING sum(documents) > 0
"""

_ROWS = """
INSERT INTO overlap_rows
WITH ordered AS (
    SELECT least(a, b) AS first, greatest(a, b) AS second, a < b AS forward, * FROM contained
), sides AS (
    SELECT first, second,
        coalesce(sum(documents) FILTER (forward), 0) AS f_documents,
        coalesce(sum(text_bytes) FILTER (forward), 0) AS f_bytes,
        coalesce(sum(exact_documents) FILTER (forward), 0) AS f_exact,
        coalesce(sum(documents) FILTER (NOT forward), 0) AS s_documents,
        coalesce(sum(text_bytes) FILTER (NOT forward), 0) AS s_bytes,
        coalesce(sum(exact_documents) FILTER (NOT forward), 0) AS s_exact
    FROM ordered GROUP BY first, second
)
SELECT $level, first, second,
    f_documents / a.documents, coalesce(f_bytes / nullif(a.text_bytes, 0), 0),
    s_documents / b.documents, coalesce(s_bytes / nullif(b.text_bytes, 0), 0),
    f_exact / a.documents, s_exact / b.documents,
    a.documents, b.documents, a.text_bytes, b.text_bytes
FROM sides JOIN totals a ON a.unit = first AND a.level = $level
    JOIN totals b ON b.unit = second AND b.level = $level
"""
