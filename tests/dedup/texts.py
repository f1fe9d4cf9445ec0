"""Texts that the tests of this folder share: languages with their tokens, and any text at all."""

from __future__ import annotations

from hypothesis import strategies as st

LANGUAGES = {
    "english": ("The QUICK brown fox.", ["the", "quick", "brown", "fox"]),
    "german": ("Straße, Äpfel: ÖL! GROẞ", ["straße", "äpfel", "öl", "groß"]),
    "russian": ("Привет, МИР — ёж. Йод", ["привет", "мир", "ёж", "йод"]),
    "hindi": ("हिन्दी की किताबें।", ["हिन्दी", "की", "किताबें"]),
    "hindi nukta": ("क़लम और ज़मीन", ["क़लम", "और", "ज़मीन"]),
    "arabic": ("السَّلَامُ عَلَيْكُم، ٣ كُتُب", ["السَّلَامُ", "عَلَيْكُم", "٣", "كُتُب"]),
    "persian": ("می\u200cخواهم بروم", ["می\u200cخواهم", "بروم"]),
    "hebrew": ("בְּרֵאשִׁית בָּרָא", ["בְּרֵאשִׁית", "בָּרָא"]),
    "japanese": ("東京タワーへ、ガギ。", [*"東京タワーへ", "ガ", "ギ"]),
    "chinese": ("我们去北京ABC大学", [*"我们去北京", "abc", *"大学"]),
    "thai": ("กำลัง ๑๒", ["ก", "ำ", "ลั", "ง", "๑๒"]),
    "lao": ("ລາວ ນີ້", ["ລ", "າ", "ວ", "ນີ້"]),
    "khmer": ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
    "myanmar": ("မြန်မာ", ["မြ", "န်", "မာ"]),
    "korean": ("한국어, 텍스트", ["한국어", "텍스트"]),
    "tamil": ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
    "vietnamese": ("Tiếng VIỆT", ["tiếng", "việt"]),
    "turkish": ("İstanbul IŞIK", ["istanbul", "işik"]),
    "greek": ("ΟΔΥΣΣΕΥΣ ΣΑΣ σας", ["οδυσσευσ", "σασ", "σας"]),
    "emoji": (
        "hi \U0001f469\u200d\U0001f4bb\ufe0f there 1\ufe0f\u20e3 ❤\ufe0f",
        ["hi", "there", "1\ufe0f\u20e3"],
    ),
    "numbers": ("x² ½ Ⅷ ٣٤", ["x²", "½", "ⅷ", "٣٤"]),
    "apostrophes": ("don't stop_now a-b", ["don", "t", "stop", "now", "a", "b"]),
    "beyond the first plane": ("𐐀𐐨 𝐀 𠀀𠀁", ["𐐨𐐨", "𝐀", "𠀀", "𠀁"]),
}
"""A text and its tokens, both in any normal form."""

_SPECIAL = (
    "aZ09 .-_\n\t\0\u00a0éßİıẞΣς東京がガกัำนີ្ខြ한가각\u1100\u1161\u11a8\u200c\u200d\ufe0f\u20e3"
    "\u0301\u0316\u0327\u0345\u0958\u093c\u0915\u0344\u1e9b\u2126\u212b\ufb1d\uf900\u3099\u309a"
    "Ⅷ²½٣𐐀😀\U0001f469\U0002f800\U0001d15e\u0378\U000e0100"
)
CHARACTERS = st.one_of(
    st.sampled_from(_SPECIAL),
    st.sampled_from("ab Z,"),
    st.characters(exclude_categories=["Cs"]),
    st.characters(categories=["Mn", "Mc", "Me"]),
    st.characters(min_codepoint=0x1100, max_codepoint=0x11FF),
)
"""Code points of all planes; marks, joiners, jamo and what changes under normalisation are many."""

TEXTS = st.text(CHARACTERS, max_size=90)
