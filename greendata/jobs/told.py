"""What a scan is about: from a listing, or from an inventory that was taken just before.

Of the latter, what is as the last scan read it is found in SQL, so that a million such objects cost
seconds; only the others are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from greendata.catalog.commits import Cover
from greendata.catalog.inventory import create_objects_view
from greendata.catalog.queries import create_objects, create_table
from greendata.catalog.schemas import SCHEMAS
from greendata.jobs.changes import KnownObjects
from greendata.jobs.refresh import refresh_objects
from greendata.jobs.scope import Scope, list_scope, make_scope, own_folders
from greendata.model import StoredObject
from greendata.shards.choosing import SideFiles, is_told_by_format
from greendata.stores.local import STORE_ID

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from greendata.catalog.commits import Snapshot
    from greendata.catalog.tables import Catalog
    from greendata.jobs.request import ScanRequest
    from greendata.model import SkippedObject
    from greendata.stores.opening import Stores

_LISTED = (
    "uri", "store_id", "size_bytes", "etag", "modified_at", "storage_class", "created_at",
    "accessed_at", "tier_changed_at",
)  # fmt: skip
_BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is to be looked at, and what need not be.

    Attributes:
        scope: its ``objects`` are those to be looked at.
        known: what the catalog has of objects, but those that are unchanged.
        unchanged: URIs of shards that are as the last scan read them; ``formats`` are theirs.
    """

    scope: Scope
    known: KnownObjects
    unchanged: tuple[str, ...] = ()
    formats: frozenset[str] = frozenset()


def list_and_record(
    catalog: Catalog, store: Stores, request: ScanRequest, known: KnownObjects, now: datetime
) -> Told:
    """List, and keep what that tells, last accesses above all: reading changes them."""
    from greendata.inventory.listing import object_batches

    scope = list_scope(store, request.uris, request.datasets, catalog.place.uri)
    covers = [
        Cover(store_id=store.store_of(uri).store_id, uri=uri) for uri in sorted(scope.targets)
    ]
    refresh_objects(
        catalog,
        object_batches(scope.objects),
        covers=covers,
        denied=[entry.uri for entry in scope.denied],
        source="listing",
        as_of=now,
        now=now,
    )
    return Told(scope=scope, known=known)


def tell(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    store: Stores,
    request: ScanRequest,
    *,
    base: Snapshot,
    options: str,
    denied: Sequence[SkippedObject],
) -> Told:
    """Hold the newest inventory of the request's URIs against what was scanned.

    ``options`` is how objects are read now; ``denied`` are folders that could not be listed.
    """
    targets = {uri: store.expand(uri) for uri in request.uris}
    everything = {target for found in targets.values() for target in found}
    own = own_folders(catalog.place.uri, everything)
    create_objects(connection, catalog, base)
    create_objects_view(connection, catalog, catalog.refreshes())
    _create_listed(connection, everything, [*own, *(entry.uri for entry in denied)])
    named = _named(connection, _drop_second_names(connection, store))
    scope = make_scope(targets, request.datasets, objects=(), named=named, denied=denied)
    unchanged, formats = _unchanged(connection, scope, options)
    create_table(connection, "unchanged", unchanged)
    query = "SELECT * FROM listed ANTI JOIN unchanged USING (uri) ORDER BY uri"
    columns = ", ".join(SCHEMAS["objects"].names)
    known = connection.sql(f"SELECT {columns} FROM objects ANTI JOIN unchanged USING (uri)")
    return Told(
        scope=replace(scope, objects=tuple(_objects(connection, query))),
        known=KnownObjects(known.to_arrow_table()),
        unchanged=tuple(unchanged["uri"].to_pylist()),
        formats=formats,
    )


def _create_listed(
    connection: DuckDBPyConnection, targets: set[str], hidden: Sequence[str]
) -> None:
    """Table ``listed``: current objects at and below targets, but not at or below ``hidden``."""
    for name, uris in (("targets", targets), ("hidden_folders", hidden)):
        create_table(connection, name, _uri_table(uris))
    below = "(i.uri = f.uri OR starts_with(i.uri, rtrim(f.uri, '/') || '/'))"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE listed AS SELECT {', '.join(_LISTED)} FROM object_rows i"
        " WHERE coalesce(is_latest, true) AND NOT coalesce(is_delete_marker, false)"
        " AND format IS DISTINCT FROM 'upload' AND NOT (ends_with(uri, '/') AND size_bytes = 0)"
        f" AND EXISTS (FROM targets f WHERE {below})"
        f" AND NOT EXISTS (FROM hidden_folders f WHERE {below})"
    )


def _drop_second_names(connection: DuckDBPyConnection, store: Stores) -> dict[str, str]:
    """Of a local file that several folders name, the first name alone is listed; second to first.

    A local ETag holds the file's inode: only those that share one are asked about.
    """
    query = (
        f"SELECT * FROM listed WHERE store_id = '{STORE_ID}'"
        " QUALIFY count(*) OVER (PARTITION BY etag) > 1 ORDER BY uri"
    )
    first: dict[Hashable, str] = {}
    second: dict[str, str] = {}
    for item in _objects(connection, query):
        kept = first.setdefault(store.identity(item), item.uri)
        if kept != item.uri:
            second[item.uri] = kept
    create_table(connection, "second_names", _uri_table(second))
    connection.execute("DELETE FROM listed WHERE uri IN (FROM second_names)")
    return second


def _named(connection: DuckDBPyConnection, second: Mapping[str, str]) -> frozenset[str]:
    """Objects that the request itself names, by this name or another of theirs."""
    found = connection.execute(
        "SELECT uri FROM targets WHERE uri IN (SELECT uri FROM listed UNION ALL FROM second_names)"
    ).fetchall()
    return frozenset(second.get(uri, uri) for (uri,) in found)


def _unchanged(
    connection: DuckDBPyConnection, scope: Scope, options: str
) -> tuple[pa.Table, frozenset[str]]:
    """Shards that nothing is to be done about, by URI, and their formats."""
    found = connection.execute(
        "SELECT uri, o.format, o.dataset, o.priority FROM listed JOIN objects o"
        " USING (store_id, uri, etag) WHERE o.status = 'read' AND o.read_options = ?",
        [options],
    )
    sides = SideFiles(scope.targets)
    uris: list[str] = []
    formats: set[str] = set()
    while batch := found.fetchmany(_BATCH_ROWS):
        for uri, file_format, dataset, priority in batch:
            now = scope.dataset(uri)
            is_moved = (now.name, now.priority) != (dataset, priority)
            is_data = uri in scope.named or sides.why(uri) is None
            if is_data and not is_moved and is_told_by_format(uri, file_format):
                uris.append(uri)
                formats.add(file_format)
    return _uri_table(uris), frozenset(formats)


def _objects(connection: DuckDBPyConnection, query: str) -> Iterator[StoredObject]:
    for batch in connection.sql(query).to_arrow_reader(_BATCH_ROWS):
        for row in batch.to_pylist():
            yield StoredObject(**row)


def _uri_table(uris: Iterable[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"uri": pa.array(sorted(uris), pa.string())})
