"""URIs of object stores: ``s3://bucket/key`` and ``az://container@account/key``, keys raw."""

from __future__ import annotations

from dataclasses import dataclass

from greendata.errors import UsageError

S3 = "s3"
AZURE = "az"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectUri:
    """The parts of a URI; ``key`` is opaque and may be empty, or end with a slash."""

    scheme: str
    container: str
    key: str
    account: str | None = None

    def __str__(self) -> str:
        return f"{self.root}{self.key}"

    @property
    def root(self) -> str:
        """URI of the container; with a key behind it, that of an object."""
        owner = f"@{self.account}" if self.account else ""
        return f"{self.scheme}://{self.container}{owner}/"

    def with_key(self, key: str) -> ObjectUri:
        """Another key in the same container."""
        return ObjectUri(
            scheme=self.scheme, container=self.container, key=key, account=self.account
        )


def parse_uri(uri: str) -> ObjectUri:
    """The parts of an ``s3://`` or ``az://`` URI; nothing in the key is unescaped.

    Raises:
        UsageError: another scheme, or no bucket or container.
    """
    scheme, mark, rest = uri.partition("://")
    if not mark or scheme not in (S3, AZURE):
        raise UsageError(f"{uri}: not an s3:// or az:// URI.")
    owner, _, key = rest.partition("/")
    container, _, account = owner.partition("@")
    if not container or (scheme == S3 and account):
        shape = "s3://bucket/key" if scheme == S3 else "az://container@account/key"
        raise UsageError(f"{uri}: expected {shape}.")
    return ObjectUri(scheme=scheme, container=container, key=key, account=account or None)
