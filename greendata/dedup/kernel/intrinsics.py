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
def count_trailing_zeros(typingctx, value):
    """Number of zero bits below the lowest one bit; undefined for zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen
