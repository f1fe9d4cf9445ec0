from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from greendata.config import DatasetSettings, LimitSettings, StoreSettings
from greendata.errors import UnsupportedError
from greendata.execute.records import Action
from greendata.jobs.apply import ApplyRequest, apply_plan
from greendata.jobs.in_place import InPlaceRequest, in_place_limits, manifests, plan_in_place
from greendata.jobs.run_summary import RunSummary
from greendata.progress import Progress
from greendata.stores.local import path_to_uri

ROWS = [{"id": n, "text": f"the same words again and again {n % 7}"} for n in range(2000)]


def write(folder: Path) -> None:
    folder.mkdir()
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, folder / "a.parquet", compression="none", use_dictionary=False)
    (folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "README.md").write_text("about")


def in_place(uri: str, folder: Path, number: int = 0, **more: Any) -> RunSummary:
    now, stores = datetime.now(UTC), more.pop("stores", ())
    datasets = more.pop("datasets", ())
    place = folder / f"plan-{number}"
    catalog = str(folder / "catalog")
    request = InPlaceRequest(
        uris=(uri,), directory=place, catalog=catalog, stores=stores, datasets=datasets, **more
    )
    plan_in_place(request, progress=Progress(), now=now)
    applied = ApplyRequest(
        catalog=catalog,
        directory=place,
        stores=stores,
        datasets=datasets,
        limits=in_place_limits(LimitSettings()),
    )
    return apply_plan(applied, now=now, progress=Progress())


def test_a_folder_is_written_again_in_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data)
    uri = path_to_uri(str(data))
    found = in_place(uri, tmp_path).as_dict()
    assert found["state"] == "partial"
    assert pq.read_table(data / "a.parquet").to_pylist() == ROWS
    assert sorted(path.name for path in data.glob("[!.]*")) == ["README.md", "a.parquet", "b.jsonl"]
    found = in_place(uri, tmp_path, 1, allow_window=True).as_dict()
    assert pq.read_table(data / "b.parquet").to_pylist() == ROWS
    assert not (data / "b.jsonl").exists()
    kept = [path.name for path in (data / ".greendata/quarantine").rglob("*.*") if path.is_file()]
    assert {"a.parquet", "b.jsonl"} <= set(kept)


def test_a_dataset_with_a_manifest_switches_as_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data)
    (data / "README.md").unlink()
    uri = path_to_uri(str(data))
    objects = [{"uri": f"{uri}/{name}"} for name in ("a.parquet", "b.jsonl")]
    (data / "_greendata").mkdir()
    manifest = data / "_greendata/manifest.json"
    manifest.write_text(json.dumps({"schema_version": 1, "dataset": "d", "objects": objects}))
    dataset = DatasetSettings(name="d", prefixes=(uri,), manifest="_greendata/manifest.json")
    found = in_place(uri, tmp_path, datasets=(dataset,)).as_dict()
    assert found["state"] == "finished"
    named = [Path(entry["uri"]).name for entry in json.loads(manifest.read_text())["objects"]]
    assert [name.startswith(("a-", "b.parquet")) for name in named] == [True, True]
    assert [pq.read_table(data / name).to_pylist() for name in named] == [ROWS, ROWS]
    assert not (data / "a.parquet").exists()


def test_a_bucket_where_nobody_else_writes(s3: Any, bucket: str, tmp_path: Path) -> None:
    write(tmp_path / "data")
    body = (tmp_path / "data/a.parquet").read_bytes()
    s3.put_object(Bucket=bucket, Key="d/a.parquet", Body=body)
    root = f"s3://{bucket}/"
    store = StoreSettings(match=root, exclusive_writer=True, region="us-east-1")
    dataset = DatasetSettings(name="d", prefixes=(f"{root}d/",), region="us-east-1")
    found = in_place(f"{root}d/", tmp_path, stores=(store,), datasets=(dataset,)).as_dict()
    assert found["state"] == "finished"
    answer = s3.get_object(Bucket=bucket, Key="d/a.parquet")["Body"].read()
    assert len(answer) < len(body) / 2
    assert pq.read_table(pa.BufferReader(answer)).to_pylist() == ROWS


def test_tables_are_left_to_their_engines(tmp_path: Path) -> None:
    (tmp_path / "t/_delta_log").mkdir(parents=True)
    (tmp_path / "t/_delta_log/0.json").write_text("{}")
    with pytest.raises(UnsupportedError, match="Delta Lake"):
        in_place(path_to_uri(str(tmp_path / "t")), tmp_path)


def test_manifests_are_those_of_the_longest_prefix() -> None:
    datasets = (
        DatasetSettings(name="a", prefixes=("s3://b/x/",), manifest="_greendata/manifest.json"),
        DatasetSettings(name="b", prefixes=("s3://b/y",), manifest="s3://c/m.json"),
        DatasetSettings(name="c", prefixes=("s3://b/z",)),
    )
    manifest_of = manifests(datasets, ())

    def found(uri: str) -> str | None:
        action = Action(
            action_id="a", group_id="a", kind="recompress", uri=uri, store_id="s", etag="e",
            size_bytes=1,
        )  # fmt: skip
        return manifest_of(action)

    assert found("s3://b/x/k") == "s3://b/x/_greendata/manifest.json"
    assert found("s3://b/y/k") == "s3://c/m.json"
    assert found("s3://b/z/k") is None
    assert found("s3://b/xx/k") is None
