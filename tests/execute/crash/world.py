"""Small worlds to be changed: a bucket, one that keeps versions, and a local folder.

A run goes through phases: ``apply``, ``settle`` (applied again when what waited is due), then
``undo`` or ``purge``. Each begins from how the one before it left everything.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from greendata.errors import UnsupportedError
from greendata.execute.carrying import Part, carry_out
from greendata.execute.engine import Ended, EngineSettings
from greendata.execute.handlers import all_handlers
from greendata.execute.handlers.base import Context, Handler, Way
from greendata.execute.lease import FencedStore, Leases
from greendata.execute.purging import PurgeHandler, Waiting, purge_units, waiting
from greendata.execute.records import Action, Status, Survivor
from greendata.execute.runstate import RunState, read_run
from greendata.execute.undo import Units, part_state, reversals
from greendata.jobs.in_place import rewriting
from greendata.model import StoredObject
from greendata.progress import Progress
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from greendata.stores.records import Encryption, Properties
from greendata.stores.wrappers.base import StoreWrapper
from tests.execute.crash.faults import CountedFiles, CountedStore, Points
from tests.execute.crash.strict_server import RemoteStore, strict_server

PLAIN, KEPT = "mem://plain/", "mem://kept/"
RUN = "0123456789abcdef-1"
BESIDE = Properties(
    content_type="text/plain",
    cache_control="no-store",
    metadata={"owner": "us"},
    encryption=Encryption(algorithm="aws:kms", key_id="arn:aws:kms:r:1:key/a"),
    tags={"team": "old"},
)


class _Route:
    """Sends a call to the store of the URI that it is about."""

    def __init__(self, stores: dict[str, Store]) -> None:
        self._stores = stores

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            first = arguments[0][0][0] if name == "delete_versions" else arguments[0]
            uri = first if isinstance(first, str) else first.uri
            (store,) = (s for prefix, s in self._stores.items() if uri.startswith(prefix))
            if name in ("copy", "move", "link") and not any(
                uri.startswith(prefix) and arguments[1].startswith(prefix)
                for prefix in self._stores
            ):
                raise UnsupportedError(f"{uri}: {arguments[1]} is in another store.")
            return getattr(store, name)(*arguments, **named)

        return call


class RoutedStore(StoreWrapper):
    """Several stores behind one face."""

    def __init__(self, stores: dict[str, Store]) -> None:
        super().__init__(_Route(stores))  # type: ignore[arg-type]

    @property
    def capabilities(self) -> Any:  # type: ignore[override]
        return MemoryStore.capabilities


PHASES = ("apply", "settle", "undo", "purge")
_DAYS = {"apply": 0, "settle": 31, "undo": 32, "purge": 75}
_BEFORE = {"settle": "apply", "undo": "settle", "purge": "settle"}
ROWS = [{"id": number, "text": f"again and again {number % 7}"} for number in range(200)]


def table_bytes() -> bytes:
    """A Parquet file that can be written much smaller."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, compression="none", use_dictionary=False)
    return sink.getvalue()


@dataclass(slots=True)
class World:
    """The places, the plan, and what must never be lost.

    Attributes:
        name: ``small`` has an action of each quick kind, ``tables`` those that are written again.
        contents: by URI what was there first; its bytes are somewhere until a purge.
        stays: what readers see at this URI at every moment.
        twins: by URI of what is removed those of the objects that stay and have all of it together.
        tables: URIs where readers see either the old or the new table.
        phase, days: what is run, and how many days after the plan.
    """

    plain: RemoteStore
    kept: RemoteStore
    folder: Path
    name: str = "small"
    root: str = ""
    store: Store = field(init=False)
    ways: dict[str, Way] = field(init=False)
    actions: list[Action] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    stays: dict[str, bytes] = field(default_factory=dict)
    twins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    phase: str = "apply"
    days: int = 0
    _states: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = path_to_uri(str(self.folder / "data")) + "/"
        local = LocalStore()
        self.store = RoutedStore({PLAIN: self.plain, KEPT: self.kept, "file://": local})
        self.ways = {
            PLAIN: Way(root=PLAIN),
            KEPT: Way(root=KEPT, is_versioned=True),
            self.root: Way(root=self.root),
        }
        for root in self.ways:
            if self.name == "small":
                self._fill(root)
            else:
                self._fill_table(root)
        self.keep("")

    @property
    def runs_uri(self) -> str:
        return path_to_uri(str(self.folder / "catalog" / "runs"))

    def now(self) -> datetime:
        """So many days later."""
        return datetime.now(UTC) + timedelta(days=self.days)

    def keep(self, phase: str) -> None:
        """Remember how everything is after a phase; files by second names, which no one changes."""
        self._states[phase] = self.plain.state(), self.kept.state()
        shutil.copytree(self.folder / "data", self.folder / f"data-{phase}", copy_function=os.link)
        if (self.folder / "catalog").exists():
            shutil.copytree(
                self.folder / "catalog", self.folder / f"catalog-{phase}", copy_function=os.link
            )

    def begin(self, phase: str) -> None:
        """Everything as it was before a phase."""
        self.phase, self.days, before = phase, _DAYS[phase], _BEFORE.get(phase, "")
        for name in ("data", "catalog"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            if (self.folder / f"{name}-{before}").exists():
                shutil.copytree(
                    self.folder / f"{name}-{before}", self.folder / name, copy_function=os.link
                )
        for server, state in zip((self.plain, self.kept), self._states[before], strict=True):
            server.load(state)

    def _put(
        self,
        uri: str,
        content: bytes | None = None,
        *,
        stays: bool = False,
        storage_class: str | None = None,
    ) -> StoredObject:
        content = uri.encode() if content is None else content
        properties = (
            BESIDE if storage_class is None else replace(BESIDE, storage_class=storage_class)
        )
        self.store.put(uri, content, properties=properties)
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

    def _remove_copy(self, root: str, *names: str) -> None:
        """An object goes that has what others have together."""
        parts = [f"copies in {root} of {name}".encode() for name in names]
        content = b"".join(parts)
        item = self._put(f"{root}data/copy", content)
        found = [
            self._put(f"{root}data/{name}", part, stays=True)
            for name, part in zip(names, parts, strict=True)
        ]
        self.twins[item.uri] = tuple(survivor.uri for survivor in found)
        is_one = len(names) == 1
        basis = f"sha256:{hashlib.sha256(content).hexdigest()}" if is_one else "rows:blake2b-128:9"
        survivors = tuple(
            Survivor(
                uri=survivor.uri,
                store_id=survivor.store_id,
                etag=survivor.etag,
                version_id=survivor.version_id,
                basis=basis,
            )
            for survivor in found
        )
        self._plan("quarantine", item, {"grace_days": 30}, survivors=survivors)

    def _fill(self, root: str) -> None:
        self._put(f"{root}data/bystander", stays=True)
        self._remove_copy(
            root, *(("copy-stays", "copy-rest") if root == PLAIN else ("copy-stays",))
        )
        self._plan("expire", self._put(f"{root}data/old"), {"grace_days": 7})
        if root == self.root:
            return
        self._plan("tier", self._put(f"{root}data/cool", stays=True), {"storage_class": "COOL"})
        both = self._put(f"{root}data/both", stays=True)
        self._plan("tag", both, {"tag": {"team": "new"}})
        self._plan("tier", both, {"storage_class": "COOL"})
        self._plan("hold", self._put(f"{root}data/held", stays=True), {"hold": "legal"})
        upload = self.store.start_upload(f"{root}data/upload")
        self.store.put_part(upload, 1, b"part")
        base = self._put(f"{root}data/upload", stays=True)
        self._plan("abort_uploads", base, {"upload_id": upload.upload_id})
        cold = self._put(f"{root}data/cold", storage_class="ARCHIVE")
        self._plan("restore", cold, {"days": 7})
        other = KEPT if root == PLAIN else PLAIN
        moved = self._put(f"{root}data/moved")
        self._plan("relocate", moved, {"mode": "move", "uri": f"{other}moved/moved"})
        if root == KEPT:
            twice = self._put(f"{root}data/twice", stays=True)
            self._plan("relocate", twice, {"mode": "replicate", "uri": f"{root}twice/twice"})
            earlier = self._put(f"{root}data/versions", b"earlier version")
            self._put(f"{root}data/versions", b"newest version", stays=True)
            self.contents[f"{root}data/versions?"] = b"earlier version"
            self._plan("expire", earlier, {"grace_days": 7}, is_latest=False)

    def _fill_table(self, root: str) -> None:
        item = self._put(f"{root}data/table.parquet", table_bytes() + b"")
        self.tables.append(item.uri)
        self._plan("recompress", item, {"profile": "stream"})

    def units(self) -> Iterator[tuple[Action, ...]]:
        """The actions of one object together, as a plan's table gives them."""
        found: dict[str, list[Action]] = {}
        for action in self.actions:
            found.setdefault(f"{action.uri} {action.version_id}", []).append(action)
        for unit in found.values():
            yield tuple(unit)

    def state(self) -> RunState:
        return read_run(self.store, self.runs_uri, RUN)

    def run(self, points: Points | None = None, *, workers: int = 1) -> Ended:
        """One try at the phase, with faults if there are any."""
        store: Store = self.store
        if points is not None:
            CountedFiles(points).install()
            store = CountedStore(self.store, points)
        return self.run_on(store, workers=workers)

    def run_on(self, store: Store, *, workers: int = 1) -> Ended:
        """One try at the phase."""
        state = read_run(store, self.runs_uri, RUN)
        name = {"settle": "apply"}.get(self.phase, self.phase)
        seen: list[Store] = []

        def fenced(leases: Leases) -> Store:
            seen.append(FencedStore(store, leases, call_timeout_seconds=1))
            return seen[0]

        handlers: dict[str, Handler] = all_handlers(rewrite=rewriting(store))
        units = self.units()
        if name == "undo":
            made = Units(state, handlers)
            handlers = made.handlers
            units = self._undo_units(made, state, lambda: seen[0])
        elif name == "purge":
            handlers = {"purge": PurgeHandler(policies_stand=True, leaving=(), by="us")}
            units = self._purge_units(state)
        part = Part(
            store=store,
            fenced=fenced,
            runs_uri=self.runs_uri,
            run_id=RUN,
            name=name,
            ways=self.ways,
            way_of=self.way_of,
            state=_part_state(name, state),
            handlers=handlers,
            settings=EngineSettings(workers=workers),
            header={},
            now=self.now,
            call_timeout_seconds=1,
        )
        return carry_out(part, units, progress=Progress(), finish=lambda ended: "finished")

    def _purge_units(self, state: RunState) -> Iterator[tuple[Action, ...]]:
        due = [entry for entry in waiting(state) if not entry.problem(self.now(), timedelta(0))]
        yield from purge_units(
            due,
            place_of=lambda uri: None if uri.startswith("file:") else self.way_of(uri).root,
            begun=state.purge_intents.keys(),
            threads=1,
        )

    def _undo_units(
        self, made: Units, state: RunState, store: Callable[[], Store]
    ) -> Iterator[tuple[Action, ...]]:
        context = Context(store=store(), run_id=RUN, now=self.now, way_of=self.way_of)
        for found in reversals(self.units(), state, all_handlers()):
            if not all(_is_back(entry.action.action_id, state) for entry in found):
                yield made.unit(found, context)

    def is_finished(self) -> bool:
        """Whether the phase has nothing left to do; what can never be done is named."""
        state = self.state()
        if self.phase == "purge":
            return not list(waiting(state))
        if self.phase == "undo":
            return all(_is_back(action.action_id, state) for action in self.actions)
        now = self.now()
        return len(state.outcomes) == len(self.actions) and all(
            outcome.status is Status.DONE
            or (outcome.status is Status.PENDING and outcome.due_at is not None
                and outcome.due_at > now)
            for outcome in state.outcomes.values()
        )  # fmt: skip

    def way_of(self, uri: str) -> Way:
        """The way of the root that holds a URI."""
        (way,) = (way for root, way in self.ways.items() if uri.startswith(root))
        return way

    def check_undone(self) -> None:
        """Each object is there again, with all that is beside its content."""
        for uri, content in self.contents.items():
            if not uri.endswith("?"):
                cold = uri.endswith("/cold")
                found = self.store.details(uri)
                assert found.item.storage_class == ("ARCHIVE" if cold else self._class_of(uri))
                assert cold or self.store.read(uri) == content, uri
                if not uri.startswith("file:"):
                    assert self.store.tags(uri) == BESIDE.tags, uri
                    assert (BESIDE.lost_in(found), not found.is_held) == ("", True), uri

    def _class_of(self, uri: str) -> str | None:
        return None if uri.startswith("file:") else "HOT"

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

    def unfinished(self) -> object:
        """What is not done, for messages."""
        state = self.state()
        found = {"undo": state.undone, "purge": state.purged}.get(self.phase, state.outcomes)
        return [outcome for outcome in found.values() if outcome.status is not Status.DONE]

    def check(self) -> None:
        """What must be true at every moment."""
        bodies = self.bodies()
        for uri, content in self.contents.items():
            if self.phase != "purge":
                assert bodies[content], f"{uri}: its content is nowhere"
        for uri, content in self.stays.items():
            assert self.store.read(uri) == content, f"{uri}: readers see something else"
        for uri, twins in self.twins.items():
            found = b"".join(self.store.read(twin) for twin in twins)
            assert found == self.contents[uri], f"{uri}: what stands for it is not readable"
        for uri in self.tables:
            content = self.store.read(uri)
            assert content == self.contents[uri] or _rows(content) == ROWS, f"{uri}: is neither"

    def picture(self) -> dict[str, Any]:
        """The final state, without what differs from run to run."""
        found: dict[str, Any] = {}
        for server in (self.plain, self.kept):
            versions, uploads = server.state()
            for uri, entries in versions.items():
                if not _is_ours_alone(uri):
                    found[_plain_name(uri)] = [
                        ("marker",) if e.is_marker else
                        (_rows(e.content) or e.content, e.storage_class, e.is_held,
                         e.properties.content_type, sorted(e.properties.tags.items()))
                        for e in entries
                    ]  # fmt: skip
            found[f"uploads {server.inner}"[:7] + server.store_id] = sorted(
                upload.uri for upload in uploads.values()
            )
        for path in sorted((self.folder / "data").rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.is_file() and not _is_ours_alone(name):
                content = path.read_bytes()
                found[_plain_name(name)] = _rows(content) or content
        return found

    def orphans(self, *, pins_too: bool = True) -> set[str]:
        """What lies in our folders and no journal speaks of; or is missing there."""
        entries = list(waiting(self.state()))
        known = {entry.held.held_uri for entry in entries if entry.held.form == "moved"}
        own = {item.uri for root in self.ways for item in self._own(root)}
        pins = sum("/pins/" in uri for uri in own)
        wanted = sum(len(entry.held.survivors) for entry in entries if not _is_put_back(entry))
        assert not pins_too or pins == wanted, f"{pins} pins of {wanted} survivors"
        found = {uri for uri in own if not _is_ours_alone(uri)}
        assert not pins_too or known <= found, f"{known - found}: in no quarantine"
        return found - known

    def _own(self, root: str) -> list[StoredObject]:
        return list(self.store.own_objects(root))


def _part_state(name: str, state: RunState) -> RunState:
    """The run as the engine carries out a part, as ``greendata undo`` and ``purge`` have it."""
    if name == "undo":
        return part_state(state)
    if name != "purge":
        return state
    return replace(
        state,
        intents=dict(state.purge_intents),
        outcomes={k: v for k, v in state.purged.items() if v.status is not Status.SKIPPED},
    )


def _is_back(action_id: str, state: RunState) -> bool:
    outcome = state.undone.get(action_id)
    if outcome is None:
        return False
    return outcome.status is Status.DONE or outcome.reason == "irreversible"


def _is_put_back(entry: Waiting) -> bool:
    """What an undo replaced with what had been there before: that is the newer version of it."""
    is_of_undo = entry.item_id != entry.action_id
    return is_of_undo and entry.held.form == "version" and entry.held.marker_version_id is None


def _rows(content: bytes) -> list[dict[str, Any]] | None:
    """Of a table; None of anything else."""
    import pyarrow.parquet as pq

    if not content.startswith(b"PAR1"):
        return None
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(content), use_threads=False).to_pylist()
    return found


def _is_ours_alone(uri: str) -> bool:
    return uri.endswith((".greendata/lease", "write.lock")) or "/pins/" in uri


def _plain_name(uri: str) -> str:
    """Pins and quarantine have the hash of a local folder in their names."""
    return uri.replace(os.sep, "/")


@contextmanager
def made_world(folder: Path, name: str) -> Iterator[World]:
    """Two servers and a folder."""
    with ExitStack() as stack:
        plain = stack.enter_context(strict_server(folder, keeps_versions=False))
        kept = stack.enter_context(strict_server(folder, keeps_versions=True))
        yield World(plain, kept, folder, name)
