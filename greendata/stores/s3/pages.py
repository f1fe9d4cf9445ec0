"""Pages of listings, read without the SDK's own parser.

That one spends 80 of 85 microseconds an object, most of it on guessing the format of a time stamp.
The hook is botocore's own (``before-parse``); signing, errors and repeats stay with it, and so does
every answer that is not an ordinary page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from greendata.errors import StoreUnreachableError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LISTED = {"Contents": "Contents", "Version": "Versions", "DeleteMarker": "DeleteMarkers"}
_PAGES = frozenset({"ListBucketResult", "ListVersionsResult"})
_NOTHING = b"<ListBucketResult/>"
_MORE = "IsTruncated"
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
    except ElementTree.ParseError:
        return  # botocore says what is wrong with it
    except (KeyError, ValueError) as error:
        raise _unreadable("S3", f"has an entry that cannot be read ({error})") from error
    customized_response_dict.update(found)
    response_dict["body"] = _NOTHING


def whole_listing(pages: Iterable[dict[str, Any]], uri: str) -> Iterator[dict[str, Any]]:
    """The pages of a listing to its very end.

    What an answer leaves out would count as gone; botocore takes the page of a proxy, or no answer
    at all, for a bucket without objects.

    Raises:
        StoreUnreachableError: a page is none, one is missing, or they come round again.
    """
    page: dict[str, Any] = {_MORE: False}
    kept, steps, most = None, 0, 1
    for page in pages:
        if _MORE not in page:
            raise _unreadable(uri, "is no page of it")
        yield page
        token = [page.get(name) for name in _TOKENS] if page[_MORE] else None
        if token is not None and token == kept:
            raise _unreadable(uri, "begins again and again")
        steps += 1
        if steps == most:  # Brent: one token is kept, whatever the listing's length
            kept, steps, most = token, 0, 2 * most
    if page[_MORE]:
        raise _unreadable(uri, "ends before its end")


def _unreadable(uri: str, words: str) -> StoreUnreachableError:
    return StoreUnreachableError(
        f"{uri}: what S3 answered to a listing {words}.",
        hint="Check the endpoint, and what is between.",
        is_retryable=True,
    )


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
            page.setdefault(_LISTED[name], []).append(_entry(name, entry))
        elif name == "CommonPrefixes":
            prefixes = [{"Prefix": part.text or ""} for part in child]
            page.setdefault(name, []).extend(prefixes)
        else:
            page[name] = _VALUES.get(name, str)(child.text or "")
    return page


def _entry(kind: str, texts: dict[str, str]) -> dict[str, Any]:
    """One entry: empty texts are left out, as botocore leaves out what is not there."""
    found: dict[str, Any] = {
        name: texts[name] for name in ("ETag", "StorageClass", "VersionId") if texts.get(name)
    }
    found["Key"] = texts["Key"]
    found["LastModified"] = _time(texts["LastModified"])
    if kind != "DeleteMarker":
        found["Size"] = int(texts["Size"])
    if kind != "Contents":
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
    _MORE: _is_true,
    "KeyCount": int,
    "MaxKeys": int,
}

_TOKENS = ("NextContinuationToken", "NextKeyMarker", "NextVersionIdMarker", "NextUploadIdMarker")
