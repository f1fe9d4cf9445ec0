from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

WORDS = [f"word{number}" for number in range(2_000)]


def text(seed: int, length: int = 80) -> str:
    """Words at random, the same for the same seed."""
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def write_shard(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)))


def write_shards(folder: Path) -> None:
    """``old`` and ``new``: 20 texts each, 10 in both, one of them changed by one word."""
    write_shard(folder / "old" / "a.jsonl", [text(seed) for seed in range(20)])
    shared = [text(seed) for seed in range(10, 19)]
    words = text(19).split()
    changed = " ".join([*words[:40], "CHANGED", *words[41:]])
    write_shard(folder / "new" / "b.jsonl", [*shared, changed, *map(text, range(100, 110))])


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shards below the working directory, and nothing of this program in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("CATALOG", "CONFIG", "WORKERS", "MEMORY"):
        monkeypatch.delenv(f"GREENDATA_{name}", raising=False)
    write_shards(tmp_path / "data")
    return tmp_path / "data"
