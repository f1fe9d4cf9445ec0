"""Parameters that the tests of this folder share."""

from __future__ import annotations

from greendata.model import FingerprintParameters


def parameters(
    *, num_perm: int = 128, seed: int = 1, shingle_size: int = 5, bands: int = 16, rows: int = 8
) -> FingerprintParameters:
    """The defaults of a scan, but for what is named."""
    return FingerprintParameters(
        threshold=0.8,
        index_threshold=0.8,
        shingle_size=shingle_size,
        num_perm=num_perm,
        seed=seed,
        bands=bands,
        rows_per_band=rows,
        tokenizer="words-v1/unicode-14.0.0",
        signature_scheme="affine32",
        digest_algorithm="blake2b-128",
    )
