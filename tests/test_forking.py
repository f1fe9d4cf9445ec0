from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.forking import run_forked, server, start_forked

PROGRAM = """
import os, signal, sys, tempfile, time, warnings
print(__name__, sys.argv[1:], os.getcwd(), sorted(os.environ), tempfile.gettempdir())
print("told", file=sys.stderr)
match sys.argv[1]:
    case "exit": sys.exit(7)
    case "raise": raise ValueError("on purpose")
    case "warn": warnings.warn("on purpose")
    case "kill": os.kill(os.getpid(), signal.SIGKILL)
    case "sleep": time.sleep(60)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """In which ``program`` is a module."""
    (tmp_path / "program.py").write_text(PROGRAM)
    return {"TMPDIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}


def test_a_forked_program_has_its_own_arguments_environment_folder_and_streams(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = run_forked("program", "a", tmp_path, environment=environment, folder=tmp_path)
    folder = str(tmp_path)
    told = ["__main__", ["a", folder], folder, ["PYTHONPATH", "TMPDIR"], folder]
    assert (done.returncode, done.stdout) == (0, " ".join(map(str, told)) + "\n")
    assert done.stderr == "told\n"


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [("exit", 7, ""), ("raise", 1, "ValueError: on purpose"), ("kill", -signal.SIGKILL, "")],
)
def test_how_a_forked_program_ended_is_told(
    environment: dict[str, str], how: str, code: int, told: str
) -> None:
    done = run_forked("program", how, environment=environment)
    assert done.returncode == code
    assert told in done.stderr


def test_warnings_of_a_forked_program_can_be_errors(environment: dict[str, str]) -> None:
    assert run_forked("program", "warn", environment=environment).returncode == 0
    strict = environment | {"PYTHONWARNINGS": "error"}
    assert run_forked("program", "warn", environment=strict).returncode == 1


def test_a_forked_program_gets_signals_and_does_not_outlive_its_time(
    environment: dict[str, str],
) -> None:
    child = start_forked("program", "sleep", environment=environment)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    assert child.returncode == -signal.SIGTERM
    with pytest.raises(subprocess.TimeoutExpired):
        run_forked("program", "sleep", environment=environment, timeout=0.2)


def test_a_forked_program_can_have_others_forked(environment: dict[str, str]) -> None:
    asking = """if True:
        import os, tests.forking as f
        print(f.run_forked("program", "exit", environment=os.environ))
    """
    done = run_forked("-c", asking, environment=environment)
    assert "returncode=7" in done.stdout, done.stderr


def test_scripts_and_programs_in_the_arguments_are_run(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "script.py").write_text("import sys, program\nprint(sys.argv, sys.path[0])")
    done = run_forked(str(tmp_path / "script.py"), "a", environment={})
    assert done.stdout.endswith(f"['{tmp_path}/script.py', 'a'] {tmp_path}\n"), done.stderr
    done = run_forked("-c", "import sys; print(sys.argv)", "a", environment=environment)
    assert done.stdout == "['-c', 'a']\n"


def test_what_a_forked_program_used_is_told(environment: dict[str, str]) -> None:
    work = "b = bytearray(400_000_000); import time\nwhile time.process_time() < 0.3: pass"
    child = start_forked("-c", work, environment=environment)
    child.communicate()
    assert child.cpu_seconds >= 0.3
    assert child.peak_rss_bytes >= 400_000_000


def test_the_server_has_no_thread_that_a_fork_would_lose() -> None:
    run_forked("greendata", "--version", environment={})
    tasks = Path(f"/proc/{server().pid}/task").glob("*/comm")
    names = [path.read_text().strip() for path in tasks]
    # pyarrow's allocator has threads, and starts them anew in a fork
    assert [name for name in names if name != "jemalloc_bg_thd"] == ["python"]


def test_programs_that_ended_leave_nothing_behind(environment: dict[str, str]) -> None:
    handles = Path(f"/proc/{server().pid}/fd")
    run_forked("program", "exit", environment=environment)
    before = len(list(handles.iterdir()))
    run_forked("program", "exit", environment=environment)
    assert len(list(handles.iterdir())) == before
