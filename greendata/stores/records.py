"""What goes into stores and comes out of them: frozen requests and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

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
class Properties:
    """What is written beside the content.

    Attributes:
        metadata: names in lower case to ASCII values, where the store has them.
        storage_class: the provider's word; None is the store's default.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
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
class ObjectDetails:
    """All that a store says about one object or version; what it does not say is None.

    Attributes:
        checksums: algorithm (``md5``, ``sha256``, ``crc32c``, …) to lower-case hexadecimal digits,
            of the whole content only.
        is_archived: cannot be read without a restore.
        restore_state: ``pending`` or ``restored``, of an archived object.
        is_held: a legal hold or a lease is on it; ``retain_until`` is its retention time.
        parts: of a multipart object.
    """

    item: StoredObject
    content_type: str | None = None
    content_encoding: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tag_count: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    is_archived: bool = False
    restore_state: str | None = None
    is_held: bool | None = None
    retain_until: datetime | None = None
    retention_mode: str | None = None
    encryption: str | None = None
    replication_status: str | None = None
    parts: int | None = None


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
