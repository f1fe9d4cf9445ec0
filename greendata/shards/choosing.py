"""Which of the listed objects are the shards of a dataset, and what becomes of the others."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from greendata.errors import GreendataError
from greendata.model import IgnoredObject, SkippedObject, StoredObject
from greendata.shards.base import ShardError, skipped_object
from greendata.shards.formats import Content, inspect, name_hint

if TYPE_CHECKING:
    from greendata.shards.base import ReadOptions
    from greendata.stores.base import Store

MAIN_FORMATS = frozenset({"parquet", "arrow", "jsonl"})
TABLE_FORMATS = frozenset({"csv", "tsv"})
LOOSE_FORMATS = frozenset({"text", "json"})

_SIDE_NAMES = (
    "_SUCCESS", "_metadata", "_common_metadata", "_started_*", "_committed_*",
    "*.crc", "*.md5", "*.sha1", "*.sha256", "*.sha512", "MD5SUMS*", "SHA*SUMS*",
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json",
    "metadata.json", "manifest.json", "schema.json", "_manifest*", "*.manifest",
    "README", "README.*", "LICENSE", "LICENSE.*", "LICENCE", "LICENCE.*", "CITATION.*",
    "Thumbs.db", "desktop.ini",
)  # fmt: skip
_SIDE_NAME = re.compile("|".join(map(fnmatch.translate, _SIDE_NAMES)))
_SIDE_FOLDERS = frozenset(
    {"_delta_log", "_temporary", "_spark_metadata", "_change_data", "__pycache__"}
)


class ChosenShard(NamedTuple):
    """An object to read, with what its content is."""

    item: StoredObject
    format: str
    codec: str


class Choice(NamedTuple):
    """All objects of a listing, each in one of three places, in the order of the listing."""

    shards: list[ChosenShard]
    ignored: list[IgnoredObject]
    skipped: list[SkippedObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """One object and what was found in it: its content, or why it cannot be read."""

    item: StoredObject
    is_named: bool
    content: Content | None = None
    error: GreendataError | None = None
    side: str | None = None

    @property
    def kind(self) -> str | None:
        """The format by content, or by name where the content cannot be read."""
        return self.content.format if self.content else name_hint(self.item.uri).format


def choose_shards(
    store: Store,
    items: Sequence[StoredObject],
    options: ReadOptions,
    named: Collection[str] = (),
    *,
    roots: Collection[str] = (),
    known: Mapping[str, tuple[str, str]] | None = None,
    formats: Collection[str] = (),
) -> Choice:
    """Sort a listing into shards, ignored objects and objects that should have been readable.

    ``named`` holds the URIs that an argument or a glob names themselves: they are never ignored.
    ``roots`` are the folders that were asked for: hidden folders below them are ignored.
    ``known`` has (format, codec) of objects that are as they were when their content was looked at:
    those of MAIN_FORMATS are not opened again. ``formats`` are those of shards beside ``items``.
    """
    known = known or {}
    sides = SideFiles(roots)
    looked = [_look(store, item, item.uri in named, sides, known.get(item.uri)) for item in items]
    kinds = {each.kind for each in looked if each.side is None} | set(formats)
    choice = Choice([], [], [])
    for each in looked:
        _place(each, options, kinds, choice)
    return choice


def _look(
    store: Store,
    item: StoredObject,
    is_named: bool,
    sides: SideFiles,
    known: tuple[str, str] | None,
) -> _Looked:
    side = None if is_named else sides.why(item.uri)
    if side is not None:
        return _Looked(item=item, is_named=is_named, side=side)
    if known and is_told_by_format(item.uri, known[0]):
        content = Content(format=known[0], codec=known[1])
        return _Looked(item=item, is_named=is_named, content=content)
    try:
        content = inspect(store, item)
    except GreendataError as error:
        return _Looked(item=item, is_named=is_named, error=error)
    if content.is_one_line and name_hint(item.uri).format == "json" and not is_named:
        content = Content(format="json", codec=content.codec, is_one_line=True)
    return _Looked(item=item, is_named=is_named, content=content)


def is_told_by_format(uri: str, known: str) -> bool:
    """Whether an object known to be of this format needs no look: it is a shard by that alone.

    What is named JSON may be one document, however its content begins.
    """
    return known in MAIN_FORMATS and not (
        ".json" in uri.lower() and name_hint(uri).format == "json"
    )


class SideFiles:
    """Tells what is no data by its place below ``roots``, or by its name."""

    def __init__(self, roots: Collection[str]) -> None:
        self._roots = roots
        self._folders: dict[str, bool] = {}

    def why(self, uri: str) -> str | None:
        """Why an object is no data; None if it may be."""
        folder, _, last = uri.rstrip("/").rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._is_side_folder(folder)
        *folders, name = unquote(last).split("/")
        if self._folders[folder] or any(map(_is_side, folders)):
            return "in a hidden or side folder"
        if name.startswith("."):
            return "hidden file"
        return "side file" if _SIDE_NAME.match(name) else None

    def _is_side_folder(self, folder: str) -> bool:
        root = max(
            (root for root in self._roots if _is_below(f"{folder}/", root)), key=len, default=""
        )
        inside = folder[len(root) :] if root else ""
        return any(map(_is_side, unquote(inside).split("/")))


def _is_side(folder: str) -> bool:
    return folder.startswith(".") or folder in _SIDE_FOLDERS


def _is_below(uri: str, root: str) -> bool:
    return uri.startswith(root.rstrip("/") + "/")


def _place(
    looked: _Looked, options: ReadOptions, kinds: Collection[str | None], choice: Choice
) -> None:
    why_not = looked.side or _why_ignored(looked, options, kinds)
    uri = looked.item.uri
    if why_not is not None:
        choice.ignored.append(IgnoredObject(uri=uri, detail=why_not))
        return
    error = looked.error or _unusable(looked, options)
    if error is not None or looked.content is None:
        choice.skipped.append(skipped_object(uri, error or ShardError(f"{uri}: unreadable.")))
        return
    file_format = _read_as(looked.content, options)
    choice.shards.append(
        ChosenShard(item=looked.item, format=file_format, codec=looked.content.codec)
    )


def _why_ignored(
    looked: _Looked, options: ReadOptions, kinds: Collection[str | None]
) -> str | None:
    kind = looked.kind
    if looked.is_named:
        return None
    if kind in ("binary", "empty"):
        return f"{kind} file of no known format"
    if options.format is not None:
        is_other = kind is not None and not _is_format(kind, options.format, looked)
        return f"{kind} file; --format {options.format} was asked for" if is_other else None
    if kind in TABLE_FORMATS | LOOSE_FORMATS and not MAIN_FORMATS.isdisjoint(kinds):
        return f"loose {kind} file beside Parquet, Arrow or JSON Lines shards"
    if kind in LOOSE_FORMATS and not TABLE_FORMATS.isdisjoint(kinds):
        return f"loose {kind} file beside tables"
    if kind == "json":
        return "a single JSON document, not one a line"
    return None


def _is_format(kind: str, wanted: str, looked: _Looked) -> bool:
    if wanted == "jsonl" and looked.content is not None and looked.content.is_one_line:
        return True
    return kind == wanted or (wanted == "text" and kind == "json")


def _unusable(looked: _Looked, options: ReadOptions) -> GreendataError | None:
    """Why a named object cannot be read, though nothing is wrong with it."""
    uri, content = looked.item.uri, looked.content
    if content is None:
        return None
    if content.format == "binary":
        return ShardError(f"{uri}: of no known format.")
    wanted = options.format
    if wanted is None or content.format == "empty":
        return None
    is_text = content.format in TABLE_FORMATS | LOOSE_FORMATS
    if _is_format(content.format, wanted, looked):
        return None
    if wanted not in MAIN_FORMATS and (is_text or content.format == "jsonl"):
        return None
    return ShardError(f"{uri}: its content is {content.format}, not {wanted}.")


def _read_as(content: Content, options: ReadOptions) -> str:
    file_format = options.format or content.format
    if file_format in LOOSE_FORMATS or file_format == "empty":
        return "lines" if options.lines else "text"
    return file_format
