from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.catalog.places import LocalPlace
from greendata.catalog.tables import Catalog
from greendata.errors import GreendataError, ObjectNotFoundError, UsageError
from greendata.jobs.accesses import refresh_from_logs, refresh_from_table
from greendata.progress import Progress
from greendata.stores.opening import Stores
from tests.inventory.test_access_logs import line
from tests.jobs.made_inventory import NOW, row, take, view


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog.open(LocalPlace(tmp_path / "c"), create=True)


def from_logs(catalog: Catalog, uri: str) -> Any:
    return refresh_from_logs(catalog, Stores(), uri, progress=Progress(), now=NOW)


def put_log(s3: Any, bucket: str, name: str, *lines: str) -> None:
    s3.put_object(Bucket=bucket, Key=f"logs/{name}", Body="".join(lines).encode())


def test_logs_that_expire_leave_what_they_told(s3: Any, bucket: str, catalog: Catalog) -> None:
    put_log(s3, bucket, "1", line(bucket="x"), line("gone", bucket="x"))
    put_log(s3, bucket, "2", line(bucket="x", at="09/Feb/2019:10:00:00 +0000"), "cut off\n")
    store_id = Stores().store_of(f"s3://{bucket}/").store_id
    rows = [row("x/data/a", store_id=store_id), row("x/gone", store_id=store_id)]
    take(Path(catalog.name), rows, "s3://x/", store_id=store_id)
    found = from_logs(catalog, f"s3://{bucket}/logs/")
    assert (found.objects, found.reads, found.unread_lines) == (2, 3, 1)
    assert (found.first_day.isoformat(), found.last_day.isoformat()) == ("2019-02-06", "2019-02-09")
    s3.delete_object(Bucket=bucket, Key="logs/1")
    put_log(s3, bucket, "3", line(bucket="x", at="10/Feb/2019:10:00:00 +0000"))
    assert from_logs(catalog, f"s3://{bucket}/logs/").reads == 2
    a, gone = view(Path(catalog.name), "accessed_at", "access_source")
    assert a["accessed_at"] == datetime(2019, 2, 10, 10, tzinfo=UTC)
    assert gone["accessed_at"] == datetime(2019, 2, 6, 0, 0, 38, tzinfo=UTC)
    assert {a["access_source"], gone["access_source"]} == {"access_logs"}


def test_the_same_logs_again_count_once(s3: Any, bucket: str, catalog: Catalog) -> None:
    put_log(s3, bucket, "1", line(), line())
    for _ in range(2):
        from_logs(catalog, f"s3://{bucket}/logs/")
    assert len(catalog.files("accesses", None)) == 1


def test_a_prefix_without_logs_is_not_found(s3: Any, bucket: str, catalog: Catalog) -> None:
    with pytest.raises(ObjectNotFoundError):
        from_logs(catalog, f"s3://{bucket}/logs/")
    put_log(s3, bucket, "1")
    with pytest.raises(ObjectNotFoundError, match="no request"):
        from_logs(catalog, f"s3://{bucket}/logs/")
    assert catalog.refreshes().refreshes == ()


def test_a_table_tells_accesses(tmp_path: Path, catalog: Catalog) -> None:
    take(Path(catalog.name), [row("b/a")], "s3://b/")
    at = datetime(2026, 2, 27, 3, tzinfo=UTC)
    table = pa.table(
        {
            "uri": ["s3://b/a", "s3://b/a", None, "s3://b/b"],
            "accessed_at": pa.array([at, datetime(2026, 2, 1, tzinfo=UTC), at, None]),
            "reads": [5, 4, 1, 1],
            "extra": ["x"] * 4,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = refresh_from_table(catalog, tmp_path / "t.parquet", (), now=NOW)
    assert found.source == "table"
    (known,) = view(Path(catalog.name), "accessed_at", "idle_days", "access_source", "reads_30d")
    assert list(known.values()) == [at, 2, "table", 9]
    pq.write_table(table.slice(1, 1), tmp_path / "t.parquet")
    refresh_from_table(catalog, tmp_path / "t.parquet", (), now=NOW)
    (known,) = view(Path(catalog.name), "reads_30d")
    assert known == {"reads_30d": 4}  # the file again replaces what it told before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("uri,at\ns3://b/a,2026-01-01\n", "no column accessed_at"),
        ("uri,accessed_at\ns3://b/a,yesterday\n", "cannot be read"),
        ("uri,accessed_at\ns3://,2026-01-01\n", "expected s3://bucket/key"),
        ('uri,accessed_at\n"s3://b/a,2026-01-01\nx,y,z\n', "t.csv"),
        ("", "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused(
    tmp_path: Path, catalog: Catalog, content: str, told: str
) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises((UsageError, GreendataError), match=told):
        refresh_from_table(catalog, tmp_path / "t.csv", (), now=NOW)
    assert catalog.refreshes().refreshes == ()


def test_a_table_that_is_not_there_is_said(tmp_path: Path, catalog: Catalog) -> None:
    with pytest.raises(ObjectNotFoundError):
        refresh_from_table(catalog, tmp_path / "none.csv", (), now=NOW)
