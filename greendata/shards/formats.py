"""What an object is, by its first bytes; its name only breaks ties."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from greendata.shards.base import ShardError, ShardLimitError, translated_errors
from greendata.shards.streams import ByteStream

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.base import Store

HEAD_BYTES = 64 * 2**10
LONG_HEAD_BYTES = 8 * 2**20

_CODEC_EXTENSIONS = {"gz": "gzip", "gzip": "gzip", "zst": "zstd", "zstd": "zstd"}
_OTHER_CODEC_EXTENSIONS = frozenset({"bz2", "xz", "lz4", "br", "snappy", "sz"})
_FORMAT_EXTENSIONS = {
    "parquet": "parquet", "pq": "parquet",
    "arrow": "arrow", "arrows": "arrow", "feather": "arrow", "ipc": "arrow",
    "jsonl": "jsonl", "ndjson": "jsonl", "jsonlines": "jsonl",
    "csv": "csv", "tsv": "tsv", "tab": "tsv",
    "json": "json", "txt": "text", "text": "text",
}  # fmt: skip

_PARQUET_MAGIC, _ENCRYPTED_PARQUET_MAGIC = b"PAR1", b"PARE"
_ARROW_MAGIC, _ARROW_STREAM_MAGIC = b"ARROW1", b"\xff\xff\xff\xff"
_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # after a byte from 0x50 to 0x5f
_BOM = b"\xef\xbb\xbf"

_OBJECT_START = re.compile(rb'\s*\{\s*(?:"|\})')
_CONTROL_BYTES = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\b\x1b")
_MAX_CONTROL_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class NameHint:
    """What a name promises: format and codec by its extensions, if it has such."""

    format: str | None
    codec: str
    is_other_codec: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an object holds. ``format`` is also ``json`` (one document), ``empty`` or ``binary``."""

    format: str
    codec: str
    is_one_line: bool = False


def name_hint(uri: str) -> NameHint:
    """What the last extensions of a URI's name say."""
    extensions = unquote(uri).rpartition("/")[2].lower().split(".")[1:]
    codec, is_other_codec = "none", False
    if extensions and extensions[-1] in _CODEC_EXTENSIONS:
        codec = _CODEC_EXTENSIONS[extensions.pop()]
    elif extensions and extensions[-1] in _OTHER_CODEC_EXTENSIONS:
        extensions.pop()
        is_other_codec = True
    found = _FORMAT_EXTENSIONS.get(extensions[-1]) if extensions else None
    return NameHint(format=found, codec=codec, is_other_codec=is_other_codec)


def inspect(store: Store, item: StoredObject) -> Content:
    """Look into an object.

    Raises:
        ShardError: its content is broken, or not what its name says and of no use otherwise.
        ShardLimitError, DeniedError, ObjectNotFoundError, ObjectChangedError,
        StoreUnreachableError: from reading it.
    """
    hint = name_hint(item.uri)
    if item.size_bytes == 0:
        return _empty(item, hint)
    with translated_errors(item.uri), store.open(item) as source:
        magic = source.read(8)
    found = _by_magic(magic, hint)
    if found is not None:
        return found
    if hint.format in ("parquet", "arrow"):
        raise ShardError(f"{item.uri}: named {hint.format}, but its content is not.")
    if hint.is_other_codec and hint.format is not None:
        raise ShardError(
            f"{item.uri}: its compression is not supported.", hint="Recompress it with zstd."
        )
    codec = _codec_by_magic(magic)
    if codec == "none" and hint.codec != "none" and hint.format is not None:
        raise ShardError(f"{item.uri}: named {hint.codec}, but its content is not.")
    return _by_text(store, item, codec, hint)


def _empty(item: StoredObject, hint: NameHint) -> Content:
    if hint.format in ("parquet", "arrow"):
        from greendata.model import SkipReason

        raise ShardError(f"{item.uri}: empty, cut short?", reason=SkipReason.TRUNCATED)
    return Content(format=hint.format or "empty", codec="none")


def _by_magic(magic: bytes, hint: NameHint) -> Content | None:
    if magic[:4] in (_PARQUET_MAGIC, _ENCRYPTED_PARQUET_MAGIC):
        return Content(format="parquet", codec="none")
    is_stream = magic.startswith(_ARROW_STREAM_MAGIC) and hint.format in ("arrow", None)
    if magic.startswith(_ARROW_MAGIC) or is_stream:
        return Content(format="arrow", codec="none")
    return None


def _codec_by_magic(magic: bytes) -> str:
    if magic.startswith(_GZIP_MAGIC):
        return "gzip"
    is_skippable = len(magic) >= 4 and magic[0] >> 4 == 5 and magic[1:4] == _ZSTD_SKIPPABLE_MAGIC
    return "zstd" if magic.startswith(_ZSTD_MAGIC) or is_skippable else "none"


def _by_text(store: Store, item: StoredObject, codec: str, hint: NameHint) -> Content:
    try:
        head = _head(store, item, codec, HEAD_BYTES)
    except (ShardError, ShardLimitError):
        if hint.format is None:
            return Content(format="binary", codec=codec)
        raise
    if not head:
        return Content(format=hint.format or "empty", codec=codec)
    lines = _first_lines(head)
    if hint.format == "jsonl":
        return _named_json_lines(item, codec, head, lines)
    if lines and all(map(_is_json_object, lines)):
        is_one_line = b"\n" not in head.strip() and len(head) < HEAD_BYTES
        return Content(format="jsonl", codec=codec, is_one_line=is_one_line)
    if not lines and _OBJECT_START.match(head):
        return _long_first_line(store, item, codec, hint)
    if b"\0" not in head and (hint.format is not None or _has_few_controls(head)):
        return Content(format=hint.format or _guessed(head), codec=codec)
    if hint.format in ("csv", "tsv"):
        raise ShardError(f"{item.uri}: named {hint.format}, but its content is not text.")
    return Content(format="binary", codec=codec)


def _head(store: Store, item: StoredObject, codec: str, size: int) -> bytes:
    stream = ByteStream(store, item, codec)
    try:
        return stream.read(size).removeprefix(_BOM)
    finally:
        stream.close()


def _first_lines(head: bytes) -> list[bytes]:
    """Up to two whole lines that are not blank."""
    lines = head.split(b"\n")
    if len(head) >= HEAD_BYTES - len(_BOM):
        lines.pop()
    return [line for line in lines if line.strip()][:2]


def _is_json_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.decode(errors="replace")), dict)
    except (ValueError, RecursionError):
        return False


def _named_json_lines(item: StoredObject, codec: str, head: bytes, lines: list[bytes]) -> Content:
    """A name that says JSON Lines is believed as long as some early line is a record."""
    content = Content(format="jsonl", codec=codec)
    if not head.strip() or any(map(_is_json_object, lines)):
        return content
    candidates = head.split(b"\n")
    is_long = len(candidates[-1]) and len(head) >= HEAD_BYTES - len(_BOM)
    if any(map(_is_json_object, candidates)) or (is_long and _is_json_start(candidates)):
        return content
    raise ShardError(
        f"{item.uri}: named JSON Lines, but no line of its first {len(head)} bytes is a record.",
        hint="Each line must be one JSON object.",
    )


def _is_json_start(lines: list[bytes]) -> bool:
    return _OBJECT_START.match(lines[-1]) is not None


def _long_first_line(store: Store, item: StoredObject, codec: str, hint: NameHint) -> Content:
    """A line of more than 64 KiB that begins like a record."""
    if hint.format not in ("json", "text", "csv", "tsv"):
        return Content(format="jsonl", codec=codec)
    head = _head(store, item, codec, LONG_HEAD_BYTES)
    first, line_end, rest = head.lstrip().partition(b"\n")
    if line_end and _is_json_object(first) and (not rest.strip() or _OBJECT_START.match(rest)):
        return Content(format="jsonl", codec=codec, is_one_line=not rest.strip())
    return Content(format=hint.format, codec=codec)


def _has_few_controls(head: bytes) -> bool:
    controls = sum(head.count(byte) for byte in _CONTROL_BYTES)
    return controls <= _MAX_CONTROL_SHARE * len(head)


def _guessed(head: bytes) -> str:
    """``json`` for what begins like a JSON document, else ``text``."""
    return "json" if _OBJECT_START.match(head) else "text"
