"""What an ETag of S3 says of the content, where it says anything.

It is the MD5 of what was put in one piece, and ``MD5-N`` of the MD5s of the N parts of an upload in
parts; all of these but the last are of one size, which nobody keeps. With keys of AWS KMS it is
neither. https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from greendata.stores.transfer import content_of

if TYPE_CHECKING:
    from greendata.model import StoredObject
    from greendata.stores.base import Store

_SHAPE = re.compile(r"[0-9a-f]{32}(?:-([0-9]{1,5}))?")
_MIB = 2**20
_MOST_SIZES = 64
"""Part sizes that are tried: each costs an MD5 of the whole content, in the one reading."""


def is_content_of(store: Store, item: StoredObject, etag: str) -> bool:
    """Whether the stored bytes of exactly this version, read now, are those that ``etag`` names.

    False where the ETag is no digest, and where the parts had a size that nobody would choose:
    neither whole MiB or MB nor the content in equal parts.

    Raises:
        PreconditionFailedError: it is another version by now.
        ObjectArchivedError, ObjectNotFoundError.
        IntegrityError: it is shorter than its size.
    """
    shape = _SHAPE.fullmatch(etag)
    if shape is None:
        return False
    parts = int(shape[1] or 0)
    sizes = sorted(_part_sizes(item.size_bytes, parts)) if parts else [max(1, item.size_bytes)]
    if not sizes:
        return False
    made = [_Etag(size) for size in sizes]
    for content in content_of(store, item):
        for each in made:
            each.update(content)
    return etag in {each.value(is_multipart=parts > 0) for each in made}


def _part_sizes(size_bytes: int, parts: int) -> set[int]:
    """Sizes that people and programs choose, of which so many parts make up so many bytes."""
    smallest = -(-size_bytes // parts)
    largest = size_bytes if parts == 1 else (size_bytes - 1) // (parts - 1)
    found = {max(1, smallest)}
    for unit in (_MIB, 10**6):
        first = max(1, -(-smallest // unit))
        last = largest // unit if parts > 1 else first
        found.update(unit * count for count in range(first, min(last, first + _MOST_SIZES) + 1))
    return {size for size in found if -(-size_bytes // size) in (parts, 0)}


class _Etag:
    """The ETag of content that comes in pieces of any size, put in parts of one size."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes, self._left = part_bytes, part_bytes
        self._part, self._digests = hashlib.md5(usedforsecurity=False), b""

    def update(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            piece, rest = rest[: self._left], rest[self._left :]
            self._part.update(piece)
            self._left -= len(piece)
            if self._left == 0:
                self._end_part()

    def value(self, *, is_multipart: bool) -> str:
        if self._left < self._part_bytes or not self._digests:
            self._end_part()
        if not is_multipart:
            return self._digests.hex()
        count = len(self._digests) // 16
        return f"{hashlib.md5(self._digests, usedforsecurity=False).hexdigest()}-{count}"

    def _end_part(self) -> None:
        self._digests += self._part.digest()
        self._part, self._left = hashlib.md5(usedforsecurity=False), self._part_bytes
