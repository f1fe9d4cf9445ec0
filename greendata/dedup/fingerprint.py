"""Arrow text arrays to fingerprints: digest, token count and band keys a document."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from greendata.dedup.tokens import load_table, normalise

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from greendata.model import FingerprintParameters

SIGNATURE_SCHEME = "affine32"
DIGEST_ALGORITHM = "blake2b-128"
_WEIGHT_SEED = 0x67726565
"""Seed of the shingle weights; part of the scheme, never changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """Fingerprints of n documents.

    Attributes:
        tokens: int64 [n]; INVALID_UTF8 (-1) where the bytes are not UTF-8.
        text_bytes: int64 [n], UTF-8 bytes.
        digests: uint64 [n, 2].
        keys: uint64 [n, bands]; zero where there are no tokens.
    """

    tokens: NDArray[np.int64]
    text_bytes: NDArray[np.int64]
    digests: NDArray[np.uint64]
    keys: NDArray[np.uint64]


def permutations(num_perm: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Multipliers and offsets of datasketch 2.x's ``affine32`` scheme, uint32 [num_perm] each."""
    generator = np.random.RandomState(seed)
    a = generator.randint(0, 1 << 31, num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = generator.randint(0, 1 << 32, num_perm, dtype=np.uint32)
    return a, b


@cache
def shingle_weights() -> NDArray[np.uint64]:
    """Odd 64-bit weights of the tokens of a shingle, by position."""
    from greendata.dedup.kernel.fingerprint import MAX_SHINGLE_SIZE

    generator = np.random.RandomState(_WEIGHT_SEED)
    drawn = generator.randint(0, 1 << 63, MAX_SHINGLE_SIZE, dtype=np.uint64)
    return drawn << np.uint64(1) | np.uint64(1)


def text_buffers(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Bytes and int64 offsets [n + 1] of a string or binary array without nulls; no copy."""
    import pyarrow as pa

    _, offset_buffer, data_buffer = texts.buffers()
    is_large = pa.types.is_large_string(texts.type) or pa.types.is_large_binary(texts.type)
    width = np.dtype(np.int64 if is_large else np.int32)
    if len(texts) == 0 or offset_buffer is None:
        return np.zeros(1, np.uint8), np.zeros(len(texts) + 1, np.int64)
    start = texts.offset * width.itemsize
    offsets = np.frombuffer(offset_buffer, width, len(texts) + 1, start).astype(np.int64)
    if data_buffer is None or data_buffer.size == 0:
        return np.zeros(1, np.uint8), offsets
    return np.frombuffer(data_buffer, np.uint8), offsets


def text_digests(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """BLAKE2b-128 of each document, uint64 [n, 2]: its 16 bytes as two big-endian numbers."""
    from greendata.dedup.kernel.digest import digests

    found = np.empty((len(offsets) - 1, 2), np.uint64)
    digests(data, offsets, found)
    return found.byteswap(inplace=True)


class Fingerprinter:
    """Computes fingerprints with one set of parameters; safe to share between threads."""

    def __init__(self, parameters: FingerprintParameters) -> None:
        self.parameters = parameters
        self._table = load_table()
        self._a, self._b = permutations(parameters.num_perm, parameters.seed)
        self._weights = shingle_weights()

    def fingerprint(self, texts: pa.Array) -> Fingerprints:
        """Fingerprints of a string or binary array without nulls."""
        from greendata.dedup.kernel.fingerprint import NOT_NORMALISED

        data, offsets = text_buffers(texts)
        count = len(texts)
        found = Fingerprints(
            tokens=np.empty(count, np.int64),
            text_bytes=np.diff(offsets),
            digests=text_digests(data, offsets),
            keys=np.empty((count, self.parameters.bands), np.uint64),
        )
        self.sketch(data, offsets, found.tokens, found.keys, is_nfc=False)
        unstable = np.flatnonzero(found.tokens == NOT_NORMALISED)
        if len(unstable):
            redone, starts = normalised(data, offsets, unstable)
            counts = np.empty(len(unstable), np.int64)
            keys = np.empty((len(unstable), self.parameters.bands), np.uint64)
            self.sketch(redone, starts, counts, keys, is_nfc=True)
            found.tokens[unstable], found.keys[unstable] = counts, keys
        return found

    def sketch(
        self,
        data: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        tokens: NDArray[np.int64],
        keys: NDArray[np.uint64],
        *,
        is_nfc: bool,
        signatures: NDArray[np.uint32] | None = None,
    ) -> None:
        """Run the kernel: fills ``tokens``, ``keys`` and ``signatures`` [n, num_perm] if given."""
        from greendata.dedup.kernel import fingerprint as kernel

        parameters = self.parameters
        scratch = np.empty(2 * largest(offsets) + kernel.PADDING_BYTES, np.uint8)
        if signatures is None:
            signatures = np.empty((1, parameters.num_perm), np.uint32)
        kernel.fingerprint(
            data,
            offsets,
            self._table.index,
            self._table.entries,
            is_nfc,
            parameters.shingle_size,
            self._weights,
            self._a,
            self._b,
            parameters.bands,
            parameters.rows_per_band,
            scratch,
            tokens,
            signatures,
            keys,
        )


def largest(offsets: NDArray[np.int64]) -> int:
    """Bytes of the largest document."""
    return int(np.max(np.diff(offsets), initial=0))


def normalised(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], which: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The chosen documents in normal form C: bytes and offsets. They are valid UTF-8 up to the
    first code point that may change, so what follows it may still be invalid; such bytes stay."""
    pieces = [
        normalise(bytes(data[offsets[d] : offsets[d + 1]]).decode("utf-8", "surrogateescape"))
        .encode("utf-8", "surrogateescape")
        for d in which
    ]  # fmt: skip
    starts = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum([len(piece) for piece in pieces], out=starts[1:])
    return np.frombuffer(b"".join(pieces) or b"\0", np.uint8), starts
