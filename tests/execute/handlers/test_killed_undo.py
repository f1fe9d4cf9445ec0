from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greendata.execute.handlers import all_handlers
from greendata.execute.handlers.base import Handler
from greendata.execute.records import Action, Status
from greendata.execute.undo import inverse_of, settled
from greendata.jobs.in_place import rewriting
from greendata.stores.base import Store
from greendata.stores.local import LocalStore, path_to_uri
from greendata.stores.memory import MemoryStore
from tests.execute.handlers.made_places import (
    FaultAt,
    KilledError,
    carry_out,
    content_of,
    context_of,
    own_names,
)
from tests.execute.handlers.test_recompress import LINES, PARQUET, written
from tests.execute.handlers.test_relocate import moving, put

A, B = "mem://a/", "mem://b/"
Case = tuple[Store, list[Action], tuple[str, ...], str | None, bytes]


def in_place(folder: Path) -> Case:
    store = MemoryStore()
    return store, [written(store)], (A,), None, PARQUET


def in_place_versioned(folder: Path) -> Case:
    store = MemoryStore(keeps_versions=True)
    return store, [written(store)], (A,), None, PARQUET


def in_place_local(folder: Path) -> Case:
    store, root = LocalStore(), path_to_uri(str(folder)) + "/"
    return store, [written(store, root=root)], (root,), None, PARQUET


def renamed(folder: Path) -> Case:
    store = MemoryStore()
    action = written(store, LINES, name="x.jsonl", allow_window=True)
    return store, [action], (A,), None, LINES


def told_by_manifest(folder: Path) -> Case:
    store = MemoryStore()
    action = written(store, LINES, f"{A}d/", "x.jsonl")
    manifest = f"{A}d/_greendata/manifest.json"
    objects = [{"uri": action.uri}]
    document = {"schema_version": 1, "dataset": "d", "objects": objects}
    store.put(manifest, json.dumps(document).encode())
    return store, [action], (A,), manifest, LINES


def moved(folder: Path) -> Case:
    store = MemoryStore()
    return store, [moving(put(store, b"bytes"))], (A, B), None, b"bytes"


CASES = (in_place, in_place_versioned, in_place_local, renamed, told_by_manifest, moved)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_was_killed_anywhere_is_taken_back(
    case: Callable[[Path], Case], tmp_path: Path
) -> None:
    for fault in ("kill", "kill-after"):
        at = 0
        while _is_killed_and_undone(case, tmp_path / f"{fault}-{at}", at, fault):
            at += 1
        assert at > 6


def _is_killed_and_undone(case: Callable[[Path], Case], folder: Path, at: int, fault: str) -> bool:
    store, actions, roots, manifest, content = case(folder)
    way: dict[str, Any] = {"is_versioned": case is in_place_versioned}
    (action,) = actions

    def handlers(used: Store) -> dict[str, Handler]:
        return all_handlers(manifest_of=lambda one: manifest, rewrite=rewriting(used))

    context = context_of(store, roots, **way)
    before = handlers(store)[action.kind].prepare(action, context)
    faulty = FaultAt(store, at, fault)
    try:
        carry_out(handlers(faulty)[action.kind], actions, context_of(faulty, roots, **way))
    except KilledError:
        pass
    else:
        return False
    state: Any = SimpleNamespace(intents={action.action_id: before})
    outcome = settled(action, state, handlers(store), context)
    if outcome is not None:
        back = inverse_of(action, before, outcome, handlers(store))
        assert isinstance(back, Action)
        back = replace(back, to=json.loads(json.dumps(back.to)))
        (undone,) = carry_out(handlers(store)[back.kind], [back], context)
        assert undone.status is Status.DONE, (at, undone)
    assert content_of(store, action.uri) == content
    if manifest is not None:
        named = json.loads(store.read(manifest))["objects"]
        assert [entry["uri"] for entry in named] == [action.uri]
    names = [name for root in roots for name in own_names(store, root)]
    assert not [name for name in names if "staging" in name or "partial" in name], (at, names)
    if outcome is None:
        assert not [name for name in names if "quarantine" in name or "pins" in name]
    others = [item.uri for root in roots for item in _listed(store, root)]
    assert others == [action.uri]
    return True


def _listed(store: Store, root: str) -> list[Any]:
    try:
        return list(store.list(root))
    except FileNotFoundError:
        return []
