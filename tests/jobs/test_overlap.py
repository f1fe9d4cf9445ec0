from __future__ import annotations

import json
from pathlib import Path

import pytest

from greendata.errors import GreendataError, ObjectNotFoundError
from greendata.jobs.export import Destination
from greendata.jobs.overlap import OverlapRequest, export_overlaps, find_overlaps
from tests.jobs.made_catalog import make_catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_catalog(
        tmp_path_factory.mktemp("made") / "catalog",
        overlaps=[
            {"a": "v1", "b": "v2", "a_in_b_documents": 0.9},
            {"a": "v1", "b": "v3", "b_in_a_text_bytes": 0.95},
            {"level": "object", "a": "file:///1", "b": "file:///2", "a_in_b_documents": 0.6},
            {"level": "object", "a": "file:///1", "b": "file:///3"},
        ],
    )


def names(request: OverlapRequest) -> list[tuple[str, str]]:
    return [(overlap.a, overlap.b) for overlap in find_overlaps(request).overlaps]


def test_find_overlaps_puts_datasets_first_and_the_largest_share_of_either_way(
    catalog: str,
) -> None:
    assert names(OverlapRequest(catalog=catalog)) == [
        ("v1", "v3"),
        ("v1", "v2"),
        ("file:///1", "file:///2"),
        ("file:///1", "file:///3"),
    ]


def test_find_overlaps_limits_each_level_and_counts_all(catalog: str) -> None:
    found = find_overlaps(OverlapRequest(catalog=catalog, limit=1))
    assert [(o.level, o.b) for o in found.overlaps] == [("dataset", "v3"), ("object", "file:///2")]
    assert found.total_overlaps == 4


def test_find_overlaps_filters_by_level_and_share(catalog: str) -> None:
    assert names(OverlapRequest(catalog=catalog, level="object", min_share=0.6)) == [
        ("file:///1", "file:///2")
    ]
    assert names(OverlapRequest(catalog=catalog, min_share=0.951)) == []


def test_export_overlaps_begins_with_the_promised_columns(catalog: str, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    request = OverlapRequest(catalog=catalog, level="dataset", limit=1)
    assert export_overlaps(request, Destination(file_format="csv", path=path)) == 2
    lines = path.read_text().splitlines()
    assert lines[0].startswith(
        "level,a,b,a_in_b_documents,a_in_b_text_bytes,b_in_a_documents,b_in_a_text_bytes,"
    )
    assert [line.split(",")[2] for line in lines[1:]] == ["v2", "v3"]


def test_overlaps_as_dict_is_json(catalog: str) -> None:
    document = find_overlaps(OverlapRequest(catalog=catalog)).as_dict()
    assert json.loads(json.dumps(document))["schema_version"] == 1
    assert document["overlaps"][0]["b_in_a_text_bytes"] == 0.95


def test_find_overlaps_says_what_to_do_without_a_catalog(tmp_path: Path) -> None:
    with pytest.raises(GreendataError) as caught:
        find_overlaps(OverlapRequest(catalog=str(tmp_path / "none")))
    assert "greendata scan" in str(caught.value.hint)
    assert not (tmp_path / "none").exists()


def test_find_overlaps_says_when_nothing_was_committed(tmp_path: Path) -> None:
    from greendata.catalog.places import LocalPlace
    from greendata.catalog.tables import Catalog

    Catalog.open(LocalPlace(tmp_path / "empty"), create=True)
    with pytest.raises(ObjectNotFoundError, match="nothing was scanned"):
        find_overlaps(OverlapRequest(catalog=str(tmp_path / "empty")))
