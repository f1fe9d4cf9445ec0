"""One schema for the files of a dataset that hold the same kind of rows.

Typed each by itself, two files of one dataset differ as soon as a value is missing, null or a
fraction in one of them only, and no reader takes them for one table any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from greendata.recompress.jsonlines import JsonLinesSource
from greendata.recompress.sources import Source
from greendata.recompress.tables import DelimitedSource
from greendata.recompress.tapes import Knowledge, Scanner

SMALLEST_OVERLAP = 0.5
"""Share of all names of two files that both must have to be of one kind."""


def unify(sources: Sequence[Source]) -> None:
    """Give each source of text the schema of all that are like it, as if they were one file.

    JSON Lines are alike when they share half of their names, or more, with the first of their kind;
    CSV and TSV when they have the same header. Nothing is read again; every value keeps its exact
    type, so a type may only become wider (integers doubles, anything JSON text).
    """
    kinds: list[list[JsonLinesSource]] = []
    tables: dict[tuple[str, ...], list[DelimitedSource]] = defaultdict(list)
    for source in sources:
        if isinstance(source, DelimitedSource):
            tables[tuple(source.schema.names)].append(source)
        elif isinstance(source, JsonLinesSource) and not source.is_wrapped:
            _join_kind(kinds, source)
    for kind in kinds:
        _unify_lines(kind)
    for alike in tables.values():
        types = [_common(set(column)) for column in zip(*(one.types for one in alike), strict=True)]
        for source in alike:
            source.adopt(types)


def _join_kind(kinds: list[list[JsonLinesSource]], source: JsonLinesSource) -> None:
    names = set(source.names)
    for kind in kinds:
        others = set(kind[0].names)
        if len(names & others) >= SMALLEST_OVERLAP * len(names | others):
            kind.append(source)
            return
    kinds.append([source])


def _unify_lines(kind: list[JsonLinesSource]) -> None:
    if len(kind) < 2:
        return
    scanner = Scanner(kind[0].item.uri)
    for source in kind:
        scanner.absorb(source.knowledge)
    known: Knowledge = scanner.knowledge()
    for source in kind:
        source.adopt(known)


def _common(types: set[pa.DataType | None]) -> pa.DataType | None:
    """Of cells, only text is wider than a type; empty ones fit any."""
    known = types - {None}
    return pa.string() if len(known) > 1 else next(iter(known), None)
