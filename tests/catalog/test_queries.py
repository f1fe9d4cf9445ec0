from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.queries import POSITION_BITS, Pending, create_current_views, create_views
from greendata.catalog.schemas import SCHEMAS
from greendata.catalog.tables import Catalog
from tests.catalog.test_tables import commit, rows

VIEWS = ("scans", "objects", "documents", "pairs", "duplicates", "overlaps")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog.open(LocalPlace(tmp_path / "catalog"), create=True)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    opened = duckdb.connect()
    yield opened
    opened.close()


def _write(catalog: Catalog, scan_id: str, uri: str, number: int, **values: Any) -> None:
    """An object with one document."""
    known = {"store_id": "local", "priority": 0, "status": "read", "documents_scan_id": scan_id}
    object_row = rows("objects", object_id=number, uri=uri, **(known | values))
    catalog.write("objects", scan_id, object_row)
    document = rows("documents", object_id=number, row=5, digest_high=number, digest_low=0)
    catalog.write("documents", scan_id, document)


def _all(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.execute(query).fetchall()


def _views(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    create_views(connection, catalog, catalog.snapshot())


def test_views_of_an_empty_catalog_are_empty(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection
) -> None:
    _views(connection, catalog)
    for name in VIEWS:
        schema = SCHEMAS[name]
        found = connection.sql(f'SELECT * FROM "{name}"').to_arrow_table()
        assert found.num_rows == 0
        missing = set(schema.names) - set(found.column_names)
        assert missing <= {"band_keys", "uris"}


def test_views_show_only_what_is_committed(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection
) -> None:
    _write(catalog, "one", "file:///a", 1)
    catalog.write("pairs", "one", rows("pairs", jaccard=0.25))
    catalog.write("duplicates", "one.0", rows("duplicates", kind="exact"))
    _views(connection, catalog)
    for name in ("objects", "documents", "pairs", "duplicates"):
        assert _all(connection, f"SELECT count(*) FROM {name}") == [(0,)], name
    commit(catalog, "one")
    _views(connection, catalog)
    for name in ("objects", "documents", "pairs", "duplicates"):
        assert _all(connection, f"SELECT count(*) FROM {name}") == [(1,)], name


def test_the_newest_row_of_an_object_holds_and_brings_its_own_documents(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection
) -> None:
    _write(catalog, "z-older", "file:///a", 1)
    commit(catalog, "z-older")
    _write(catalog, "a-newer", "file:///a", 2)
    commit(catalog, "a-newer")
    _views(connection, catalog)
    assert _all(connection, "SELECT object_id FROM objects") == [(2,)]
    assert _all(connection, "SELECT object_id, uri FROM documents") == [(2, "file:///a")]


@pytest.mark.parametrize(("status", "shown"), [("removed", 0), ("skipped", 1)])
def test_documents_of_objects_that_left_or_failed_do_not_show(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection, status: str, shown: int
) -> None:
    _write(catalog, "one", "file:///a", 1)
    commit(catalog, "one")
    catalog.write(
        "objects",
        "two",
        rows("objects", object_id=1, uri="file:///a", store_id="local", priority=0, status=status),
    )
    commit(catalog, "two")
    _views(connection, catalog)
    assert _all(connection, "SELECT count(*) FROM objects") == [(shown,)]
    assert _all(connection, "SELECT count(*) FROM documents") == [(0,)]


def test_only_the_last_results_show(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection
) -> None:
    for scan_id in ("one", "two"):
        row = rows("duplicates", document_uri=scan_id)
        catalog.write("duplicates", f"{scan_id}.0", row)
        commit(catalog, scan_id)
    _views(connection, catalog)
    assert _all(connection, "SELECT document_uri FROM duplicates") == [("two",)]


def test_a_scan_that_starts_over_hides_all_before_it(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection
) -> None:
    _write(catalog, "one", "file:///a", 1)
    commit(catalog, "one")
    _write(catalog, "two", "file:///b", 2)
    commit(catalog, "two", starts_over=True)
    _views(connection, catalog)
    assert _all(connection, "SELECT uri FROM objects") == [("file:///b",)]


def test_objects_stand_in_the_order_of_priority_and_name(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection
) -> None:
    for number, (uri, priority) in enumerate([("b", 0), ("a", 0), ("c", 5)], 1):
        _write(catalog, "one", uri, number, priority=priority)
    commit(catalog, "one")
    _views(connection, catalog)
    found = _all(connection, "SELECT uri FROM objects ORDER BY object_order")
    assert [row[0] for row in found] == ["c", "a", "b"]
    positions = _all(connection, "SELECT uri, position FROM documents ORDER BY position")
    assert positions[1] == ("a", (1 << POSITION_BITS) | 5)


def test_pending_rows_are_newer_than_all_committed_ones(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    _write(catalog, "one", "file:///a", 1)
    commit(catalog, "one")
    removed = rows("objects", uri="file:///a", store_id="local", priority=0, status="removed")
    pairs = tmp_path / "it's [1]*.parquet"
    pq.write_table(rows("pairs", jaccard=0.5), pairs)
    pending = Pending(scan_id="now", objects=removed, document_files=[], pair_files=[str(pairs)])
    create_views(connection, catalog, catalog.snapshot(), pending)
    assert _all(connection, "SELECT count(*) FROM objects") == [(0,)]
    assert _all(connection, "SELECT jaccard FROM pairs") == [(0.5,)]


def test_current_views_are_made_again_when_a_scan_is_committed_meanwhile(
    catalog: Catalog, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.check_writable()
    catalog.write("duplicates", "one.0", rows("duplicates", document_uri="one"))
    commit(catalog, "one")
    original = Catalog.files

    def overtaken(self: Catalog, name: str, scan_ids: Any) -> list[str]:
        if name == "duplicates" and scan_ids == {"one.0"}:
            monkeypatch.setattr(Catalog, "files", original)
            catalog.write("duplicates", "two.0", rows("duplicates", document_uri="two"))
            commit(catalog, "two")
            catalog.drop_results_before("two.0")
        return original(self, name, scan_ids)

    monkeypatch.setattr(Catalog, "files", overtaken)
    snapshot = create_current_views(connection, catalog)
    assert snapshot.last is not None
    assert snapshot.last.scan_id == "two"
    assert _all(connection, "SELECT document_uri FROM duplicates") == [("two",)]


def test_table_schemas_have_no_null_type() -> None:
    for schema in SCHEMAS.values():
        assert pa.null() not in schema.types
