from __future__ import annotations

import pytest

from greendata.errors import PolicyError
from greendata.policy.text import LARGEST_FILE_BYTES, read_yaml

BOMB = b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n"


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (BOMB, "1:4", "anchor"),
        (b"a: 1\nb: *a\n", "2:4", "alias"),
        (b"a: !!python/object/apply:os.system [ls]", "1:4", "a tag"),
        (b"a: !x 1", "1:4", "a tag"),
        (b"<<: {a: 1}", "1:1", "merge key"),
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", "4:3", "'c' stands here twice"),
        (b"a: 1\n\tb: 2", "2:1", "a tab"),
        (b"a: yes", "1:4", "YAML 1.1"),
        (b"a: [on]", "1:5", "YAML 1.1"),
        (b"a: NO", "1:4", "YAML 1.1"),
        (b"a: True", "1:4", "YAML 1.1"),
        (b"a: 010", "1:4", "YAML 1.1"),
        (b"a: 0x1f", "1:4", "YAML 1.1"),
        (b"a: 1:30", "1:4", "YAML 1.1"),
        (b"a: 1_000", "1:4", "YAML 1.1"),
        (b"a: .inf", "1:4", "YAML 1.1"),
        (b"--- a\n--- b", "2:1", "second document"),
        (b"%YAML 1.1\n---\na: 1", "2:1", "directive"),
        (b"{1: 2}", "1:2", "no text"),
        (b"[a]: 2", "1:1", "no word"),
        (b"a: [1, 2", "1:9", "not YAML"),
        (b"a: 1\nb: \xff", "2:1", "not UTF-8"),
        (b"a: \x07", "1:1", "not YAML"),
        (b'a: "\\ud800"', "1:4", "U+D800"),
        (b'a: "x\\0"', "1:4", "U+0000"),
        ("a: 'x\u202ey'".encode(), "1:4", "U+202E"),
        (b"[" * 5_000, "1:18", "nested deeper"),
        (b"- " * 5_000, "1:35", "nested deeper"),
    ],
)
def test_what_yaml_may_not_have_is_refused_with_its_place(
    text: bytes, place: str, what: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        read_yaml(text, "p.yaml")
    assert caught.value.message.startswith(f"p.yaml:{place}:")
    assert what in caught.value.message


def test_a_file_that_nobody_wrote_by_hand_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(PolicyError, match="larger than"):
        read_yaml(b"a: 1\n" * LARGEST_FILE_BYTES, "p.yaml")


def test_scalars_are_read_as_yaml_1_2_reads_them() -> None:
    file = read_yaml(
        b"a: 1\nb: -2.5\nc: true\nd: ~\ne: \"yes\"\nf: 2026-01-01\ng: 1e3\nh:\ni: '0x1'\n", "p"
    )
    assert file.data == {
        "a": 1, "b": -2.5, "c": True, "d": None, "e": "yes", "f": "2026-01-01", "g": 1000.0,
        "h": None, "i": "0x1",
    }  # fmt: skip


def test_an_empty_file_is_no_data() -> None:
    assert read_yaml(b"", "p").data is None
    assert read_yaml(b"\xef\xbb\xbfa: 1", "p").data == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "w: aa bb XX cc\n",
        "w: 'aa bb XX cc'\n",
        'w: "aa bb XX cc"\n',
        "w: >-\n  aa\n  bb XX\n  cc\n",
        "w: |\n    aa bb\n    XX cc\n",
        "w:\n  aa\n  bb\n\n  XX cc\n",
        "w: 'a''a bb XX'\n",
    ],
)
def test_a_character_of_a_text_is_found_in_the_file(text: str) -> None:
    file = read_yaml(text.encode(), "p")
    line, column = file.place_in_text(("w",), file.data["w"].index("XX"))
    assert text.splitlines()[line - 1][column - 1 :].startswith("XX")
