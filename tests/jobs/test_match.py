from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from greendata.errors import LimitExceededError, UsageError
from greendata.jobs.match import Matches, MatchRequest, match, match_stream
from greendata.progress import Progress
from greendata.stores.local import path_to_uri
from tests.dedup.reference import jaccard
from tests.jobs.made_scans import run_scan, text, variant, write_lines, write_parquet


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A catalog of three objects."""
    write_lines(tmp_path / "data" / "a.jsonl", [text(1), text(2), text(3)])
    write_parquet(tmp_path / "data" / "b.parquet", [text(4), text(5), "", text(1)])
    write_lines(tmp_path / "other" / "c.jsonl", [text(6), variant(text(5), 9)])
    run_scan(tmp_path / "data", tmp_path / "other", catalog=tmp_path / "c")
    return tmp_path


def asked(world: Path, *texts: str | None, **options: Any) -> Matches:
    path = write_lines(world / "new.jsonl", texts)
    request = MatchRequest(uris=(path_to_uri(str(path)),), catalog=str(world / "c"), **options)
    return match(request, progress=Progress())


def found(matches: Matches) -> list[tuple[int, str, str, int]]:
    return [(m.row, m.kind, Path(m.known_uri).name, m.known_row) for m in matches.matches]


def test_known_documents_name_their_partner(world: Path) -> None:
    near = variant(text(2), 3)
    matches = asked(world, text(99), text(3), near, None, "", text(6))
    assert found(matches) == [
        (1, "exact", "a.jsonl", 2),
        (2, "near", "a.jsonl", 1),
        (4, "exact", "b.parquet", 2),
        (5, "exact", "c.jsonl", 0),
    ]
    assert matches.documents == 5
    assert matches.matches[1].jaccard == pytest.approx(jaccard(near, text(2)))


@pytest.mark.parametrize("harm", ["none", "removed", "damaged"])
def test_matches_are_found_with_and_without_the_index_of_keys(world: Path, harm: str) -> None:
    for index in (world / "c" / "keys").iterdir():
        if harm == "removed":
            index.unlink()
        elif harm == "damaged":
            index.write_bytes(index.read_bytes()[:-50])
    assert found(asked(world, variant(text(2), 3))) == [(0, "near", "a.jsonl", 1)]


def test_the_most_similar_partner_is_named(world: Path) -> None:
    base = variant(text(5), 9)  # is in c.jsonl; text(5) itself in b.parquet
    matches = asked(world, variant(base, 10))
    assert [m.jaccard for m in matches.matches] == [
        max(jaccard(variant(base, 10), other) for other in (base, text(5)))
    ]


def test_candidates_below_the_threshold_are_no_match(world: Path) -> None:
    assert asked(world, variant(text(2), 3), threshold=0.95).matches == ()
    with pytest.raises(UsageError, match=r"finds pairs from 0\.8 on"):
        asked(world, text(1), threshold=0.5)


def test_one_dataset_can_be_asked(world: Path) -> None:
    dataset = path_to_uri(str(world / "other"))
    assert [row for row, *_ in found(asked(world, text(6), text(1), dataset=dataset))] == [0]
    near = found(asked(world, variant(text(5), 4), dataset=dataset, threshold=0.8))
    assert all(name == "c.jsonl" for _, _, name, _ in near)


def test_few_candidates_are_compared_and_the_rest_is_told(world: Path) -> None:
    matches = asked(world, variant(text(5), 4), max_candidates=1)
    assert matches.candidates == 1
    assert matches.left_out >= 0


def test_a_candidate_that_cannot_be_read_is_no_match(world: Path) -> None:
    (world / "data" / "a.jsonl").unlink()
    matches = asked(world, variant(text(2), 3))
    assert (matches.matches, matches.unread) == ((), 1)


def test_removed_objects_are_not_known_any_more(world: Path) -> None:
    (world / "data" / "a.jsonl").unlink()
    run_scan(world / "data", catalog=world / "c")
    assert asked(world, text(3)).matches == ()


def test_too_many_documents_are_refused(world: Path) -> None:
    with pytest.raises(LimitExceededError, match="documents at once"):
        asked(world, text(1), text(2), memory_bytes=10)


def test_no_documents_match_nothing(world: Path) -> None:
    assert asked(world).matches == ()
    assert asked(world, None).documents == 0


def test_a_stream_is_shown_as_a_dash(world: Path) -> None:
    lines = json.dumps({"text": text(3)}).encode() + b"\n\xff broken\n"
    request = MatchRequest(uris=(), catalog=str(world / "c"))
    matches = match_stream(lines, request, progress=Progress())
    assert [(m.uri, m.row) for m in matches.matches] == [("-", 0)]


def test_exit_codes_are_a_gate(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, new = world / "known.jsonl", world / "new.jsonl"
    write_lines(known, [text(1)])
    write_lines(new, [text(77)])
    catalog = ["--catalog", str(world / "c")]
    assert run([*catalog, "match", str(new)]) == 0
    assert "0 of 1 documents are known" in capsys.readouterr().out
    assert run([*catalog, "match", str(known), str(new)]) == 4
    assert "1 of 2 documents are known" in capsys.readouterr().out
    assert run([*catalog, "match"]) == 2
    assert run([*catalog, "match", str(known), "--format", "csv"]) == 4
    assert capsys.readouterr().out.splitlines()[0].startswith("uri,row,kind,jaccard")
    stream = io.TextIOWrapper(io.BytesIO(known.read_bytes()))
    monkeypatch.setattr("sys.stdin", stream)
    assert run([*catalog, "match", "--stdin", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["matches"][0]["uri"] == "-"


def test_there_must_be_a_catalog(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [text(1)])
    assert run(["--catalog", str(tmp_path / "none"), "match", str(tmp_path / "a.jsonl")]) == 22
