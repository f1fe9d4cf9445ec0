"""What goes into stores and comes out of them: frozen requests and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from greendata.errors import UnsupportedError

if TYPE_CHECKING:
    from greendata.model import StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a back end offers when its server keeps its word; ``doctor`` finds out whether it does.

    Attributes:
        has_tiers: objects have a storage class that can be changed.
        has_versions: earlier contents can be kept, listed and named by ``version_id``.
        has_tags, has_metadata: key-value pairs beside the content.
        has_holds: legal holds.
        is_multipart: large objects are written in parts.
        tiers_conditionally: ``set_tier`` takes an ETag; else it is compared before and after.
        deletes_together: ``delete_versions`` takes one request for many.
        has_folders: ``list_folder`` gives one folder without what is below its folders.
        has_moves: ``move`` renames, so that the object itself and all beside it stay as they are.
    """

    has_tiers: bool = False
    has_versions: bool = False
    has_tags: bool = False
    has_metadata: bool = False
    has_holds: bool = False
    is_multipart: bool = False
    tiers_conditionally: bool = False
    deletes_together: bool = False
    has_folders: bool = False
    has_moves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a write may happen; both empty: always.

    Attributes:
        is_absent: only where there is no object.
        etag: only over the object that has this ETag.
    """

    is_absent: bool = False
    etag: str | None = None


ALWAYS = Condition()
IF_ABSENT = Condition(is_absent=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How a store encrypts one object; never a key itself.

    Attributes:
        algorithm: of S3 ``AES256``, ``aws:kms`` or ``aws:kms:dsse``; ``scope`` of Azure.
        key_id: the key that is the owner's own: of S3 its ARN, of Azure the encryption scope.
        has_bucket_key: S3 asks KMS once for many objects.
    """

    algorithm: str
    key_id: str | None = None
    has_bucket_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What belongs to an object beside its content, and goes with it wherever it is copied.

    What of it a store does not have stays None. Tags are asked for by themselves.

    Attributes:
        metadata: names in lower case to ASCII values, where the store has them.
        content_md5: of the content, in hexadecimal digits, as a header of Azure that nobody checks.
        expires: the header, as its owner wrote it.
        redirect: where S3's web server sends readers instead.
        checksum: algorithm of the checksum that the store keeps, by its word; ``checksum_type``
            tells whether it is of the whole content (``FULL_OBJECT``) or of checksums of parts.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    content_md5: str | None = None
    cache_control: str | None = None
    expires: str | None = None
    redirect: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    encryption: Encryption | None = None
    checksum: str | None = None
    checksum_type: str | None = None

    def beside(self) -> dict[str, Any]:
        """All of it, as arguments of another record that has it."""
        return {entry.name: getattr(self, entry.name) for entry in fields(Beside)}

    def lost_in(self, copy: Beside) -> str:
        """What of it a copy does not have, in words; empty if it has all.

        But for what a store works out of the content by itself, and the case of metadata's names.
        """
        pairs = {
            name: (was, getattr(copy, name))
            for name, was in self.beside().items()
            if was and name not in ("content_md5", "checksum", "checksum_type", "metadata")
        }
        pairs["metadata"] = (_lower(self.metadata), _lower(copy.metadata))
        return ", ".join(
            name.replace("_", " ") for name, (was, now) in pairs.items() if was and was != now
        )


def _lower(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in metadata.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties(Beside):
    """What is written beside the content.

    Attributes:
        storage_class: the provider's word; None is the store's default.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: str | None = None


NOTHING_BESIDE = Properties()


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An object as a write left it."""

    uri: str
    etag: str
    size_bytes: int
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A multipart upload that is open; its parts are invisible until it is completed."""

    uri: str
    upload_id: str
    properties: Properties = NOTHING_BESIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPart:
    """A part that the store has taken; ``checksum`` as the store names it, if it does."""

    number: int
    etag: str
    size_bytes: int
    checksum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingUpload:
    """An incomplete upload that a listing found."""

    uri: str
    store_id: str
    upload_id: str
    started_at: datetime | None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectDetails(Beside):
    """All that a store says about one object or version; what it does not say is None.

    Attributes:
        untold: what is beside the content and cannot be written again from here, in words.
        checksums: algorithm (``md5``, ``sha256``, ``crc32c``, …) to lower-case hexadecimal digits,
            of the whole content only.
        is_archived: cannot be read without a restore.
        restore_state: ``pending`` or ``restored``, of an archived object.
        is_held: a legal hold or a lease is on it; ``retain_until`` is its retention time.
        parts: of a multipart object.
    """

    item: StoredObject
    untold: str = ""
    tag_count: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    is_archived: bool = False
    restore_state: str | None = None
    is_held: bool | None = None
    retain_until: datetime | None = None
    retention_mode: str | None = None
    replication_status: str | None = None
    parts: int | None = None

    @property
    def is_unreadable(self) -> bool:
        """Archived, and not restored by now."""
        return self.is_archived and self.restore_state != "restored"

    def as_properties(self, tags: Mapping[str, str]) -> Properties:
        """All that is beside the content, to be written again with it.

        Raises:
            UnsupportedError: the store does not tell all of it.
        """
        if self.untold:
            raise UnsupportedError(f"{self.item.uri}: {self.untold} cannot be written again.")
        return Properties(**self.beside(), tags=tags, storage_class=self.item.storage_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What a delete left: the id of the delete marker where versions are kept."""

    uri: str
    marker_version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRules:
    """Rules that the bucket or container has of itself; None where the store does not say.

    Attributes:
        versioning: ``on``, ``suspended`` or ``off``.
        lifecycle: the provider's rules, as it gives them.
        replication: ids of replication rules.
        soft_delete_days: days a deleted object can be brought back.
        is_lockable: object lock or immutability is switched on.
    """

    versioning: str | None = None
    lifecycle: tuple[Mapping[str, object], ...] | None = None
    replication: tuple[str, ...] | None = None
    soft_delete_days: int | None = None
    is_lockable: bool | None = None
    region: str | None = None
    unreadable: tuple[str, ...] = ()
