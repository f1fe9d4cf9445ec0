from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import greendata
from greendata.errors import ObjectNotFoundError, UsageError


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``a`` and ``b`` with two documents each, one of them in both."""
    monkeypatch.chdir(tmp_path)
    generator = random.Random(1)
    texts = [" ".join(generator.choices("abcdefghij", k=50)) for _ in range(3)]
    for name, chosen in {"a": texts[:2], "b": texts[1:]}.items():
        lines = (json.dumps({"text": text}) for text in chosen)
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.jsonl").write_text("\n".join(lines))


def test_scan_takes_paths_and_named_datasets_as_the_command_does() -> None:
    summary = greendata.scan("a", datasets={"second": "b"}, workers=1)
    assert (summary.documents, summary.redundant_documents) == (4, 1)
    assert "second" in {dataset.name for dataset in summary.datasets}


def test_duplicates_and_overlap_give_the_documents_of_json() -> None:
    greendata.scan(datasets={"first": "a", "second": "b"}, catalog="here")
    (group,) = greendata.duplicates("here")["groups"]
    assert group["redundant_documents"] == 1
    levels = [overlap["level"] for overlap in greendata.overlap("here")["overlaps"]]
    assert levels == ["dataset", "object"]


def test_scan_raises_errors_of_the_program() -> None:
    with pytest.raises(ObjectNotFoundError):
        greendata.scan("nowhere")
    with pytest.raises(UsageError):
        greendata.scan("a", threshold=2.0)
