from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greendata.cli import output
from greendata.stores.local import path_to_uri

Capture = pytest.CaptureFixture[str]


def test_visible_escapes_what_steers_a_terminal() -> None:
    assert output.visible("\x1b[31mred\x07\n\u202eevil\udcff") == (
        "\\x1b[31mred\\x07\\n\\u202eevil\\udcff"
    )


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_visible_leaves_no_control_or_format_character_that_reorders(text: str) -> None:
    shown = output.visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("LRO", "RLO", "LRI", "RLI")]


@given(st.text(st.characters(categories=["L", "M", "N", "P"])))
def test_visible_keeps_letters_of_every_script(text: str) -> None:
    assert output.visible(text) == text


def test_visible_uri_is_the_path_a_person_would_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = path_to_uri(str(tmp_path / "data" / "a b.jsonl"))
    assert output.visible_uri(inside) == "data/a b.jsonl"
    assert output.visible_uri("file:///elsewhere/x") == "/elsewhere/x"
    assert output.visible_uri("s3://bucket/key%20") == "s3://bucket/key%20"
    assert output.visible_uri("file:///a%1B%5B2Jb") == "/a\\x1b[2Jb"


def test_table_off_the_terminal_is_plain_aligned_text(capsys: Capture) -> None:
    output.print_table(["name", "count"], [["a", "1,000"], ["漢字", "2"]], right=["count"])
    assert capsys.readouterr().out == "name  count\na     1,000\n漢字      2\n"


def test_table_off_the_terminal_never_cuts_a_cell(capsys: Capture) -> None:
    output.print_table(["name"], [["x" * 5_000]])
    assert capsys.readouterr().out == "name\n" + "x" * 5_000 + "\n"


@pytest.mark.parametrize("width", [20, 40, 200])
def test_table_on_a_terminal_shows_every_value_at_any_width(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, width: int
) -> None:
    monkeypatch.setattr(output, "terminal_width", lambda: width)
    output.print_table(["first", "second", "third"], [["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"]])
    lines = capsys.readouterr().out.splitlines()
    text = "\n".join(lines)
    for value in ("aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"):
        assert value in text
    assert max(map(len, lines)) <= width


def test_table_takes_cells_for_text_not_markup(capsys: Capture) -> None:
    output.print_table(["name"], [["[red]x[/red] :smile: \x1b[1m"]])
    assert "[red]x[/red] :smile: \\x1b[1m" in capsys.readouterr().out


def test_json_is_one_document_in_any_encoding(capsys: Capture) -> None:
    output.print_json({"schema_version": 1, "name": "漢\udcff", "share": 0.5})
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == {"schema_version": 1, "name": "漢\udcff", "share": 0.5}


def test_json_refuses_what_json_has_not(capsys: Capture) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        output.print_json({"share": float("nan")})
