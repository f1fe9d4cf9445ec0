"""The engine: intents before, actions in threads, outcomes after; for all that acts on stores.

One thread, the caller's, feeds and writes the journal; threads of a pool look, act and verify. What
is ready to begin and what has ended since the last time goes into one segment of the journal, so
that hundreds of actions share a flush. At most ``window`` actions are between their intent and
their outcome.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from greendata.errors import GreendataError, LockedError
from greendata.execute.handlers.base import Handler, outcome_of
from greendata.execute.records import Action, Outcome, Status, failed, skipped
from greendata.execute.runstate import intent_record, outcome_record

if TYPE_CHECKING:
    from greendata.execute.handlers.base import Context
    from greendata.execute.journal import Journal, Record
    from greendata.execute.runstate import RunState
    from greendata.progress import Progress

_MOVED_ON = ("changed", "gone", "conflict", "damaged", "unreachable", "denied", "held")
"""After one of these nothing further is done to the same object."""


_LONGEST_WAIT_SECONDS = 0.2
"""Outcomes wait so long for others to share a flush of the journal with; and so long at most until
a signal is noticed."""

_LONGEST_CREDIT_SECONDS = 0.2
"""Where a rate is set, what could not begin in this time may begin later at once: actions share
flushes of the journal, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How fast, and when to stop.

    Attributes:
        workers: actions at the same time.
        actions_per_second: at most; None is as fast as it goes.
        most_failures: failures in a row after which something is wrong with more than an object.
    """

    workers: int = 16
    actions_per_second: float | None = None
    most_failures: int = 20

    @property
    def window(self) -> int:
        """Actions between intent and outcome at most."""
        return 8 * self.workers


@dataclass(slots=True, kw_only=True)
class Ended:
    """What a run of the engine came to."""

    statuses: Counter[Status] = field(default_factory=Counter)
    stopped_because: str | None = None
    is_interrupted: bool = False
    moved_bytes: int = 0


@dataclass(slots=True)
class _Job:
    """Actions that are carried out by one thread: one of them, or a group as one."""

    actions: tuple[Action, ...]
    followers: tuple[Action, ...] = ()
    before: list[Mapping[str, Any]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    is_resumed: bool = False


class Engine:
    """Carries out actions with handlers. A new one a run.

    ``is_rebuilt``: the journal is not all there, so that anything may have been done before.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        context: Context,
        journal: Journal,
        state: RunState,
        settings: EngineSettings,
        progress: Progress,
        *,
        on_outcome: Callable[[Action, Outcome], None] = lambda action, outcome: None,
        on_append: Callable[[str], None] = lambda position: None,
        is_rebuilt: bool = False,
    ) -> None:
        self._handlers, self._context = handlers, context
        self._journal, self._state = journal, state
        self._settings, self._progress = settings, progress
        self._on_outcome, self._on_append = on_outcome, on_append
        self._is_rebuilt = is_rebuilt
        self._events: queue.SimpleQueue[tuple[_Job, Future[None]]] = queue.SimpleQueue()
        self._in_flight = 0
        self._failures = 0
        self._has_more = True
        self._error: BaseException | None = None
        self._next_at = 0.0
        self._outcome_lines: list[Record] = []
        self.ended = Ended()

    def run(self, units: Iterable[Sequence[Action]]) -> Ended:
        """Carry out units: the actions of one object in their order, or a group of several.

        Raises:
            LockedError: the lease is lost; what was in flight is settled when it goes on.
            GreendataError, OSError: the journal cannot be written.
        """
        jobs = self._jobs(units)
        with ThreadPoolExecutor(self._settings.workers, "action") as pool:
            ready: list[_Job] = []
            while True:
                self._feed(jobs, pool, ready)
                self._begin(ready, pool)
                ready = []
                if not self._in_flight:
                    if self._has_more:
                        continue
                    break
                ready = [
                    entry
                    for job, future in self._ended_jobs()
                    for entry in self._take(job, future, pool)
                ]
        if self._error is not None:
            raise self._error
        return self.ended

    def interrupt(self) -> None:
        """Begin nothing more; what is under way is finished. For signal handlers."""
        self.ended.is_interrupted = True
        self._stop("interrupted")

    @property
    def _is_stopping(self) -> bool:
        return self._error is not None or self.ended.stopped_because is not None

    def _feed(self, jobs: Iterator[_Job], pool: ThreadPoolExecutor, ready: list[_Job]) -> None:
        """Adds jobs that can begin at once; those that must look first are sent to do so."""
        while self._in_flight + len(ready) < self._settings.window and not self._is_stopping:
            wait_seconds = self._until_next()
            if wait_seconds > 0:
                if ready or self._in_flight:
                    return  # none waits for the turn of others
                time.sleep(min(wait_seconds, _LONGEST_WAIT_SECONDS))
                continue
            job = next(jobs, None)
            if job is None:
                self._has_more = False
                return
            self._count_turn(len(job.actions))
            ready += self._prepared(job, pool)
        if self._is_stopping:
            self._has_more = False

    def _prepared(self, job: _Job, pool: ThreadPoolExecutor) -> list[_Job]:
        """The job if all that must be known before is; else it is sent to find out."""
        known = [self._state.intents.get(action.action_id) for action in job.actions]
        if all(entry is not None for entry in known):
            job.is_resumed = True
            job.before = [entry for entry in known if entry is not None]
            return [job]
        handler = self._handlers[job.actions[0].kind]
        if type(handler).prepare is Handler.prepare:
            job.before = [{} for _ in job.actions]
            job.is_resumed = self._is_rebuilt or any(entry is not None for entry in known)
            return [job]
        job.is_resumed = self._is_rebuilt
        self._submit(pool, self._prepare, job)
        return []

    def _until_next(self) -> float:
        """Seconds until the next action may begin, by the rate."""
        is_limited = self._settings.actions_per_second is not None
        return max(0.0, self._next_at - time.monotonic()) if is_limited else 0.0

    def _count_turn(self, actions: int) -> None:
        rate = self._settings.actions_per_second
        if rate is not None:
            earliest = time.monotonic() - _LONGEST_CREDIT_SECONDS
            self._next_at = max(earliest, self._next_at) + actions / rate

    def _submit(self, pool: ThreadPoolExecutor, work: Callable[[_Job], None], job: _Job) -> None:
        self._in_flight += 1
        pool.submit(work, job).add_done_callback(lambda future: self._events.put((job, future)))

    def _translate(self, error: BaseException, job: _Job) -> None:
        """What a thread raised: an outcome of its actions, or the end of the run."""
        try:
            if isinstance(error, LockedError) or not isinstance(error, GreendataError):
                raise error
            job.outcomes = [outcome_of(error)] * len(job.actions)
        except type(error) as same:
            self._error = self._error or same

    def _prepare(self, job: _Job) -> None:
        handler = self._handlers[job.actions[0].kind]
        job.before = [handler.prepare(action, self._context) for action in job.actions]

    def _act(self, job: _Job) -> None:
        handler = self._handlers[job.actions[0].kind]
        earlier = self._state.outcomes.get(job.actions[0].action_id)
        if len(job.actions) > 1 and earlier is not None and self._is_waiting(job):
            job.outcomes = self._settled(job, handler)
        elif len(job.actions) > 1:
            job.outcomes = handler.act_together(
                job.actions, job.before, self._context, is_resumed=job.is_resumed
            )
        elif earlier is not None and earlier.status is Status.PENDING:
            job.outcomes = [handler.settle(job.actions[0], job.before[0], earlier, self._context)]
        else:
            job.outcomes = [
                handler.act(job.actions[0], job.before[0], self._context, is_resumed=job.is_resumed)
            ]

    def _is_waiting(self, job: _Job) -> bool:
        """Whether a group has switched, and some of it goes on later."""
        found = [self._state.outcomes.get(action.action_id) for action in job.actions]
        is_settled = all(entry is not None and entry.status is not Status.FAILED for entry in found)
        return is_settled and any(entry and entry.status is Status.PENDING for entry in found)

    def _settled(self, job: _Job, handler: Handler) -> list[Outcome]:
        """Each of a group by itself: what is pending goes on, the rest is as it was."""
        found = []
        for action, before in zip(job.actions, job.before, strict=True):
            earlier = self._state.outcomes[action.action_id]
            if earlier.status is Status.PENDING:
                try:
                    earlier = handler.settle(action, before, earlier, self._context)
                except LockedError:
                    raise
                except GreendataError as error:
                    earlier = outcome_of(error)
            found.append(earlier)
        return found

    def _begin(self, ready: Sequence[_Job], pool: ThreadPoolExecutor) -> None:
        """One segment of what has ended and of what begins; then it begins."""
        beginning = () if self._is_stopping else ready
        lines = self._outcome_lines + [
            intent_record(action.action_id, before)
            for job in beginning
            for action, before in zip(job.actions, job.before, strict=True)
            if action.action_id not in self._state.intents
        ]
        if lines:
            self._journal.append(lines)
            self._on_append(self._journal.position)
            self._outcome_lines = []
        for job in beginning:
            self._submit(pool, self._act, job)

    def _ended_jobs(self) -> Iterator[tuple[_Job, Future[None]]]:
        """At least one that has ended, or none when it is another's turn to begin; while many are
        under way, those of a short while."""
        try:
            yield self._events.get(timeout=self._patience())
        except queue.Empty:
            return
        until = time.monotonic() + _LONGEST_WAIT_SECONDS
        while True:
            left = until - time.monotonic()
            is_busy = self._in_flight > self._settings.window // 2
            try:
                yield self._events.get(timeout=left if is_busy and left > 0 else 0)
            except queue.Empty:
                return

    def _patience(self) -> float | None:
        """Seconds after which more can begin although nothing ended; None: that is not so."""
        is_limited = self._settings.actions_per_second is not None
        if not is_limited or not self._has_more or self._in_flight >= self._settings.window:
            return None
        return min(self._until_next(), _LONGEST_WAIT_SECONDS)

    def _take(self, job: _Job, future: Future[None], pool: ThreadPoolExecutor) -> list[_Job]:
        """Note what a thread brought; what can begin now because of it."""
        self._in_flight -= 1
        error = future.exception()
        if error is not None:
            self._translate(error, job)
        elif not job.outcomes:
            return [job]
        for action, outcome in zip(job.actions, job.outcomes, strict=bool(job.outcomes)):
            self._note(action, outcome)
        return self._follow(job, pool) if job.followers and job.outcomes else []

    def _follow(self, job: _Job, pool: ThreadPoolExecutor) -> list[_Job]:
        """The next action on the same object, with the identity that the last one gave it."""
        action, outcome = job.actions[0], job.outcomes[0]
        if outcome.status is not Status.DONE and outcome.reason in _MOVED_ON:
            is_tried_again = outcome.status is Status.FAILED
            for follower in job.followers:
                make = failed if is_tried_again else skipped
                self._note(follower, make("earlier", f"{action.kind}: {outcome.reason}"))
            return []
        first, *rest = (identified(entry, action, outcome) for entry in job.followers)
        return self._prepared(_Job(actions=(first,), followers=tuple(rest)), pool)

    def _note(self, action: Action, outcome: Outcome) -> None:
        self._state.outcomes[action.action_id] = outcome
        self._outcome_lines.append(outcome_record(action.action_id, outcome, self._context.now()))
        self.ended.statuses[outcome.status] += 1
        self.ended.moved_bytes += outcome.moved_bytes
        self._progress.advance(action.size_bytes or 0)
        self._on_outcome(action, outcome)
        self._failures = self._failures + 1 if outcome.status is Status.FAILED else 0
        if self._failures >= self._settings.most_failures:
            self._stop(f"{self._failures} actions failed in a row: {outcome.detail}")

    def _stop(self, because: str) -> None:
        self.ended.stopped_because = self.ended.stopped_because or because

    def _jobs(self, units: Iterable[Sequence[Action]]) -> Iterator[_Job]:
        """What is still to be done of each unit; what is done before is counted."""
        now = self._context.now()
        for unit in units:
            open_actions: list[Action] = []
            closed: list[tuple[Action, Outcome]] = []
            for planned in unit:
                action = planned
                outcome = self._state.outcomes.get(action.action_id)
                if outcome is not None and not _is_open(outcome, now):
                    self.ended.statuses[outcome.status] += 1
                    self._progress.advance(action.size_bytes or 0)
                    open_actions = [identified(entry, action, outcome) for entry in open_actions]
                    closed.append((action, outcome))
                else:
                    for earlier in closed:
                        action = identified(action, *earlier)
                    open_actions.append(action)
            yield from self._jobs_of(unit, open_actions)

    def _jobs_of(self, unit: Sequence[Action], open_actions: Sequence[Action]) -> Iterator[_Job]:
        if not open_actions:
            return
        unknown = [action for action in open_actions if action.kind not in self._handlers]
        for action in unknown:
            self._note(action, failed("unsupported", f"{action.kind}: nothing carries it out."))
        known = tuple(action for action in open_actions if action.kind in self._handlers)
        if not known:
            return
        if len({action.group_id for action in unit}) == 1 and len(unit) > 1:
            yield _Job(actions=tuple(unit))
        else:
            yield _Job(actions=known[:1], followers=known[1:])


def _is_open(outcome: Outcome, now: datetime) -> bool:
    """Whether something is to be done: it failed before, or waited and is due."""
    if outcome.status is Status.PENDING:
        return outcome.due_at is None or outcome.due_at <= now
    return outcome.status is Status.FAILED


def identified(action: Action, earlier: Action, outcome: Outcome) -> Action:
    """The action on the object as an earlier action left it, if that was on the same one."""
    found = outcome.after.get("object")
    if found is None or action.uri != earlier.uri:
        return action
    return replace(
        action,
        etag=found["etag"],
        version_id=found.get("version_id"),
        size_bytes=found.get("size_bytes", action.size_bytes),
    )
