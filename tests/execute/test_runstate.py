"""A run read back from its three journals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from greendata.errors import LockedError, ObjectNotFoundError
from greendata.execute.journal import Journal, Record
from greendata.execute.records import Outcome, Status, done, failed, skipped
from greendata.execute.runstate import (
    check_current,
    intent_record,
    list_runs,
    outcome_from,
    outcome_record,
    read_run,
    run_uri,
)
from greendata.stores.memory import MemoryStore

RUNS = "mem://b/.greendata/catalog/runs"
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def write(store: MemoryStore, part: str, *records: Record, epoch: int = 1) -> None:
    journal = Journal(
        store, run_uri(RUNS, "ab-1", part), run_id="ab-1", part=part, epoch=epoch, previous=None
    )
    journal.append(records)


def test_the_newest_outcome_of_each_part_holds() -> None:
    store = MemoryStore()
    write(
        store,
        "apply",
        {"type": "run", "plan_id": "p"},
        intent_record("a", {"etag": "1"}),
        intent_record("b", {}),
        outcome_record("a", failed("unreachable", "no answer"), AT),
        outcome_record("a", done(tier="cool"), AT + timedelta(seconds=1)),
        {"type": "finish", "state": "partial"},
    )
    write(store, "undo", intent_record("a", {}), outcome_record("a", done(), AT), epoch=2)
    write(store, "purge", outcome_record("a", skipped("held"), AT), epoch=3)
    state = read_run(store, RUNS, "ab-1")
    assert state.header is not None
    assert state.header["plan_id"] == "p"
    assert state.intents == {"a": {"etag": "1"}, "b": {}}
    assert state.outcomes == {"a": done(tier="cool")}
    assert state.outcomes_at["apply"] == {"a": AT + timedelta(seconds=1)}
    assert (state.undone["a"].status, state.purged["a"].reason) == (Status.DONE, "held")
    assert state.finish is not None
    assert state.finish["state"] == "partial"
    assert (state.damaged, state.last_epoch) == ((), 3)


def test_a_run_that_goes_on_is_not_finished() -> None:
    store = MemoryStore()
    write(store, "apply", {"type": "run"}, {"type": "finish", "state": "partial"})
    assert read_run(store, RUNS, "ab-1").finish is not None
    write(store, "apply", {"type": "run"}, epoch=2)
    assert read_run(store, RUNS, "ab-1").finish is None


def test_damage_of_any_part_is_told_and_the_rest_counts() -> None:
    store = MemoryStore()
    write(store, "apply", outcome_record("a", done(), AT))
    write(store, "undo", outcome_record("a", done(), AT))
    uri = run_uri(RUNS, "ab-1", "undo", "00000001-00000001.jsonl")
    store.put(uri, store.read(uri)[:-20])
    state = read_run(store, RUNS, "ab-1")
    assert (list(state.outcomes), list(state.undone)) == (["a"], ["a"])
    assert state.damaged == (f"{uri}: lines of it are missing",)


def test_an_outcome_comes_back_as_it_was() -> None:
    outcome = Outcome(
        status=Status.PENDING,
        reason="waiting",
        detail="é\udcff",
        after={"quarantine": {"form": "moved"}},
        due_at=AT,
        moved_bytes=7,
    )
    assert outcome_from(outcome_record("a", outcome, AT)) == outcome
    assert outcome_record("a", done(), AT) == {
        "type": "outcome",
        "id": "a",
        "status": "done",
        "at": AT.isoformat(),
    }


def test_runs_are_listed_by_their_folders_alone() -> None:
    store = MemoryStore()
    assert list_runs(store, RUNS) == []
    for name in ("ab-2/plan/plan.json", "ab-1/apply/x", "ab-1/undo/x", "stray", "../x/y", "X-1/y"):
        store.put(f"{RUNS}/{name}", b"")
    assert list_runs(store, RUNS) == ["ab-1", "ab-2"]


@pytest.mark.parametrize("name", ["", "../../x", "ab-1/../cd-1", "ab", "AB-1", "ab-1\n"])
def test_a_name_that_no_run_can_have_names_no_place(name: str) -> None:
    with pytest.raises(ObjectNotFoundError, match="not the name of a run"):
        read_run(MemoryStore(), RUNS, name)


def test_a_run_that_never_was_is_empty() -> None:
    state = read_run(MemoryStore(), RUNS, "ab-1")
    assert (state.header, state.intents, state.outcomes, state.last_epoch) == (None, {}, {}, 0)


def test_a_run_with_a_plan_and_no_journal_has_lost_it() -> None:
    store = MemoryStore()
    store.put(run_uri(RUNS, "ab-1", "plan", "plan.json"), b"{}")
    assert read_run(store, RUNS, "ab-1").damaged == (f"{RUNS}/ab-1/apply/: missing",)


def test_a_run_that_somebody_went_on_with_since_it_was_read_is_locked() -> None:
    store = MemoryStore()
    write(store, "apply", intent_record("a", {}))
    state = read_run(store, RUNS, "ab-1")
    check_current(store, RUNS, state)
    write(store, "undo", intent_record("a", {}), epoch=2)
    with pytest.raises(LockedError, match="went on with this run"):
        check_current(store, RUNS, state)
