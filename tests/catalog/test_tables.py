from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.catalog.commits import Snapshot
from greendata.catalog.places import LocalPlace
from greendata.catalog.schemas import LATE, SCHEMAS
from greendata.catalog.tables import Catalog
from greendata.errors import CommitConflictError, GreendataError, ObjectNotFoundError

AT = datetime(2026, 1, 2, tzinfo=UTC)


def rows(name: str, **values: Any) -> pa.Table:
    """One row of a table, nulls where nothing is said."""
    row = {field.name: values.get(field.name) for field in SCHEMAS[name]}
    return pa.Table.from_pylist([row], schema=SCHEMAS[name])


def commit(catalog: Catalog, scan_id: str, base: Snapshot | None = None, **values: Any) -> None:
    """Commit a scan on top of ``base``, else of what is there."""
    base = base or catalog.snapshot()
    row = {
        "scan_id": scan_id,
        "sequence": base.last.sequence + 1 if base.last else 1,
        "results_id": f"{scan_id}.0",
        "starts_over": False,
        "started_at": AT,
        "committed_at": AT,
        "parameters": json.dumps({"threshold": 0.8}),
        "uris": "[]",
        "summary": "{}",
    }
    catalog.commit_scan(row | values, base)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog.open(LocalPlace(tmp_path / "catalog"), create=True)


def test_open_makes_an_empty_catalog_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match="there is none"):
        Catalog.open(LocalPlace(tmp_path / "c"), create=False)
    assert not (tmp_path / "c").exists()
    Catalog.open(LocalPlace(tmp_path / "c"), create=True)
    opened = Catalog.open(LocalPlace(tmp_path / "c"), create=False)
    assert opened.snapshot().scans == ()
    assert opened.snapshot().last is None
    assert {path.name for path in (tmp_path / "c" / "tables").iterdir()} == set(SCHEMAS) - set(LATE)


def test_open_goes_on_with_a_catalog_that_was_made_in_part(tmp_path: Path) -> None:
    whole = Catalog.open(LocalPlace(tmp_path / "c"), create=True)
    (whole.place.folder / "catalog.json").unlink()
    again = Catalog.open(LocalPlace(tmp_path / "c"), create=True)
    commit(again, "one")
    assert again.snapshot().scan_ids == {"one"}


def test_several_threads_make_one_catalog(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def make() -> None:
        try:
            Catalog.open(LocalPlace(tmp_path / "c"), create=True)
        except GreendataError as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Catalog.open(LocalPlace(tmp_path / "c"), create=False).snapshot().version == 0


def test_snapshot_lists_scans_in_the_order_of_their_commits(catalog: Catalog) -> None:
    for name in ("zebra", "ant", "mouse"):
        commit(catalog, name)
    snapshot = catalog.snapshot()
    assert [scan.scan_id for scan in snapshot.scans] == ["zebra", "ant", "mouse"]
    assert [scan.sequence for scan in snapshot.scans] == [1, 2, 3]
    assert snapshot.last is not None
    assert snapshot.last.scan_id == "mouse"
    assert snapshot.last.parameters == {"threshold": 0.8}


def test_snapshot_forgets_what_was_before_a_scan_that_starts_over(catalog: Catalog) -> None:
    commit(catalog, "one")
    commit(catalog, "two", starts_over=True)
    commit(catalog, "three")
    assert [scan.scan_id for scan in catalog.snapshot().scans] == ["two", "three"]


def test_commit_conflicts_when_another_scan_was_first(catalog: Catalog) -> None:
    base = catalog.snapshot()
    commit(catalog, "first", base)
    with pytest.raises(CommitConflictError):
        commit(catalog, "second", base)
    assert catalog.snapshot().scan_ids == {"first"}
    commit(catalog, "second")
    assert catalog.snapshot().scan_ids == {"first", "second"}


def test_commit_does_not_conflict_with_rows_of_other_tables(catalog: Catalog) -> None:
    base = catalog.snapshot()
    catalog.write("pairs", "other", rows("pairs", jaccard=0.5))
    commit(catalog, "mine", base)
    assert catalog.snapshot().scan_ids == {"mine"}


def test_files_are_those_of_the_scans_asked_for(catalog: Catalog) -> None:
    for scan_id in ("one", "two"):
        catalog.write("pairs", scan_id, rows("pairs", jaccard=0.5))
    catalog.write("pairs", "one", SCHEMAS["pairs"].empty_table())
    assert catalog.files("pairs", {"none"}) == []
    (file,) = catalog.files("pairs", {"one"})
    assert "scan_id=one" in file
    assert pq.ParquetFile(file).read()["jaccard"].to_pylist() == [0.5]
    assert len(catalog.files("pairs", {"one", "two"})) == 2


def test_adopted_files_keep_their_first_name(catalog: Catalog, tmp_path: Path) -> None:
    staged = tmp_path / "staged.parquet"
    pq.write_table(rows("documents", object_id=1, row=2), staged)
    catalog.adopt_files("documents", "one", [staged])
    (file,) = catalog.files("documents", {"one"})
    assert Path(file).samefile(staged)


def _results(catalog: Catalog, *results_ids: str) -> None:
    for results_id in results_ids:
        catalog.write("duplicates", results_id, rows("duplicates", kind="exact"))


def _held(catalog: Catalog) -> set[str]:
    ids = {"one.0", "two.0", "two.1", "three.0", "dead.0"}
    return {name for name in ids if catalog.files("duplicates", {name})}


def test_drop_results_keeps_the_last_ones(catalog: Catalog) -> None:
    catalog.check_writable()
    commit(catalog, "one")
    _results(catalog, "one.0", "two.0", "two.1", "dead.0")
    files = catalog.files("duplicates", {"one.0"})
    commit(catalog, "two", results_id="two.1")
    catalog.drop_results_before("two.1")
    assert _held(catalog) == {"two.1"}
    assert pq.ParquetFile(files[0]).read().num_rows == 1  # a reader may be at work on it


def test_drop_results_leaves_scans_at_work_and_later_ones_alone(catalog: Catalog) -> None:
    catalog.check_writable()
    (catalog.staging_root / "three").mkdir()
    commit(catalog, "one")
    _results(catalog, "one.0", "two.0", "three.0")
    commit(catalog, "two")
    catalog.drop_results_before("one.0")
    assert _held(catalog) == {"two.0", "three.0"}


def test_rows_are_added_while_another_scan_drops_old_ones(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.check_writable()
    commit(catalog, "one")
    _results(catalog, "dead.0")
    version = Catalog._version
    drops = iter([True])

    def version_before_a_drop(self: Catalog, name: str) -> int:
        found = version(self, name)
        if next(drops, False):
            self._open(name).delete("scan_id = 'dead.0'")
        return found

    monkeypatch.setattr(Catalog, "_version", version_before_a_drop)
    _results(catalog, "two.0")
    assert _held(catalog) == {"two.0"}
