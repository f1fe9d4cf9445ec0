"""Machine operations that numba does not offer by itself."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK_BYTES = 64
"""What a mask covers; buffers end in as many zeros, so that reading it never leaves them."""


def _mask(builder, address, is_stop):
    kind = ir.VectorType(ir.IntType(8), BLOCK_BYTES)
    octets = builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)

    def splat(number):
        return ir.Constant(kind, [number] * BLOCK_BYTES)

    return builder.bitcast(is_stop(octets, splat), ir.IntType(BLOCK_BYTES))


@intrinsic
def string_stops(typingctx, address):
    """One bit for each of 64 bytes, the first byte's lowest: quote, backslash or control."""

    def codegen(context, builder, signature, args):
        def is_stop(octets, splat):
            is_control = builder.icmp_unsigned("<", octets, splat(0x20))
            is_quote = builder.icmp_unsigned("==", octets, splat(ord('"')))
            is_escape = builder.icmp_unsigned("==", octets, splat(ord("\\")))
            return builder.or_(builder.or_(is_control, is_quote), is_escape)

        return _mask(builder, args[0], is_stop)

    return types.uint64(types.uint64), codegen


def _splat(builder, octet):
    """A vector of one byte that is only known when the code runs."""
    kind = ir.VectorType(ir.IntType(8), BLOCK_BYTES)
    first = ir.Constant(ir.IntType(32), 0)
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), octet, first)
    order = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK_BYTES), [0] * BLOCK_BYTES)
    return builder.shuffle_vector(single, single, order)


@intrinsic
def byte_stops(typingctx, address, octet):
    """One bit for each of 64 bytes: the given one, or zero, which ends the data."""

    def codegen(context, builder, signature, args):
        def is_stop(octets, splat):
            is_wanted = builder.icmp_unsigned("==", octets, _splat(builder, args[1]))
            return builder.or_(is_wanted, builder.icmp_unsigned("==", octets, splat(0)))

        return _mask(builder, args[0], is_stop)

    return types.uint64(types.uint64, types.uint8), codegen


@intrinsic
def cell_stops(typingctx, address, delimiter):
    """One bit for each of 64 bytes: the delimiter, a quote, a line end or the end of the data."""

    def codegen(context, builder, signature, args):
        def is_stop(octets, splat):
            found = builder.icmp_unsigned("==", octets, _splat(builder, args[1]))
            for stop in (0, ord("\n"), ord("\r"), ord('"')):
                found = builder.or_(found, builder.icmp_unsigned("==", octets, splat(stop)))
            return found

        return _mask(builder, args[0], is_stop)

    return types.uint64(types.uint64, types.uint8), codegen


@intrinsic
def count_trailing_zeros(typingctx, value):
    """Number of zero bits below the lowest one bit; 64 for zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen
