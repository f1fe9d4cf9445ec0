"""Whether stores still have what the journals say: survivors, quarantine, pins, manifests."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from greendata.errors import (
    DeniedError,
    GreendataError,
    ObjectNotFoundError,
    StoreUnreachableError,
)
from greendata.execute.pins import PINS, pin_uri
from greendata.execute.quarantine import QUARANTINE, Quarantined
from greendata.execute.records import Status, step_id
from greendata.execute.surviving import BYTES
from greendata.stores.transfer import sha256_of

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context
    from greendata.execute.purging import Waiting
    from greendata.execute.records import Survivor
    from greendata.execute.runstate import RunState
    from greendata.stores.base import Store

STAGING = "staging"
"""Folder, below ``.greendata/``, of what has no name of its own yet."""

_LOCK = "write.lock"
"""What a local store leaves in each of our folders that it wrote to."""

PROBLEMS = {
    "survivor-missing": "a copy that stands for others is not there",
    "survivor-changed": "a copy that stands for others is not what it was",
    "survivor-archived": "a copy that stands for others cannot be read without a restore",
    "quarantine-missing": "what waits in quarantine is not there",
    "quarantine-changed": "what waits in quarantine is not what was put there",
    "pin-missing": "nothing in the store protects a copy that stands for others",
    "pin-stray": "a pin that no run of this catalog needs",
    "orphan": "something of ours that no run of this catalog knows",
    "upload": "an upload of ours that nobody completed; its parts are billed",
    "manifest-missing": "a manifest, or an object that it names, is not there",
    "manifest-changed": "an object is not what a manifest says",
    "journal-damaged": "a journal was changed, cut or lost in part",
    "unreadable": "nobody can tell: it is denied, or the store does not answer",
}
"""What an audit finds, by the word that tables and JSON carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong; ``problem`` is a word of ``PROBLEMS``."""

    problem: str
    uri: str
    detail: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One object to look at; ``key`` is the same in every audit."""

    key: str
    uri: str
    look: Callable[[], Finding | None]


def checks_of(run_id: str, found: Sequence[Waiting], store: Store, *, is_full: bool) -> list[Check]:
    """Of all that a run has in quarantine: the object, and what stands for it."""
    checks: dict[str, Check] = {}
    for entry in found:
        held = entry.held
        key = f"held {held.held_uri} {held.held_version_id}"
        checks[key] = Check(
            key=key, uri=held.held_uri, look=partial(_held, held, run_id, store, is_full=is_full)
        )
        for survivor in held.survivors:
            proved = survivor.basis if survivor.basis.startswith(BYTES) else ""
            key = f"survivor {survivor.uri} {survivor.etag} {proved}"
            checks[key] = Check(
                key=key,
                uri=survivor.uri,
                look=partial(_survivor, survivor, held, run_id, store, is_full=is_full),
            )
    return list(checks.values())


def looked_at(check: Check) -> Finding | None:
    """What is wrong with one object; a store that does not tell is something wrong too."""
    try:
        return check.look()
    except (DeniedError, StoreUnreachableError) as error:
        return Finding(problem="unreadable", uri=check.uri, detail=error.message)


def _held(held: Quarantined, run_id: str, store: Store, *, is_full: bool) -> Finding | None:
    def finding(problem: str, detail: str) -> Finding:
        return Finding(problem=problem, uri=held.held_uri, detail=detail, run_id=run_id)

    if held.form == "marker":
        versions = (item for item in store.versions(held.uri) if item.uri == held.uri)
        if any(item.version_id == held.held_version_id for item in versions):
            return None
        return finding("quarantine-missing", "the delete marker is not there")
    try:
        found = store.details(held.held_uri, version_id=held.held_version_id)
    except ObjectNotFoundError:
        return finding("quarantine-missing", f"was {held.uri}, {held.size_bytes} bytes")
    if held.held_etag is not None and found.item.etag != held.held_etag:
        return finding("quarantine-changed", f"its ETag is {found.item.etag}")
    if not is_full or found.is_unreadable:
        return None
    expected = _expected(held)
    try:
        digest = sha256_of(store, found.item)
    except GreendataError as error:
        return finding("quarantine-changed", error.message)
    if expected is not None and digest != expected:
        return finding("quarantine-changed", f"its SHA-256 is {digest}")
    return None


def _expected(held: Quarantined) -> str | None:
    """SHA-256 that the bytes in quarantine have, where the journal knows it."""
    bases = [entry.basis for entry in held.survivors if entry.basis.startswith(BYTES)]
    return bases[0].removeprefix(BYTES) if bases and held.cause != "recompress" else None


def _survivor(
    survivor: Survivor, held: Quarantined, run_id: str, store: Store, *, is_full: bool
) -> Finding | None:
    def finding(problem: str, detail: str) -> Finding:
        return Finding(problem=problem, uri=survivor.uri, detail=detail, run_id=run_id)

    try:
        found = store.details(survivor.uri)
    except ObjectNotFoundError:
        return finding("survivor-missing", f"stands for {held.uri}")
    if held.cause == "tier":  # which may be undone, or moved on, since: only the bytes count
        is_same = found.item.size_bytes == held.size_bytes
        return None if is_same else finding("survivor-changed", "its size differs")
    if found.is_unreadable:
        return finding("survivor-archived", f"is in {found.item.storage_class}")
    has_digest = survivor.basis.startswith(BYTES)
    if not (is_full and has_digest) and found.item.etag != survivor.etag:
        return finding("survivor-changed", f"its ETag is {found.item.etag}")
    if not is_full:
        return None
    try:
        digest = sha256_of(store, found.item)
    except GreendataError as error:
        return finding("survivor-changed", error.message)
    if has_digest and digest != survivor.basis.removeprefix(BYTES):
        return finding("survivor-changed", f"its SHA-256 is {digest}")
    return None


# --- manifests of datasets


def manifest_checks(uri: str, store: Store, *, is_full: bool) -> tuple[list[Check], list[Finding]]:
    """Of every object that a manifest names; and what is wrong with the manifest itself."""
    try:
        entries = json.loads(store.read(uri))["objects"]
        named = [(str(entry["uri"]), entry) for entry in entries]
    except ObjectNotFoundError as error:
        return [], [Finding(problem="manifest-missing", uri=uri, detail=error.message)]
    except GreendataError as error:
        return [], [Finding(problem="unreadable", uri=uri, detail=error.message)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        words = f"is no manifest: {error!r}"
        return [], [Finding(problem="manifest-changed", uri=uri, detail=words)]
    return [
        Check(
            key=f"manifest {uri} {name}",
            uri=name,
            look=partial(_entry, name, entry, uri, store, is_full=is_full),
        )
        for name, entry in named
    ], []


def _entry(
    uri: str, entry: dict[str, Any], manifest: str, store: Store, *, is_full: bool
) -> Finding | None:
    try:
        item = store.head(uri)
    except ObjectNotFoundError:
        return Finding(problem="manifest-missing", uri=uri, detail=f"named by {manifest}")
    if entry.get("bytes", item.size_bytes) != item.size_bytes:
        words = f"has {item.size_bytes} bytes, and {entry['bytes']} by {manifest}"
        return Finding(problem="manifest-changed", uri=uri, detail=words)
    if is_full and "sha256" in entry:
        digest = sha256_of(store, item)
        if digest != entry["sha256"]:
            words = f"its SHA-256 is {digest}, another one by {manifest}"
            return Finding(problem="manifest-changed", uri=uri, detail=words)
    return None


# --- what is in our own folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What may be in our own folders, by the journals of all runs.

    Attributes:
        pins: URIs of pins that protect something, by the run that needs them.
        held: URIs of what was moved into quarantine.
        steps: of actions that are under way: what they have begun is no orphan.
    """

    pins: dict[str, str]
    held: frozenset[str]
    steps: frozenset[str]


def known_of(states: Sequence[tuple[RunState, Sequence[Waiting], Context]]) -> Known:
    """What the runs of a catalog have in stores."""
    pins, held, steps = {}, set(), set()
    for state, found, context in states:
        for entry in found:
            held.add(entry.held.held_uri)
            if entry.held.cause != "tier":
                for survivor in entry.held.survivors:
                    pins[pin_uri(survivor, entry.action_id, context)] = state.run_id
        steps |= {step_id(state.run_id, action_id) for action_id in _under_way(state)}
    return Known(pins=pins, held=frozenset(held), steps=frozenset(steps))


def _under_way(state: RunState) -> Iterator[str]:
    """Actions that may have left something that no outcome tells of."""
    for intents, outcomes in (
        (state.intents, state.outcomes),
        (state.undo_intents, state.undone),
    ):
        for action_id in intents:
            outcome = outcomes.get(action_id)
            if outcome is None or outcome.status in (Status.FAILED, Status.PENDING):
                yield action_id


def own_findings(root: str, known: Known, store: Store) -> Iterator[Finding]:
    """What is in our folders of a root and should not be, or should be and is not."""
    folder = f"{root}.greendata/"
    pins = {item.uri for item in store.own_objects(f"{folder}{PINS}/") if _is_left(item.uri)}
    for uri in sorted(pins - set(known.pins)):
        if not _is_of(uri, known.steps):
            yield Finding(problem="pin-stray", uri=uri, detail=_pinned_by(uri, store))
    for uri in sorted(set(known.pins) - pins):
        if uri.startswith(folder):
            yield Finding(problem="pin-missing", uri=uri, run_id=known.pins[uri])
    for name in (QUARANTINE, STAGING):
        for item in sorted(store.own_objects(f"{folder}{name}/"), key=lambda item: item.uri):
            is_known = item.uri in known.held or _is_of(item.uri, known.steps)
            if _is_left(item.uri) and not is_known:
                words = f"{item.size_bytes} bytes"
                yield Finding(problem="orphan", uri=item.uri, detail=words)
    for upload in store.uploads(folder):
        if upload.uri.startswith(folder) and not _is_of(upload.uri, known.steps):
            words = f"upload {upload.upload_id}"
            yield Finding(problem="upload", uri=upload.uri, detail=words)


def _is_left(uri: str) -> bool:
    return not uri.endswith(f"/{_LOCK}")


def _is_of(uri: str, steps: Collection[str]) -> bool:
    names = uri.rsplit("/", 4)[1:]
    return any(name.partition(".")[0] in steps for name in names)


def _pinned_by(uri: str, store: Store) -> str:
    try:
        document = json.loads(store.read(uri))
        return f"pins {document['pinned']} for run {document['run']}"
    except (GreendataError, ValueError, KeyError, TypeError, RecursionError):
        return "is no pin that can be read"
