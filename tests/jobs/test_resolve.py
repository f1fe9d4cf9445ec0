from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.jobs.made_scans import query, run_scan, text, uri, variant, write_lines, write_parquet


def test_digests_are_blake2b_of_the_text_as_hexdigest_shows_it(tmp_path: Path) -> None:
    texts = [text(1), "Straße ☕ न", ""]
    write_lines(tmp_path / "data" / "a.jsonl", [*texts, *texts])
    run_scan(tmp_path / "data", catalog=tmp_path / "c")
    found = query(tmp_path / "c", "SELECT document_digest, kept_digest FROM duplicates")
    wanted = {hashlib.blake2b(t.encode(), digest_size=16).hexdigest() for t in texts}
    assert {row[0] for row in found} == wanted
    assert all(row[0] == row[1] for row in found)


def test_a_duplicate_names_both_places_fully(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "a" / "x.parquet", [text(n) for n in range(7)], 3)
    write_lines(tmp_path / "data" / "b" / "y.jsonl", ["first", text(5)])
    run_scan(tmp_path / "data" / "a", tmp_path / "data" / "b", catalog=tmp_path / "c")
    (row,) = query(
        tmp_path / "c",
        "SELECT document_uri, document_row, document_row_group, document_dataset,"
        " document_text_bytes, kept_uri, kept_row, kept_row_group, kept_dataset, kept_text_bytes,"
        " kind, jaccard, containment FROM duplicates",
    )
    size = len(text(5))
    a, b = tmp_path / "data" / "a", tmp_path / "data" / "b"
    assert row[:5] == (uri(b / "y.jsonl"), 1, -1, uri(b), size)
    assert row[5:10] == (uri(a / "x.parquet"), 5, 1, uri(a), size)
    assert row[10:] == ("exact", 1.0, 1.0)
    etags = query(
        tmp_path / "c",
        "SELECT count(*) FROM duplicates d JOIN objects x ON x.uri = document_uri"
        " AND x.etag = document_etag JOIN objects y ON y.uri = kept_uri AND y.etag = kept_etag",
    )
    assert etags == [(1,)]


def test_copies_of_a_near_duplicate_are_near_duplicates_of_the_kept_one(tmp_path: Path) -> None:
    near = text(1)
    write_lines(tmp_path / "data" / "a.jsonl", [near, near, f"{near} and longer", near])
    run_scan(tmp_path / "data", catalog=tmp_path / "c")
    found = query(tmp_path / "c", "SELECT document_row, kept_row, kind FROM duplicates ORDER BY 1")
    assert found == [(0, 2, "near"), (1, 2, "near"), (3, 2, "near")]


def test_overlaps_count_verified_texts_both_ways(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write_lines(a / "1.jsonl", [text(1), text(2), text(3), text(4)])
    write_lines(b / "1.jsonl", [text(1), f"{text(2)} more"])
    run_scan(a, b, catalog=tmp_path / "c")
    rows = query(
        tmp_path / "c",
        "SELECT level, a_in_b_documents, b_in_a_documents, a_in_b_exact_documents,"
        ' b_in_a_exact_documents, a_documents, b_documents FROM "overlaps" ORDER BY level',
    )
    assert rows == [(level, 0.5, 1.0, 0.25, 0.5, 4, 2) for level in ("dataset", "object")]


def test_no_pairs_no_reading_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from greendata.jobs.rereading import TextReader

    monkeypatch.delattr(TextReader, "_read")
    write_lines(tmp_path / "data" / "a.jsonl", [text(1), text(1), text(2)])
    assert run_scan(tmp_path / "data", catalog=tmp_path / "c").exact_duplicate_documents == 1


def test_each_text_is_read_back_once_in_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from greendata.jobs.rereading import TextReader

    asked: list[int] = []
    original = TextReader.read

    def noting(self: TextReader, ranks: object, consume: object) -> None:
        asked.extend(ranks.tolist())  # type: ignore[attr-defined]
        original(self, ranks, consume)  # type: ignore[arg-type]

    monkeypatch.setattr(TextReader, "read", noting)
    base = text(1)
    write_lines(tmp_path / "data" / "a.jsonl", [base, *(variant(base, n, 2) for n in range(12))])
    run_scan(tmp_path / "data", catalog=tmp_path / "c")
    assert len(asked) == len(set(asked)) > 5
