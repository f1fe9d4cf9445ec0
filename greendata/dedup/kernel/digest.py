"""BLAKE2b with a 128-bit digest (RFC 7693), many texts a call without the GIL.

``hashlib`` computes the same, but holds the GIL for texts under 2 KiB and costs 0.8 us a call; four
texts side by side in vector registers take less than half its time.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from greendata.dedup.kernel.intrinsics import BLAKE2B_IV, LANES, blake2b_blocks

ALGORITHM = "blake2b-128"

_BLOCK_BYTES = 128
_PARAMETERS = 0x01010010
"""Parameter block of an unkeyed, sequential hash of 16 bytes."""
_START = np.array(BLAKE2B_IV, np.uint64)
_START[0] ^= np.uint64(_PARAMETERS)


@njit("void(Array(u1, 1, 'C', readonly=True), i8[::1], u8[:, ::1])", nogil=True, cache=True)
def digests(data, offsets, out):
    """out[d] = BLAKE2b-128 of data[offsets[d]:offsets[d + 1]] as two little-endian uint64."""
    base = uint64(data.ctypes.data)
    state = np.zeros((8, LANES), np.uint64)
    tails = np.zeros((LANES, _BLOCK_BYTES), np.uint8)
    blocks = np.empty(LANES, np.uint64)
    counts = np.zeros(LANES, np.uint64)
    finals = np.zeros(LANES, np.uint64)
    document = np.full(LANES, -1, np.int64)
    done = np.zeros(LANES, np.int64)
    for lane in range(LANES):
        blocks[lane] = uint64(tails[lane].ctypes.data)
    following, open_lanes = 0, 0
    while True:
        for lane in range(LANES):
            if document[lane] < 0 and following < offsets.shape[0] - 1:
                document[lane], done[lane] = following, 0
                following += 1
                open_lanes += 1
                for j in range(8):
                    state[j, lane] = _START[j]
            d = document[lane]
            if d < 0:
                continue
            lo, n = offsets[d] + done[lane], offsets[d + 1] - offsets[d]
            left = n - done[lane]
            if left > _BLOCK_BYTES:
                blocks[lane] = base + uint64(lo)
                done[lane] += _BLOCK_BYTES
                finals[lane] = 0
            else:
                for j in range(_BLOCK_BYTES):
                    tails[lane, j] = data[lo + j] if j < left else 0
                blocks[lane] = uint64(tails[lane].ctypes.data)
                done[lane] = n
                finals[lane] = ~uint64(0)
            counts[lane] = uint64(done[lane])
        if open_lanes == 0:
            return
        blake2b_blocks(
            uint64(state.ctypes.data),
            uint64(blocks.ctypes.data),
            uint64(counts.ctypes.data),
            uint64(finals.ctypes.data),
        )
        for lane in range(LANES):
            d = document[lane]
            if d >= 0 and finals[lane] != 0:
                out[d, 0] = state[0, lane]
                out[d, 1] = state[1, lane]
                document[lane] = -1
                open_lanes -= 1
