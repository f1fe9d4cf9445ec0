"""Python programs in processes of their own that start with the libraries loaded.

Each run of ``python -m greendata`` spends about a second of processor time on loading, and the
tests start hundreds. Here one server loads everything once and forks itself for each program, with
that program's arguments, environment, folder and streams. It has no thread that a fork would lose
(``test_forking.py``), and ends when the socket to the process of the tests closes. Its programs may
ask it for others.

``python -m tests.forking FD`` is the server.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).parents[1]
_LARGEST_REQUEST = 1 << 20
_LOADED = (
    "azure.identity",
    "azure.storage.blob",
    "boto3",
    "deltalake",
    "duckdb",
    "pyarrow.dataset",
    "pyarrow.parquet",
)


class Forked:
    """A program at work; as ``subprocess.Popen`` with its streams in files."""

    def __init__(self, reply: socket.socket, streams: Sequence[IO[bytes]]) -> None:
        self._reply, self._streams = reply, streams
        (self.pid,) = self._receive()
        self.returncode: int | None = None
        self.cpu_seconds, self.peak_rss_bytes = 0.0, 0

    def _receive(self) -> list[int]:
        told = self._reply.recv(256)
        if not told:
            raise RuntimeError("the server of forked programs died")
        return [int(word) for word in told.split()]

    def send_signal(self, number: int) -> None:
        """Nothing when the program is known to have ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """How it ended, or None while it is at work."""
        if self.returncode is None and not select.select([self._reply], [], [], 0)[0]:
            return None
        return self.wait()

    def wait(self, timeout: float | None = None) -> int:
        """How it ended: the exit code, or the signal's number with a minus."""
        if self.returncode is None:
            self._reply.settimeout(timeout)
            try:
                self.returncode, cpu_microseconds, self.peak_rss_bytes = self._receive()
                self.cpu_seconds = cpu_microseconds / 1e6
            except TimeoutError as error:
                self.kill()
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from error
            finally:
                self._reply.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Both streams, after the end."""
        with self._streams[0] as output, self._streams[1] as errors:
            self.wait(timeout)
            return _content(output), _content(errors)


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="surrogateescape")


class Server:
    """What forks; it is asked over a socket."""

    def __init__(
        self, asked: socket.socket, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._socket, self._process, self._lock = asked, process, threading.Lock()
        self.pid = process.pid if process else None

    @classmethod
    def started(cls) -> Server:
        """A new one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # OpenBLAS would start threads
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                cwd=ROOT,
            )
        return cls(ours, process)

    def start(self, request: bytes, output: IO[bytes], errors: IO[bytes]) -> Forked:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its, self._lock:
            handles = [output.fileno(), errors.fileno(), its.fileno()]
            socket.send_fds(self._socket, [request], handles)
        return Forked(mine, (output, errors))

    def close(self) -> None:
        self._socket.close()
        if self._process is not None:
            self._process.wait()


_asked_by_programs: socket.socket | None = None
"""Set in a forked program."""


@cache
def server() -> Server:
    """The one of this process."""
    if _asked_by_programs is not None:
        return Server(_asked_by_programs)
    made = Server.started()
    atexit.register(made.close)
    return made


def start_forked(
    module: str,
    *arguments: Path | str,
    environment: Mapping[str, str],
    folder: Path | None = None,
) -> Forked:
    """``python -m MODULE ARGUMENTS`` in a folder, not waited for.

    ``module`` may also be the path of a script, or ``-c``, and the program the first argument.
    """
    request = {
        "module": module,
        "arguments": [str(argument) for argument in arguments],
        "environment": dict(environment),
        "folder": str(folder or Path.cwd()),
    }
    output = tempfile.TemporaryFile()  # noqa: SIM115 - ``communicate`` closes both
    errors = tempfile.TemporaryFile()  # noqa: SIM115
    return server().start(json.dumps(request).encode(), output, errors)


def run_forked(
    module: str,
    *arguments: Path | str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """``python -m MODULE ARGUMENTS`` in a folder, with all that it said."""
    child = start_forked(module, *arguments, environment=environment, folder=folder)
    output, errors = child.communicate(timeout)
    return subprocess.CompletedProcess([module, *arguments], child.wait(), output, errors)


def load_all() -> None:
    """Import the whole program and what it uses; where there is no machine code yet, it is made."""
    import greendata

    for found in pkgutil.walk_packages(greendata.__path__, "greendata."):
        if found.name != "greendata.__main__":
            with contextlib.suppress(ImportError):  # an extra; who needs it will say so
                importlib.import_module(found.name)
    for name in _LOADED:
        importlib.import_module(name)


def serve(requests: socket.socket) -> None:
    """A process for each request, which starts the program, tells its number and how it ends."""
    global _asked_by_programs
    load_all()
    signal.signal(signal.SIGCHLD, _reap)
    _asked_by_programs, from_programs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    while True:
        asking, _, _ = select.select([requests, from_programs], [], [])
        content, handles, _, _ = socket.recv_fds(asking[0], _LARGEST_REQUEST, 3)
        if not content:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            from_programs.close()
            _attend(json.loads(content), *handles)
        for handle in handles:
            os.close(handle)


def _reap(*_: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(request: dict[str, Any], output: int, errors: int, reply: int) -> NoReturn:
    with socket.socket(fileno=reply) as answers:
        child = os.fork()
        if child == 0:
            answers.close()
            _become(request, output, errors)
        answers.send(str(child).encode())
        _, status, usage = os.wait4(child, 0)
        code, cpu_seconds = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        with contextlib.suppress(OSError):  # nobody waits for the answer
            answers.send(f"{code} {cpu_seconds * 1e6:.0f} {usage.ru_maxrss * 1024}".encode())
    os._exit(0)


def _become(request: dict[str, Any], output: int, errors: int) -> NoReturn:
    code = 1
    try:
        for handle, number in ((output, 1), (errors, 2)):
            os.dup2(handle, number)
            os.close(handle)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        tempfile.tempdir = None
        if os.environ.get("PYTHONWARNINGS") == "error":
            warnings.simplefilter("error")
        _run(request["module"], request["arguments"])
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(module: str, arguments: list[str]) -> None:
    if module == "-c":
        sys.argv = ["-c", *arguments[1:]]
        exec(compile(arguments[0], "<string>", "exec"), vars(sys.modules["__main__"]))
        return
    sys.argv = [module, *arguments]
    if module.endswith(".py"):
        sys.path.insert(0, str(Path(module).parent))
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    from tests import forking  # not this module, which programs do not find by its name

    with socket.socket(fileno=int(sys.argv[1])) as listening:
        forking.serve(listening)
