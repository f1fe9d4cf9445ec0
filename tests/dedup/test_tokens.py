from __future__ import annotations

import importlib.util
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from greendata.dedup import fingerprint
from greendata.dedup import tokens as module
from greendata.dedup.tokens import CodePointTable, load_table, normalise, tokens
from tests.dedup.parameters import parameters
from tests.dedup.reference import reference_tokens
from tests.dedup.texts import LANGUAGES, TEXTS
from tests.examples import examples

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_of_a_language(language: str, form: str) -> None:
    text, wanted = LANGUAGES[language]
    held = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    assert tokens(held) == [unicodedata.normalize("NFC", token) for token in wanted]


@settings(max_examples=examples(1000))
@given(TEXTS)
def test_tokens_are_those_of_the_design(text: str) -> None:
    assert tokens(text) == reference_tokens(text)


@pytest.mark.parametrize("text", ["", " ", "\0\0", "...", "\u0301\u0301", "\u200d", "❤\ufe0f"])
def test_a_text_without_letters_and_digits_has_no_tokens(text: str) -> None:
    assert tokens(text) == []


def without(points: set[int]) -> CodePointTable:
    """The table as if these code points came with a later Unicode version."""
    known = load_table()
    pages = sorted({point >> 8 for point in points})
    index, entries = known.index.copy(), known.entries
    for page in pages:
        start = int(known.index[page]) * 256
        index[page] = len(entries) // 256
        entries = np.concatenate([entries, entries[start : start + 256]])
        for point in points:
            if point >> 8 == page:
                entries[int(index[page]) * 256 + (point & 255)] = 8
    return CodePointTable(index=index, entries=entries)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("e\u0316\u0301 x", ["e", "x"]),  # no mark that lets the accent behind it compose
        ("e\u0301\u0316", ["é"]),
        ("abøcd", ["ab", "cd"]),
        ("ø\u0301", []),
    ],
)
def test_what_came_with_a_later_unicode_version_is_a_separator(
    monkeypatch: pytest.MonkeyPatch, text: str, wanted: list[str]
) -> None:
    table = without({0x316, ord("ø")})
    monkeypatch.setattr(module, "load_table", lambda: table)
    monkeypatch.setattr(fingerprint, "load_table", lambda: table)
    assert tokens(text) == wanted
    found = fingerprint.Fingerprinter(parameters()).fingerprint(pa.array([text, " ".join(wanted)]))
    assert found.tokens.tolist() == [len(wanted)] * 2
    assert found.keys[0].tolist() == found.keys[1].tolist()


def test_code_points_without_a_meaning_stay_apart_under_every_python() -> None:
    assert normalise("e\u0301\u0378") == "é "
    assert normalise("é\u0378") == "é\u0378"
    assert tokens("e\u0301a\u0378b") == tokens("éa\u0378b") == ["éa", "b"]


@pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0",
    reason=f"this Python has Unicode {unicodedata.unidata_version}, the table is of 14.0.0",
)
def test_shipped_table_is_what_its_script_makes() -> None:
    path = ROOT / "scripts" / "make_words_table.py"
    spec = importlib.util.spec_from_file_location("make_words_table", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    seconds, table = script.composition_seconds(), load_table()
    made = np.array([script.entry_of(point, seconds) for point in range(0x110000)], np.uint32)
    shipped = table.entries.reshape(-1, 256)[table.index].ravel()
    assert np.flatnonzero(made != shipped).tolist() == []
