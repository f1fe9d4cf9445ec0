"""Datasets whose documents are in each other, and what a scan finds in them."""

from __future__ import annotations

import random
from pathlib import Path

from tests.jobs.made_scans import Row, queries, text, variant, write_lines, write_parquet


def write_datasets(folder: Path, datasets: int = 3, documents: int = 60) -> list[Path]:
    """Datasets that share texts and near-duplicates, in several formats and row groups."""
    chosen = random.Random(1)
    base = [text(number) for number in range(documents)]
    for dataset in range(datasets):
        for number in range(3):
            texts: list[str | None] = [None, "", "one two", text(1_000 + 10 * dataset + number)]
            for _ in range(documents):
                origin = chosen.choice(base)
                changes = chosen.randrange(4)
                seed = chosen.randrange(40)
                texts.append(variant(origin, seed, changes) if changes else origin)
            place = folder / f"d{dataset}"
            if number:
                write_parquet(place / f"{number}.parquet", texts, group_rows=13)
            else:
                write_lines(place / "0.jsonl", texts)
    return sorted(folder.iterdir())


def found(catalog: Path) -> dict[str, list[Row]]:
    """All that a scan finds, without its id."""
    tables = ("documents", "pairs", "duplicates", "overlaps")
    statements = {name: f'SELECT * FROM "{name}" ORDER BY ALL' for name in tables}
    statements["counts"] = (
        "SELECT uri, documents, text_bytes, null_documents, skipped_documents, status"
        " FROM objects ORDER BY uri"
    )
    return dict(zip(statements, queries(catalog, *statements.values()), strict=True))
