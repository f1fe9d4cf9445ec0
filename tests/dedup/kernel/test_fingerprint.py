from __future__ import annotations

import hashlib
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup.fingerprint import Fingerprinter, text_buffers
from greendata.dedup.kernel.fingerprint import CHUNK_TOKENS, MAX_SHINGLE_SIZE
from greendata.dedup.tokens import tokens
from greendata.dedup.verify import shingle_sets
from tests.dedup.parameters import parameters
from tests.dedup.reference import (
    is_known,
    reference_keys,
    reference_shingles,
    reference_signature,
    reference_tokens,
)
from tests.dedup.texts import LANGUAGES, TEXTS
from tests.examples import examples

PRINTS = Fingerprinter(parameters())


def counts_and_keys(*texts: str | bytes) -> tuple[list[int], list[list[int]]]:
    raw = [text if isinstance(text, bytes) else text.encode() for text in texts]
    found = PRINTS.fingerprint(pa.array(raw, pa.binary()))
    return found.tokens.tolist(), found.keys.tolist()


def shingles(text: str, size: int) -> list[int]:
    """What the kernel makes of a text; of size 32, short texts are one shingle: all tokens."""
    found: list[int] = shingle_sets(*text_buffers(pa.array([text])), size)[1].tolist()
    return found


def keys_of(words: list[str]) -> list[int]:
    made = reference_shingles(words, 5)
    return reference_keys(reference_signature(made, 128, 1), 16, 8) if made else [0] * 16


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_kernel_sees_the_tokens_of_a_language(language: str, form: str) -> None:
    text, words = LANGUAGES[language]
    words = [unicodedata.normalize("NFC", word) for word in words]
    text = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    for size in (1, 5, 32):
        assert shingles(f"{text} {text}", size) == reference_shingles(words * 2, size)
    counts, keys = counts_and_keys(f"{text} {text}")
    assert (counts, keys) == ([2 * len(words)], [keys_of(words * 2)])


@settings(max_examples=examples(1000))
@given(TEXTS, st.sampled_from([1, 5, 32]))
def test_kernel_sees_the_tokens_of_any_text(text: str, size: int) -> None:
    words = tokens(text)
    assert shingles(text, size) == reference_shingles(words, size)
    assert counts_and_keys(text)[0] == [len(words)]


@settings(max_examples=examples(300))
@given(TEXTS)
def test_fingerprint_does_not_depend_on_the_normal_form(text: str) -> None:
    text = "".join(filter(is_known, text))  # a newer Python takes more characters apart
    forms = [unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)]
    counts, keys = counts_and_keys(text, *forms)
    assert counts == counts[:1] * 3
    assert keys == keys[:1] * 3


# marks that compose with nothing: only their order can be wrong
@settings(max_examples=examples(300))
@given(st.text("ab é\u0315\u0316\u0321\u0335\u0591\u05b0\u064b\u0651", max_size=12))
def test_marks_in_any_order_are_put_into_the_canonical_one(text: str) -> None:
    assert shingles(text, 32) == reference_shingles(reference_tokens(text), 32)


@pytest.mark.parametrize("character", ["é", "东", "ก", "\u0301", "İ", "😀", "\0", "Ⱥ", "\u00a0"])
def test_kernel_changes_between_blocks_and_single_code_points_anywhere(character: str) -> None:
    text = "ab " * 23 + "C" * 70
    for around in range(70):
        for held in (character, character + "x" * 31 + character):
            made = text[:around] + held + text[around:]
            assert shingles(made, 5) == reference_shingles(reference_tokens(made), 5)


@pytest.mark.parametrize("length", range(70))
def test_a_token_of_any_length_is_hashed_whole(length: int) -> None:
    for text in ("a" * length, "b" + "é" * length, "x " + "7" * length + " y"):
        assert shingles(text, 1) == reference_shingles(reference_tokens(text), 1)


@pytest.mark.parametrize(
    "text",
    ["a" * 1_000_003, "é" * 300_001, "a\u0301" * 200_001, "x " + "9" * 500_000 + " y"],
    ids=["ascii", "two bytes", "decomposed", "between others"],
)
def test_a_huge_token_is_one_token(text: str) -> None:
    words = unicodedata.normalize("NFC", text).split()
    assert counts_and_keys(text) == ([len(words)], [keys_of(words)])


@pytest.mark.parametrize("unit", ["Ⱥ", "a东", "东a", "İ", "\U0001d15e", "\u0344"])
def test_texts_that_grow_when_they_are_normalised_fit(unit: str) -> None:
    text = unit * 3000
    found = shingles(text, 5)
    assert found == reference_shingles(reference_tokens(text), 5)
    assert counts_and_keys(text, "after")[0] == [len(tokens(text)), 1]


@pytest.mark.parametrize("size", [1, 2, 5, MAX_SHINGLE_SIZE])
def test_chunks_leave_no_seam(size: int) -> None:
    prints = Fingerprinter(parameters(shingle_size=size))
    around = [CHUNK_TOKENS + step for step in (-2, -1, 0, 1, 2, size - 2, size - 1, size, size + 1)]
    again = [2 * CHUNK_TOKENS + step for step in (-size, 1 - size, -1, 0, 1)]
    for count in sorted({0, 1, size - 1, size, size + 1, *around, *again, 5000}):
        words = [f"w{number * 7919 % 100_003}" for number in range(count)]
        wanted = reference_shingles(words, size)
        assert len(wanted) == (max(1, count - size + 1) if count else 0)
        assert shingles(" ".join(words), size) == wanted
        found = prints.fingerprint(pa.array([" ".join(words)]))
        assert found.tokens.tolist() == [count]
        keys = reference_keys(reference_signature(wanted, 128, 1), 16, 8)
        assert found.keys[0].tolist() == (keys if count else [0] * 16)


INVALID = [
    b"\xff", b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80",
    b"\xed\xbf\xbf", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80", b"\xc3(", b"\xe4\xb8(", b"\xf0\x9f\x98(", b"\xf8\x88\x80\x80\x80",
]  # fmt: skip


@pytest.mark.parametrize("bad", INVALID)
def test_bytes_that_are_not_utf8_are_named_so(bad: bytes) -> None:
    for before in (b"", b"plain words ", b"x" * 31, b"x" * 32, "cafe\u0301 ".encode()):
        counts, keys = counts_and_keys(before + bad, b"fine", before + bad + b" more words here")
        assert counts == [-1, 1, -1]
        assert not any(keys[0])
        assert not any(keys[2])


@pytest.mark.parametrize("start", [0, 1, 29, 30, 31, 32])
def test_a_text_cut_anywhere_is_utf8_only_between_code_points(start: int) -> None:
    whole = b"x" * start + "aé东😀 e\u0301z".encode()
    for cut in range(len(whole) + 1):
        pieces = [whole[:cut], whole[cut:]]  # one right behind the other, so that they would fit
        counts, _ = counts_and_keys(*pieces)
        assert [count == -1 for count in counts] == [not is_utf8(piece) for piece in pieces]


def is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=examples(750))
@given(TEXTS, st.binary(max_size=4), st.integers(0, 400), st.integers(0, 4))
def test_exactly_what_is_not_utf8_is_refused(text: str, bad: bytes, at: int, lost: int) -> None:
    raw = text.encode()
    raw = raw[:at] + bad + raw[at + lost :]
    (count,), _ = counts_and_keys(raw)
    assert count == (len(tokens(raw.decode())) if is_utf8(raw) else -1)


def test_nul_bytes_separate_tokens() -> None:
    counts, keys = counts_and_keys("a\0b\0\0c", "a b c", "\0" * 100, "é\0\0b", "é b")
    assert counts == [3, 3, 0, 2, 2]
    assert keys[0] == keys[1]
    assert keys[3] == keys[4]


def test_a_text_without_tokens_has_no_keys() -> None:
    assert counts_and_keys("", " .", "\u0301") == ([0, 0, 0], [[0] * 16] * 3)


# Indexes on disk hold these values: they must never change.
KNOWN = {
    "": (
        0,
        "cae66941d9efbd404e4d88758ea67670",
        [],
        [4294967295, 4294967295, 4294967295],
        [0, 0],
        "60a3b863504a2f540133b51e4bb72787",
    ),
    "hello": (
        1,
        "46fb7408d4f285228f4af516ea25851b",
        [13857616261981486774],
        [1388485573, 482501278, 334038716],
        [2458146618255807948, 12813857666328508771],
        "3ec60b3be1608da43c0da873c45a454e",
    ),
    "The quick brown fox jumps over the lazy dog.": (
        9,
        "e21b9ba9a54571d92988718c8629e81b",
        [1031560811633312345, 2583955518342850208],
        [1062068587, 1792508908, 240641694],
        [334579826751212461, 1069597267876720941],
        "23fb996751342f84c5d4a288555d4094",
    ),
    "Der schnelle braune FUCHS springt über den faulen Hund.": (
        9,
        "f3c406eebdced703bca65caa7152acdb",
        [4511669663405440157, 198986927046662395],
        [1076971761, 318767005, 244549408],
        [17990541233355734957, 9058678270482182323],
        "276309ac561a6b737d60c3c9b017b923",
    ),
    "我们去北京大学 कि हिन्दी السَّلَامُ": (
        10,
        "1c6cc5d87eaeb88b9086de5108628b5a",
        [1279747537684997864, 1651380163101895336],
        [340805024, 412921413, 262765656],
        [3293151411150927845, 14702125357622425351],
        "fdcdce340d82c9899216c9b15d580011",
    ),
    "Съешь ещё этих мягких французских булок, да выпей же чаю": (
        10,
        "7ccb5fd2667aac341718009102aa93d3",
        [2530102730161697827, 4553067122295748176],
        [861686518, 253113749, 293508274],
        [11981250365387571611, 34221816339713406],
        "c240aed2fac8c8a9b04977f0595e6f65",
    ),
    "東京タワーへ行きました。ภาษาไทย 한국어": (
        19,
        "c58cfccc6832fa12aa8b1f5c8dfff0d7",
        [17177948321749457688, 12472195671813668555],
        [225608645, 194328803, 388001890],
        [261432472041742506, 13613663058256393075],
        "59835e244538fc73c201dd3c8b8e504a",
    ),
    "u\u0308ber \u1112\u1161\u11ab 1\ufe0f\u20e3 \U0001f469\u200d\U0001f4bb \u0130 ΣΑΣ": (
        5,
        "ef394c1d4bc940d99e581e9e2cc1e33c",
        [7513483253802671525],
        [172259528, 3174832909, 1191781565],
        [16074712999496324845, 9970149181698597357],
        "e4ae7c32bed20ec400c7004079f16393",
    ),
    "internationalisation 12345678 abcdefghijklmnop": (
        3,
        "7fef37dac4677bfba37cc14506353a07",
        [7345537966460115783],
        [2818459422, 54430587, 3299648047],
        [11687147019215174587, 7712931901004507035],
        "4a9986f9f71666fa9fc4e8ddc4d808fa",
    ),
}
"""Text: tokens; digest; first shingles, signature values and band keys; a digest of all of them."""


@pytest.mark.parametrize("text", KNOWN)
def test_known_answers_never_change(text: str) -> None:
    data, offsets = text_buffers(pa.array([unicodedata.normalize("NFC", text)]))
    signatures = np.empty((1, 128), np.uint32)
    counts, keys = np.empty(1, np.int64), np.empty((1, 16), np.uint64)
    PRINTS.sketch(data, offsets, counts, keys, is_nfc=True, signatures=signatures)
    found = PRINTS.fingerprint(pa.array([text]))
    assert found.keys.tolist() == keys.tolist()
    high, low = found.digests[0].tolist()
    parts = [shingles(text, 5), signatures[0].tolist(), keys[0].tolist()]
    held = np.array([value for part in parts for value in part], "<u8").tobytes()
    assert KNOWN[text] == (
        int(found.tokens[0]),
        f"{high:016x}{low:016x}",
        parts[0][:2],
        parts[1][:3],
        parts[2][:2],
        hashlib.blake2b(held, digest_size=16).hexdigest(),
    )
