"""Which column holds the texts: the stated rule, from an object's own content only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from greendata.shards.base import NoTextColumnError

if TYPE_CHECKING:
    import pyarrow as pa

    from greendata.shards.base import Texts

KNOWN_NAMES = (
    "text", "content", "document", "body", "raw_content", "code", "markdown", "html",
    "abstract", "article", "message", "prompt",
)  # fmt: skip
"""Names that win, in this order, when they are string columns."""

_LISTED_NAMES = 20


def pick_text_column(string_bytes: Mapping[str, int]) -> str | None:
    """The text column among string columns and their bytes: known name, else most bytes."""
    for name in KNOWN_NAMES:
        if name in string_bytes:
            return name
    return min(string_bytes, key=lambda name: (-string_bytes[name], name), default=None)


def no_text_column(uri: str, columns: Iterable[str], wanted: str | None) -> NoTextColumnError:
    """The error for an object whose ``columns`` (as ``name: type``) give no text."""
    names = list(columns)
    shown = ", ".join(names[:_LISTED_NAMES]) or "none"
    more = f" and {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else ""
    what = "no string column" if wanted is None else f"no string column {wanted!r}"
    return NoTextColumnError(
        f"{uri}: {what}; its columns are: {shown}{more}.",
        hint="Name one with --text-column, or take whole rows with --rows.",
    )


def is_string(column_type: pa.DataType) -> bool:
    """Whether values are text by their type."""
    import pyarrow as pa

    inner = _plain_type(column_type)
    return bool(
        pa.types.is_string(inner) or pa.types.is_large_string(inner) or _is_view(inner, "string")
    )


def is_readable(column_type: pa.DataType) -> bool:
    """Whether values can be taken as text when the column is named: strings, binary, all null."""
    import pyarrow as pa

    inner = _plain_type(column_type)
    return bool(
        is_string(inner)
        or pa.types.is_binary(inner)
        or pa.types.is_large_binary(inner)
        or _is_view(inner, "binary")
        or pa.types.is_null(inner)
    )


def _plain_type(column_type: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    while True:
        if isinstance(column_type, pa.BaseExtensionType):
            column_type = column_type.storage_type
        elif isinstance(column_type, pa.DictionaryType):
            column_type = column_type.value_type
        else:
            return column_type


def _is_view(column_type: pa.DataType, kind: str) -> bool:
    return str(column_type) == f"{kind}_view"


def resolve_path(fields: Iterable[pa.Field], name: str) -> tuple[str, ...] | None:
    """Field names from the top down to the column ``name``; a literal name beats a nested one."""
    import pyarrow as pa

    nested = []
    for field in fields:
        if field.name == name:
            return (field.name,)
        if name.startswith(f"{field.name}.") and pa.types.is_struct(field.type):
            nested.append(field)
    for field in nested:
        inner = resolve_path(field.type.fields, name[len(field.name) + 1 :])
        if inner is not None:
            return (field.name, *inner)
    return None


def choose_field_path(
    uri: str, schema: pa.Schema, wanted: str | None, string_bytes: Mapping[str, int]
) -> tuple[str, ...]:
    """The text column of a typed schema: the ``wanted`` one, else by the rule.

    Raises:
        NoTextColumnError: it is not there, or holds no text.
    """
    if wanted is None:
        name = pick_text_column(string_bytes)
        path: tuple[str, ...] | None = None if name is None else (name,)
    else:
        path = resolve_path(schema, wanted)
    if path is None or not is_readable(_type_at(schema, path)):
        raise no_text_column(uri, [f"{field.name}: {field.type}" for field in schema], wanted)
    return path


def _type_at(schema: pa.Schema, path: tuple[str, ...]) -> pa.DataType:
    """The type that a resolved path leads to; of two columns with one name, the first."""
    found = schema.types[schema.names.index(path[0])]
    for name in path[1:]:
        found = found.field(found.get_field_index(name)).type
    return found


def take_column(batch: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    """The column of a record batch that a path leads to; nulls of a parent are nulls."""
    import pyarrow.compute as pc

    column = batch.column(batch.schema.names.index(path[0]))
    for name in path[1:]:
        column = pc.struct_field(column, [column.type.get_field_index(name)])
    return column


def take_texts(batch: pa.RecordBatch, path: tuple[str, ...]) -> Texts:
    """The texts of a record batch as one string or binary array."""
    return as_texts(take_column(batch, path))


def as_texts(array: pa.Array) -> Texts:
    """Any text-like array as a plain string or binary array."""
    import pyarrow as pa

    while True:
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        elif isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        elif _is_view(array.type, "string"):
            array = array.cast(pa.large_string())
        elif _is_view(array.type, "binary"):
            array = array.cast(pa.large_binary())
        elif pa.types.is_null(array.type):
            array = pa.nulls(len(array), pa.string())
        else:
            return array
