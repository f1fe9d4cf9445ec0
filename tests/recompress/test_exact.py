"""Grade exact: which writers' files need no raw lines, and that all come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import IntegrityError
from greendata.recompress.exact import MAX_TRAILER_BYTES
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.rendering import restore_lines
from greendata.recompress.sources import DIALECT_KEY, RAW_COLUMN, Grade, SourceOptions
from tests.recompress.made_sources import opened, restored, table_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "source.jsonl"


def records() -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "text": f'a "quoted" \\ é😀 / line\nnext\t\x01 <b> {"x" * number}',
            "score": number / 7,
            "tiny": 1e-8 * (number + 1),
            "meta": {"url": f"http://x/{number}", "tags": ["a", None] if number % 2 else []},
            **({"odd": number % 3 == 0} if number % 2 else {}),
            "nothing": None,
        }
        for number in range(200)
    ]


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "default": json.dumps,
    "not ASCII": lambda record: json.dumps(record, ensure_ascii=False),
    "compact": lambda record: json.dumps(record, separators=(",", ":")),
    "sorted": lambda record: json.dumps(record, sort_keys=True),
    "compact, not ASCII": lambda r: json.dumps(r, separators=(",", ":"), ensure_ascii=False),
    "escaped slashes": lambda record: json.dumps(record).replace("/", "\\/"),
    "escaped HTML": lambda record: (
        json.dumps(record, separators=(",", ":"), ensure_ascii=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    ),
    "short exponents": lambda record: json.dumps(record).replace("e-0", "e-"),
    "odd blanks": lambda record: json.dumps(record, separators=(" ,", " : ")),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_dialect_of_a_writer_gives_every_line(path: Path, writer: str, line_end: str) -> None:
    raw = "".join(WRITERS[writer](record) + line_end for record in records()).encode()
    source = opened(path, raw, grade=Grade.EXACT, options=SourceOptions(batch_bytes=5000))
    assert restored(source) == raw
    assert table_of(source).column(RAW_COLUMN).null_count == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0], lines[1].replace(": ", ":", 1), *lines[2:]],
        lambda lines: [*lines[:5], "  " + lines[5], *lines[6:]],
        lambda lines: [*lines[:5], lines[5] + " \t", *lines[6:]],
        lambda lines: [*lines[:5], lines[5].replace('"id"', '"\\u0069d"'), *lines[6:]],
        lambda lines: [*lines[:5], lines[5].replace(', "tiny"', 'e0, "tiny"'), *lines[6:]],
        lambda lines: [*lines[:7], "", *lines[7:]],
        lambda lines: ["\ufeff" + lines[0], *lines[1:]],
    ],
    ids=["separator", "indent", "blanks", "escaped name", "number", "blank line", "order mark"],
)
def test_only_lines_that_differ_are_kept_raw(
    path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    lines = change([json.dumps(record) for record in records()])
    raw = ("\n".join(lines) + "\n").encode()
    source = opened(path, raw, grade=Grade.EXACT)
    assert restored(source) == raw
    kept = table_of(source).column(RAW_COLUMN)
    assert len(kept) - kept.null_count in (1, 2)


def test_whole_lines_are_kept_raw_when_numbers_are_spelled_their_own_way(path: Path) -> None:
    raw = b"".join(b'{"x": %.20f}\n' % (number / 7) for number in range(100))
    source = opened(path, raw, grade=Grade.EXACT)
    assert restored(source) == raw
    assert table_of(source).column(RAW_COLUMN).null_count < 10


def test_last_line_needs_no_end(path: Path) -> None:
    raw = b'{"a": 1}\n{"a": 2}'
    source = opened(path, raw, grade=Grade.EXACT)
    assert restored(source) == raw
    assert table_of(source).column(RAW_COLUMN).to_pylist() == [None, '{"a": 2}']


def test_blank_lines_at_the_end_are_kept_up_to_a_limit(path: Path) -> None:
    raw = b'{"a": 1}\n' + b"\n \r\n" * 1000
    assert restored(opened(path, raw, grade=Grade.EXACT)) == raw
    raw = b'{"a": 1}\n' + b"\n" * (MAX_TRAILER_BYTES + 1)
    with pytest.raises(RefusedSourceError) as caught:
        opened(path, raw, grade=Grade.EXACT)
    assert caught.value.reason is RefusalReason.NOT_RESTORABLE
    assert opened(path, raw).rows == 1


def test_metadata_of_something_else_is_an_error() -> None:
    for metadata in ({}, {DIALECT_KEY: b'{"format": "csv"}'}):
        with pytest.raises(IntegrityError, match="JSON Lines"):
            list(restore_lines([], metadata))


def test_integers_among_floats_keep_their_spelling(path: Path) -> None:
    raw = b'{"x": 1}\n{"x": 2.5}\n{"x": -0}\n{"x": 1e+22}\n'
    source = opened(path, raw, grade=Grade.EXACT)
    assert restored(source) == raw
    assert table_of(source).column(RAW_COLUMN).null_count >= 3
