from __future__ import annotations

import importlib.util
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.dedup.fingerprint import Fingerprinter
from greendata.dedup.tokens import load_table, tokens
from tests.dedup.parameters import parameters

ROOT = Path(__file__).parent.parent.parent
PRINTS = Fingerprinter(parameters())


def counts_and_keys(*texts: str | bytes) -> tuple[list[int], list[list[int]]]:
    raw = [text if isinstance(text, bytes) else text.encode() for text in texts]
    found = PRINTS.fingerprint(pa.array(raw, pa.binary()))
    return found.tokens.tolist(), found.keys.tolist()


LANGUAGES = {
    "german": ("Straße, Äpfel: ÖL!", ["straße", "äpfel", "öl"]),
    "russian": ("Привет, МИР — ёж.", ["привет", "мир", "ёж"]),
    "hindi": ("हिन्दी की किताबें।", ["हिन्दी", "की", "किताबें"]),
    "arabic": ("السَّلَامُ عَلَيْكُم", ["السَّلَامُ", "عَلَيْكُم"]),
    "persian": ("می‌خواهم بروم", ["می‌خواهم", "بروم"]),
    "japanese": ("東京タワーへ", list("東京タワーへ")),
    "chinese": ("我们去北京ABC大学", [*"我们去北京", "abc", *"大学"]),
    "thai": ("กำลัง", ["ก", "ำ", "ลั", "ง"]),
    "lao": ("ລາວ ນີ້", ["ລ", "າ", "ວ", "ນີ້"]),
    "khmer": ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
    "myanmar": ("မြန်မာ", ["မြ", "န်", "မာ"]),
    "korean": ("한국어 텍스트", ["한국어", "텍스트"]),
    "turkish": ("İstanbul IŞIK", ["istanbul", "işik"]),
    "greek": ("ΟΔΥΣΣΕΥΣ ΣΑΣ", ["οδυσσευσ", "σασ"]),
    "emoji": ("hi 👩‍💻️ there 1️⃣", ["hi", "there", "1️⃣"]),
    "numbers": ("x² ½ Ⅷ ٣٤", ["x²", "½", "ⅷ", "٣٤"]),
    "apostrophes": ("don't stop_now a-b", ["don", "t", "stop", "now", "a", "b"]),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_tokens_of_a_language(language: str) -> None:
    text, wanted = LANGUAGES[language]
    assert tokens(text) == [unicodedata.normalize("NFC", token) for token in wanted]


@pytest.mark.parametrize("language", LANGUAGES)
def test_kernel_sees_the_same_tokens_as_the_readable_twin(language: str) -> None:
    text = LANGUAGES[language][0] * 3
    separated = " ".join(tokens(text))
    counts, keys = counts_and_keys(text, separated)
    assert counts[0] == len(tokens(text))
    assert keys[0] == keys[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_fingerprint_does_not_depend_on_the_normal_form(language: str) -> None:
    text = LANGUAGES[language][0] * 2
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    counts, keys = counts_and_keys(*forms)
    assert counts[0] == counts[1] > 0
    assert keys[0] == keys[1]


CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from("aZ9 .\n\0é́ß东กັ‍‌한가İⅧ"),
)


@settings(max_examples=400, deadline=None)
@given(st.text(CHARACTERS, max_size=120))
def test_kernel_agrees_with_the_readable_twin_on_any_text(text: str) -> None:
    found = tokens(text)
    counts, keys = counts_and_keys(text, " ".join(found))
    assert counts == [len(found), len(found)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("around", range(70))
def test_kernel_handles_a_character_anywhere_around_its_blocks(around: int) -> None:
    for character in ("é", "东", "ก", "́", "İ", "😀"):
        text = "ab " * 23 + "c" * 70
        text = text[:around] + character + text[around:]
        counts, keys = counts_and_keys(text, " ".join(tokens(text)))
        assert counts[0] == len(tokens(text))
        assert keys[0] == keys[1]


INVALID = [
    b"\xff", b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
    "é".encode()[:1], "东".encode()[:1], "东".encode()[:2], "😀".encode()[:3], b"\xc3(",
    b"\xe4\xb8(",
]  # fmt: skip


@pytest.mark.parametrize("bad", INVALID)
def test_bytes_that_are_not_utf8_are_named_so(bad: bytes) -> None:
    for before in (b"", b"plain words ", b"x" * 31, b"x" * 32, "caf\u0065\u0301 ".encode()):
        counts, keys = counts_and_keys(before + bad, b"fine", before + bad + b" more words here")
        assert counts == [-1, 1, -1]
        assert not any(keys[0])


def test_unassigned_code_points_are_separators_before_and_after_normalisation() -> None:
    table = load_table()
    unassigned = next(chr(p) for p in range(0x10000, 0x11000) if table.entry(p) & 8)
    assert tokens(f"e\u0301a{unassigned}b") == ["éa", "b"]
    assert counts_and_keys(f"e\u0301a{unassigned}b")[0] == [2]


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="needs Unicode 14.0.0 data")
def test_shipped_table_is_what_its_script_makes() -> None:
    path = ROOT / "scripts" / "make_words_table.py"
    spec = importlib.util.spec_from_file_location("make_words_table", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    seconds = script.composition_seconds()
    table = load_table()
    points = [*range(0x3000), *range(0xAC00, 0xAC20), *range(0xF900, 0xFB00), 0x1F600, 0x10FFFF]
    made = np.array([script.entry_of(point, seconds) for point in points], np.uint32)
    assert made.tolist() == [table.entry(point) for point in points]
