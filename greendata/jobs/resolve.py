"""From fingerprints to duplicates and overlaps: wires the dedup room to catalog views and shards.

Works on one DuckDB connection that holds the catalog's views, the pending scan's rows included, and
leaves the results in the temporary tables ``duplicate_rows``, ``group_rows``, ``overlap_rows`` and
``pair_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.catalog.queries import SQL_TYPES, create_table
from greendata.catalog.schemas import SCHEMAS
from greendata.dedup.buckets import (
    MOST_ROWS,
    Buckets,
    SharedKeys,
    collect_buckets,
    shared_entries,
)
from greendata.dedup.keep import Decision, decide_kept, is_verified
from greendata.dedup.overlap import Sources, load_overlaps, update_overlaps
from greendata.dedup.verify import Comparisons, Verifier, open_spill
from greendata.errors import LimitExceededError
from greendata.jobs.bands import band_files, positions_of, read_bands
from greendata.jobs.duplicate_rows import load_duplicates, sorted_duplicates
from greendata.jobs.growth import choose_documents, read_chosen_bands
from greendata.jobs.rereading import TextReader, known_objects
from greendata.jobs.spread_members import spread_entries
from greendata.jobs.spread_verifying import comparer
from greendata.model import KeepOrder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from greendata.dedup.lsh import ReadBands
    from greendata.jobs.spread import Spread
    from greendata.jobs.textcache import TextCache
    from greendata.model import FingerprintParameters
    from greendata.progress import Progress
    from greendata.stores.base import Store

_FETCH_ROWS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What was found, beside the tables.

    Attributes:
        candidate_pairs: pairs compared or nominated, known ones included.
        verified_pairs: those at or above the threshold.
        unverified_pairs: those whose text could not be read.
        left_out: comparisons left out in buckets of many unlike texts.
        rounds: rounds of verification.
        crowded_texts: texts in so many objects that object overlaps are lower bounds.
        unreadable: objects whose texts could not be read back, with the reason.
    """

    candidate_pairs: int
    verified_pairs: int
    unverified_pairs: int
    left_out: int
    rounds: int
    crowded_texts: int
    unreadable: dict[str, str]


# Order of objects, and of distinct texts d with the object o of their first document.
OBJECT_ORDERS = {
    KeepOrder.LONGEST: "priority DESC, uri",
    KeepOrder.NEWEST: "priority DESC, modified_at DESC, uri",
    KeepOrder.OLDEST: "priority DESC, modified_at, uri",
    KeepOrder.FIRST: "priority DESC, uri",
    KeepOrder.SCORE: "priority DESC, uri",
}
_TEXT_ORDERS = {
    KeepOrder.LONGEST: "o.priority DESC, d.text_bytes DESC",
    KeepOrder.NEWEST: "o.priority DESC, o.modified_at DESC, d.text_bytes DESC",
    KeepOrder.OLDEST: "o.priority DESC, o.modified_at, d.text_bytes DESC",
    KeepOrder.FIRST: "o.priority DESC, d.position",
    KeepOrder.SCORE: "o.priority DESC, d.score DESC NULLS LAST, d.text_bytes DESC",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveSettings:
    """Bounds and places of one resolution.

    Attributes:
        keep: which of several alike is kept.
        is_exact_only: identical texts count, near-duplicates are not looked for.
        is_for_catalog: find the groups and overlaps, too, that a catalog holds.
        is_narrowed: the views hold only what ``growth.narrow`` left.
        spread: who joins bands and verifies in other processes; None: threads of this one.
    """

    parameters: FingerprintParameters
    workers: int
    filter_bytes: int
    spill_folder: Path
    texts: TextCache
    keep: KeepOrder = KeepOrder.LONGEST
    is_exact_only: bool = False
    is_for_catalog: bool = True
    is_narrowed: bool = False
    spread: Spread | None = None


def resolve(
    connection: DuckDBPyConnection, store: Store, settings: ResolveSettings, progress: Progress
) -> Resolution:
    """Find all duplicates and overlaps among the documents of the views."""
    progress.stage("finding candidates")
    load_copies(connection, settings.keep)
    shared, positions = _shared_keys(connection, settings)
    buckets = shared.ranked(_load_candidates(connection, settings.keep, positions))
    del shared, positions
    progress.stage("verifying")
    known = _known_pairs(connection)
    decision, reader = _decide(connection, store, settings, progress, buckets, known)
    progress.stage("writing results")
    _load_decision(connection, decision, settings.parameters.threshold, len(known.better))
    load_duplicates(connection)
    crowded = 0
    if settings.is_for_catalog:
        _load_groups(connection, buckets)
        crowded = _load_overlaps(connection, settings.is_narrowed)
    verified = is_verified(decision.compared, settings.parameters.threshold)
    return Resolution(
        candidate_pairs=len(decision.compared.better),
        verified_pairs=int(verified.sum()),
        unverified_pairs=int((~decision.compared.is_readable).sum()),
        left_out=decision.left_out,
        rounds=decision.rounds,
        crowded_texts=crowded,
        unreadable=reader.unreadable,
    )


def _shared_keys(
    connection: DuckDBPyConnection, settings: ResolveSettings
) -> tuple[SharedKeys, NDArray[np.int64]]:
    """Texts that share keys, and the positions of their documents.

    The few texts of a narrowed scan are joined in this process.
    """
    if settings.is_exact_only:
        return collect_buckets(()), np.empty(0, np.int64)
    if settings.is_narrowed:
        chosen = choose_documents(connection)
        shared = _collected(settings, lambda: read_chosen_bands(chosen), len(chosen.positions))
        return shared, chosen.positions[shared.rows]
    files = band_files(connection)
    rows = sum(file.rows for file in files)
    if rows > MOST_ROWS:
        raise LimitExceededError(
            f"The catalog has {rows} documents; of more than {MOST_ROWS}, near-duplicates cannot"
            " be found at once.",
            hint="Scan parts of the data into catalogs of their own.",
        )
    if settings.spread is None:
        shared = _collected(settings, lambda: read_bands(files), rows)
    else:
        keys = rows * settings.parameters.bands
        shared = collect_buckets(spread_entries(settings.spread, files, keys))
    return shared, positions_of(connection, files, shared.rows)


def _collected(settings: ResolveSettings, read: ReadBands, rows: int) -> SharedKeys:
    keys = rows * settings.parameters.bands
    return collect_buckets(shared_entries(read, keys, settings.filter_bytes, settings.spill_folder))


def _first(keep: KeepOrder, column: str = "position") -> str:
    """The document that stands for all of one text."""
    if keep is not KeepOrder.SCORE:
        return f"arg_min({column}, position)"
    return f"arg_min({column}, (-coalesce(score, '-infinity'::DOUBLE), position))"


def load_copies(connection: DuckDBPyConnection, keep: KeepOrder = KeepOrder.LONGEST) -> None:
    """Table ``copies``: texts that occur more than once, with the position of the first."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE copies AS"
        f" SELECT digest_high, digest_low, {_first(keep)} AS position FROM documents"
        " GROUP BY digest_high, digest_low HAVING count(*) > 1"
    )


def _load_candidates(
    connection: DuckDBPyConnection, keep: KeepOrder, positions: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Table ``candidates``: the texts of these documents by rank, and the rank of each."""
    score = "d.score" if keep is KeepOrder.SCORE else "NULL::DOUBLE"
    _register(
        connection,
        "texts",
        {"position": positions, "place": np.arange(len(positions), dtype=np.int32)},
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE candidates AS"
        f" SELECT (row_number() OVER (ORDER BY {_TEXT_ORDERS[keep]}, d.digest_high,"
        " d.digest_low) - 1)::INTEGER AS rank, d.*"
        " FROM (SELECT place, position, d.digest_high, d.digest_low, d.text_bytes, d.row,"
        f"   d.row_group, d.object_order, {score} AS score"
        "   FROM documents d JOIN texts USING (position)) d"
        " JOIN objects o USING (object_order)"
    )
    found = _fetch(connection, "SELECT place, rank FROM candidates", len(positions))
    ranks = np.empty(len(positions), np.int32)
    ranks[found["place"]] = found["rank"]
    return ranks


def _known_pairs(connection: DuckDBPyConnection) -> Comparisons:
    """Pairs that earlier scans compared, as ranks; unreadable ones are tried again."""
    found = connection.execute(
        "SELECT DISTINCT ON (least(a.rank, b.rank), greatest(a.rank, b.rank))"
        " least(a.rank, b.rank) AS better, greatest(a.rank, b.rank) AS worse, p.shared_shingles,"
        " CASE WHEN a.rank < b.rank THEN a_shingles ELSE b_shingles END AS better_shingles,"
        " CASE WHEN a.rank < b.rank THEN b_shingles ELSE a_shingles END AS worse_shingles"
        " FROM pairs p"
        " JOIN candidates a ON a.digest_high = a_digest_high AND a.digest_low = a_digest_low"
        " JOIN candidates b ON b.digest_high = b_digest_high AND b.digest_low = b_digest_low"
        " WHERE p.jaccard IS NOT NULL"
    ).fetchnumpy()
    return Comparisons(
        better=np.asarray(found["better"], np.int32),
        worse=np.asarray(found["worse"], np.int32),
        shared=np.asarray(found["shared_shingles"], np.int64),
        better_shingles=np.asarray(found["better_shingles"], np.int64),
        worse_shingles=np.asarray(found["worse_shingles"], np.int64),
    )


def _decide(
    connection: DuckDBPyConnection,
    store: Store,
    settings: ResolveSettings,
    progress: Progress,
    buckets: Buckets,
    known: Comparisons,
) -> tuple[Decision, TextReader]:
    places = _fetch(
        connection,
        "SELECT digest_high, digest_low, object_order, row, row_group FROM candidates"
        " ORDER BY rank",
        buckets.count,
    )
    digests = np.stack([places["digest_high"], places["digest_low"]], axis=1)
    del places["digest_high"], places["digest_low"]
    reader = TextReader(
        store=store,
        objects=known_objects(connection),
        texts=settings.texts,
        orders=places["object_order"],
        rows=places["row"],
        row_groups=places["row_group"],
        workers=settings.workers,
        progress=progress,
    )
    with open_spill(str(settings.spill_folder / "shingles.bin")) as file:
        verifier = Verifier(
            shingle_size=settings.parameters.shingle_size,
            digests=digests.view(np.uint64),
            read_texts=reader.read,
            file=file,
            workers=settings.workers,
        )
        decision = decide_kept(
            buckets,
            known,
            comparer(settings.spread, verifier, reader).compare,
            settings.parameters.threshold,
            *_datasets(connection, buckets.count),
        )
    return decision, reader


def _fetch(connection: DuckDBPyConnection, query: str, count: int) -> dict[str, NDArray[np.int64]]:
    """Columns of so many rows as int64, streamed: a whole result would be in memory twice."""
    relation = connection.sql(query)
    found = {name: np.empty(count, np.int64) for name in relation.columns}
    done = 0
    for batch in relation.to_arrow_reader(_FETCH_ROWS):
        for name, column in found.items():
            column[done : done + batch.num_rows] = batch[name].to_numpy()
        done += batch.num_rows
    return found


def _datasets(
    connection: DuckDBPyConnection, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Dataset numbers of each rank; nothing at all where there is one dataset."""
    starts = np.zeros(count + 1, np.int64)
    if _number(connection, "SELECT count(DISTINCT dataset) FROM objects") < 2:
        return starts, np.empty(0, np.int32)
    found = connection.execute(
        "WITH numbers AS (SELECT dataset, row_number() OVER (ORDER BY dataset) AS number"
        " FROM (SELECT DISTINCT dataset FROM objects))"
        " SELECT DISTINCT c.rank, n.number FROM documents d"
        " JOIN candidates c USING (digest_high, digest_low) JOIN numbers n USING (dataset)"
        " ORDER BY c.rank, n.number"
    ).fetchnumpy()
    np.cumsum(np.bincount(np.asarray(found["rank"]), minlength=count), out=starts[1:])
    return starts, np.asarray(found["number"], np.int32)


def _load_decision(
    connection: DuckDBPyConnection, decision: Decision, threshold: float, known: int
) -> None:
    """Tables ``pair_rows`` (new pairs), ``verified``, ``near`` and ``unverified`` (by text)."""
    compared = decision.compared
    _register(
        connection,
        "compared",
        {
            "better": compared.better,
            "worse": compared.worse,
            "shared": compared.shared,
            "better_shingles": compared.better_shingles,
            "worse_shingles": compared.worse_shingles,
            "jaccard": compared.jaccard,
            "is_verified": is_verified(compared, threshold),
            "is_new": np.arange(len(compared.better)) >= known,
        },
    )
    redundant = np.flatnonzero(decision.kept_for >= 0)
    _register(
        connection,
        "kept_for",
        {"rank": redundant.astype(np.int32), "kept_rank": decision.kept_for[redundant]},
    )
    connection.execute(_DECISION)


# The pairs with the texts they are of; new pairs as the catalog stores them; redundant and
# unverified texts beside the position of the document that is kept; texts that are anywhere twice.
_DECISION = """
CREATE OR REPLACE TEMP VIEW compared_texts AS
    SELECT p.*, a.digest_high AS a_digest_high, a.digest_low AS a_digest_low,
        b.digest_high AS b_digest_high, b.digest_low AS b_digest_low
    FROM compared p JOIN candidates a ON a.rank = p.better JOIN candidates b ON b.rank = p.worse;
CREATE OR REPLACE TEMP TABLE pair_rows AS
    SELECT a_digest_high, a_digest_low, b_digest_high, b_digest_low,
        CASE WHEN shared >= 0 THEN better_shingles END AS a_shingles,
        CASE WHEN shared >= 0 THEN worse_shingles END AS b_shingles,
        CASE WHEN shared >= 0 THEN shared END AS shared_shingles,
        CASE WHEN shared >= 0 THEN jaccard END AS jaccard
    FROM compared_texts WHERE is_new;
CREATE OR REPLACE TEMP TABLE verified AS
    SELECT a_digest_high, a_digest_low, b_digest_high, b_digest_low
    FROM compared_texts WHERE is_verified;
CREATE OR REPLACE TEMP TABLE near AS
    SELECT r.digest_high, r.digest_low, k.position AS kept_position, p.jaccard,
        p.shared / greatest(p.worse_shingles, 1) AS containment, 'near' AS kind
    FROM kept_for f JOIN compared p ON p.worse = f.rank AND p.better = f.kept_rank
    JOIN candidates r ON r.rank = f.rank JOIN candidates k ON k.rank = f.kept_rank;
CREATE OR REPLACE TEMP TABLE unverified AS
    SELECT r.digest_high, r.digest_low, k.position AS kept_position, NULL::DOUBLE AS jaccard,
        NULL::DOUBLE AS containment, 'candidate' AS kind
    FROM (SELECT worse, min(better) AS better FROM compared WHERE shared < 0 GROUP BY worse) p
    JOIN candidates r ON r.rank = p.worse JOIN candidates k ON k.rank = p.better
    ANTI JOIN kept_for f ON f.rank = p.worse;
CREATE OR REPLACE TEMP TABLE shared_texts AS
    SELECT digest_high, digest_low FROM copies
    UNION SELECT a_digest_high, a_digest_low FROM verified
    UNION SELECT b_digest_high, b_digest_low FROM verified;
"""


def _load_groups(connection: DuckDBPyConnection, buckets: Buckets) -> None:
    """Table ``group_rows``: the texts that buckets connect, by the digest of the best of them."""
    from greendata.dedup.kernel.postings import label_groups

    labels = np.empty(buckets.count, np.int32)
    label_groups(buckets.starts, buckets.members, labels)
    _register(connection, "labels", {"rank": np.arange(buckets.count), "label": labels})
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE group_rows AS"
        " SELECT c.digest_high, c.digest_low, best.digest_high AS text_group"
        " FROM labels JOIN candidates c USING (rank) JOIN candidates best ON best.rank = label"
    )


def _load_overlaps(connection: DuckDBPyConnection, is_narrowed: bool) -> int:
    create_table(connection, "no_overlaps", SCHEMAS["overlaps"].empty_table())
    connection.execute("CREATE OR REPLACE TEMP TABLE overlap_rows AS SELECT * FROM no_overlaps")
    connection.execute(_TOTALS)
    if is_narrowed:
        before = Sources(
            documents="documents_before", shared_texts="shared_before", verified="verified_before"
        )
        update_overlaps(connection, "dataset", before)
        return update_overlaps(connection, "object", before)
    load_overlaps(connection, "dataset")
    return load_overlaps(connection, "object")


_TOTALS = """
CREATE OR REPLACE TEMP TABLE totals AS
    SELECT 'dataset' AS level, dataset AS unit, sum(documents)::BIGINT AS documents,
        sum(text_bytes)::BIGINT AS text_bytes
    FROM objects WHERE status = 'read' GROUP BY dataset
    UNION ALL SELECT 'object', uri, sum(documents)::BIGINT, sum(text_bytes)::BIGINT
    FROM objects WHERE status = 'read' GROUP BY uri
"""


def _register(connection: DuckDBPyConnection, name: str, columns: dict[str, Any]) -> None:
    """Make a temporary table of arrays."""
    import pyarrow as pa

    create_table(connection, name, pa.table(columns))


_ORDER = {
    "pairs": "a_digest_high, a_digest_low, b_digest_high, b_digest_low",
    "duplicates": "document_uri, document_row",
    "groups": "text_group, digest_high, digest_low",
    "settled": "digest_high, digest_low",
    "overlaps": "level, a, b",
}


def write_result(connection: DuckDBPyConnection, name: str, path: Path) -> int:
    """Write a result table in the catalog's schema to a Parquet file; returns its rows.

    Sorted, so that equal results are equal files; DuckDB streams and spills, whatever the size.
    """
    columns = ", ".join(
        f"{column.name}::{SQL_TYPES[str(column.type)]} AS {column.name}" for column in SCHEMAS[name]
    )
    if name == "duplicates":
        query = sorted_duplicates(_ORDER[name])
    else:
        query = f"SELECT * FROM {name.removesuffix('s')}_rows ORDER BY {_ORDER[name]}"
    target = str(path).replace("'", "''")
    done = connection.execute(
        f"COPY (SELECT {columns} FROM ({query})) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return int(done.fetchall()[0][0])


def _number(connection: DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(query).fetchall()[0][0])
