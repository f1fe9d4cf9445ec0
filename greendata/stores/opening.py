"""One store for every URI: finds the back end, account and settings behind it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from greendata.config import StoreSettings
from greendata.errors import ConfigError, GreendataError, UnsupportedError
from greendata.model import StoredObject
from greendata.stores.base import Report, Store
from greendata.stores.local import SCHEME, LocalStore
from greendata.stores.local import normalise_uri as normalise_path
from greendata.stores.records import (
    ALWAYS,
    IF_ABSENT,
    NOTHING_BESIDE,
    Condition,
    ContainerRules,
    Deleted,
    ObjectDetails,
    PendingUpload,
    Properties,
    Upload,
    UploadPart,
    Written,
)
from greendata.stores.uris import AZURE, S3, ObjectUri, parse_uri

if TYPE_CHECKING:
    import pyarrow as pa

_ACCOUNT_IN_CONNECTION = re.compile(r"(?:^|;)\s*AccountName=([^;]+)", re.IGNORECASE)


def normalise_uri(argument: str, settings: Sequence[StoreSettings] = ()) -> str:
    """URI of a command-line argument: a path, a ``file://``, ``s3://`` or ``az://`` URI, or a glob.

    An ``az://`` URI gets the configured account, so that what is stored names it.

    Raises:
        UsageError: empty, or of another scheme.
        ConfigError: an ``az://`` URI without an account where none is configured.
    """
    if not is_remote(argument):
        return normalise_path(argument)
    uri = parse_uri(argument)
    if uri.scheme == AZURE and uri.account is None:
        account = _account(argument, settings)
        uri = ObjectUri(scheme=AZURE, container=uri.container, key=uri.key, account=account)
    return str(uri)


def is_remote(uri: str) -> bool:
    """Whether a URI is one of an object store."""
    return uri.startswith((f"{S3}://", f"{AZURE}://"))


def settings_for(uri: str, settings: Sequence[StoreSettings]) -> StoreSettings:
    """The settings with the longest ``match`` that begins the URI; the defaults where none does."""
    matching = [entry for entry in settings if uri.startswith(entry.match)]
    return max(matching, key=lambda entry: len(entry.match), default=StoreSettings(match=""))


def _account(uri: str, settings: Sequence[StoreSettings]) -> str:
    connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    named = _ACCOUNT_IN_CONNECTION.search(connection)
    account = (
        settings_for(uri, settings).account
        or (named[1].strip() if named else None)
        or os.environ.get("AZURE_STORAGE_ACCOUNT")
    )
    if not account:
        raise ConfigError(
            f"{uri}: no storage account is known.",
            hint="Write az://container@account/…, or set AZURE_STORAGE_ACCOUNT.",
        )
    return account


Around = Callable[[Store], Store]

_watchers: ContextVar[tuple[Around, ...]] = ContextVar("watchers", default=())


@contextmanager
def watched(around: Around) -> Iterator[None]:
    """Every ``Stores`` that this thread makes meanwhile has its back ends wrapped so, innermost."""
    token = _watchers.set((*_watchers.get(), around))
    try:
        yield
    finally:
        _watchers.reset(token)


def _joined(outer: Around, inner: Sequence[Around]) -> Around:
    def wrap(store: Store) -> Store:
        for around in inner:
            store = around(store)
        return outer(store)

    return wrap


class Stores(Store):
    """All stores behind one face: every call goes to the back end of its URI.

    Back ends are made when they are first needed, one for each scheme, account and settings.
    ``around`` wraps each of them, inside of what tries a failed call again.
    """

    store_id = ""

    def __init__(
        self,
        settings: Sequence[StoreSettings] = (),
        *,
        around: Callable[[Store], Store] = lambda store: store,
    ) -> None:
        self.settings = tuple(settings)
        self._around = _joined(around, _watchers.get())
        self._made: dict[Hashable, Store] = {}
        self._lock = threading.Lock()

    def store_of(self, uri: str) -> Store:
        """The back end of a URI."""
        if uri.startswith(SCHEME):
            return self._once(SCHEME, lambda: self._around(LocalStore()))
        parsed = parse_uri(uri)
        entry = settings_for(uri, self.settings)
        if parsed.scheme == S3:
            return self._once((S3, entry), lambda: _retrying(entry, self._around(_s3_store(entry))))
        account = parsed.account or _account(uri, self.settings)
        return self._once(
            (AZURE, account, entry),
            lambda: _retrying(entry, self._around(_azure_store(account, entry))),
        )

    def _once(self, key: Hashable, make: Callable[[], Store]) -> Store:
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def expand(self, uri: str) -> tuple[str, ...]:
        return self.store_of(uri).expand(uri)

    def list(
        self, uri: str, *, on_denied: Report | None = None, on_ignored: Report | None = None
    ) -> Iterator[StoredObject]:
        return self.store_of(uri).list(uri, on_denied=on_denied, on_ignored=on_ignored)

    def list_folder(self, uri: str, *, with_versions: bool = False) -> Iterator[StoredObject | str]:
        return self.store_of(uri).list_folder(uri, with_versions=with_versions)

    def head(self, uri: str) -> StoredObject:
        return self.store_of(uri).head(uri)

    def open(self, item: StoredObject) -> pa.NativeFile:
        return self.store_of(item.uri).open(item)

    def identity(self, item: StoredObject) -> Hashable:
        return self.store_of(item.uri).identity(item)

    def details(self, uri: str, *, version_id: str | None = None) -> ObjectDetails:
        return self.store_of(uri).details(uri, version_id=version_id)

    def versions(self, uri: str) -> Iterator[StoredObject]:
        return self.store_of(uri).versions(uri)

    def own_objects(self, uri: str) -> Iterator[StoredObject]:
        return self.store_of(uri).own_objects(uri)

    def sweep(self, uri: str, *, is_deep: bool = False) -> None:
        self.store_of(uri).sweep(uri, is_deep=is_deep)

    def uploads(self, uri: str) -> Iterator[PendingUpload]:
        return self.store_of(uri).uploads(uri)

    def read(
        self,
        uri: str,
        *,
        start: int = 0,
        size_bytes: int | None = None,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> bytes:
        return self.store_of(uri).read(
            uri, start=start, size_bytes=size_bytes, etag=etag, version_id=version_id
        )

    def put(
        self,
        uri: str,
        content: bytes,
        *,
        condition: Condition = ALWAYS,
        properties: Properties = NOTHING_BESIDE,
    ) -> Written:
        return self.store_of(uri).put(uri, content, condition=condition, properties=properties)

    def start_upload(self, uri: str, properties: Properties = NOTHING_BESIDE) -> Upload:
        return self.store_of(uri).start_upload(uri, properties)

    def put_part(self, upload: Upload, number: int, content: bytes) -> UploadPart:
        return self.store_of(upload.uri).put_part(upload, number, content)

    def complete_upload(
        self, upload: Upload, parts: Sequence[UploadPart], *, condition: Condition = ALWAYS
    ) -> Written:
        return self.store_of(upload.uri).complete_upload(upload, parts, condition=condition)

    def abort_upload(self, uri: str, upload_id: str) -> None:
        self.store_of(uri).abort_upload(uri, upload_id)

    def copy(
        self,
        source: str,
        target: str,
        *,
        source_etag: str | None = None,
        source_version_id: str | None = None,
        condition: Condition = ALWAYS,
        properties: Properties | None = None,
    ) -> Written:
        store = self.store_of(source)
        if store is not self.store_of(target):
            raise UnsupportedError(f"{source}: no store copies it to {target} by itself.")
        return store.copy(
            source,
            target,
            source_etag=source_etag,
            source_version_id=source_version_id,
            condition=condition,
            properties=properties,
        )

    def move(self, source: str, target: str, *, etag: str | None = None) -> Written:
        store = self.store_of(source)
        if store is not self.store_of(target):
            raise UnsupportedError(f"{source}: no store renames it to {target}.")
        return store.move(source, target, etag=etag)

    def link(
        self, source: str, target: str, *, etag: str, condition: Condition = IF_ABSENT
    ) -> Written:
        return self.store_of(source).link(source, target, etag=etag, condition=condition)

    def set_tier(
        self,
        uri: str,
        storage_class: str,
        *,
        etag: str | None = None,
        version_id: str | None = None,
    ) -> Written:
        return self.store_of(uri).set_tier(uri, storage_class, etag=etag, version_id=version_id)

    def restore(
        self, uri: str, *, days: int, speed: str = "standard", version_id: str | None = None
    ) -> None:
        self.store_of(uri).restore(uri, days=days, speed=speed, version_id=version_id)

    def tags(self, uri: str, *, version_id: str | None = None) -> dict[str, str]:
        return self.store_of(uri).tags(uri, version_id=version_id)

    def set_tags(self, uri: str, tags: Mapping[str, str], *, version_id: str | None = None) -> None:
        self.store_of(uri).set_tags(uri, tags, version_id=version_id)

    def set_hold(self, uri: str, *, is_held: bool, version_id: str | None = None) -> None:
        self.store_of(uri).set_hold(uri, is_held=is_held, version_id=version_id)

    def delete(
        self, uri: str, *, etag: str | None = None, version_id: str | None = None
    ) -> Deleted:
        return self.store_of(uri).delete(uri, etag=etag, version_id=version_id)

    def delete_versions(
        self, versions: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], GreendataError]:
        return self.store_of(versions[0][0]).delete_versions(versions) if versions else {}

    def rules(self, uri: str) -> ContainerRules:
        return self.store_of(uri).rules(uri)


def _s3_store(entry: StoreSettings) -> Store:
    from greendata.stores.s3 import S3Settings, S3Store

    return S3Store(
        S3Settings(
            endpoint_url=entry.endpoint,
            region=entry.region,
            profile=entry.profile,
            path_style=entry.path_style,
            anonymous=entry.anonymous,
            expected_bucket_owner=entry.expected_bucket_owner,
            allow_http=entry.allow_http,
            connect_timeout_seconds=entry.connect_timeout_seconds,
            read_timeout_seconds=entry.read_timeout_seconds,
            listing_attempts=entry.attempts,
        )
    )


def _azure_store(account: str, entry: StoreSettings) -> Store:
    from greendata.stores.azure import AzureSettings, AzureStore

    return AzureStore(
        AzureSettings(
            account=account,
            endpoint_url=entry.endpoint,
            anonymous=entry.anonymous,
            allow_http=entry.allow_http,
            connect_timeout_seconds=entry.connect_timeout_seconds,
            read_timeout_seconds=entry.read_timeout_seconds,
            listing_attempts=entry.attempts,
        )
    )


def _retrying(entry: StoreSettings, store: Store) -> Store:
    from greendata.stores.wrappers import RetryingStore, RetrySettings

    settings = RetrySettings(attempts=entry.attempts, calls_a_second=entry.max_requests_per_second)
    return RetryingStore(store, settings)
