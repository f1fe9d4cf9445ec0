"""JSON Lines as a source: one reading learns the types, the next ones give the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from greendata.recompress.assembling import Assembler
from greendata.recompress.blocks import BlockReader, changed
from greendata.recompress.exact import ExactLines, Spans
from greendata.recompress.kernel import json as kernel
from greendata.recompress.kernel import scalars
from greendata.recompress.lattice import Typing
from greendata.recompress.refusals import RefusedSourceError
from greendata.recompress.sources import Grade, Source
from greendata.recompress.tapes import Scanner

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.recompress.sources import SourceOptions
    from greendata.recompress.tapes import Knowledge, Tape
    from greendata.stores.base import Store

_VALUE_KINDS = (1 << scalars.INEXACT) - 1


class JsonLinesSource(Source):
    """A JSON Lines object, read to its end when it is opened.

    Attributes:
        knowledge: its values by path.
    """

    format = "jsonl"

    def __init__(
        self, store: Store, item: StoredObject, codec: str, grade: Grade, options: SourceOptions
    ) -> None:
        self.item = item
        self.codec = codec
        self._store = store
        self._options = options
        self._exact = ExactLines() if grade is Grade.EXACT else None
        self._trailer = b""
        reader = self._reader()
        self.knowledge = self._learn(reader)
        self.rows = self.knowledge.records
        self.sha256 = reader.sha256
        self.content_sha256 = reader.content_sha256
        self.content_bytes = reader.content_bytes
        self.adopt(self.knowledge)

    def _learn(self, reader: BlockReader) -> Knowledge:
        scanner, spans = Scanner(self.item.uri), Spans()
        for block in reader:
            spans.open(block)
            for tape in scanner.tapes(block):
                if self._exact is not None:
                    self._exact.look_at(tape)
                    spans.take(tape)
            if self._exact is not None:
                spans.close(block)
        self._trailer = spans.trailer
        return scanner.knowledge()

    def adopt(self, known: Knowledge) -> None:
        """Take the columns of ``known``, which is all that is known of this object, or more.

        Raises:
            RefusedSourceError: they cannot be kept.
        """
        typing = Typing(known)
        try:
            self._plan = typing.plan()
            description = self._plan.description()
            if self._exact is not None:
                description = self._exact.describe(description, self._trailer)
        except RefusedSourceError as error:
            raise error.at(self.item.uri) from error
        self._known = known
        self.schema = self._plan.schema(description, has_raw=self._exact is not None)
        self.notes = tuple(self._described(has_nonstandard=typing.nonstandard))

    @property
    def is_wrapped(self) -> bool:
        """Whether records are values of one column."""
        return self._plan.is_wrapped

    @property
    def names(self) -> tuple[str, ...]:
        """Of its columns, the program's own aside."""
        return tuple(node.name for node in self._plan.columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        reader = self._reader()
        scanner, spans = Scanner(self.item.uri, self._known, self._plan.closed), Spans()
        for block in reader:
            spans.open(block)
            for tape in scanner.tapes(block):
                self._check_known(scanner)
                if len(tape.entries):
                    yield self._batch(tape, spans)
            if self._exact is not None:
                spans.close(block)
        if reader.content_sha256 != self.content_sha256:
            raise changed(self.item)

    def _batch(self, tape: Tape, spans: Spans) -> pa.RecordBatch:
        columns = Assembler(self._plan, tape).columns()
        if self._exact is None:
            return pa.RecordBatch.from_arrays(columns, schema=self.schema)
        values = pa.RecordBatch.from_arrays(columns, names=self.schema.names[:-1])
        raw = self._exact.raw(values, tape, *spans.take(tape))
        return pa.RecordBatch.from_arrays([*columns, raw], schema=self.schema)

    def _described(self, *, has_nonstandard: bool) -> Iterator[str]:
        texts = [node.name for node in self._plan.columns if node.kind == "json"]
        if self._plan.is_wrapped:
            yield "Records are not all objects with names to type: each is a value of one column."
        if texts:
            yield f"Kept as JSON text, for want of one type: {', '.join(map(repr, texts))}."
        if has_nonstandard:
            yield "NaN, Infinity or half a surrogate pair, which not every reader takes, is text."

    def _check_known(self, scanner: Scanner) -> None:
        known = self._known.paths[:, kernel.KINDS]
        kinds = scanner.paths[:, kernel.KINDS] & _VALUE_KINDS
        if len(kinds) != len(known) or (kinds & ~known).any():
            raise changed(self.item)

    def _reader(self) -> BlockReader:
        return BlockReader(self._store, self.item, self.codec, self._options)
