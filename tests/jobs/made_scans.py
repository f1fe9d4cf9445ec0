"""Small shards of near-duplicate texts, scans of them, and all that a catalog shows."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from greendata.jobs.request import ScanRequest
from greendata.jobs.results import open_catalog
from greendata.jobs.scan import scan
from greendata.model import Dataset, ScanSummary
from greendata.progress import Progress
from greendata.stores.local import normalise_uri, path_to_uri
from tests.forking import Forked, run_forked, start_forked

ROOT = Path(__file__).parents[2]
WORDS = [f"word{number}" for number in range(2_000)]

Row = tuple[Any, ...]


def text(seed: int, words: int = 60) -> str:
    """Words at random, the same for the same seed."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def variant(base: str, seed: int, changes: int = 1) -> str:
    """``base`` with so many words changed, all in a row; one leaves a Jaccard of about 0.84."""
    words = base.split()
    start = random.Random(seed).randrange(len(words) - changes)
    words[start : start + changes] = [f"other{seed}x{number}" for number in range(changes)]
    return " ".join(words)


def write_lines(path: Path, texts: Iterable[str | None]) -> Path:
    """A JSON Lines file; its time is new even if the clock's tick is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return path


def write_parquet(path: Path, texts: Sequence[str | None], group_rows: int = 3) -> Path:
    """A Parquet file of several row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": pa.array(texts, pa.string())})
    pq.write_table(table, path, row_group_size=group_rows, compression="zstd")
    return path


def uri(path: Path | str) -> str:
    return path_to_uri(str(path))


def request(*paths: Path | str, catalog: Path | str, **options: Any) -> ScanRequest:
    uris = tuple(normalise_uri(str(path)) for path in paths)
    return ScanRequest(uris=uris, catalog=str(catalog), **({"workers": 1} | options))


def run_scan(*paths: Path | str, catalog: Path | str, **options: Any) -> ScanSummary:
    wanted = request(*paths, catalog=catalog, **options)
    return scan(wanted, progress=Progress(), now=datetime.now(UTC))


def datasets(priorities: Mapping[Path, int]) -> tuple[Dataset, ...]:
    return tuple(
        Dataset(name=path.name, prefixes=(uri(path),), priority=priority)
        for path, priority in priorities.items()
    )


def queries(catalog: Path | str, *statements: str) -> list[list[Row]]:
    """What several queries find; opening a catalog costs much more than they do."""
    with open_catalog(str(catalog)) as connection:
        return [connection.execute(sql).fetchall() for sql in statements]


def query(catalog: Path | str, sql: str) -> list[Row]:
    (found,) = queries(catalog, sql)
    return found


DUPLICATES = (
    "SELECT document_uri, document_row, kept_uri, kept_row, kind, jaccard, containment"
    " FROM duplicates ORDER BY ALL"
)
KEPT_DIGESTS = (
    "SELECT digest_high, digest_low FROM documents d WHERE NOT EXISTS"
    " (SELECT 1 FROM duplicates WHERE document_uri = d.uri AND document_row = d.row"
    " AND kind <> 'candidate') ORDER BY ALL"
)


def duplicates(catalog: Path | str) -> list[Row]:
    """(document, its row, kept, its row, kind, jaccard, containment), sorted."""
    return query(catalog, DUPLICATES)


def kinds(catalog: Path | str) -> dict[tuple[str, int], str]:
    """How each redundant document is a duplicate."""
    return {(row[0], row[1]): row[4] for row in duplicates(catalog)}


def kept_digests(catalog: Path | str) -> list[Row]:
    """Digests of documents that are not redundant, sorted."""
    return query(catalog, KEPT_DIGESTS)


def shown(catalog: Path | str) -> dict[str, list[Row]]:
    """Everything that a catalog shows."""
    statements = {
        "duplicates": DUPLICATES,
        "documents": "SELECT * FROM documents ORDER BY ALL",
        "objects": "SELECT * EXCLUDE modified_at FROM objects ORDER BY uri",
        "overlaps": 'SELECT * FROM "overlaps" ORDER BY ALL',
        "scans": "SELECT scan_id, sequence, summary FROM scans ORDER BY sequence",
    }
    return dict(zip(statements, queries(catalog, *statements.values()), strict=True))


def left_over(catalog: Path) -> list[str]:
    """Names in a catalog that should be gone when no scan is at work."""
    staged = [str(path.relative_to(catalog)) for path in (catalog / "scans").rglob("*")]
    partial = [path.name for path in catalog.rglob("*") if "partial" in path.name]
    return sorted(staged + partial)


def command(*arguments: Path | str) -> list[str]:
    return [sys.executable, "-m", "greendata", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GREENDATA")}
    paths = [*more.pop("PYTHONPATH", "").split(os.pathsep), str(ROOT)]
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | more


def run_cli(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return run_forked("greendata", *arguments, environment=environment())


def run_new_cli(
    *arguments: Path | str, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The same in an interpreter of its own, which loads what the environment tells it to."""
    return subprocess.run(
        command(*arguments),
        env=environment(**(more or {})),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=300,
    )


def start_cli(*arguments: Path | str) -> Forked:
    """The command line, not waited for."""
    return start_forked("greendata", *arguments, environment=environment())
