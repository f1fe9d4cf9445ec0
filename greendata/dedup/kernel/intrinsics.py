"""Machine operations that numba does not offer by itself."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def load64(typingctx, base, offset):
    """Unaligned little-endian 8-byte load at address base + offset."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(builder.add(args[0], args[1]), ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(types.uint64, types.int64), codegen


@intrinsic
def nonzero_bytes(typingctx, address):
    """One bit for each of the 64 bytes at an address, the first byte's lowest: set if not zero."""

    def codegen(context, builder, signature, args):
        kind = ir.VectorType(ir.IntType(8), 64)
        found = builder.load(builder.inttoptr(args[0], kind.as_pointer()), align=1)
        is_set = builder.icmp_unsigned("!=", found, ir.Constant(kind, [0] * 64))
        return builder.bitcast(is_set, ir.IntType(64))

    return types.uint64(types.uint64), codegen


@intrinsic
def count_trailing_zeros(typingctx, value):
    """Number of zero bits below the lowest one bit; 64 for zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


BLOCK_BYTES = 32
"""What ``lower_words`` takes at a time."""


@intrinsic
def lower_words(typingctx, source, target):
    """Copy BLOCK_BYTES of ASCII: letters lower-cased, digits, and zero for everything else.

    Both arguments are addresses. False when a byte is not ASCII: what was written is worthless.
    """

    def codegen(context, builder, signature, args):
        kind = ir.VectorType(ir.IntType(8), BLOCK_BYTES)

        def splat(number):
            return ir.Constant(kind, [number] * BLOCK_BYTES)

        def is_from(characters, first, count):
            return builder.icmp_unsigned("<", builder.sub(characters, splat(first)), splat(count))

        text = builder.load(builder.inttoptr(args[0], kind.as_pointer()), align=1)
        low = builder.select(is_from(text, 65, 26), builder.add(text, splat(32)), text)
        is_word = builder.or_(is_from(low, 97, 26), is_from(low, 48, 10))
        words = builder.select(is_word, low, splat(0))
        builder.store(words, builder.inttoptr(args[1], kind.as_pointer()), align=1)
        foreign = builder.icmp_signed("<", text, splat(0))
        mask = builder.bitcast(foreign, ir.IntType(BLOCK_BYTES))
        return builder.icmp_unsigned("==", mask, ir.Constant(ir.IntType(BLOCK_BYTES), 0))

    return types.boolean(types.uint64, types.uint64), codegen


LANES = 4
"""Texts that ``blake2b_blocks`` hashes side by side: one 64-bit word of each in a vector."""

_WORDS = ir.VectorType(ir.IntType(64), LANES)


@intrinsic
def blake2b_blocks(typingctx, state, blocks, counts, finals):
    """Fold one 128-byte block into each of four BLAKE2b states (RFC 7693, section 3.2).

    All arguments are addresses of uint64 arrays: ``state`` [8, LANES]; ``blocks`` [LANES], where
    each block is; ``counts`` [LANES], bytes hashed with it; ``finals`` [LANES], all ones for the
    last block of a text, else zero.
    """

    def codegen(context, builder, signature, args):
        h = [_load_words(builder, args[0], 32 * i) for i in range(8)]
        m = _load_blocks(builder, args[1])
        v = h + [_splat(word) for word in BLAKE2B_IV]
        v[12] = builder.xor(v[12], _load_words(builder, args[2], 0))
        v[14] = builder.xor(v[14], _load_words(builder, args[3], 0))
        for schedule in BLAKE2B_SIGMA:
            for i, (a, b, c, d) in enumerate(_COLUMNS_AND_DIAGONALS):
                x, y = m[schedule[2 * i]], m[schedule[2 * i + 1]]
                v[a], v[b], v[c], v[d] = _mix(builder, v[a], v[b], v[c], v[d], x, y)
        for i in range(8):
            folded = builder.xor(h[i], builder.xor(v[i], v[i + 8]))
            builder.store(folded, _words_at(builder, args[0], 32 * i), align=8)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64, types.uint64), codegen


# RFC 7693, section 2.6: initialisation vector.
BLAKE2B_IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)

# RFC 7693, section 2.7: message word schedule of the twelve rounds.
BLAKE2B_SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
)

# RFC 7693, section 3.2: the words that the eight mixings of a round work on.
_COLUMNS_AND_DIAGONALS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def _splat(word):
    return ir.Constant(_WORDS, [word] * LANES)


def _words_at(builder, address, offset):
    address = builder.add(address, ir.Constant(ir.IntType(64), offset))
    return builder.inttoptr(address, _WORDS.as_pointer())


def _load_words(builder, address, offset):
    return builder.load(_words_at(builder, address, offset), align=1)


def _load_blocks(builder, blocks):
    """The sixteen message words of all lanes: word w of every lane in one vector."""
    addresses = _load_words(builder, blocks, 0)
    lanes = [
        builder.extract_element(addresses, ir.Constant(ir.IntType(32), i)) for i in range(LANES)
    ]
    words = []
    for start in range(0, 128, 32):
        words += _transposed(builder, [_load_words(builder, lane, start) for lane in lanes])
    return words


def _transposed(builder, rows):
    """Columns of a 4 by 4 matrix of words, as vectors."""
    even = [_shuffle(builder, rows[i], rows[i + 1], (0, 4, 2, 6)) for i in (0, 2)]
    odd = [_shuffle(builder, rows[i], rows[i + 1], (1, 5, 3, 7)) for i in (0, 2)]
    low, high = (0, 1, 4, 5), (2, 3, 6, 7)
    return [_shuffle(builder, *pair, order) for order in (low, high) for pair in (even, odd)]


def _shuffle(builder, a, b, order):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(order))
    return builder.shuffle_vector(a, b, mask)


def _mix(builder, a, b, c, d, x, y):
    """RFC 7693, section 3.1."""
    a = builder.add(builder.add(a, b), x)
    d = _rotated(builder, builder.xor(d, a), 32)
    c = builder.add(c, d)
    b = _rotated(builder, builder.xor(b, c), 24)
    a = builder.add(builder.add(a, b), y)
    d = _rotated(builder, builder.xor(d, a), 16)
    c = builder.add(c, d)
    b = _rotated(builder, builder.xor(b, c), 63)
    return a, b, c, d


def _rotated(builder, words, count):
    right, left = builder.lshr(words, _splat(count)), builder.shl(words, _splat(64 - count))
    return builder.or_(right, left)
