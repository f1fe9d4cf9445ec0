from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from greendata.jobs.difference import (
    CONTEXT_WORDS,
    HUNKS_SHOWN,
    LONGEST_PART_WORDS,
    LONGEST_WORD,
    WORDS_COMPARED,
    Segment,
    compare_words,
)

words = st.lists(st.sampled_from("abcdef"), max_size=LONGEST_PART_WORDS)


def changed(segments: tuple[Segment, ...]) -> str:
    return " ".join(segment.text for segment in segments if segment.is_changed)


def test_compare_words_shows_the_changed_word_between_its_neighbours() -> None:
    kept = " ".join(f"w{i}" for i in range(40))
    difference = compare_words(kept, kept.replace("w20", "other"))
    (hunk,) = difference.hunks
    assert [s.text for s in hunk.kept] == [
        "w14 w15 w16 w17 w18 w19",
        "w20",
        "w21 w22 w23 w24 w25 w26",
    ]
    assert [s.is_changed for s in hunk.document] == [False, True, False]
    assert changed(hunk.document) == "other"
    assert not difference.is_partial


def test_compare_words_finds_none_when_only_white_space_differs() -> None:
    assert compare_words("a  b\nc", " a b c\n").hunks == ()


def test_compare_words_shows_an_insertion_at_the_start_and_the_end() -> None:
    (start,) = compare_words("a b c", "new a b c").hunks
    assert changed(start.kept) == ""
    assert changed(start.document) == "new"
    (end,) = compare_words("a b c", "a b c new").hunks
    assert changed(end.document) == "new"


def test_compare_words_says_when_it_shows_only_the_first_places() -> None:
    kept = " ".join(f"w{i}" for i in range(100))
    other = kept
    for i in range(10, 100, 20):
        other = other.replace(f"w{i} ", "x ")
    difference = compare_words(kept, other)
    assert len(difference.hunks) == HUNKS_SHOWN
    assert difference.is_partial


def test_compare_words_is_bounded_on_long_texts_without_a_word_in_common() -> None:
    kept = " ".join(f"a{i}" for i in range(50 * WORDS_COMPARED))
    other = " ".join(f"b{i}" for i in range(50 * WORDS_COMPARED))
    difference = compare_words(kept, other)
    assert difference.is_partial
    (hunk,) = difference.hunks
    assert len(changed(hunk.kept)) < 500


def test_compare_words_cuts_one_endless_word() -> None:
    difference = compare_words("x" * 10**6, "y" * 10**6)
    (hunk,) = difference.hunks
    assert len(changed(hunk.kept)) == LONGEST_WORD + 1


@given(words, words)
def test_compare_words_shows_only_words_of_their_side(kept: list[str], other: list[str]) -> None:
    difference = compare_words(" ".join(kept), " ".join(other))
    assert bool(difference.hunks) == (kept != other)
    for hunk in difference.hunks:
        assert " ".join(s.text for s in hunk.kept) in " ".join(kept)
        assert " ".join(s.text for s in hunk.document) in " ".join(other)
        assert changed(hunk.kept) != changed(hunk.document)
        for segments in (hunk.kept, hunk.document):
            for segment in segments:
                assert segment.is_changed or len(segment.text.split()) <= CONTEXT_WORDS
