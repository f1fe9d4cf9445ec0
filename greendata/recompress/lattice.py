"""From all values that were seen to one exact type for each name.

A name has a type only if all its values have it exactly; any other keeps each value as JSON text,
letter by letter. Integers are int64, uint64 where they are above it and never negative, and doubles
only beside numbers with a fraction or exponent and only if each is a double exactly. Nothing is
taken for a date. Values nested deeper than 8, and objects with more than 100 names (1000 in the
record itself) or with a name twice, are JSON text.

Null and missing are told apart: where both occur, a bit of the column ``_gd_missing`` does it for
names of the record; deeper down the value is JSON text, whose ``null`` is no null.
"""

from __future__ import annotations

import heapq
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from greendata.recompress.kernel import json as kernel
from greendata.recompress.kernel import scalars
from greendata.recompress.refusals import RefusalReason, RefusedSourceError
from greendata.recompress.sources import DIALECT_KEY, MISSING_COLUMN, OWN_PREFIX, RAW_COLUMN

if TYPE_CHECKING:
    from greendata.recompress.tapes import Knowledge

VALUE_COLUMN = "value"
"""Holds the records of a file that are not all objects."""

NULL_IS_NULL, NULL_IS_MISSING, NULL_IS_BOTH = "null", "missing", "both"
"""What a null in a column stands for; ``both`` where a bit tells."""

_OBJECT, _ARRAY = 1 << scalars.OBJECT, 1 << scalars.ARRAY
_STRINGS = 1 << scalars.STRING | 1 << scalars.ESCAPED
_TRUTHS = 1 << scalars.FALSE | 1 << scalars.TRUE
_WHOLE = 1 << scalars.INT | 1 << scalars.BIG
_ALL_KINDS = (1 << scalars.INEXACT) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One path and how its values are stored.

    ``kind``: ``json``, ``string``, ``bool``, ``number``, ``struct`` or ``list``; a struct has
    ``children``, a list one. ``is_standard`` is False for JSON text with NaN, Infinity or half a
    surrogate pair in it: engines refuse it as JSON, so it is stored as a plain string.
    """

    path: int
    name: str
    kind: str
    type: pa.DataType
    nulls: str = NULL_IS_NULL
    children: tuple[Node, ...] = ()
    is_standard: bool = True

    def described(self) -> dict[str, Any]:
        """As it stands in the dialect."""
        found: dict[str, Any] = {"name": self.name, "kind": self.kind, "nulls": self.nulls}
        if self.children:
            found["children"] = [child.described() for child in self.children]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The columns of a file; ``is_wrapped`` when records are values of one column.

    ``closed`` are the paths of JSON text, below which nothing is typed.
    """

    columns: tuple[Node, ...]
    is_wrapped: bool
    closed: tuple[int, ...]

    @property
    def told_apart(self) -> tuple[Node, ...]:
        """Columns whose nulls need a bit."""
        return tuple(node for node in self.columns if node.nulls == NULL_IS_BOTH)

    def description(self) -> dict[str, Any]:
        """What is to be remembered to write the rows as JSON Lines again."""
        return {
            "format": "jsonl",
            "version": 1,
            "is_wrapped": self.is_wrapped,
            "told_apart": [node.name for node in self.told_apart],
            "columns": [node.described() for node in self.columns],
        }

    def schema(self, description: dict[str, Any], *, has_raw: bool) -> pa.Schema:
        """The columns, and those that the program adds; ``description`` is in the metadata."""
        fields = [pa.field(node.name, node.type) for node in self.columns]
        apart = self.told_apart
        if apart:
            fields.append(pa.field(MISSING_COLUMN, pa.binary((len(apart) + 7) // 8)))
        if has_raw:
            fields.append(pa.field(RAW_COLUMN, pa.string()))
        raw = json.dumps(description, ensure_ascii=True).encode()
        return pa.schema(fields, {DIALECT_KEY: raw})


class Typing:
    """Resolves the paths of a file all of whose records were read."""

    def __init__(self, known: Knowledge) -> None:
        self._known = known
        self._paths = known.paths
        self._closed: list[int] = []
        self._children: dict[int, list[int]] = defaultdict(list)
        for path in range(1, len(self._paths)):
            parent = int(self._paths[path, kernel.PARENT])
            if self._paths[parent, kernel.ITEM] != path:
                self._children[parent].append(path)
        self._followers: dict[int, list[int]] = defaultdict(list)
        for first, second in known.pairs:
            self._followers[first].append(second)
        self.nonstandard = any(self._is_nonstandard(path) for path in range(len(self._paths)))

    def plan(self) -> Plan:
        """The columns.

        Raises:
            RefusedSourceError: no records, a record with a name twice, or a name that is taken.
        """
        self._refuse()
        if self._kinds(0) == _OBJECT and self._is_open(0) and self._children[0]:
            columns, is_wrapped = self._nodes(0, has_bits=True), False
        else:
            columns, is_wrapped = (self._node(0, VALUE_COLUMN, NULL_IS_NULL),), True
        return Plan(columns=columns, is_wrapped=is_wrapped, closed=tuple(self._closed))

    def _refuse(self) -> None:
        if not self._known.records:
            raise RefusedSourceError("it has no records.", reason=RefusalReason.NO_ROWS)
        if self._has_bit(0, kernel.REPEATED):
            row = self._known.repeated_row
            raise RefusedSourceError(
                f"record {row} has a name twice, and which one counts is not for us to say.",
                reason=RefusalReason.DUPLICATE_KEYS,
                row=row,
                hint="Take one of them out.",
            )
        for name in map(self._known.name, self._children[0]):
            if name.startswith(OWN_PREFIX):
                raise RefusedSourceError(
                    f"its records have {name!r}; names with {OWN_PREFIX} are the program's own.",
                    reason=RefusalReason.RESERVED_COLUMN,
                )

    def _nodes(self, parent: int, *, has_bits: bool) -> tuple[Node, ...]:
        """The names in the objects of a path; ``has_bits``: they are columns, bits can help."""
        found = []
        for path in self._in_order(self._children[parent]):
            name = self._known.name(path)
            nulls = self._nulls(parent, path)
            node = self._node(path, name, nulls)
            if nulls == NULL_IS_BOTH and (node.kind == "json" or not has_bits):
                node = self._json(path, name, NULL_IS_MISSING)
            found.append(node)
        return tuple(found)

    def _nulls(self, parent: int, path: int) -> str:
        holders = self._paths[parent, kernel.COUNT] - self._paths[parent, kernel.NULLS]
        is_missing = self._paths[path, kernel.COUNT] < holders
        if is_missing and self._paths[path, kernel.NULLS]:
            return NULL_IS_BOTH
        return NULL_IS_MISSING if is_missing else NULL_IS_NULL

    def _node(self, path: int, name: str, nulls: str) -> Node:
        kinds = self._kinds(path) & ~(1 << scalars.NULL)
        if not kinds & ~_STRINGS:
            return Node(path=path, name=name, kind="string", type=pa.string(), nulls=nulls)
        if not kinds & ~_TRUTHS:
            return Node(path=path, name=name, kind="bool", type=pa.bool_(), nulls=nulls)
        number = self._number(path, kinds)
        if number is not None:
            return Node(path=path, name=name, kind="number", type=number, nulls=nulls)
        if kinds == _ARRAY and self._is_open(path) and self._paths[path, kernel.ITEM] >= 0:
            item = self._node(int(self._paths[path, kernel.ITEM]), "item", NULL_IS_NULL)
            return Node(
                path=path,
                name=name,
                kind="list",
                type=pa.list_(pa.field("element", item.type)),
                nulls=nulls,
                children=(item,),
            )
        if kinds == _OBJECT and self._is_open(path) and self._children[path]:
            nodes = self._nodes(path, has_bits=False)
            fields = [pa.field(node.name, node.type) for node in nodes]
            return Node(
                path=path,
                name=name,
                kind="struct",
                type=pa.struct(fields),
                nulls=nulls,
                children=nodes,
            )
        return self._json(path, name, nulls)

    def _json(self, path: int, name: str, nulls: str) -> Node:
        self._closed.append(path)
        is_standard = not self._has_nonstandard(path)
        kind = pa.json_() if is_standard else pa.string()
        return Node(
            path=path, name=name, kind="json", type=kind, nulls=nulls, is_standard=is_standard
        )

    def _number(self, path: int, kinds: int) -> pa.DataType | None:
        is_exact = not self._has_bit(path, scalars.INEXACT)
        if kinds == 1 << scalars.INT:
            return pa.int64()
        if not kinds & ~_WHOLE:
            return None if self._has_bit(path, scalars.NEGATIVE) else pa.uint64()
        has_fraction = kinds & 1 << scalars.FLOAT
        if has_fraction and not kinds & ~(_WHOLE | 1 << scalars.FLOAT) and is_exact:
            return pa.float64()
        return None

    def _kinds(self, path: int) -> int:
        return int(self._paths[path, kernel.KINDS]) & _ALL_KINDS

    def _has_bit(self, path: int, bit: int) -> bool:
        return bool(self._paths[path, kernel.KINDS] >> bit & 1)

    def _is_open(self, path: int) -> bool:
        if self._paths[path, kernel.CLOSED] or self._has_bit(path, kernel.REPEATED):
            return False
        names = [self._known.name(child) for child in self._children[path]]
        return not any("\0" in name for name in names)  # Arrow's C interface would cut it there

    def _is_nonstandard(self, path: int) -> bool:
        bits = scalars.NONSTANDARD, scalars.LONE, kernel.NONSTANDARD_INSIDE
        return any(self._has_bit(path, bit) for bit in bits)

    def _has_nonstandard(self, path: int) -> bool:
        item = int(self._paths[path, kernel.ITEM])
        below = self._children[path] + ([item] if item >= 0 else [])
        return self._is_nonstandard(path) or any(map(self._has_nonstandard, below))

    def _in_order(self, paths: list[int]) -> list[int]:
        """An order that agrees with that in the objects, as far as they agree themselves."""
        waiting = set(paths)
        before = dict.fromkeys(paths, 0)
        for path in paths:
            for follower in self._followers[path]:
                before[follower] += 1
        ready = [path for path in paths if not before[path]]
        heapq.heapify(ready)
        found: list[int] = []
        while waiting:
            path = heapq.heappop(ready) if ready else min(waiting)
            if path not in waiting:
                continue
            waiting.remove(path)
            found.append(path)
            for follower in self._followers[path]:
                before[follower] -= 1
                if not before[follower] and follower in waiting:
                    heapq.heappush(ready, follower)
        return found
