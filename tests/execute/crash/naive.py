"""A script as people write it, put through the same faults: it must fail many of them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from greendata.errors import ObjectNotFoundError
from greendata.stores.base import Store
from tests.execute.crash.faults import CountedStore, Points
from tests.execute.crash.strict_server import RemoteStore

_ROOT = "mem://plain/"
_MANIFEST, _JOURNAL = f"{_ROOT}manifest.json", f"{_ROOT}journal.json"
_NAMES = tuple(f"{_ROOT}{name}.jsonl" for name in ("one", "two", "three", "four"))


class NaiveWorld:
    """Four objects and the manifest that readers follow; each gets another name and new bytes."""

    def __init__(self, store: RemoteStore, folder: Path) -> None:
        self.store, self.folder = store, folder
        for uri in _NAMES:
            store.put(uri, uri.encode())
        store.put(_MANIFEST, json.dumps(_NAMES).encode())
        self._first = store.state()

    def begin(self, phase: str) -> None:
        self.store.load(self._first)

    def run(self, points: Points | None = None) -> None:
        """Put, delete, then the manifest; the journal afterwards."""
        store: Store = self.store if points is None else CountedStore(self.store, points)
        done = self.state(store)
        for uri in _NAMES:
            if uri not in done:
                store.put(f"{uri}.small", store.read(uri).upper())
                store.delete(uri)
                named = [n.replace(uri, f"{uri}.small") for n in json.loads(store.read(_MANIFEST))]
                store.put(_MANIFEST, json.dumps(named).encode())
                done.append(uri)
                store.put(_JOURNAL, json.dumps(done).encode())

    def state(self, store: Store | None = None) -> list[str]:
        """What its journal has."""
        with suppress(ObjectNotFoundError):
            found: list[str] = json.loads((store or self.store).read(_JOURNAL))
            return found
        return []

    def check(self) -> None:
        """Readers find what the manifest names."""
        for uri in json.loads(self.store.read(_MANIFEST)):
            assert self.store.read(uri), uri

    def is_finished(self) -> bool:
        return len(self.state()) == len(_NAMES)

    def unfinished(self) -> object:
        """For messages."""
        return self.state()

    def orphans(self) -> set[str]:
        return set()

    def picture(self) -> dict[str, bytes]:
        return {item.uri: self.store.read(item.uri) for item in self.store.list(_ROOT)}

    def keep(self, phase: str) -> None:
        pass

    def check_undone(self) -> None:
        pass
