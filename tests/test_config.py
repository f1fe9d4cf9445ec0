from __future__ import annotations

from pathlib import Path

import pytest

from greendata.config import Config, DatasetSettings, did_you_mean, find_config, read_config
from greendata.errors import ConfigError
from greendata.model import Dataset


def write(folder: Path, text: str) -> Path:
    path = folder / "greendata.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    return str(caught.value).replace(f"{path}:", "")


def test_read_config_resolves_paths_beside_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "catalog: found/here\n"
        "datasets:\n"
        "  - {name: crawl, prefixes: [crawl/, 'file:///data/x', /abs], priority: 3}\n",
    )
    config = read_config(path)
    assert config.catalog == f"{tmp_path}/found/here"
    assert config.as_datasets() == (
        Dataset(
            name="crawl", prefixes=(f"{tmp_path}/crawl/", "file:///data/x", "/abs"), priority=3
        ),
    )


def test_read_config_keeps_what_later_stages_need(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "datasets:\n"
        "  - name: crawl\n"
        "    prefixes: ['file:///x']\n"
        "    owner: data-platform\n"
        "    region: us-east-1\n"
        "    training_region: us-east-1\n"
        "    residency: [us]\n"
        "    readers: online\n"
        "    retention: {min_days: 365}\n"
        "    manifest: _greendata/manifest.json\n",
    )
    assert read_config(path).datasets == (
        DatasetSettings(
            name="crawl",
            prefixes=("file:///x",),
            owner="data-platform",
            region="us-east-1",
            training_region="us-east-1",
            residency=("us",),
            readers="online",
            retention={"min_days": 365},
            manifest="_greendata/manifest.json",
        ),
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "catalog:\n"])
def test_read_config_takes_an_empty_file(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    assert read_config(path) == Config(path=path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("catalogue: x\n", "1:1: unknown key 'catalogue'. Did you mean 'catalog'?"),
        (
            "datasets:\n  - name: a\n    prefixs: [x]\n    prefixes: [x]\n",
            "3:5: unknown key 'prefixs'. Did you mean 'prefixes'?",
        ),
        ("catalog: a\ncatalog: b\n", '2:1: found duplicate key "catalog"'),
        ("datasets:\n  - {name: a}\n", "2:5: datasets[0].prefixes: Field required"),
        (
            "datasets:\n  - {name: a, prefixes: [x], priority: '1'}\n",
            "2:30: datasets[0].priority: Input should be a valid integer",
        ),
        (
            "datasets:\n  - {name: a, prefixes: [x], priority: true}\n",
            "2:30: datasets[0].priority: Input should be a valid integer",
        ),
        ("datasets:\n  - {name: a, prefixes: [x, 3]}\n", "2:29: datasets[0].prefixes[1]: "),
        (
            "datasets:\n  - {name: a, prefixes: [x]}\n  - {name: a, prefixes: [y]}\n",
            "3:6: dataset 'a' is declared twice",
        ),
        ("- a\n", "1:1: expected keys and values"),
        ("catalog: [\n", "2:1: "),
        ("catalog: !!python/object:os.system x\n", "1:1: catalog: "),
    ],
)
def test_read_config_names_the_place_of_a_mistake(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(write(tmp_path, text)).startswith(expected)


def test_read_config_lists_all_mistakes_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = complaint(write(tmp_path, "catalog: 3\nlimit: 1\nstore: 2\n")).splitlines()
    assert [line.partition(":")[0] for line in found] == ["1", "2", "3"]


def test_read_config_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "none.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"catalog: a\n# caf\xe9\n")
    assert complaint(path).startswith("2: is not UTF-8")
    path.write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_config(path)


def test_find_config_takes_the_nearest_upward(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    outer = write(tmp_path, "")
    assert find_config(below) == outer
    inner = write(tmp_path / "a", "")
    assert find_config(below) == inner


def test_find_config_ignores_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "greendata.yaml").mkdir(parents=True)
    outer = write(tmp_path, "")
    assert find_config(tmp_path / "a") == outer


def test_did_you_mean_says_nothing_when_nothing_is_near() -> None:
    assert did_you_mean("zzz", ["catalog", "datasets"]) == ""


def test_stores_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "greendata.yaml"
    path.write_text(
        'stores:\n  - {match: "s3://a/", endpoint: "https://s3.example", exclusive_writer: true}\n'
        '  - {match: "az://", account: corp}\n'
    )
    first, second = read_config(path).stores
    assert (first.match, first.endpoint, first.exclusive_writer) == (
        "s3://a/",
        "https://s3.example",
        True,
    )
    assert (second.account, second.endpoint) == ("corp", None)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('{match: "s3://a/", endpiont: "https://x"}', "Did you mean 'endpoint'?"),
        ("{match: data/}", "match"),
        ('{match: "s3://a", endpoint: "https://user:secret@host"}', "endpoint"),
        ('{match: "s3://a", attempts: 0}', "attempts"),
        ('{match: "s3://a", match: "s3://b"}', "match"),
    ],
)
def test_mistakes_in_stores_are_named_with_their_place(
    tmp_path: Path, entry: str, told: str
) -> None:
    path = tmp_path / "greendata.yaml"
    path.write_text(f"stores:\n  - {entry}\n")
    with pytest.raises(ConfigError, match=r"greendata\.yaml:2:") as caught:
        read_config(path)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ("s3://b/a", "s3://b/a/", True),
        ("s3://b/a/", "s3://b/a/deep/x", True),
        ("s3://b/a/deep", "s3://b/a", True),
        ("s3://b/", "s3://b/a", True),
        ("data", "data/inner", True),
        ("s3://b/a", "s3://b/ab", False),
        ("data", "data2", False),
    ],
)
def test_datasets_do_not_overlap(tmp_path: Path, first: str, second: str, is_refused: bool) -> None:
    entries = [f"  - {{name: {n}, prefixes: ['{p}']}}\n" for n, p in (("x", first), ("y", second))]
    text = "datasets:\n" + "".join(entries)
    path = tmp_path / "greendata.yaml"
    path.write_text(text)
    if not is_refused:
        assert len(read_config(path).datasets) == 2
        return
    with pytest.raises(ConfigError, match=r":[23]:\d+: .* lies in .* of dataset '[xy]'"):
        read_config(path)


def test_a_dataset_may_name_a_folder_and_one_in_it(tmp_path: Path) -> None:
    path = tmp_path / "greendata.yaml"
    path.write_text("datasets: [{name: x, prefixes: [a, a/b]}]\n")
    assert len(read_config(path).datasets[0].prefixes) == 2


@pytest.mark.parametrize(("text", "seconds"), [("36h", 129_600), ("90m", 5_400), ("7d", 604_800)])
def test_the_inventory_has_an_age(tmp_path: Path, text: str, seconds: float) -> None:
    path = tmp_path / "greendata.yaml"
    path.write_text(f"inventory: {{max_age: {text}}}\n")
    assert read_config(path).inventory_max_age_seconds == seconds


@pytest.mark.parametrize("text", ["36", "h", "-1h", "0h", "1y", "soon"])
def test_an_age_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "greendata.yaml"
    path.write_text(f"inventory:\n  max_age: '{text}'\n")
    with pytest.raises(ConfigError, match=r"greendata.yaml:2:3: .* is not a duration"):
        read_config(path)
