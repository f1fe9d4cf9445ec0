"""A small world to be changed: a bucket, one that keeps versions, and a local folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from greendata.execute.carrying import Part, carry_out
from greendata.execute.engine import Ended, EngineSettings
from greendata.execute.handlers import all_handlers
from greendata.execute.handlers.base import Way
from greendata.execute.lease import FencedStore
from greendata.execute.quarantine import Quarantined
from greendata.execute.records import Action, Survivor
from greendata.execute.runstate import RunState, read_run
from greendata.model import StoredObject
from greendata.progress import Progress
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.records import Properties
from greendata.stores.wrappers.base import StoreWrapper
from tests.execute.crash.faults import CountedFiles, CountedStore, Points
from tests.execute.crash.strict_server import RemoteStore, strict_server

PLAIN, KEPT = "mem://plain/", "mem://kept/"
RUN = "0123456789abcdef-1"
BESIDE = Properties(content_type="text/plain", metadata={"owner": "us"}, tags={"team": "old"})


class _Route:
    """Sends a call to the store of the URI that it is about."""

    def __init__(self, stores: dict[str, Store]) -> None:
        self._stores = stores

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            uri = arguments[0] if isinstance(arguments[0], str) else arguments[0].uri
            (store,) = (s for prefix, s in self._stores.items() if uri.startswith(prefix))
            return getattr(store, name)(*arguments, **named)

        return call


class RoutedStore(StoreWrapper):
    """Several stores behind one face."""

    def __init__(self, stores: dict[str, Store]) -> None:
        super().__init__(_Route(stores))  # type: ignore[arg-type]

    @property
    def capabilities(self) -> Any:  # type: ignore[override]
        return MemoryStore.capabilities


@dataclass(slots=True)
class World:
    """The places, the plan, and what must never be lost."""

    plain: RemoteStore
    kept: RemoteStore
    folder: Path
    root: str = ""
    store: Store = field(init=False)
    ways: dict[str, Way] = field(init=False)
    actions: list[Action] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    stays: dict[str, bytes] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    _first: Any = None

    def __post_init__(self) -> None:
        self.root = path_to_uri(str(self.folder / "data")) + "/"
        local = LocalStore()
        self.store = RoutedStore({PLAIN: self.plain, KEPT: self.kept, "file://": local})
        self.ways = {
            PLAIN: Way(root=PLAIN),
            KEPT: Way(root=KEPT, is_versioned=True),
            self.root: Way(root=self.root),
        }

    @property
    def runs_uri(self) -> str:
        return path_to_uri(str(self.folder / "catalog" / "runs"))

    def begin(self) -> None:
        """Everything as it was before the first action; the local files are new ones."""
        for path in (self.folder / "data", self.folder / "catalog"):
            shutil.rmtree(path, ignore_errors=True)
        self.actions, self.contents, self.stays, self.twins = [], {}, {}, {}
        if self._first is None:
            for root in (PLAIN, KEPT):
                self._fill(root)
            self._first = (
                self.plain.state(), self.kept.state(), list(self.actions), dict(self.contents),
                dict(self.stays), dict(self.twins),
            )  # fmt: skip
        else:
            plain, kept, actions, contents, stays, twins = self._first
            self.plain.load(plain)
            self.kept.load(kept)
            self.actions, self.contents = list(actions), dict(contents)
            self.stays, self.twins = dict(stays), dict(twins)
        self._fill_local()

    def _put(self, uri: str, content: bytes | None = None, *, stays: bool = False) -> StoredObject:
        content = uri.encode() if content is None else content
        self.store.put(uri, content, properties=BESIDE)
        self.contents[uri] = content
        if stays:
            self.stays[uri] = content
        return self.store.head(uri)

    def _plan(self, kind: str, item: StoredObject, to: dict[str, Any], **more: Any) -> None:
        name = f"{kind} {item.uri} {len(self.actions)}"
        action_id = hashlib.sha256(name.encode()).hexdigest()[:32]
        is_latest = more.pop("is_latest", True)
        self.actions.append(
            Action(
                action_id=action_id,
                group_id=action_id,
                kind=kind,
                uri=item.uri,
                store_id=item.store_id,
                version_id=item.version_id,
                etag=item.etag,
                size_bytes=item.size_bytes,
                source={"storage_class": item.storage_class, "is_latest": is_latest},
                to=to,
                policy="crash",
                **more,
            )
        )

    def _remove_copy(self, root: str, name: str) -> None:
        content = f"copies in {root}".encode()
        survivor = self._put(f"{root}data/{name}-stays", content, stays=True)
        item = self._put(f"{root}data/{name}", content)
        self.twins[item.uri] = survivor.uri
        self._plan(
            "quarantine",
            item,
            {"grace_days": 30},
            survivor=Survivor(
                uri=survivor.uri,
                store_id=survivor.store_id,
                etag=survivor.etag,
                version_id=survivor.version_id,
                basis=f"sha256:{hashlib.sha256(content).hexdigest()}",
            ),
        )

    def _fill(self, root: str) -> None:
        self._put(f"{root}data/bystander", stays=True)
        self._plan("tier", self._put(f"{root}data/cool", stays=True), {"storage_class": "COOL"})
        both = self._put(f"{root}data/both", stays=True)
        self._plan("tag", both, {"tag": {"team": "new"}})
        self._plan("tier", both, {"storage_class": "COOL"})
        self._remove_copy(root, "copy")
        self._plan("expire", self._put(f"{root}data/old"), {"grace_days": 7})
        self._plan("hold", self._put(f"{root}data/held", stays=True), {"hold": "legal"})
        upload = self.store.start_upload(f"{root}data/upload")
        self.store.put_part(upload, 1, b"part")
        base = self._put(f"{root}data/upload", stays=True)
        self._plan("abort_uploads", base, {"upload_id": upload.upload_id})
        if root == KEPT:
            earlier = self._put(f"{root}data/versions", b"earlier version")
            self._put(f"{root}data/versions", b"newest version", stays=True)
            self.contents[f"{root}data/versions?"] = b"earlier version"
            self._plan("expire", earlier, {"grace_days": 7}, is_latest=False)

    def _fill_local(self) -> None:
        self._put(f"{self.root}data/bystander", stays=True)
        self._remove_copy(self.root, "copy")
        self._plan("expire", self._put(f"{self.root}old"), {"grace_days": 7})

    def units(self) -> Iterator[tuple[Action, ...]]:
        """The actions of one object together, as a plan's table gives them."""
        found: dict[str, list[Action]] = {}
        for action in self.actions:
            found.setdefault(f"{action.uri} {action.version_id}", []).append(action)
        for unit in found.values():
            yield tuple(unit)

    def state(self) -> RunState:
        return read_run(self.store, self.runs_uri, RUN)

    def apply(self, points: Points | None = None, *, workers: int = 1) -> Ended:
        """One try at the plan, with faults if there are any."""
        store: Store = self.store
        if points is not None:
            CountedFiles(points).install()
            store = CountedStore(self.store, points)
        part = Part(
            store=store,
            fenced=lambda leases: FencedStore(store, leases, call_timeout_seconds=1),
            runs_uri=self.runs_uri,
            run_id=RUN,
            name="apply",
            ways=self.ways,
            way_of=self.way_of,
            state=read_run(store, self.runs_uri, RUN),
            handlers=all_handlers(),
            settings=EngineSettings(workers=workers),
            header={},
            now=lambda: datetime.now(UTC),
            call_timeout_seconds=1,
        )
        return carry_out(part, self.units(), progress=Progress(), finish=lambda ended: "finished")

    def way_of(self, uri: str) -> Way:
        """The way of the root that holds a URI."""
        (way,) = (way for root, way in self.ways.items() if uri.startswith(root))
        return way

    def bodies(self) -> Counter[bytes]:
        """Every content that can be read anywhere, whatever hides it."""
        found: Counter[bytes] = Counter()
        for server in (self.plain, self.kept):
            versions, _ = server.state()
            for entries in versions.values():
                found.update(entry.content for entry in entries if not entry.is_marker)
        for path in (self.folder / "data").rglob("*"):
            if path.is_file():
                found[path.read_bytes()] += 1
        return found

    def check(self) -> None:
        """What must be true at every moment."""
        bodies = self.bodies()
        for uri, content in self.contents.items():
            assert bodies[content], f"{uri}: its content is nowhere"
        for uri, content in self.stays.items():
            assert self.store.read(uri) == content, f"{uri}: readers see something else"
        for uri, twin in self.twins.items():
            assert self.store.read(twin) == self.contents[uri], f"{uri}: its copy is not readable"

    def picture(self) -> dict[str, Any]:
        """The final state, without what differs from run to run."""
        found: dict[str, Any] = {}
        for server in (self.plain, self.kept):
            versions, uploads = server.state()
            for uri, entries in versions.items():
                if not _is_ours_alone(uri):
                    found[_plain_name(uri)] = [
                        ("marker",) if e.is_marker else
                        (e.content, e.storage_class, sorted(e.properties.tags.items()), e.is_held)
                        for e in entries
                    ]  # fmt: skip
            found[f"uploads {server.inner}"[:7] + server.store_id] = sorted(
                upload.uri for upload in uploads.values()
            )
        for path in sorted((self.folder / "data").rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.is_file() and not _is_ours_alone(name):
                found[_plain_name(name)] = path.read_bytes()
        return found

    def orphans(self) -> set[str]:
        """What lies in our folders and no journal speaks of."""
        known = {
            Quarantined.from_dict(outcome.after["quarantine"]).held_uri
            for outcome in self.state().outcomes.values()
            if "quarantine" in outcome.after
        }
        pins = sum("/pins/" in item.uri for root in self.ways for item in self._own(root))
        wanted = sum(1 for action in self.actions if action.survivor is not None)
        assert pins == wanted, f"{pins} pins of {wanted} survivors"
        return {
            item.uri
            for root in self.ways
            for item in self._own(root)
            if not _is_ours_alone(item.uri) and "/pins/" not in item.uri and item.uri not in known
        }

    def _own(self, root: str) -> list[StoredObject]:
        return list(self.store.own_objects(root))


def _is_ours_alone(uri: str) -> bool:
    return uri.endswith((".greendata/lease", "write.lock")) or "/pins/" in uri


def _plain_name(uri: str) -> str:
    """Pins and quarantine have the hash of a local folder in their names."""
    return uri.replace(os.sep, "/")


@contextmanager
def made_world(folder: Path) -> Iterator[World]:
    """Two servers and a folder."""
    with ExitStack() as stack:
        plain = stack.enter_context(strict_server(folder, keeps_versions=False))
        kept = stack.enter_context(strict_server(folder, keeps_versions=True))
        yield World(plain, kept, folder)


def as_text(value: Any) -> str:
    """For messages of failures."""
    return json.dumps(value, default=repr, indent=1, sort_keys=True)
