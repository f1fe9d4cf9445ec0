"""Tasks on a Ray cluster: one that is there, or one on this machine for as long as the scan lasts.

Ray is asked for little: a task is a streaming generator without Ray's own retries, because a task
begun again must be known to the scan, which throws away what the first attempt handed over. Results
are in the object store only between a task's end and their receipt, and only a few tasks more than
there are processors are in flight, so what the store holds is bounded whatever the corpus.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import greendata
from greendata.errors import ExtraMissingError, GreendataError, StoreUnreachableError, UsageError
from greendata.runners.base import (
    ATTEMPTS,
    Function,
    Outcome,
    Receive,
    Result,
    Runner,
    Task,
    WorkerLostError,
    WorkerMemoryError,
)
from greendata.runners.usage import Usage, UsageMeter

INSTALL = "pip install 'greendata[ray]'"

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""A cluster that is there answers in one or two; ray.init alone would try for minutes."""

_QUEUED_A_WORKER = 2
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.05
_SMALLEST_STORE_BYTES = 128 << 20
"""Ray refuses less than 75 MiB."""

_LONGEST_FOLDER = 26

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default warns
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else it prints on stdout when a worker dies
}
_PROBE = (
    "import logging, sys, ray\n"
    "ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaySettings:
    """What to connect to, or to start.

    Attributes:
        address: ``host:port`` of a cluster's head, or ``auto`` for the one this machine belongs to;
            None: a cluster of ``workers`` processes on this machine alone.
        store_bytes: memory for objects in flight, where a cluster is started.
    """

    address: str | None
    workers: int
    store_bytes: int


class RayRunner(Runner):
    """Runs tasks on a cluster, each on one processor of it."""

    def __init__(self, settings: RaySettings, warn: Callable[[str], None]) -> None:
        self._settings = settings
        self._warn = warn
        self._ray: Any = None
        self._remote: Any = None
        self._folder: Path | None = None
        check_ray(settings.address)

    @property
    def workers(self) -> int:
        if self._ray is None:
            return self._settings.workers
        return max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    def start(self) -> None:
        if self._ray is not None:
            return
        os.environ.update(_SETTINGS)
        import ray

        if ray.is_initialized():
            raise UsageError(
                "--runner ray: this process uses Ray already.",
                hint="Scan from a process of its own; a task of yours may be one.",
            )
        with _kept_sigterm():
            if self._settings.address is None:
                self._start_cluster(ray)
            else:
                _connect(ray, self._settings.address)
        self._ray = ray
        self._remote = ray.remote(_perform).options(
            num_returns="streaming", max_retries=0, num_cpus=1
        )
        if ray.cluster_resources().get("CPU", 0) < 1:
            raise StoreUnreachableError(
                f"--ray-address {self._settings.address}: the cluster has no processor.",
                hint="Start its workers.",
            )

    def _start_cluster(self, ray: Any) -> None:
        """A cluster on the loopback address, its files in a folder that goes with it."""
        self._folder = Path(tempfile.mkdtemp(prefix="gd-ray-", dir=_short_folder()))
        try:
            ray.init(
                address="local",
                num_cpus=self._settings.workers,
                num_gpus=0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                object_store_memory=max(self._settings.store_bytes, _SMALLEST_STORE_BYTES),
                _temp_dir=str(self._folder),
                _node_ip_address="127.0.0.1",
            )
        except BaseException as error:
            ray.shutdown()
            shutil.rmtree(self._folder, ignore_errors=True)
            if not isinstance(error, Exception):
                raise
            # Ray raises all kinds, a plain Exception where a process of it does not come up.
            raise StoreUnreachableError(
                f"--runner ray: no cluster could be started here: {_first_line(error)}",
                hint="Scan with --runner local, or name a cluster with --ray-address.",
            ) from error

    def run(
        self, function: Function[Task], tasks: Iterable[Task], receive: Receive[Result]
    ) -> Iterator[Outcome[Task, Result]]:
        self.start()
        flights: dict[Any, _Flight] = {}
        waiting, again = iter(tasks), deque[_Flight]()
        room = self.workers * _QUEUED_A_WORKER
        try:
            while True:
                while len(flights) < room and (flight := _next(waiting, again)) is not None:
                    flight.pieces = self._remote.remote(function, flight.task)
                    flights[flight.pieces.completed()] = flight
                if not flights:
                    return
                for ended in self._wait(list(flights)):
                    flight = flights.pop(ended)
                    outcome = self._outcome(ended, flight, receive)
                    if outcome is None:
                        again.append(flight)
                    else:
                        yield outcome
        finally:
            for flight in flights.values():
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.cancel(flight.pieces, force=True)

    def _wait(self, flying: list[Any]) -> list[Any]:
        """Those that ended, one at least.

        Sleeps here, because Ray turns what a signal raises while it waits into KeyboardInterrupt,
        and SIGTERM would end the program as Ctrl-C does.
        """
        pause = _SHORTEST_PAUSE_SECONDS
        while True:
            done, _ = self._ray.wait(flying, num_returns=len(flying), timeout=0)
            if done:
                return list(done)
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _outcome(
        self, ended: Any, flight: _Flight, receive: Receive[Result]
    ) -> Outcome[Any, Result] | None:
        """What became of it; None when it has to be begun again."""
        errors = self._ray.exceptions
        try:
            self._ray.get(ended)
            return Outcome(task=flight.task, result=receive(self._pieces(flight)))
        except GreendataError as error:
            return Outcome(task=flight.task, error=error)
        except errors.RayTaskError as error:
            cause = _cause(error)
            if isinstance(cause, MemoryError):
                return self._lost(flight, _first_line(cause), is_memory=True)
            raise cause from error
        except errors.OutOfMemoryError as error:
            return self._lost(flight, _first_line(error), is_memory=True)
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            return self._lost(flight, _first_line(error), is_memory=False)
        except errors.RayError as error:
            raise StoreUnreachableError(
                f"the Ray cluster failed: {_first_line(error)}",
                hint="Run again: what is finished is not done twice.",
            ) from error

    def _pieces(self, flight: _Flight) -> Iterator[Any]:
        """What the task yielded, one piece in memory at a time.

        Raises:
            GreendataError: the task's own.
        """
        for reference in flight.pieces:
            piece = self._ray.get(reference)
            del reference
            if isinstance(piece, _Failed):
                raise piece.error
            if isinstance(piece, Usage):
                self.cpu_seconds += piece.cpu_seconds
                self.peak_rss_bytes = max(self.peak_rss_bytes, piece.peak_rss_bytes)
            else:
                yield piece

    def _lost(self, flight: _Flight, detail: str, *, is_memory: bool) -> Outcome[Any, Any] | None:
        flight.attempt += 1
        what = "was out of memory" if is_memory else "died"
        if flight.attempt < ATTEMPTS:
            self._warn(f"A Ray worker {what}; its work is begun again. ({detail})")
            return None
        message = f"a Ray worker {what} {ATTEMPTS} times at the same work: {detail}"
        kind = WorkerMemoryError if is_memory else WorkerLostError
        hint = (
            "Give the workers more memory, or fewer processors to each machine."
            if is_memory
            else "Ray's own logs on the worker's machine say more."
        )
        return Outcome(task=flight.task, error=kind(message, hint=hint))

    def sees(self, folder: Path) -> bool:
        self.start()
        token = folder / f"seen-{uuid.uuid4().hex}"
        token.touch()
        try:
            return all(self._ray.get([exists.remote(str(token)) for exists in self._nodes()]))
        finally:
            token.unlink()

    def _nodes(self) -> Iterator[Any]:
        """``_exists`` on every machine that has a processor."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1:
                where = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
                yield self._ray.remote(_exists).options(num_cpus=0, scheduling_strategy=where)

    def close(self) -> None:
        if self._ray is not None:
            with _kept_sigterm():
                self._ray.shutdown()
            self._ray = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


@dataclass(slots=True)
class _Flight:
    """A task, and what it hands over; ``attempt`` counts those that were lost."""

    task: Any
    pieces: Any = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error of this program, which ends a task well as far as Ray is concerned."""

    error: GreendataError


def _perform(function: Function[Any], task: Any) -> Iterator[Any]:
    """In the worker: the task's pieces, then how it ended."""
    meter = UsageMeter()
    try:
        for piece in function(task):  # noqa: UP028 - Ray sends into what it iterates over
            yield piece
    except GreendataError as error:
        yield _Failed(error)
    yield meter.read()


def _exists(path: str) -> bool:
    return Path(path).exists()


def _next(waiting: Iterator[Any], again: deque[_Flight]) -> _Flight | None:
    if again:
        return again.popleft()
    for task in waiting:
        return _Flight(task)
    return None


def check_ray(address: str | None) -> None:
    """Fail before anything is listed where Ray cannot be used.

    Raises:
        ExtraMissingError: it is not installed.
        UsageError: not an address.
        StoreUnreachableError: nobody listens there.
    """
    if importlib.util.find_spec("ray") is None:
        raise ExtraMissingError(
            "--runner ray: the package ray is not installed.", hint=f"Install it: {INSTALL}"
        )
    if address is None or address == "auto":
        return
    host, separator, port = address.rpartition(":")
    if not separator or "/" in address or not port.isdigit():
        raise UsageError(
            f"--ray-address: {address!r} is neither HOST:PORT nor auto.",
            hint="Run the scan on a machine of the cluster; ray:// addresses are not supported.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, _first_line(error)) from error


def _connect(ray: Any, address: str) -> None:
    """Join a cluster; a child tries first, because a wrong address would hold this process up."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        detail = f"what listens there is no Ray cluster that answers in {ANSWER_SECONDS:.0f} s"
        raise _no_answer(address, detail) from error
    if tried.returncode != 0:
        raise _no_answer(address, (tried.stderr.strip().splitlines() or ["no reason given"])[-1])
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        told = ray.get(ray.remote(_version).options(num_cpus=0).remote())
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise _no_answer(address, _last_line(error)) from error
    if told != _version():
        raise StoreUnreachableError(
            f"--ray-address {address}: its workers have greendata {told}, not {_version()}.",
            hint="Install the same version on every machine of the cluster.",
        )


def _version() -> str:
    return f"{greendata.__version__} on Python {sys.version_info.major}.{sys.version_info.minor}"


def _no_answer(address: str, detail: str) -> StoreUnreachableError:
    return StoreUnreachableError(
        f"--ray-address {address}: no Ray cluster answers: {detail}",
        hint="Check the address (`ray status`), and that this machine belongs to the cluster.",
    )


def _short_folder() -> str | None:
    """Where Ray's sockets can be, whose paths may have 107 bytes, of which Ray's names take 79."""
    is_long = len(os.fsencode(tempfile.gettempdir())) > _LONGEST_FOLDER
    return "/tmp" if is_long else None  # noqa: S108 - mkdtemp makes a folder of its own there


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Ray puts a handler of its own in the place of the program's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cause(error: Any) -> BaseException:
    cause = error.cause
    return cause if isinstance(cause, BaseException) else RuntimeError(str(error))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
