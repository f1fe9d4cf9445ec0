from __future__ import annotations

from pathlib import Path

import pytest

from greendata.errors import ObjectNotFoundError
from greendata.jobs.scope import Scope, list_scope
from greendata.model import Dataset
from greendata.stores.local import LocalStore, normalise_uri
from tests.jobs.made_scans import uri, write_lines

CATALOG = "file:///nowhere/.greendata"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a/1.jsonl", "a/2.jsonl", "a/deep/3.jsonl", "b/1.jsonl"):
        write_lines(tmp_path / name, ["x"])
    return tmp_path


def scope(*arguments: Path | str, datasets: tuple[Dataset, ...] = ()) -> Scope:
    uris = [normalise_uri(str(argument)) for argument in arguments]
    return list_scope(LocalStore(), uris, datasets, CATALOG)


def names(found: Scope) -> list[str]:
    return ["/".join(item.uri.split("/")[-2:]) for item in found.objects]


def test_overlapping_arguments_list_each_object_once(root: Path) -> None:
    found = scope(root / "a", root / "a" / "1.jsonl", root)
    assert names(found) == ["a/1.jsonl", "a/2.jsonl", "deep/3.jsonl", "b/1.jsonl"]
    assert found.named == {uri(root / "a" / "1.jsonl")}


def test_an_argument_that_names_nothing_raises(root: Path) -> None:
    for missing in (root / "nowhere", root / "*.parquet", root / "nowhere" / "**"):
        with pytest.raises(ObjectNotFoundError):
            scope(root / "a", missing)


def test_each_argument_is_a_dataset_and_the_longest_wins(root: Path) -> None:
    found = scope(root, root / "a")
    assert found.dataset(uri(root / "a" / "deep" / "3.jsonl")).name == uri(root / "a")
    assert found.dataset(uri(root / "b" / "1.jsonl")).name == uri(root)


def test_declared_datasets_win_over_arguments(root: Path) -> None:
    declared = Dataset(name="mine", prefixes=(f"{uri(root)}/a/",), priority=3)
    inner = Dataset(name="deep", prefixes=(uri(root / "a" / "deep"),), priority=1)
    found = scope(root, root / "a", root / "a" / "2.jsonl", datasets=(declared, inner))
    assert found.dataset(uri(root / "a" / "1.jsonl")) == declared
    assert found.dataset(uri(root / "a" / "2.jsonl")) == declared
    assert found.dataset(uri(root / "a" / "deep" / "3.jsonl")) == inner
    assert found.dataset(uri(root / "b" / "1.jsonl")).name == uri(root)


def test_a_dataset_does_not_hold_what_only_begins_like_it(root: Path) -> None:
    write_lines(root / "ab" / "1.jsonl", ["x"])
    declared = Dataset(name="mine", prefixes=(uri(root / "a"),))
    found = scope(root, datasets=(declared,))
    assert found.dataset(uri(root / "ab" / "1.jsonl")).name == uri(root)


def test_a_glob_is_one_dataset(root: Path) -> None:
    found = scope(root / "a" / "*.jsonl")
    wanted = normalise_uri(str(root / "a" / "*.jsonl"))
    assert {found.dataset(item.uri).name for item in found.objects} == {wanted}
    assert names(found) == ["a/1.jsonl", "a/2.jsonl"]
    assert found.named == {item.uri for item in found.objects}


def test_covers_what_would_have_been_listed(root: Path) -> None:
    found = scope(root / "a")
    assert found.covers(uri(root / "a" / "gone.jsonl"))
    assert found.covers(uri(root / "a" / "gone" / "gone.jsonl"))
    assert not found.covers(uri(root / "b" / "1.jsonl"))
    assert not found.covers(uri(root / "ab" / "1.jsonl"))


def test_a_file_covers_itself_only(root: Path) -> None:
    found = scope(root / "a" / "1.jsonl")
    assert found.covers(uri(root / "a" / "1.jsonl"))
    assert not found.covers(uri(root / "a" / "2.jsonl"))


@pytest.mark.parametrize(
    ("pattern", "name", "is_covered"),
    [
        ("a/*.jsonl", "a/9.jsonl", True),
        ("a/*.jsonl", "a/deep/9.jsonl", False),
        ("a/*.jsonl", "a/9.parquet", False),
        ("**/*.jsonl", "a/deep/9.jsonl", True),
        ("**/*.jsonl", "9.jsonl", True),
        ("[!b]/?.jsonl", "a/9.jsonl", True),
        ("[!b]/?.jsonl", "b/9.jsonl", False),
        ("[!b]/?.jsonl", "a/10.jsonl", False),
        ("?", "a/deep/9.jsonl", True),
    ],
)
def test_a_glob_covers_what_it_would_have_matched(
    root: Path, pattern: str, name: str, is_covered: bool
) -> None:
    assert scope(root / pattern).covers(uri(root / name)) is is_covered


def test_the_whole_file_system_covers_everything() -> None:
    found = Scope(
        uris=("file:///",),
        targets=frozenset({"file:"}),
        rules={"file:": Dataset(name="all", prefixes=("file:///",))},
        objects=(),
        named=frozenset(),
        denied=(),
        ignored=(),
    )
    assert found.covers("file:///a/b")
    assert found.dataset("file:///a/b").name == "all"


@pytest.mark.parametrize("name", ["results", "a/results"])
def test_the_catalog_inside_is_left_out_by_any_of_its_names(root: Path, name: str) -> None:
    write_lines(root / name / "tables" / "x.jsonl", ["x"])
    (root / "link").symlink_to(root)
    for target in (root, root / "link"):
        for catalog in (root / name, root / "link" / name):
            found = list_scope(LocalStore(), [uri(target)], (), uri(catalog))
            assert len(found.objects) == 4
    outside = list_scope(LocalStore(), [uri(root)], (), uri(root / "result"))
    assert len(outside.objects) == 5
