"""From fingerprints to duplicates and overlaps: wires the dedup room to catalog views and shards.

Works on one DuckDB connection that holds the catalog's views, the pending scan's rows included, and
leaves the results in the temporary tables ``duplicate_rows``, ``group_rows``, ``overlap_rows`` and
``pair_rows``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from greendata.catalog.queries import create_table
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
from greendata.jobs.bands import band_files, document_files, read_bands
from greendata.jobs.candidates import (
    TextDocuments,
    dataset_numbers,
    documents_at,
    documents_of_rows,
    keep_order,
    known_pairs,
    load_repeated,
)
from greendata.jobs.decided import (
    drop_shared,
    load_groups,
    load_pairs,
    load_partners,
    load_shared,
)
from greendata.jobs.duplicate_rows import load_duplicates
from greendata.jobs.growth import choose_documents, read_chosen_bands
from greendata.jobs.rereading import TextReader, known_objects
from greendata.jobs.spread_members import spread_entries
from greendata.jobs.spread_verifying import comparer
from greendata.model import KeepOrder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.dedup.lsh import ReadBands
    from greendata.jobs.spread import Spread
    from greendata.jobs.textcache import TextCache
    from greendata.model import FingerprintParameters
    from greendata.progress import Progress
    from greendata.stores.base import Store


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
    _load_copied(connection, settings)
    shared, documents = _shared_keys(connection, settings)
    order = keep_order(connection, documents, settings.keep)
    texts, ranks = documents.take(order), np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    del documents, order
    buckets = shared.ranked(ranks)
    del shared, ranks
    progress.stage("verifying")
    known = known_pairs(connection, texts)
    decision, reader = _decide(connection, store, settings, progress, buckets, texts, known)
    progress.stage("writing results")
    crowded = 0
    if settings.is_for_catalog:
        load_shared(connection, texts, decision.compared, settings.parameters.threshold)
        crowded = _load_overlaps(connection, settings.is_narrowed)
        drop_shared(connection)
        load_groups(connection, texts, buckets)
        load_pairs(connection, texts, decision.compared, len(known.better))
    load_partners(connection, texts, decision)
    load_duplicates(connection)
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
) -> tuple[SharedKeys, TextDocuments]:
    """Texts that share keys, and their documents.

    The few texts of a narrowed scan are joined in this process.
    """
    if settings.is_exact_only:
        return collect_buckets(()), TextDocuments.empty(0)
    if settings.is_narrowed:
        chosen = choose_documents(connection)
        shared = _collected(settings, lambda: read_chosen_bands(chosen), len(chosen.positions))
        return shared, documents_at(connection, chosen.positions[shared.rows])
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
    return shared, documents_of_rows(connection, files, shared.rows)


def _collected(settings: ResolveSettings, read: ReadBands, rows: int) -> SharedKeys:
    keys = rows * settings.parameters.bands
    return collect_buckets(shared_entries(read, keys, settings.filter_bytes, settings.spill_folder))


def _first(keep: KeepOrder, column: str = "position") -> str:
    """The document that stands for all of one text."""
    if keep is not KeepOrder.SCORE:
        return f"arg_min({column}, position)"
    return f"arg_min({column}, (-coalesce(score, '-infinity'::DOUBLE), position))"


def load_copies(
    connection: DuckDBPyConnection, keep: KeepOrder = KeepOrder.LONGEST, among: str = ""
) -> None:
    """Table ``copies``: texts that occur more than once, with the position of the first.

    ``among`` leaves out documents whose text is known to occur once.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE copies AS"
        f" SELECT digest_high, digest_low, {_first(keep)} AS position FROM documents {among}"
        " GROUP BY digest_high, digest_low HAVING count(*) > 1"
    )


def _load_copied(connection: DuckDBPyConnection, settings: ResolveSettings) -> None:
    """Tables ``copies`` and ``copied``: all their documents, with the position of the first."""
    if settings.is_narrowed:
        load_copies(connection, settings.keep)
    else:
        _load_copies_of_all(connection, settings)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE copied AS SELECT d.position, d.row_group, d.text_bytes,"
        " d.digest_high, d.digest_low, c.position AS first"
        " FROM documents d JOIN copies c USING (digest_high, digest_low)"
    )


def _load_copies_of_all(connection: DuckDBPyConnection, settings: ResolveSettings) -> None:
    files = document_files(connection)
    found = load_repeated(connection, files, settings.filter_bytes, settings.spill_folder)
    if found:
        load_copies(connection, settings.keep, "SEMI JOIN repeated USING (digest_high)")
    else:
        load_copies(connection, settings.keep, "WHERE false")


def _decide(
    connection: DuckDBPyConnection,
    store: Store,
    settings: ResolveSettings,
    progress: Progress,
    buckets: Buckets,
    texts: TextDocuments,
    known: Comparisons,
) -> tuple[Decision, TextReader]:
    reader = TextReader(
        store=store,
        objects=known_objects(connection),
        texts=settings.texts,
        orders=texts.orders,
        rows=texts.rows,
        row_groups=texts.row_groups,
        workers=settings.workers,
        progress=progress,
    )
    with open_spill(str(settings.spill_folder / "shingles.bin")) as file:
        verifier = Verifier(
            shingle_size=settings.parameters.shingle_size,
            digests=texts.digests.view(np.uint64),
            read_texts=reader.read,
            file=file,
            workers=settings.workers,
        )
        decision = decide_kept(
            buckets,
            known,
            comparer(settings.spread, verifier, reader).compare,
            settings.parameters.threshold,
            *dataset_numbers(connection, texts),
        )
    return decision, reader


def _load_overlaps(connection: DuckDBPyConnection, is_narrowed: bool) -> int:
    create_table(connection, "no_overlaps", SCHEMAS["overlaps"].empty_table())
    connection.execute("CREATE OR REPLACE TEMP TABLE overlap_rows AS SELECT * FROM no_overlaps")
    connection.execute(_TOTALS)
    if is_narrowed:
        before = Sources(
            documents="documents_before", shared_texts="shared_before", verified="verified_before"
        )
        update_overlaps(connection, "dataset", before, _SHARED_TEXTS)
        return update_overlaps(connection, "object", before, _SHARED_TEXTS)
    load_overlaps(connection, "dataset", _SHARED_TEXTS)
    return load_overlaps(connection, "object", _SHARED_TEXTS)


_SHARED_TEXTS = Sources(documents="shared_documents")

_TOTALS = """
CREATE OR REPLACE TEMP TABLE totals AS
    SELECT 'dataset' AS level, dataset AS unit, sum(documents)::BIGINT AS documents,
        sum(text_bytes)::BIGINT AS text_bytes
    FROM objects WHERE status = 'read' GROUP BY dataset
    UNION ALL SELECT 'object', uri, sum(documents)::BIGINT, sum(text_bytes)::BIGINT
    FROM objects WHERE status = 'read' GROUP BY uri
"""
