"""Makes text corpora of any size: English-like words, with planted exact and near duplicates.

Words are drawn by Zipf's law from a vocabulary of this Python's own documentation and sources, so
the same Python, seed and options give the same documents. The corpus is made of blocks; each is a
function of the seed and its number, so it is streamed, and a duplicate copies a document of any
earlier block by making that block again. Token texts are put together by Arrow's ``take``: its
result is the text of the documents already, only the offsets are others.

Near-duplicates have ``edits`` tokens replaced, one in each of that many equal stretches. With n
tokens, shingles of k and e edits, the Jaccard similarity with the original is (s - ek) / (s + ek),
s = n - k + 1, as far as edits lie k tokens apart; closer ones share shingles, so it is no less.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from numpy.typing import NDArray

Format = Literal["parquet", "jsonl"]
FORMATS: tuple[Format, ...] = ("parquet", "jsonl")
CODECS = ("zstd", "snappy")

VOCABULARY_WORDS = 20_000
ZIPF_EXPONENT = 1.05
ZIPF_SHIFT = 2.7
"""Mandelbrot's correction of Zipf's law; both as usually fitted to English."""

LENGTH_SIGMA = 0.6
"""Of the logarithm of document lengths, which are log-normal."""

SEPARATORS = (
    (" ", 840),
    (", ", 65),
    (". ", 55),
    (".\n", 8),
    (".\n\n", 4),
    ("-", 8),
    ("; ", 4),
    (": ", 5),
    (" (", 3),
    (") ", 3),
    ("’s ", 3),
    (" — ", 2),
)
"""What follows a word, and how often in a thousand."""

_WORD_BITS = 20
_SEPARATOR_BITS = 12
_FEWEST_TOKENS = 64
"""In a document of 1 KB and more; one edit then leaves a Jaccard similarity above 0.8."""

Numbers = NDArray[np.int64]
Tokens = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What to make. ``mean_bytes`` is of the text of a document; shares are of documents.

    A near-duplicate has a token in ``1 / edit_rate`` replaced, at least one.
    """

    total_bytes: int
    mean_bytes: int = 4096
    exact_share: float = 0.05
    near_share: float = 0.05
    edit_rate: float = 0.01
    block_bytes: int = 16_000_000
    seed: int = 1

    @property
    def blocks(self) -> int:
        """Blocks of the corpus, at least one."""
        return max(1, round(self.total_bytes / self.block_bytes))

    @property
    def documents_a_block(self) -> int:
        """The same in every block."""
        return max(2, round(min(self.block_bytes, self.total_bytes) / self.mean_bytes))

    @property
    def documents(self) -> int:
        """Of the whole corpus."""
        return self.blocks * self.documents_a_block

    @property
    def exact_in_block(self) -> int:
        """Copies."""
        return int(self.documents_a_block * self.exact_share)

    @property
    def near_in_block(self) -> int:
        """Edited copies."""
        return int(self.documents_a_block * self.near_share)

    @property
    def originals_in_block(self) -> int:
        """What is not a copy of something."""
        return self.documents_a_block - self.exact_in_block - self.near_in_block


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Pieces are a word and what follows it; piece = word + words * (is capital + 2 * separator).

    Attributes:
        pieces: large_string [words * 2 * separators].
        draw_word: int32 [2**20], the word of each of equally likely numbers.
        draw_separator: int32 [2**12].
        mean_bytes: of a drawn piece.
        digest: of the words, because another Python has others.
    """

    words: int
    pieces: pa.Array
    draw_word: Tokens
    draw_separator: Tokens
    mean_bytes: float
    digest: str


@cache
def vocabulary() -> Vocabulary:
    """The words of this Python, most frequent first."""
    words = _frequent_words(VOCABULARY_WORDS)
    weights = 1.0 / (np.arange(1, len(words) + 1) + ZIPF_SHIFT) ** ZIPF_EXPONENT
    separators = [text for text, _ in SEPARATORS]
    shares = np.array([share for _, share in SEPARATORS], np.float64)
    pieces = [
        (word.capitalize() if is_capital else word) + separator
        for separator in separators
        for is_capital in (False, True)
        for word in words
    ]
    lengths = np.array([len(word) for word in words])
    separator_bytes = np.array([len(text.encode()) for text in separators])
    return Vocabulary(
        words=len(words),
        pieces=pa.array(pieces, pa.large_string()),
        draw_word=_draw_table(weights, _WORD_BITS),
        draw_separator=_draw_table(shares, _SEPARATOR_BITS),
        mean_bytes=float(
            lengths @ weights / weights.sum() + separator_bytes @ shares / shares.sum()
        ),
        digest=hashlib.blake2b("\n".join(words).encode(), digest_size=8).hexdigest(),
    )


def _frequent_words(count: int) -> list[str]:
    """Lower-case ASCII words of the language reference, then those of the sources."""
    find = re.compile(r"[a-z]{1,16}").findall
    prose, code = Counter[str](), Counter[str]()
    topics = importlib.util.find_spec("pydoc_data.topics")
    if topics is not None and topics.origin is not None:
        prose.update(find(Path(topics.origin).read_text("utf-8").lower()))
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        code.update(find(path.read_text("utf-8", errors="replace").lower()))
    ranked = sorted(prose, key=lambda word: (-prose[word], word))
    rest = sorted(code.keys() - prose.keys(), key=lambda word: (-code[word], word))
    return (ranked + rest)[:count]


def _draw_table(weights: NDArray[np.floating[Any]], bits: int) -> Tokens:
    """Indices, each as often among 2**bits as its weight asks for."""
    bounds = np.cumsum(weights) / weights.sum()
    places = (np.arange(1 << bits) + 0.5) / (1 << bits)
    return np.searchsorted(bounds, places).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Documents:
    """Documents as pieces; document i is ``pieces[starts[i]:starts[i + 1]]``."""

    pieces: Tokens
    starts: Numbers

    @property
    def lengths(self) -> Numbers:
        return np.diff(self.starts)


def make_blocks(corpus: Corpus, first: int = 0, last: int | None = None) -> Iterator[pa.Table]:
    """The blocks from ``first`` up to ``last``, a table each.

    Columns: ``id`` (its place in the corpus), ``text``, ``kind`` (original, exact or near),
    ``origin`` (the id of what it was copied from, null for originals), ``edits`` and ``tokens``.
    """
    for number in range(first, corpus.blocks if last is None else last):
        yield _make_block(corpus, number)


def _make_block(corpus: Corpus, number: int) -> pa.Table:
    words = vocabulary()
    own = _originals(corpus, number)
    random = np.random.default_rng([corpus.seed, number, 1])
    source = int(random.integers(0, number + 1))
    there = own if source == number else _originals(corpus, source)
    chosen = random.permutation(corpus.originals_in_block)
    chosen = np.resize(chosen, corpus.exact_in_block + corpus.near_in_block)
    near, edits = _edited(_copies(there, chosen[corpus.exact_in_block :]), corpus, random)
    exact = _copies(there, chosen[: corpus.exact_in_block])
    documents = _joined([own, exact, near])
    texts = _texts(documents, words)
    sections = [corpus.originals_in_block, corpus.exact_in_block, corpus.near_in_block]
    place_of = _places(corpus, number)
    origin = np.full(corpus.documents_a_block, -1, np.int64)
    origin[sections[0] :] = (
        source * corpus.documents_a_block + _places(corpus, source)[: sections[0]][chosen]
    )
    rows = pa.table(
        {
            "text": texts,
            "kind": pa.array(np.repeat(["original", "exact", "near"], sections)),
            "origin": pa.array(origin, mask=origin < 0),
            "edits": pa.array(
                np.concatenate([np.zeros(sections[0] + sections[1], np.int32), edits])
            ),
            "tokens": pa.array(documents.lengths),
        }
    )
    order = np.argsort(place_of)
    ids = pa.array(np.arange(corpus.documents_a_block) + number * corpus.documents_a_block)
    return rows.take(pa.array(order)).add_column(0, "id", ids)


def _places(corpus: Corpus, number: int) -> Numbers:
    """Where in its block each document stands; originals, exact and near ones are shuffled."""
    random = np.random.default_rng([corpus.seed, number, 2])
    return random.permutation(corpus.documents_a_block)


def _originals(corpus: Corpus, number: int) -> _Documents:
    words = vocabulary()
    random = np.random.default_rng([corpus.seed, number, 0])
    mean = corpus.mean_bytes / words.mean_bytes
    drawn = random.lognormal(
        np.log(mean) - LENGTH_SIGMA**2 / 2, LENGTH_SIGMA, corpus.originals_in_block
    )
    lengths = np.maximum(drawn, min(_FEWEST_TOKENS, mean / 2)).astype(np.int64) + 1
    starts = _starts(lengths)
    numbers = random.integers(0, 1 << 32, int(starts[-1]), np.uint32)
    pieces = words.draw_word[numbers >> np.uint32(_SEPARATOR_BITS)]
    separators = words.draw_separator[numbers & np.uint32((1 << _SEPARATOR_BITS) - 1)]
    pieces += (2 * words.words) * separators
    pieces[1:][_ends_sentence()[separators[:-1]]] += words.words
    return _Documents(pieces=pieces, starts=starts)


@cache
def _ends_sentence() -> NDArray[np.bool_]:
    return np.array([text.startswith(".") for text, _ in SEPARATORS])


def _starts(lengths: Numbers) -> Numbers:
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _copies(documents: _Documents, which: Numbers) -> _Documents:
    lengths = documents.lengths[which]
    starts = _starts(lengths)
    places = np.arange(starts[-1]) + np.repeat(documents.starts[which] - starts[:-1], lengths)
    return _Documents(pieces=documents.pieces[places], starts=starts)


def _edited(
    documents: _Documents, corpus: Corpus, random: np.random.Generator
) -> tuple[_Documents, NDArray[np.int32]]:
    """One word replaced in each of ``edits`` equal stretches of a document."""
    words = vocabulary()
    lengths = documents.lengths
    edits = np.maximum(1, np.rint(lengths * corpus.edit_rate)).astype(np.int64)
    owner = np.repeat(np.arange(len(edits)), edits)
    stretch = np.arange(len(owner)) - np.repeat(_starts(edits)[:-1], edits)
    offset = (stretch + random.random(len(owner))) * (lengths / edits)[owner]
    places = documents.starts[:-1][owner] + np.minimum(offset.astype(np.int64), lengths[owner] - 1)
    old = documents.pieces[places] % words.words
    new = words.draw_word[random.integers(0, len(words.draw_word), len(owner))]
    new = np.where(new == old, (new + 1) % words.words, new)
    documents.pieces[places] += (new - old).astype(np.int32)
    return documents, edits.astype(np.int32)


def _joined(parts: list[_Documents]) -> _Documents:
    return _Documents(
        pieces=np.concatenate([part.pieces for part in parts]),
        starts=_starts(np.concatenate([part.lengths for part in parts])),
    )


def _texts(documents: _Documents, words: Vocabulary) -> pa.Array:
    """Texts as large_string: the buffer of the pieces with the documents' offsets."""
    taken = words.pieces.take(pa.array(documents.pieces))
    _, offsets, data = taken.buffers()
    ends = np.frombuffer(offsets, np.int64, len(taken) + 1)[documents.starts]
    return pa.LargeStringArray.from_buffers(len(documents.starts) - 1, pa.py_buffer(ends), data)


def write_corpus(
    folder: Path,
    corpus: Corpus,
    *,
    files: int = 4,
    file_format: Format = "parquet",
    codec: str = "zstd",
    level: int = 3,
) -> dict[str, Any]:
    """Write the corpus as several files, a row group or a run of lines for each block.

    Returns:
        What was written, for the ``data`` of a benchmark.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = max(1, min(files, corpus.blocks))
    bounds = np.linspace(0, corpus.blocks, files + 1).astype(int).tolist()
    text_bytes, paths, kinds = 0, [], Counter[str]()
    for index in range(files):
        ending = "parquet" if file_format == "parquet" else "jsonl.zst"
        path = folder / f"part-{index:05d}.{ending}"
        blocks = make_blocks(corpus, bounds[index], bounds[index + 1])
        write = _write_parquet if file_format == "parquet" else _write_lines
        text_bytes += write(path, blocks, kinds, codec, level)
        paths.append(path)
    return {
        "made_by": "scripts/bench/generate.py",
        "corpus": asdict(corpus),
        "vocabulary": {"words": vocabulary().words, "digest": vocabulary().digest},
        "format": file_format,
        "codec": codec if file_format == "parquet" else "zstd",
        "files": len(paths),
        "file_bytes": sum(path.stat().st_size for path in paths),
        "text_bytes": text_bytes,
        "text_megabytes": round(text_bytes / 1e6, 1),
        "documents": sum(kinds.values()),
        "planted": {kind: kinds[kind] for kind in ("exact", "near")},
    }


def _text_bytes(block: pa.Table) -> int:
    return int(pc.sum(pc.binary_length(block["text"])).as_py() or 0)


def _note_kinds(kinds: Counter[str], block: pa.Table) -> None:
    for entry in block["kind"].value_counts().to_pylist():
        kinds[entry["values"]] += entry["counts"]


def _write_parquet(
    path: Path, blocks: Iterator[pa.Table], kinds: Counter[str], codec: str, level: int
) -> int:
    writer: pq.ParquetWriter | None = None
    text_bytes = 0
    for block in blocks:
        if writer is None:
            options = {"compression_level": level} if codec == "zstd" else {}
            writer = pq.ParquetWriter(path, block.schema, compression=codec, **options)
        writer.write_table(block, row_group_size=len(block))
        text_bytes += _text_bytes(block)
        _note_kinds(kinds, block)
    if writer is not None:
        writer.close()
    return text_bytes


def _write_lines(
    path: Path, blocks: Iterator[pa.Table], kinds: Counter[str], codec: str, level: int
) -> int:
    """JSON Lines, zstd. The vocabulary has no quote and no backslash: line ends are escaped."""
    del codec
    text_bytes = 0
    with zstandard.open(path, "wb", zstandard.ZstdCompressor(level)) as stream:
        for block in blocks:
            escaped = pc.replace_substring(block["text"], "\n", "\\n")
            ids = block["id"].cast(pa.large_string())
            ends = pa.scalar('{"id": ', pa.large_string()), pa.scalar('"}\n', pa.large_string())
            middle, empty = (pa.scalar(text, pa.large_string()) for text in (', "text": "', ""))
            lines = pc.binary_join_element_wise(ends[0], ids, middle, escaped, ends[1], empty)
            for chunk in lines.chunks:
                stream.write(chunk.buffers()[2])
            text_bytes += _text_bytes(block)
            _note_kinds(kinds, block)
    return text_bytes


def planted_jaccard(tokens: int, edits: int, shingle_size: int = 5) -> float:
    """The least Jaccard similarity of a planted near-duplicate with its original, for shingles
    that occur once in each."""
    shingles = max(1, tokens - shingle_size + 1)
    broken = min(shingles, edits * shingle_size)
    return (shingles - broken) / (shingles + broken)


def main(arguments: list[str] | None = None) -> int:
    """Write a corpus and print what was written."""
    parser = argparse.ArgumentParser(
        description="Make a text corpus with planted duplicates.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=500, help="of text, 10**6 bytes")
    parser.add_argument("--mean-bytes", type=int, default=4096, help="of a document")
    parser.add_argument("--exact-share", type=float, default=0.05)
    parser.add_argument("--near-share", type=float, default=0.05)
    parser.add_argument("--edit-rate", type=float, default=0.01, help="of the words of a near copy")
    parser.add_argument("--row-group-megabytes", type=float, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--format", choices=FORMATS, default="parquet")
    parser.add_argument("--codec", choices=CODECS, default="zstd", help="of Parquet")
    parser.add_argument("--level", type=int, default=3, help="of zstd")
    given = parser.parse_args(arguments)
    corpus = Corpus(
        total_bytes=round(given.megabytes * 1e6),
        mean_bytes=given.mean_bytes,
        exact_share=given.exact_share,
        near_share=given.near_share,
        edit_rate=given.edit_rate,
        block_bytes=round(given.row_group_megabytes * 1e6),
        seed=given.seed,
    )
    started, started_cpu = time.perf_counter(), time.process_time()
    written = write_corpus(
        given.folder,
        corpus,
        files=given.files,
        file_format=given.format,
        codec=given.codec,
        level=given.level,
    )
    written["wall_seconds"] = round(time.perf_counter() - started, 2)
    written["cpu_seconds"] = round(time.process_time() - started_cpu, 2)
    json.dump(written, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
