from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from greendata.jobs.state import State, read_state, update_state


def counted(state: State) -> State:
    return {"n": state.get("n", 0) + 1}


def test_state_is_empty_until_it_is_written(tmp_path: Path) -> None:
    catalog = str(tmp_path / "catalog")
    assert read_state(catalog, "x") == {}
    assert update_state(catalog, "x", counted) == {"n": 1}
    assert update_state(catalog, "x", counted) == {"n": 2}
    assert read_state(catalog, "x") == {"n": 2}
    assert read_state(catalog, "y") == {}


def test_writers_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: update_state(str(tmp_path), "x", counted), range(12)))
    assert read_state(str(tmp_path), "x") == {"n": 12}


def test_state_in_a_bucket(bucket: str) -> None:
    catalog = f"s3://{bucket}/.greendata/catalog"
    update_state(catalog, "x", counted)
    assert update_state(catalog, "x", counted) == {"n": 2}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 10_000])
def test_a_damaged_document_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "x.json").write_bytes(content)
    assert read_state(str(tmp_path), "x") == {}
    assert update_state(str(tmp_path), "x", counted) == {"n": 1}
