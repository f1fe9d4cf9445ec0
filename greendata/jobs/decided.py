"""What was decided, as tables: pairs, redundant texts, groups, and texts that are held twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greendata.catalog.queries import POSITION_BITS
from greendata.dedup.keep import is_verified
from greendata.jobs.candidates import digest_columns, register_arrays

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from greendata.dedup.buckets import Buckets
    from greendata.dedup.keep import Decision
    from greendata.dedup.verify import Comparisons
    from greendata.jobs.candidates import TextDocuments


def load_partners(connection: DuckDBPyConnection, texts: TextDocuments, decision: Decision) -> None:
    """Tables ``near`` (redundant texts with the one that is kept for each) and ``unverified``
    (texts that could not be compared, with the best candidate): the document of either."""
    compared = decision.compared
    is_kept_pair = decision.kept_for[compared.worse] == compared.better
    near = np.flatnonzero(is_kept_pair)
    left = np.flatnonzero(~compared.is_readable & (decision.kept_for[compared.worse] < 0))
    left = left[np.lexsort((compared.better[left], compared.worse[left]))]
    worse = compared.worse[left]
    unverified = left[np.flatnonzero(np.diff(worse, prepend=-1))]
    shares = {"jaccard": compared.jaccard[near], "containment": _containment(compared, near)}
    register_arrays(connection, "near", _sides(texts, compared, near) | shares)
    register_arrays(connection, "unverified", _sides(texts, compared, unverified))


def _containment(compared: Comparisons, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    return compared.shared[pairs] / np.maximum(compared.worse_shingles[pairs], 1)


def _sides(
    texts: TextDocuments, compared: Comparisons, pairs: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {}
    for prefix, ranks in (("", compared.worse[pairs]), ("kept_", compared.better[pairs])):
        columns[f"{prefix}position"] = texts.positions[ranks]
        columns[f"{prefix}row_group"] = texts.row_groups[ranks]
        columns[f"{prefix}text_bytes"] = texts.text_bytes[ranks]
        columns |= digest_columns(texts.digests[ranks], prefix or "digest_")
    return columns


def load_pairs(
    connection: DuckDBPyConnection, texts: TextDocuments, compared: Comparisons, known: int
) -> None:
    """Table ``pair_rows``: all pairs but the first ``known``."""
    import pyarrow as pa

    is_unread = ~compared.is_readable[known:]
    found = {
        "a_shingles": compared.better_shingles[known:],
        "b_shingles": compared.worse_shingles[known:],
        "shared_shingles": compared.shared[known:],
        "jaccard": compared.jaccard[known:],
    }
    columns = _digests(texts, compared.better[known:], compared.worse[known:])
    columns |= {name: pa.array(values, mask=is_unread) for name, values in found.items()}
    register_arrays(connection, "pair_rows", columns)


def _digests(
    texts: TextDocuments, better: NDArray[np.int32], worse: NDArray[np.int32]
) -> dict[str, NDArray[Any]]:
    columns = digest_columns(texts.digests[better], "a_digest_")
    return columns | digest_columns(texts.digests[worse], "b_digest_")


def load_shared(
    connection: DuckDBPyConnection, texts: TextDocuments, compared: Comparisons, threshold: float
) -> None:
    """Tables ``verified`` (pairs), ``shared_texts`` and ``shared_documents`` (texts that are
    anywhere twice, and all their documents): what overlaps are counted from."""
    chosen = is_verified(compared, threshold)
    better, worse = compared.better[chosen], compared.worse[chosen]
    register_arrays(connection, "verified", _digests(texts, better, worse))
    is_shared = np.zeros(len(texts.positions), np.bool_)
    is_shared[better] = True
    is_shared[worse] = True
    shared = texts.take(np.flatnonzero(is_shared))
    places = {"position": shared.positions, "text_bytes": shared.text_bytes}
    register_arrays(connection, "shared_places", places | digest_columns(shared.digests))
    connection.execute(_SHARED)


_SHARED = f"""
CREATE OR REPLACE TEMP TABLE single_places AS
    SELECT digest_high, digest_low, position, text_bytes FROM shared_places
    ANTI JOIN copies USING (digest_high, digest_low);
DROP TABLE shared_places;
CREATE OR REPLACE TEMP TABLE shared_texts AS
    SELECT digest_high, digest_low FROM single_places
    UNION ALL SELECT digest_high, digest_low FROM copies;
CREATE OR REPLACE TEMP VIEW shared_documents AS
    SELECT o.uri, o.dataset, d.digest_high, d.digest_low, d.text_bytes FROM (
        SELECT digest_high, digest_low, position, text_bytes FROM single_places
        UNION ALL SELECT digest_high, digest_low, position, text_bytes FROM copied
    ) d LEFT JOIN objects o ON o.object_order = d.position >> {POSITION_BITS};
"""


def drop_shared(connection: DuckDBPyConnection) -> None:
    """Leave the memory of what overlaps were counted from to what comes next."""
    connection.execute(
        "DROP VIEW shared_documents; DROP TABLE single_places;"
        "DROP TABLE shared_texts; DROP TABLE verified; DROP TABLE holdings"
    )


def load_groups(connection: DuckDBPyConnection, texts: TextDocuments, buckets: Buckets) -> None:
    """Table ``group_rows``: the texts that buckets connect, by the digest of the best of them."""
    from greendata.dedup.kernel.postings import label_groups

    labels = np.empty(buckets.count, np.int32)
    label_groups(buckets.starts, buckets.members, labels)
    columns = digest_columns(texts.digests)
    columns["text_group"] = columns["digest_high"][labels]
    register_arrays(connection, "group_rows", columns)
