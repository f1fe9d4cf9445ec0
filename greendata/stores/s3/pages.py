"""Pages of listings, read without the SDK's own parser.

That one spends 80 of 85 microseconds an object, most of it on guessing the format of a time stamp.
The hook is botocore's own (``before-parse``); signing, errors and repeats stay with it, and so does
every answer that is not an ordinary page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LISTED = {"Contents": "Contents", "Version": "Versions", "DeleteMarker": "DeleteMarkers"}
_PAGES = frozenset({"ListBucketResult", "ListVersionsResult"})
_NOTHING = b"<ListBucketResult/>"
_OK = 200


def read_pages(sdk: Any) -> None:
    """Have this boto3 client's listings of objects and versions parsed here.

    Of an entry it gives what this program asks for: key, size, ETag, class, version and time.
    """
    for operation in ("ListObjectsV2", "ListObjectVersions"):
        # Handlers of ``*`` come before those of ``s3``, among which one parses the whole body to
        # see whether it is an error: of a page nothing is left for it.
        sdk.meta.events.register_first(f"before-parse.*.{operation}", _read_page)


def _read_page(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Put what a page says beside the answer, whose body botocore then finds to be empty."""
    if response_dict["status_code"] != _OK:
        return
    try:
        root = ElementTree.fromstring(response_dict["body"])  # noqa: S314 (as botocore does)
        if _name(root) not in _PAGES:
            return
        found = _page(root)
    except (ElementTree.ParseError, KeyError, ValueError):
        return  # botocore says what is wrong with it
    customized_response_dict.update(found)
    response_dict["body"] = _NOTHING


class _Names(dict[str, str]):
    """Tags to names without their namespace."""

    def __missing__(self, tag: str) -> str:
        self[tag] = tag.rpartition("}")[2]
        return self[tag]


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _page(root: Element) -> dict[str, Any]:
    names = _Names()
    page: dict[str, Any] = {}
    for child in root:
        name = names[child.tag]
        if name in _LISTED:
            entry = {names[part.tag]: part.text or "" for part in child}
            page.setdefault(_LISTED[name], []).append(_entry(entry))
        elif name == "CommonPrefixes":
            prefixes = [{"Prefix": part.text or ""} for part in child]
            page.setdefault(name, []).extend(prefixes)
        else:
            page[name] = _VALUES.get(name, str)(child.text or "")
    return page


def _entry(texts: dict[str, str]) -> dict[str, Any]:
    """One entry: empty texts are left out, as botocore leaves out what is not there."""
    found: dict[str, Any] = {
        name: texts[name] for name in ("ETag", "StorageClass", "VersionId") if texts.get(name)
    }
    found["Key"] = texts["Key"]
    found["LastModified"] = _time(texts["LastModified"])
    if "Size" in texts:
        found["Size"] = int(texts["Size"])
    if "IsLatest" in texts:
        found["IsLatest"] = _is_true(texts["IsLatest"])
    return found


def _time(text: str) -> datetime:
    """S3's own format is ISO 8601 with a Z; what others write is guessed as botocore does."""
    from botocore.utils import parse_timestamp

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = parse_timestamp(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_true(text: str) -> bool:
    return text == "true"


_VALUES: Mapping[str, Callable[[str], Any]] = {
    "IsTruncated": _is_true,
    "KeyCount": int,
    "MaxKeys": int,
}
