"""The fingerprint kernel alone, with the digest beside it, and datasketch on the same documents.

datasketch gets regular-expression tokens, each 5-gram once and one ``update_batch`` a document. The
budget's ratio is to datasketch as it comes, with its default hash (SHA-1); the ratio to a run with
the much cheaper CRC-32 of zlib as its hash function stands beside it. One thread, CPU time.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scripts.bench import generate, measure

if TYPE_CHECKING:
    from greendata.dedup.fingerprint import Fingerprinter

LEAST_MEGABYTES_A_CPU_SECOND = 200.0
LEAST_RATIO = 40.0
"""ARCHITECTURE.md, section 8."""

NUM_PERM = 128
SHINGLE_SIZE = 5
SEED = 1
LARGEST_SOURCE_BYTES = 1_000_000
"""Larger Python sources are tables, not code that somebody wrote."""

_WORDS = re.compile(r"[^\W_]+")


def generated_texts(megabytes: float) -> pa.Array:
    """Documents of 4 KB in the mean, without duplicates."""
    corpus = generate.Corpus(
        total_bytes=round(megabytes * measure.MEGABYTE), exact_share=0.0, near_share=0.0
    )
    return pa.chunked_array(
        [chunk for block in generate.make_blocks(corpus) for chunk in block["text"].chunks]
    ).combine_chunks()


def parquet_texts(paths: list[Path], megabytes: float, column: str) -> pa.Array:
    """The first documents of Parquet files, as many as fit."""
    limit, chunks, total = megabytes * measure.MEGABYTE, [], 0
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(4096, columns=[column]):
            texts = batch.column(0).drop_null().cast(pa.large_string())
            chunks.append(texts)
            total += texts.nbytes
            if total >= limit:
                break
        if total >= limit:
            break
    return pa.chunked_array(chunks, pa.large_string()).combine_chunks()


def source_texts(megabytes: float) -> pa.Array:
    """Python sources of this installation, without those that stand there twice."""
    limit, texts, total = megabytes * measure.MEGABYTE, dict[str, None](), 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if total >= limit:
            break
        if not 200 <= path.stat().st_size <= LARGEST_SOURCE_BYTES:
            continue
        text = path.read_text("utf-8", errors="replace")
        if text not in texts:
            texts[text] = None
            total += len(text)
    return pa.array(list(texts), pa.large_string())


def text_bytes(texts: pa.Array) -> int:
    """UTF-8 bytes of all documents."""
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0)


def best_rate(work: Callable[[], object], size_bytes: int, repeats: int) -> float:
    """MB a CPU second of this thread, the best of some runs after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        started = time.thread_time()
        work()
        seconds.append(time.thread_time() - started)
    return size_bytes / measure.MEGABYTE / min(seconds)


def make_fingerprinter() -> Fingerprinter:
    """With the parameters that a scan has by default."""
    from greendata.dedup.fingerprint import DIGEST_ALGORITHM, SIGNATURE_SCHEME, Fingerprinter
    from greendata.dedup.lsh import choose_banding
    from greendata.dedup.tokens import TOKENIZER
    from greendata.model import FingerprintParameters

    banding = choose_banding(0.8, NUM_PERM)
    return Fingerprinter(
        FingerprintParameters(
            threshold=0.8,
            index_threshold=0.8,
            shingle_size=SHINGLE_SIZE,
            num_perm=NUM_PERM,
            seed=SEED,
            bands=banding.bands,
            rows_per_band=banding.rows,
            tokenizer=TOKENIZER,
            signature_scheme=SIGNATURE_SCHEME,
            digest_algorithm=DIGEST_ALGORITHM,
        )
    )


def datasketch_rate(texts: list[str], size_bytes: int, hash_function: Callable[..., int]) -> float:
    """MB a CPU second of datasketch, each document once."""
    from datasketch import MinHash

    MinHash(num_perm=NUM_PERM, seed=SEED, hashfunc=hash_function).update_batch([b"warm"])
    started = time.thread_time()
    for text in texts:
        sketch = MinHash(num_perm=NUM_PERM, seed=SEED, hashfunc=hash_function)
        sketch.update_batch(list(text_shingles(text)))
    return size_bytes / measure.MEGABYTE / (time.thread_time() - started)


def text_shingles(text: str) -> set[bytes]:
    """The 5-grams of a document's words, as datasketch wants them."""
    words = _WORDS.findall(text.lower())
    last = max(1, len(words) - SHINGLE_SIZE + 1)
    return {" ".join(words[i : i + SHINGLE_SIZE]).encode() for i in range(last)}


def datasketch_prehashed_rate(texts: list[str], size_bytes: int) -> float:
    """The same with shingles and hashes made before the clock starts: ``update_batch`` alone."""
    from datasketch import MinHash

    hashes = [[zlib.crc32(shingle) for shingle in text_shingles(text)] for text in texts]
    started = time.thread_time()
    for document in hashes:
        sketch = MinHash(num_perm=NUM_PERM, seed=SEED, hashfunc=int)
        sketch.update_batch(document)
    return size_bytes / measure.MEGABYTE / (time.thread_time() - started)


def measure_texts(texts: pa.Array, given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of the kernel, and of datasketch on a sample of the same documents."""
    from datasketch.hashfunc import sha1_hash32

    from greendata.dedup.fingerprint import text_buffers, text_digests

    fingerprinter = make_fingerprinter()
    data, offsets = text_buffers(texts)
    tokens = np.empty(len(texts), np.int64)
    keys = np.empty((len(texts), fingerprinter.parameters.bands), np.uint64)
    size = text_bytes(texts)

    def sketch() -> None:
        fingerprinter.sketch(data, offsets, tokens, keys, is_nfc=False)

    kernel = best_rate(sketch, size, given.repeats)
    digest = best_rate(lambda: text_digests(data, offsets), size, given.repeats)
    both = best_rate(lambda: fingerprinter.fingerprint(texts), size, given.repeats)
    order = np.random.default_rng(SEED).permutation(len(texts))
    ends = np.cumsum(np.diff(offsets)[order])
    chosen = order[: int(np.searchsorted(ends, given.peer_megabytes * measure.MEGABYTE)) + 1]
    sample = texts.take(pa.array(chosen))
    documents, sample_bytes = sample.to_pylist(), text_bytes(sample)
    crc32 = datasketch_rate(documents, sample_bytes, zlib.crc32)
    default = datasketch_rate(documents, sample_bytes, sha1_hash32)
    prehashed = datasketch_prehashed_rate(documents, sample_bytes)
    figures = {
        "sketch_megabytes_a_cpu_second": round(kernel, 1),
        "digest_megabytes_a_cpu_second": round(digest, 1),
        "fingerprint_megabytes_a_cpu_second": round(both, 1),
        "tokens": int(tokens[tokens > 0].sum()),
        "not_normalised_documents": int((tokens == -2).sum()),
        "ratio_to_datasketch": round(kernel / default, 1),
        "ratio_to_datasketch_with_crc32": round(kernel / crc32, 1),
        "ratio_to_datasketch_prehashed": round(kernel / prehashed, 1),
    }
    return figures, {
        "documents": len(sample),
        "text_megabytes": round(sample_bytes / 1e6, 2),
        "megabytes_a_cpu_second": round(default, 2),
        "megabytes_a_cpu_second_with_crc32": round(crc32, 2),
        "megabytes_a_cpu_second_prehashed": round(prehashed, 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Speed of the fingerprint kernel, beside datasketch.")
    parser.add_argument("--data", type=Path, nargs="+", help="Parquet files of English text")
    parser.add_argument("--column", default="text", help="of --data")
    parser.add_argument("--megabytes", type=float, default=60, help="of each kind of text")
    parser.add_argument("--peer-megabytes", type=float, default=6, help="that datasketch gets")
    parser.add_argument("--repeats", type=int, default=5, help="of which the best counts")
    given = parser.parse_args(arguments)
    english = (
        parquet_texts(given.data, given.megabytes, given.column)
        if given.data
        else generated_texts(given.megabytes)
    )
    corpora = {"english": english, "code": source_texts(given.megabytes)}
    data: dict[str, dict[str, Any]] = {}
    measured, peers, budgets = {}, {}, {}
    for name, texts in corpora.items():
        figures, peer = measure_texts(texts, given)
        data[name] = {"documents": len(texts), "text_megabytes": round(text_bytes(texts) / 1e6, 1)}
        measured[name], peers[name] = figures, peer
        budgets[f"megabytes_a_cpu_second_{name}"] = measure.at_least(
            figures["sketch_megabytes_a_cpu_second"], LEAST_MEGABYTES_A_CPU_SECOND
        )
        budgets[f"ratio_to_datasketch_{name}"] = measure.at_least(
            figures["ratio_to_datasketch"], LEAST_RATIO
        )
    data["english"]["made_by"] = "given files" if given.data else "scripts/bench/generate.py"
    data["code"]["made_by"] = "Python sources of this installation"
    result = measure.document(
        "kernel",
        data=data,
        parameters={
            "shingle_size": SHINGLE_SIZE,
            "num_perm": NUM_PERM,
            "seed": SEED,
            "repeats": given.repeats,
        },
        measured=measured,
        peer={"name": "datasketch", "hash": "sha1_hash32, its default", "runs": peers},
        budgets=budgets,
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
