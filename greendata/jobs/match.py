"""``greendata match``: which of some documents the catalog already has."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from greendata.catalog.queries import create_table
from greendata.config import StoreSettings
from greendata.dedup.fingerprint import Fingerprinter
from greendata.dedup.keyindex import find_keys
from greendata.dedup.sets import sorted_set
from greendata.dedup.verify import Comparisons, Verifier, open_spill
from greendata.errors import LimitExceededError
from greendata.jobs.bands import band_files, read_bands
from greendata.jobs.keyindexes import existing_indexes
from greendata.jobs.request import asked_threshold
from greendata.jobs.rereading import TextReader, known_objects
from greendata.jobs.resolve import load_copies
from greendata.jobs.results import open_catalog
from greendata.jobs.textcache import TextCache
from greendata.model import SCHEMA_VERSION, FingerprintParameters, SkippedObject
from greendata.shards.base import ReadOptions
from greendata.stores.local import path_to_uri
from greendata.stores.opening import Stores

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from greendata.dedup.verify import Consume
    from greendata.progress import Progress
    from greendata.shards.base import TextBatch

DEFAULT_MAX_CANDIDATES = 50
_FILTER_BITS_PER_KEY = 64
_MIN_FILTER_BITS = 1 << 16


_Keys = tuple["NDArray[np.uint64]", "NDArray[np.uint64]"]
"""Band keys, and beside each a digest [n, 2] of a text that may have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRequest:
    """Which documents to look for.

    Attributes:
        uris: files or folders of documents.
        threshold: Jaccard from which a document counts as known; None is that of the last scan.
        dataset: only documents of this dataset of the catalog.
        max_candidates: texts that one document is compared with, those of most shared bands first.
        memory_bytes: bound on the documents that are asked about.
    """

    uris: tuple[str, ...]
    catalog: str
    stores: tuple[StoreSettings, ...] = ()
    threshold: float | None = None
    dataset: str | None = None
    max_candidates: int = DEFAULT_MAX_CANDIDATES
    read_options: ReadOptions = field(default_factory=ReadOptions)
    workers: int = 2
    memory_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A document that the catalog has already, and the most similar one there."""

    uri: str
    row: int
    kind: Literal["exact", "near"]
    jaccard: float
    known_uri: str
    known_row: int
    known_dataset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """What was found. ``left_out`` candidates were beyond the limit, ``unread`` not readable."""

    documents: int
    matches: tuple[Match, ...]
    candidates: int
    left_out: int
    unread: int
    skipped: tuple[SkippedObject, ...]
    threshold: float
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``match --json``."""
        return asdict(self)


def match(request: MatchRequest, *, progress: Progress) -> Matches:
    """Compare documents with all of the catalog; every match is verified by the texts.

    Raises:
        ObjectNotFoundError: there is no catalog, or a URI names nothing.
        UsageError: a threshold below that of the catalog's index.
        LimitExceededError: more documents than ``memory_bytes`` at once.
    """
    with open_catalog(request.catalog, request.stores) as connection:
        parameters = _parameters(connection)
        threshold = asked_threshold(parameters, request.threshold)
        asked = _read_documents(request, parameters, progress)
        progress.stage("looking for candidates")
        _load_candidates(connection, asked, request)
        progress.stage("verifying")
        return _verified(connection, asked, request, parameters, threshold, progress)


def match_stream(stream: bytes, request: MatchRequest, *, progress: Progress) -> Matches:
    """The same for JSON Lines that come as bytes, such as from standard input; shown as ``-``."""
    with tempfile.TemporaryDirectory(prefix="greendata-") as folder:
        path = Path(folder) / "stdin.jsonl"
        path.write_bytes(stream)
        uri = path_to_uri(str(path))
        options = replace(request.read_options, format="jsonl")
        asked = replace(request, uris=(uri,), read_options=options)
        found = match(asked, progress=progress)
    return replace(
        found,
        matches=tuple(replace(entry, uri="-") for entry in found.matches),
        skipped=tuple(replace(entry, uri="-") for entry in found.skipped),
    )


def _parameters(connection: DuckDBPyConnection) -> FingerprintParameters:
    query = "SELECT parameters FROM scans ORDER BY sequence DESC LIMIT 1"
    ((document,),) = connection.execute(query).fetchall()
    return FingerprintParameters(**json.loads(document))


@dataclass(slots=True)
class _Asked:
    """The documents that are asked about, in the order they were read."""

    uris: list[str] = field(default_factory=list)
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)
    keys: list[NDArray[np.uint64]] = field(default_factory=list)
    digests: list[NDArray[np.uint64]] = field(default_factory=list)
    tokens: list[NDArray[np.int64]] = field(default_factory=list)
    skipped: list[SkippedObject] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def count(self) -> int:
        return len(self.uris)

    def digest_array(self) -> NDArray[np.uint64]:
        return np.concatenate([np.empty((0, 2), np.uint64), *self.digests])

    def key_array(self) -> NDArray[np.uint64]:
        """Band keys of documents with tokens, uint64 [n, bands], and none of the others."""
        return np.concatenate(self.keys) if self.keys else np.empty((0, 1), np.uint64)

    def take(self, uri: str, batch: TextBatch, fingerprinter: Fingerprinter) -> None:
        texts, rows = batch.present()
        found = fingerprinter.fingerprint(texts)
        valid = found.tokens >= 0
        if not valid.all():
            texts = texts.filter(pa.array(valid))
        self.uris += [uri] * int(valid.sum())
        self.rows.append(rows[valid])
        self.texts.append(texts)
        self.keys.append(found.keys[valid])
        self.digests.append(found.digests[valid])
        self.tokens.append(found.tokens[valid])
        self.size_bytes += texts.nbytes


def _read_documents(
    request: MatchRequest, parameters: FingerprintParameters, progress: Progress
) -> _Asked:
    from greendata.errors import GreendataError
    from greendata.jobs.scope import list_scope
    from greendata.shards.base import skipped_object
    from greendata.shards.choosing import choose_shards
    from greendata.shards.opening import open_shard

    store = Stores(request.stores)
    scope = list_scope(store, request.uris, (), path_to_uri(os.path.abspath(os.sep) + "none"))
    choice = choose_shards(
        store, scope.objects, request.read_options, scope.named, roots=scope.targets
    )
    progress.stage("reading", sum(shard.item.size_bytes for shard in choice.shards))
    fingerprinter, asked = Fingerprinter(parameters), _Asked()
    asked.skipped += [*scope.denied, *choice.skipped]
    for chosen in choice.shards:
        item = chosen.item
        try:
            shard = open_shard(store, item, request.read_options, chosen.format, chosen.codec)
            for part in shard.parts():
                for batch in shard.read(part):
                    asked.take(item.uri, batch, fingerprinter)
                    progress.advance(batch.source_bytes)
                    _check_size(asked, request)
        except LimitExceededError:
            raise
        except GreendataError as error:
            asked.skipped.append(skipped_object(item.uri, error))
    return asked


def _check_size(asked: _Asked, request: MatchRequest) -> None:
    if asked.size_bytes > request.memory_bytes:
        raise LimitExceededError(
            f"{asked.uris[-1]}: more than {request.memory_bytes} bytes of documents at once.",
            hint="Match fewer files a call, or scan them: a scan has no such limit.",
        )


def _load_candidates(connection: DuckDBPyConnection, asked: _Asked, request: MatchRequest) -> None:
    """Tables ``asked``, ``exact`` and ``near``: which texts of the catalog each may be like."""
    digests = asked.digest_array().view(np.int64)
    number = np.arange(asked.count)
    create_table(
        connection,
        "asked",
        _table({"number": number, "digest_high": digests[:, 0], "digest_low": digests[:, 1]}),
    )
    of_dataset = "" if request.dataset is None else " WHERE dataset = $dataset"
    bound = {} if request.dataset is None else {"dataset": request.dataset}
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE exact AS SELECT a.number, min(d.position) AS position"
        f" FROM (SELECT * FROM documents{of_dataset}) d"
        " JOIN asked a USING (digest_high, digest_low) GROUP BY a.number",
        bound,
    )
    _load_nominated(connection, asked)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE near AS SELECT *, row_number() OVER (PARTITION BY number"
        " ORDER BY bands DESC, position) AS place FROM (SELECT k.number, min(t.position) AS"
        " position, any_value(k.bands) AS bands, any_value(k.digest_high) AS digest_high,"
        " any_value(k.digest_low) AS digest_low FROM ("
        "  SELECT k.number, n.digest_high, n.digest_low, count(DISTINCT n.key) AS bands"
        "  FROM nominated n JOIN asked_keys k USING (key) GROUP BY ALL"
        f" ) k JOIN (SELECT * FROM documents{of_dataset}) t USING (digest_high, digest_low)"
        " GROUP BY k.number, digest_high, digest_low)"
        " ANTI JOIN exact USING (number)",
        bound,
    )


def _load_nominated(connection: DuckDBPyConnection, asked: _Asked) -> None:
    """``asked_keys(key, number)`` and ``nominated(key, digests)``: the catalog's texts that have
    one of these keys."""
    tokens = np.concatenate([np.empty(0, np.int64), *asked.tokens])
    with_tokens = np.flatnonzero(tokens > 0)
    keys = asked.key_array()[with_tokens]
    bands = keys.shape[1]
    create_table(
        connection,
        "asked_keys",
        _table({"key": keys.ravel().view(np.int64), "number": np.repeat(with_tokens, bands)}),
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE nominated(key BIGINT, digest_high BIGINT, digest_low BIGINT)"
    )
    if not keys.size:
        return
    files = connection.execute("SELECT DISTINCT filename FROM documents_rows").fetchall()
    indexes = existing_indexes([name for (name,) in files])
    try:
        parts = None if indexes is None else list(_look_up(indexes, keys))
    except (FileNotFoundError, ValueError):  # removed meanwhile, or damaged
        parts = None
    for part, digests in _read_keys(connection, keys) if parts is None else parts:
        columns = digests.view(np.int64)
        rows = {
            "key": part.view(np.int64),
            "digest_high": columns[:, 0],
            "digest_low": columns[:, 1],
        }
        connection.register("arrow_rows", _table(rows))
        connection.execute(
            "INSERT INTO nominated SELECT r.* FROM arrow_rows r SEMI JOIN asked_keys USING (key)"
        )
        connection.unregister("arrow_rows")


def _look_up(indexes: list[Path], keys: NDArray[np.uint64]) -> Iterator[_Keys]:
    asked = sorted_set(keys)
    for path in indexes:
        for found in find_keys(path, asked):
            yield asked[found.asked], found.digests


def _read_keys(connection: DuckDBPyConnection, keys: NDArray[np.uint64]) -> Iterator[_Keys]:
    """Without indexes: all keys are read; a bitmap keeps nearly all others out of DuckDB."""
    from greendata.dedup.kernel.nominate import mark_keys, repeated_keys

    exponent = int(math.log2(max(_MIN_FILTER_BITS, keys.size * _FILTER_BITS_PER_KEY)))
    shift = np.uint64(64 - exponent)
    once, twice = (np.zeros(1 << (exponent - 6), np.uint64) for _ in range(2))
    for _ in range(2):  # seen twice: marked
        mark_keys(keys.ravel(), once, twice, shift)
    load_copies(connection)
    for batch in read_bands(band_files(connection)):
        documents = np.empty(batch.keys.size, np.int64)
        selected = np.empty(batch.keys.size, np.uint64)
        found = repeated_keys(batch.keys, batch.usable, twice, shift, documents, selected)
        if found:
            yield selected[:found], batch.digests[documents[:found]]


def _verified(
    connection: DuckDBPyConnection,
    asked: _Asked,
    request: MatchRequest,
    parameters: FingerprintParameters,
    threshold: float,
    progress: Progress,
) -> Matches:
    pairs = connection.execute(
        "SELECT number, digest_high, digest_low, position FROM near WHERE place <= ?"
        " ORDER BY number, place",
        [request.max_candidates],
    ).fetchnumpy()
    total = int(connection.execute("SELECT count(*) FROM near").fetchall()[0][0])
    compared = _compare(connection, asked, pairs, request, parameters, progress)
    places = np.asarray(pairs["position"], np.int64)
    best: dict[int, tuple[float, int]] = {}
    for number, position, jaccard in zip(
        np.asarray(pairs["number"]), places, compared.jaccard, strict=True
    ):
        if jaccard >= threshold and jaccard > best.get(int(number), (-1.0, 0))[0]:
            best[int(number)] = (float(jaccard), int(position))
    exact = dict(connection.execute("SELECT number, position FROM exact").fetchall())
    known = _places(connection, {*exact.values(), *(place for _, place in best.values())})
    rows = np.concatenate([np.empty(0, np.int64), *asked.rows])
    matches = []
    for number in sorted({*exact, *best}):
        jaccard, position = (1.0, exact[number]) if number in exact else best[number]
        uri, row, dataset = known[position]
        matches.append(
            Match(
                uri=asked.uris[number],
                row=int(rows[number]),
                kind="exact" if number in exact else "near",
                jaccard=jaccard,
                known_uri=uri,
                known_row=row,
                known_dataset=dataset,
            )
        )
    return Matches(
        documents=asked.count,
        matches=tuple(matches),
        candidates=len(places),
        left_out=total - len(places),
        unread=int((~compared.is_readable).sum()),
        skipped=tuple(asked.skipped),
        threshold=threshold,
    )


def _compare(
    connection: DuckDBPyConnection,
    asked: _Asked,
    pairs: dict[str, Any],
    request: MatchRequest,
    parameters: FingerprintParameters,
    progress: Progress,
) -> Comparisons:
    """Ranks: the documents asked about, then the distinct texts they may be like."""
    places, texts = np.unique(np.asarray(pairs["position"], np.int64), return_inverse=True)
    digests = np.stack(
        [np.asarray(pairs["digest_high"], np.int64), np.asarray(pairs["digest_low"], np.int64)],
        axis=1,
    ).view(np.uint64)
    of_text = np.zeros((len(places), 2), np.uint64)
    of_text[texts] = digests
    located = _located(connection, places)
    reader = TextReader(
        store=Stores(request.stores),
        objects=known_objects(connection),
        texts=TextCache(0),
        orders=located[0],
        rows=located[1],
        row_groups=located[2],
        workers=request.workers,
        progress=progress,
    )
    held = pa.concat_arrays(
        [text.cast(pa.large_binary()) for text in asked.texts] or [pa.array([], pa.large_binary())]
    )
    count = asked.count

    def read_texts(ranks: NDArray[np.int64], consume: Consume) -> None:
        own = ranks[ranks < count]
        if len(own):
            consume(own, held.take(pa.array(own)))
        others = ranks[ranks >= count]
        if len(others):
            reader.read(others - count, lambda found, batch: consume(found + count, batch))

    with (
        tempfile.TemporaryDirectory(prefix="greendata-") as folder,
        open_spill(str(Path(folder) / "shingles.bin")) as file,
    ):
        verifier = Verifier(
            shingle_size=parameters.shingle_size,
            digests=np.concatenate([asked.digest_array(), of_text]),
            read_texts=read_texts,
            file=file,
            workers=request.workers,
        )
        better = np.asarray(pairs["number"], np.int32)
        return verifier.compare(
            better, (texts + count).astype(np.int32), later=np.empty(0, np.int64)
        )


def _located(
    connection: DuckDBPyConnection, places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """Object order, row and row group of documents by their position."""
    create_table(connection, "wanted", _table({"position": places}))
    found = connection.execute(
        "SELECT d.object_order, d.row, d.row_group FROM documents d JOIN wanted USING (position)"
        " ORDER BY position"
    ).fetchnumpy()
    return tuple(np.asarray(found[name], np.int64) for name in ("object_order", "row", "row_group"))


def _places(connection: DuckDBPyConnection, positions: set[int]) -> dict[int, tuple[str, int, str]]:
    create_table(connection, "wanted", _table({"position": np.array(sorted(positions), np.int64)}))
    rows = connection.execute(
        "SELECT position, uri, row, dataset FROM documents JOIN wanted USING (position)"
    ).fetchall()
    return {position: (uri, row, dataset) for position, uri, row, dataset in rows}


def _table(columns: dict[str, NDArray[Any]]) -> pa.Table:
    return pa.table({name: np.ascontiguousarray(column) for name, column in columns.items()})


def rows_of(found: Matches) -> Iterator[pa.RecordBatch]:
    """The matches as a table, for an export."""
    yield pa.RecordBatch.from_pylist([asdict(entry) for entry in found.matches], schema=SCHEMA)


SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("row", pa.int64()),
        ("kind", pa.string()),
        ("jaccard", pa.float64()),
        ("known_uri", pa.string()),
        ("known_row", pa.int64()),
        ("known_dataset", pa.string()),
    ]
)
