from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from greendata.jobs.duplicates import (
    DuplicatesRequest,
    Group,
    export_duplicates,
    find_groups,
)
from greendata.jobs.export import Destination
from greendata.stores.local import LocalStore, path_to_uri
from tests.jobs.made_catalog import make_catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    many = [
        {"document_uri": "file:///x/many", "document_row": i, "document_text_bytes": 10}
        for i in range(9)
    ]
    large = {
        "kept_uri": "file:///k",
        "kept_row": 7,
        "document_text_bytes": 500,
        "kind": "near",
        "document_dataset": "b",
    }
    return make_catalog(
        tmp_path_factory.mktemp("made") / "catalog",
        duplicates=[
            *many,
            large | {"document_uri": "file:///y/1", "jaccard": 0.95, "containment": 0.99},
            large | {"document_uri": "file:///y/2", "jaccard": 0.85, "containment": 0.9},
            large | {"document_uri": "file:///y/3", "kind": "exact"},
            {
                "document_uri": "file:///z",
                "kind": "candidate",
                "jaccard": None,
                "containment": None,
                "document_text_bytes": 10**9,
            },
        ],
    )


def groups(catalog: str, **options: object) -> tuple[Group, ...]:
    request = DuplicatesRequest(catalog=catalog, with_texts=False, **options)  # type: ignore[arg-type]
    return find_groups(request).groups


def test_find_groups_orders_by_redundant_bytes_and_members_by_similarity(catalog: str) -> None:
    large, many = groups(catalog)
    assert (large.kept_uri, large.kept_row) == ("file:///k", 7)
    assert (large.redundant_documents, large.redundant_text_bytes) == (3, 1500)
    assert [m.document_uri for m in large.duplicates] == [
        "file:///y/2",
        "file:///y/1",
        "file:///y/3",
    ]
    assert (many.redundant_documents, many.redundant_text_bytes) == (9, 90)
    assert [m.document_row for m in many.duplicates] == [0, 1, 2, 3, 4]


def test_find_groups_counts_all_but_never_candidates(catalog: str) -> None:
    found = find_groups(DuplicatesRequest(catalog=catalog, limit=1, members=2, with_texts=False))
    assert len(found.groups) == 1
    assert len(found.groups[0].duplicates) == 2
    assert found.total_groups == 2
    assert found.total_redundant_documents == 12
    assert found.total_redundant_text_bytes == 1590
    assert found.unverified_candidates == 1


def test_find_groups_shows_candidates_when_asked(catalog: str) -> None:
    (group,) = groups(catalog, kinds=("candidate",))
    assert group.duplicates[0].document_uri == "file:///z"
    assert group.duplicates[0].jaccard is None


@pytest.mark.parametrize(
    ("options", "documents"),
    [
        ({"dataset": "b"}, 3),
        ({"dataset": "none"}, 0),
        ({"kinds": ("near",)}, 2),
        ({"min_jaccard": 0.9}, 11),
        ({"uri_glob": "file:///y/*"}, 3),
        ({"uri_glob": "file:///y/[12]"}, 2),
        ({"uri_glob": "file:///y"}, 0),
        ({"dataset": "b", "kinds": ("exact",), "min_jaccard": 1.0}, 1),
    ],
)
def test_filters_apply_to_groups_and_exports_alike(
    catalog: str, tmp_path: Path, options: dict[str, object], documents: int
) -> None:
    found = groups(catalog, **options)
    assert sum(group.redundant_documents for group in found) == documents
    request = DuplicatesRequest(catalog=catalog, **options)  # type: ignore[arg-type]
    destination = Destination(file_format="csv", path=tmp_path / "out.csv")
    assert export_duplicates(request, destination) == documents


def test_export_duplicates_begins_with_the_promised_columns_and_is_sorted(
    catalog: str, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    request = DuplicatesRequest(catalog=catalog, limit=1)
    export_duplicates(request, Destination(file_format="csv", path=path))
    with path.open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    assert header[:7] == [
        "document_uri",
        "document_row",
        "kept_uri",
        "kept_row",
        "kind",
        "jaccard",
        "containment",
    ]
    assert len(rows) == 12
    assert rows == sorted(rows, key=lambda row: (row[0], int(row[1])))


def test_groups_as_dict_is_json(catalog: str) -> None:
    found = find_groups(DuplicatesRequest(catalog=catalog, with_texts=False)).as_dict()
    document = json.loads(json.dumps(found))
    assert document["schema_version"] == 1
    assert document["groups"][0]["duplicates"][0]["document_uri"] == "file:///y/2"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "shard.jsonl"
    texts = ["one two three four", "one two THREE four", "nothing alike"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def catalog_of_shard(folder: Path, shard: Path) -> str:
    uri = path_to_uri(str(shard))
    etag = LocalStore().head(uri).etag
    row = {
        "kept_uri": uri,
        "kept_etag": etag,
        "document_uri": uri,
        "document_row": 1,
        "document_etag": etag,
        "kind": "near",
        "jaccard": 0.8,
    }
    return make_catalog(folder / "catalog", duplicates=[row], objects=[{"uri": uri, "etag": etag}])


def test_difference_is_of_the_texts_read_back(tmp_path: Path, shard: Path) -> None:
    catalog = catalog_of_shard(tmp_path, shard)
    (group,) = find_groups(DuplicatesRequest(catalog=catalog)).groups
    assert group.text_problem is None
    assert group.text_start == "one two three four"
    assert group.difference is not None
    (hunk,) = group.difference.hunks
    assert [s.text for s in hunk.kept] == ["one two", "three", "four"]
    assert [s.text for s in hunk.document] == ["one two", "THREE", "four"]


def test_difference_is_not_made_from_an_object_that_changed(tmp_path: Path, shard: Path) -> None:
    catalog = catalog_of_shard(tmp_path, shard)
    os.utime(shard, ns=(1, 1))
    (group,) = find_groups(DuplicatesRequest(catalog=catalog)).groups
    assert group.difference is None
    assert "changed since it was scanned" in str(group.text_problem)


def test_difference_is_not_made_from_an_object_that_is_gone(tmp_path: Path, shard: Path) -> None:
    catalog = catalog_of_shard(tmp_path, shard)
    shard.unlink()
    (group,) = find_groups(DuplicatesRequest(catalog=catalog)).groups
    assert group.difference is None
    assert "not found" in str(group.text_problem)
