"""Who is at work: this process, and whether another one on this machine is still alive."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 22
"""Of ``/proc/PID/stat``, from 1 (proc(5)): clock ticks since the machine started."""

_ENDED = ("Z", "X")


def seconds_since_boot() -> float:
    """Goes on while the machine sleeps and while this process is stopped; nobody can set it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def this_process() -> dict[str, Any]:
    """What names this process: owner, host, boot, process namespace, number and start."""
    return {
        "owner": _owner(),
        "host": socket.gethostname(),
        "boot_id": _boot_id(),
        "pid_namespace": _namespace("pid"),
        "time_namespace": _namespace("time"),
        "pid": os.getpid(),
        "process_started": _started(os.getpid())[1],
    }


def is_same_boot(process: Mapping[str, Any]) -> bool:
    """Whether its ``seconds_since_boot`` is ours: the same machine, not started anew."""
    return (
        process.get("boot_id") is not None
        and process.get("boot_id") == _boot_id()
        and process.get("time_namespace") == _namespace("time")
    )


def is_dead(process: Mapping[str, Any]) -> bool:
    """Whether a process is certainly not there any more.

    Only one of this machine and of this namespace of process numbers can be looked at: in another
    container the same number is another process.
    """
    here = is_same_boot(process) and process.get("pid_namespace") == _namespace("pid")
    pid = process.get("pid")
    if not here or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it is there, and somebody else's
        pass
    state, started = _started(pid)
    if started is None:
        return False
    return state in _ENDED or started != process.get("process_started")


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return None


def _namespace(kind: str) -> str | None:
    try:
        return os.readlink(f"/proc/self/ns/{kind}")
    except OSError:
        return None


def _started(pid: int) -> tuple[str, int | None]:
    """State and start of a process; the start is None where it cannot be seen."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return "", None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], int(fields[_START_FIELD - 3])
