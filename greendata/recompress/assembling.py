"""Values at places in bytes to Arrow columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from greendata.recompress.kernel import json as kernel
from greendata.recompress.kernel import scalars
from greendata.recompress.kernel.texts import AS_IS, JSON_ESCAPES, gather
from greendata.recompress.lattice import NULL_IS_MISSING

if TYPE_CHECKING:
    import numpy.typing as npt

    from greendata.recompress.lattice import Node, Plan
    from greendata.recompress.tapes import Tape

    Integers = npt.NDArray[np.int64]
    Octets = npt.NDArray[np.uint8]
    Truths = npt.NDArray[np.bool_]


def gathered(
    data: Octets, lo: Integers, hi: Integers, form: Octets, is_there: Truths | None
) -> pa.Array:
    """data[lo[i]:hi[i]] as strings; ``form`` says how they stand there (kernel.texts)."""
    out = np.empty(int((hi - lo).sum()), np.uint8)
    offsets = np.empty(len(lo) + 1, np.int64)
    gather(data, lo, hi, form, out, offsets)
    mask = None if is_there is None else pa.py_buffer(np.packbits(is_there, bitorder="little"))
    return pa.StringArray.from_buffers(
        len(lo), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(out[: offsets[-1]]), mask
    )


class Assembler:
    """Makes the record batch of one tape."""

    def __init__(self, plan: Plan, tape: Tape) -> None:
        self._plan = plan
        self._data = tape.data
        self._tape = tape.entries
        self._slots = np.zeros(len(tape.entries), np.int64)
        paths = tape.entries[:, kernel.T_PATH].astype(np.uint16)
        self._order = np.argsort(paths, kind="stable")
        counts = np.bincount(paths) if len(paths) else np.zeros(1, np.int64)
        self._ends = np.cumsum(counts)
        self._counts = counts
        records = self._of(0)
        self._slots[records] = np.arange(len(records))
        self.rows = len(records)
        self._records = records

    def columns(self) -> list[pa.Array]:
        """One for each column of the plan, and the bits of what is missing."""
        if self._plan.is_wrapped:
            (node,) = self._plan.columns
            return [self._column(node, self._records, self.rows, self._slots[self._records])]
        found = [self._child(node, self.rows) for node in self._plan.columns]
        if self._plan.told_apart:
            found.append(self._missing(self._plan.told_apart))
        return found

    def _missing(self, nodes: Sequence[Node]) -> pa.Array:
        is_missing = np.ones((self.rows, len(nodes)), np.bool_)
        for place, node in enumerate(nodes):
            entries = self._of(node.path)
            is_missing[self._slots[self._tape[entries, kernel.T_UP]], place] = False
        packed = np.packbits(is_missing, axis=1, bitorder="little")
        kind = pa.binary(packed.shape[1])
        return pa.Array.from_buffers(kind, self.rows, [None, pa.py_buffer(packed)])

    def _of(self, path: int) -> Integers:
        """Tape indices of a path's values, in order."""
        if path >= len(self._counts):
            return np.zeros(0, np.int64)
        end = self._ends[path]
        found: Integers = self._order[end - self._counts[path] : end]
        return found

    def _child(self, node: Node, slots: int) -> pa.Array:
        """A column whose values stand in the slots of their objects."""
        entries = self._of(node.path)
        return self._column(node, entries, slots, self._slots[self._tape[entries, kernel.T_UP]])

    def _column(self, node: Node, entries: Integers, slots: int, slot: Integers) -> pa.Array:
        """Values of ``entries``, each in its slot, of ``slots`` in all."""
        kinds = self._tape[entries, kernel.T_KIND]
        is_there = np.zeros(slots, np.bool_)
        is_text_null = node.kind == "json" and node.nulls == NULL_IS_MISSING
        has_value = np.ones(len(kinds), np.bool_) if is_text_null else kinds != scalars.NULL
        entries, slot, kinds = entries[has_value], slot[has_value], kinds[has_value]
        is_there[slot] = True
        if node.kind == "struct":
            self._slots[entries] = slot
            children = [self._child(child, slots) for child in node.children]
            return pa.StructArray.from_arrays(
                children, fields=list(node.type), mask=pa.array(~is_there)
            )
        if node.kind == "list":
            return self._list(node, entries, slot, is_there)
        if node.kind == "bool":
            values = np.zeros(slots, np.bool_)
            values[slot] = kinds == scalars.TRUE
            return pa.array(values, mask=~is_there)
        return self._texts(node, entries, slot, is_there)

    def _list(self, node: Node, entries: Integers, slot: Integers, is_there: Truths) -> pa.Array:
        (child,) = node.children
        self._slots[entries] = slot
        items = self._of(child.path)
        owners = self._slots[self._tape[items, kernel.T_UP]]
        counts = np.bincount(owners, minlength=len(is_there))
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        values = self._column(child, items, len(items), np.arange(len(items)))
        return pa.ListArray.from_arrays(
            pa.array(offsets), values, type=node.type, mask=pa.array(~is_there)
        )

    def _texts(self, node: Node, entries: Integers, slot: Integers, is_there: Truths) -> pa.Array:
        """Strings without their quotes; numbers and JSON text as they stand."""
        lo = np.zeros(len(is_there), np.int64)
        hi = np.zeros(len(is_there), np.int64)
        form = np.full(len(is_there), AS_IS, np.uint8)
        quotes = int(node.kind == "string")
        lo[slot] = self._tape[entries, kernel.T_LO] + quotes
        hi[slot] = self._tape[entries, kernel.T_HI] - quotes
        if quotes:
            is_escaped = self._tape[entries, kernel.T_KIND] == scalars.ESCAPED
            form[slot[is_escaped]] = JSON_ESCAPES
        texts = gathered(self._data, lo, hi, form, is_there)
        if node.kind == "number":
            return texts.cast(node.type)
        if node.kind == "json" and node.is_standard:
            return pa.ExtensionArray.from_storage(node.type, texts)
        return texts
