"""What was meant and what came of it, in immutable segments that a crash cannot tear.

A journal is a folder of objects ``EPOCH-SEQUENCE.jsonl``, each created once and never changed. A
line is the CRC-32 of its JSON, a blank, and the JSON. The first line of a segment names the run,
the part, its own place and the SHA-256 of the segment before; the last one counts its records.
Whatever is cut off, flipped, swapped or missing is therefore found and named; lines that are whole
count, since a record only ever adds to what is known and nothing is done on its word alone.

A process that lost its lease may still add a segment of its epoch: it follows a segment that is
there, so it is no damage, and stands before those of later epochs.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from greendata.errors import LockedError, ObjectNotFoundError, PreconditionFailedError, UsageError
from greendata.stores.local import SCHEME
from greendata.stores.records import IF_ABSENT
from greendata.stores.remote import has_glob, is_own

if TYPE_CHECKING:
    from greendata.stores.base import Store

Record = Mapping[str, Any]

_VERSION = 1
_SUFFIX = ".jsonl"
_NAME = re.compile(r"(\d{8})-(\d{8})\.jsonl")
MOST_EPOCHS = 10**8
"""More have no name."""

_READERS = 8
"""Segments fetched at the same time: in a bucket each takes tens of milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a journal says.

    Attributes:
        records: of all segments, oldest first, without the lines that frame a segment.
        damaged: URIs with what is wrong there, of segments that are missing too.
        positions: names of the segments, without their suffix, in order.
        last_digest: SHA-256 of the last segment as it is, for the one that follows it.
    """

    records: tuple[Record, ...] = ()
    damaged: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    last_epoch: int = 0
    last_digest: str | None = None

    def reaches(self, position: str) -> bool:
        """Whether the journal still has what was once written to it, up to a noted position.

        Not so: this is an older copy of it.
        """
        return bool(self.positions) and self.positions[-1] >= position


@dataclass(slots=True, kw_only=True)
class _Segment:
    epoch: int
    sequence: int
    digest: str = ""
    previous: str | None = None
    has_head: bool = False
    records: list[Record] = field(default_factory=list)
    complaint: str = ""


def below(store: Store, folder_uri: str) -> Iterator[str]:
    """URIs of everything at and below a folder of the catalog, wherever that is; in no order.

    Raises:
        UsageError: a listing would take the folder's name for a pattern.
    """
    if is_own(folder_uri):
        yield from (item.uri for item in store.own_objects(folder_uri))
        return
    if not folder_uri.startswith(SCHEME) and has_glob(folder_uri):
        raise UsageError(
            f"{folder_uri}: runs cannot be kept below a name with *, ? or [.",
            hint="Move the catalog to another folder.",
        )
    try:
        yield from (item.uri for item in store.list(folder_uri))
    except ObjectNotFoundError:  # nothing has been written yet
        return


def positions(store: Store, folder_uri: str) -> tuple[str, ...]:
    """Names of a journal's segments, without their suffix, in order."""
    folder = folder_uri.rstrip("/") + "/"
    names = {uri.removeprefix(folder) for uri in below(store, folder)}
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if _NAME.fullmatch(name)))


def read_journal(store: Store, folder_uri: str) -> Replay:
    """All that the segments below a folder say; what is damaged is named, never guessed.

    Raises:
        DeniedError, StoreUnreachableError: it cannot be known what they say.
    """
    folder = folder_uri.rstrip("/") + "/"
    found = [name + _SUFFIX for name in positions(store, folder)]
    with ThreadPoolExecutor(_READERS) as pool:
        segments = list(pool.map(lambda name: _read_segment(store, folder, name), found))
    damaged = [f"{folder}{name}: {complaint}" for name, complaint in _complaints(found, segments)]
    if not segments:
        return Replay(damaged=tuple(damaged))
    return Replay(
        records=tuple(record for segment in segments for record in segment.records),
        damaged=tuple(damaged),
        positions=tuple(name.removesuffix(_SUFFIX) for name in found),
        last_epoch=segments[-1].epoch,
        last_digest=segments[-1].digest or None,
    )


def _run_and_part(folder: str) -> tuple[str, str]:
    """The last two names of a folder ``…/runs/RUN/PART/``."""
    names = folder.rstrip("/").rsplit("/", 2)
    return (names[-2], names[-1])


def _read_segment(store: Store, folder: str, name: str) -> _Segment:
    epoch, sequence = (int(digits) for digits in _NAME.fullmatch(name).groups())  # type: ignore[union-attr]
    segment = _Segment(epoch=epoch, sequence=sequence)
    try:
        content = store.read(folder + name)
    except ObjectNotFoundError:
        segment.complaint = "it is listed and cannot be read"
        return segment
    segment.digest = hashlib.sha256(content).hexdigest()
    _parse(content, segment, _run_and_part(folder))
    return segment


def _parse(content: bytes, segment: _Segment, run_and_part: tuple[str, str]) -> None:
    """Fill in a segment from its bytes; a complaint says what is wrong with them."""
    lines = content.split(b"\n")
    head = _record(lines[0])
    place = {
        "type": "segment",
        "version": _VERSION,
        "run": run_and_part[0],
        "part": run_and_part[1],
        "epoch": segment.epoch,
        "seq": segment.sequence,
    }
    if head is None:
        segment.complaint = "its first line is damaged"
        return
    wrong = [name for name, value in place.items() if head.get(name) != value]
    if wrong:
        segment.complaint = f"it belongs elsewhere: its {' and '.join(wrong)} differ from its name"
        return
    previous = head.get("previous")
    segment.previous = None if previous is None else str(previous)
    segment.has_head = True
    records = [_record(line) for line in lines[1:-1]]
    end = records.pop() if records else None
    segment.records = [record for record in records if record is not None]
    bad = len(records) - len(segment.records)
    is_whole = (
        lines[-1] == b""
        and end is not None
        and end.get("type") == "end"
        and end.get("records") == len(records)
    )
    if end is not None and end.get("type") != "end":
        segment.records.append(end)
    if bad:
        segment.complaint = f"{bad} of its lines are damaged"
    elif not is_whole:
        segment.complaint = "lines of it are missing"


def _record(line: bytes) -> Record | None:
    """The record of a line, or None where its checksum is not right."""
    if line[8:9] != b" " or line[:8] != b"%08x" % zlib.crc32(line[9:]):
        return None
    try:
        found = json.loads(line[9:])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _complaints(names: Sequence[str], segments: Sequence[_Segment]) -> Iterator[tuple[str, str]]:
    """What is wrong, by the name of a segment: within each, then with the order of all."""
    known: set[str] = set()
    before: _Segment | None = None
    for name, segment in zip(names, segments, strict=True):
        if segment.complaint:
            yield name, segment.complaint
        first = before.sequence + 1 if before and before.epoch == segment.epoch else 1
        if first < segment.sequence:
            last = f" to {segment.epoch:08d}-{segment.sequence - 1:08d}.jsonl"
            others = last if first + 1 < segment.sequence else ""
            yield f"{segment.epoch:08d}-{first:08d}.jsonl{others}", "missing"
        if segment.previous is not None and segment.previous not in known:
            yield name, "what it follows is missing or was changed"
        elif segment.has_head and segment.previous is None and segment.sequence != 1:
            yield name, "it follows nothing, and is not the first"
        known.add(segment.digest)
        before = segment


def line_of(record: Record) -> bytes:
    """A record as a line: CRC-32 of the JSON, the JSON."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


class Journal:
    """Writes the segments of one epoch; several threads may share it.

    Args:
        folder_uri: ``…/runs/RUN/PART/``.
        epoch: of the lease; nobody else writes segments of it.
        previous: digest of the last segment there is.
    """

    def __init__(
        self,
        store: Store,
        folder_uri: str,
        *,
        run_id: str,
        part: str,
        epoch: int,
        previous: str | None,
    ) -> None:
        self._store, self._folder = store, folder_uri.rstrip("/") + "/"
        self._head = {
            "type": "segment",
            "version": _VERSION,
            "run": run_id,
            "part": part,
            "epoch": epoch,
            # two processes that believe in the same epoch never write the same bytes
            "writer": secrets.token_hex(8),
        }
        self._epoch, self._sequence, self._previous = epoch, 0, previous
        self._unsure: bytes | None = None
        self._lock = threading.Lock()

    @property
    def position(self) -> str:
        """Name of the last segment that is known to be durable, without its suffix."""
        return f"{self._epoch:08d}-{self._sequence:08d}"

    def append(self, records: Iterable[Record]) -> None:
        """Write records as one segment; they are durable when this returns.

        When it raises they may be there or not; the next call first makes sure that they are.

        Raises:
            LockedError: somebody else writes segments of this epoch.
            StoreUnreachableError, DeniedError.
        """
        lines = [line_of(record) for record in records]
        with self._lock:
            if self._unsure is not None:
                self._put(self._unsure)
            if lines:
                self._put(self._segment(lines))

    def _segment(self, lines: Sequence[bytes]) -> bytes:
        head = self._head | {"seq": self._sequence + 1, "previous": self._previous}
        end = {"type": "end", "records": len(lines)}
        return b"".join([line_of(head), *lines, line_of(end)])

    def _put(self, content: bytes) -> None:
        self._unsure = content
        uri = f"{self._folder}{self._epoch:08d}-{self._sequence + 1:08d}.jsonl"
        try:
            self._store.put(uri, content, condition=IF_ABSENT)
        except PreconditionFailedError as error:
            if not self._is_there(uri, content):
                raise LockedError(
                    f"{uri}: another process writes this journal in the same epoch.",
                    hint="Let that one finish, then continue the run.",
                ) from error
        self._unsure = None
        self._sequence += 1
        self._previous = hashlib.sha256(content).hexdigest()

    def _is_there(self, uri: str, content: bytes) -> bool:
        """Whether an earlier try, whose answer was lost, did it."""
        try:
            return self._store.read(uri) == content
        except ObjectNotFoundError:
            return False
