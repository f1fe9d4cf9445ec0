"""Arguments of Azure's requests from this program's records, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from greendata.stores.azure.listing import SCOPE
from greendata.stores.records import Condition, Properties, Written

if TYPE_CHECKING:
    from azure.storage.blob import ContentSettings


def version_argument(version_id: str | None) -> dict[str, Any]:
    """The version a request is about."""
    return {} if version_id is None else {"version_id": version_id}


def condition_arguments(condition: Condition) -> dict[str, Any]:
    """A condition as headers."""
    from azure.core import MatchConditions

    if condition.is_absent:
        return {"match_condition": MatchConditions.IfMissing}
    if condition.etag is None:
        return {}
    return {"etag": quoted(condition.etag), "match_condition": MatchConditions.IfNotModified}


def source_arguments(etag: str) -> dict[str, Any]:
    """That the source of a copy has this ETag."""
    from azure.core import MatchConditions

    return {"source_etag": quoted(etag), "source_match_condition": MatchConditions.IfNotModified}


def content_settings(properties: Properties, md5: bytes | None) -> ContentSettings:
    """The headers of a blob."""
    from azure.storage.blob import ContentSettings

    return ContentSettings(
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        content_language=properties.content_language,
        content_disposition=properties.content_disposition,
        cache_control=properties.cache_control,
        content_md5=None if md5 is None else bytearray(md5),
    )


def beside_arguments(properties: Properties) -> dict[str, Any]:
    """What is written beside the content, but for the headers."""
    metadata = dict(properties.metadata) or None
    return {"metadata": metadata, **tier_argument(properties.storage_class)} | (
        {"tags": dict(properties.tags)} if properties.tags else {}
    )


def tier_argument(storage_class: str | None) -> dict[str, Any]:
    """The tier of a new blob; none, or one that only accounts have, leaves it to the account."""
    from azure.storage.blob import StandardBlobTier

    known = {tier.value: tier for tier in StandardBlobTier}
    return {"standard_blob_tier": known[storage_class]} if storage_class in known else {}


def scope_argument(properties: Properties) -> dict[str, Any]:
    """The encryption scope, which every request that sends content names."""
    encryption = properties.encryption
    if encryption is None or encryption.algorithm != SCOPE or encryption.key_id is None:
        return {}
    return {"encryption_scope": encryption.key_id}


def written_record(uri: str, answer: Mapping[str, Any], size_bytes: int) -> Written:
    """The answer of a write."""
    return Written(
        uri=uri,
        etag=unquoted(str(answer["etag"])),
        size_bytes=size_bytes,
        version_id=answer.get("version_id"),
    )


def quoted(etag: str) -> str:
    """An ETag as headers carry it."""
    return f'"{etag}"'


def unquoted(etag: str) -> str:
    """An ETag as this program holds it."""
    return etag.strip('"')
