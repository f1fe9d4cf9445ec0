"""Processes of the program: killed at any moment, stopped, two at once, without a disk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greendata.cli.boundary import run
from greendata.jobs import doctor
from tests.forking import Forked, start_forked

POLICY = """\
version: 1
policies:
  - name: copies
    all: true
    action: {quarantine: {grace_days: 30}}
"""
_COPIES = 30
_REPOSITORY = str(Path(__file__).resolve().parents[3])


class Place:
    """Thirty equal objects and ten others, planned; every content is known."""

    uri: str
    folder: Path

    def plan(self, folder: Path, settings: str) -> None:
        """List, read and plan what the place has."""
        self.folder = folder
        (folder / "greendata.yaml").write_text(f"limits: {{max_percent: 100}}\n{settings}")
        (folder / "p.yaml").write_text(POLICY)
        assert run(["inventory", self.uri, "--verify-bytes"]) == 0
        assert run(["plan", "p.yaml", "-o", "plan"]) == 0
        if "://" in self.uri:
            assert run(["doctor", self.uri]) in (0, 33)  # so that nothing else need probe it

    def contents(self) -> dict[str, bytes]:
        """What people see, by name."""
        raise NotImplementedError

    def hidden(self) -> list[bytes]:
        """What is in quarantine."""
        raise NotImplementedError

    def start(self, *arguments: str) -> Forked:
        """A process of the program."""
        return start_forked("greendata", *arguments, environment=os.environ, folder=self.folder)

    def segments(self, part: str = "apply") -> list[Path]:
        """Of all journals of a part of runs."""
        return sorted((self.folder / ".greendata").glob(f"runs/*/{part}/*.jsonl"))

    def noted(self, part: str) -> int:
        """Actions whose outcome is in the journal."""
        lines = [line for path in self.segments(part) for line in path.read_text().splitlines()]
        records = [json.loads(line[9:]) for line in lines]
        return len({record["id"] for record in records if record["type"] == "outcome"})


def objects() -> dict[str, bytes]:
    same = b'{"text": "the same words in every one"}\n' * 20
    copies = {f"copy-{number:02}.jsonl": same for number in range(_COPIES)}
    others = {f"other-{n}.jsonl": b'{"text": "others, %d"}\n' % n for n in range(10)}
    return copies | others


class Folder(Place):
    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        for name, content in objects().items():
            (self.data / name).write_bytes(content)
        self.uri = "data"
        self.plan(folder, "")

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.data.iterdir() if path.is_file()}

    def hidden(self) -> list[bytes]:
        found = (self.data / ".greendata" / "quarantine").rglob("*.jsonl")
        return [path.read_bytes() for path in found if path.is_file()]


class Bucket(Place):
    def __init__(self, folder: Path, client: Any, bucket: str) -> None:
        self.client, self.bucket = client, bucket
        for name, content in objects().items():
            client.put_object(Bucket=bucket, Key=f"data/{name}", Body=content)
        self.uri = f"s3://{bucket}/data/"
        self.plan(
            folder,
            f"stores: [{{match: 's3://{bucket}/', exclusive_writer: true}}]\n"
            f"datasets: [{{name: d, prefixes: ['s3://{bucket}/data'], region: us-east-1}}]\n",
        )

    def contents(self) -> dict[str, bytes]:
        return self._below("data/")

    def hidden(self) -> list[bytes]:
        return list(self._below(".greendata/quarantine/").values())

    def _below(self, prefix: str) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        return {
            entry["Key"].rpartition("/")[2]
            if prefix == "data/"
            else entry["Key"]: self.client.get_object(Bucket=self.bucket, Key=entry["Key"])[
                "Body"
            ].read()
            for entry in found
        }


class Container(Place):
    def __init__(self, folder: Path, connection: str, container: str) -> None:
        from azure.storage.blob import ContainerClient

        name = container.partition("@")[0]
        self.client = ContainerClient.from_connection_string(connection, name)
        for blob, content in objects().items():
            self.client.upload_blob(f"data/{blob}", content)
        self.uri = f"az://{container}/data/"
        self.plan(folder, f"datasets: [{{name: d, prefixes: ['{self.uri}'], region: westus}}]\n")

    def contents(self) -> dict[str, bytes]:
        return {name.rpartition("/")[2]: found for name, found in self._below("data/").items()}

    def hidden(self) -> list[bytes]:
        return list(self._below(".greendata/quarantine/").values())

    def _below(self, prefix: str) -> dict[str, bytes]:
        names = list(self.client.list_blob_names(name_starts_with=prefix))
        return {name: self.client.download_blob(name).readall() for name in names}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    yield tmp_path
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_races(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LARGE_ROUNDS", 0)


def wait_for(process: Forked, place: Place, segments: int) -> None:
    """Until the journal has more segments than that, or the process ended."""
    until = time.monotonic() + 60
    while process.poll() is None and len(place.segments()) <= segments:
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.002)


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    code = run([*arguments, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    found: dict[str, Any] = json.loads(captured.out)
    return found


def kill_at_work(place: Place, part: str, *arguments: str) -> None:
    """Kill it when some actions are done and others are not, and look at every object."""
    before = place.noted(part)
    process = place.start(*arguments, "--yes", "--rate", "20", "--workers", "2")
    until = time.monotonic() + 60
    while process.poll() is None and place.noted(part) == before:
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.002)
    process.kill()
    _, words = process.communicate()
    assert process.returncode == -signal.SIGKILL, words
    assert before < place.noted(part) < _COPIES - 1
    known, seen, hidden = objects(), place.contents(), place.hidden()
    assert set(seen) <= set(known)
    assert all(content == known[name] for name, content in seen.items())
    assert len(seen) + len(hidden) >= len(known)
    assert known["copy-00.jsonl"] in seen.values()


def kill_and_go_on(
    place: Place, capsys: pytest.CaptureFixture[str], *, applies: int, undos: int
) -> None:
    """Killed so often, gone on with, shown, taken back: every byte is where it was."""
    before = place.contents()
    assert before == objects()
    for _ in range(applies):
        kill_at_work(place, "apply", "apply", "plan")
    found = answered(capsys, "apply", "plan", "--yes")
    assert (found["state"], found["done"]) == ("finished", _COPIES - 1)
    assert len(place.contents()) == len(before) - _COPIES + 1
    assert len(place.hidden()) == _COPIES - 1
    shown = answered(capsys, "runs", "show", found["run_id"])
    assert json.dumps(shown).count('"failed": 0')
    for _ in range(undos):
        kill_at_work(place, "undo", "undo", found["run_id"])
    undone = answered(capsys, "undo", found["run_id"], "--yes")
    assert (undone["state"], undone["done"]) == ("undone", _COPIES - 1)
    assert place.contents() == before
    assert place.hidden() == []


@pytest.mark.slow
def test_killed_four_times_on_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kill_and_go_on(Folder(folder), capsys, applies=2, undos=2)


@pytest.mark.slow
@pytest.mark.usefixtures("small_races")
def test_killed_two_times_on_a_bucket(
    folder: Path, s3: Any, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kill_and_go_on(Bucket(folder, s3, bucket), capsys, applies=1, undos=1)


@pytest.mark.slow
@pytest.mark.usefixtures("small_races")
def test_killed_two_times_on_a_container(
    folder: Path, azure_connection: str, container: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kill_and_go_on(Container(folder, azure_connection, container), capsys, applies=1, undos=1)


@pytest.mark.slow
def test_of_two_at_once_one_is_refused_and_a_stopped_one_changes_nothing_later(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Folder(folder)
    before = place.contents()
    first = place.start("apply", "plan", "--yes", "--rate", "8", "--workers", "1")
    wait_for(first, place, 1)
    first.send_signal(signal.SIGSTOP)
    assert run(["apply", "plan", "--yes"]) == 40
    assert f"process {first.pid}" in capsys.readouterr().err
    found = answered(capsys, "apply", "plan", "--yes", "--break-lease")
    assert (found["state"], found["done"]) == ("finished", _COPIES - 1)
    after = place.contents(), sorted(place.hidden())
    first.send_signal(signal.SIGCONT)
    _, words = first.communicate(timeout=60)
    assert first.returncode in (3, 40), words
    assert (place.contents(), sorted(place.hidden())) == after
    again = answered(capsys, "apply", "plan", "--yes")
    assert (again["state"], again["done"], again["failed"]) == ("finished", _COPIES - 1, 0)
    answered(capsys, "undo", found["run_id"], "--yes")
    assert place.contents() == before


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_words_and_loses_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Folder(folder)
    before = place.contents()

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    full = subprocess.run(
        [sys.executable, "-m", "greendata", "apply", "plan", "--yes"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": _REPOSITORY},
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=no_room,
    )
    assert full.returncode not in (0, 70), full.stdout + full.stderr
    assert "Traceback" not in full.stderr
    seen = place.contents()
    assert len(seen) + len(place.hidden()) >= len(before)
    found = answered(capsys, "apply", "plan", "--yes")
    assert (found["state"], found["done"]) == ("finished", _COPIES - 1)
    answered(capsys, "undo", found["run_id"], "--yes")
    assert place.contents() == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["torn", "missing", "all", "flipped"])
def test_a_journal_that_is_damaged_is_named_and_nothing_is_lost(
    folder: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    place = Folder(folder)
    before = place.contents()
    process = place.start("apply", "plan", "--yes", "--rate", "40", "--workers", "1")
    wait_for(process, place, 6)
    process.kill()
    process.communicate()
    segments = place.segments()
    assert len(segments) > 5
    content = segments[3].read_bytes()
    if damage == "torn":
        segments[3].write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        segments[3].write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    elif damage == "missing":
        segments[3].unlink()
    else:
        for path in segments:
            path.unlink()
    capsys.readouterr()
    code = run(["apply", "plan", "--yes", "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    found = json.loads(captured.out)
    assert (found["state"], found["failed"]) == ("finished", 0)
    assert "looking at every object" in captured.err
    assert len(place.contents()) == len(before) - _COPIES + 1
    assert len(place.hidden()) == _COPIES - 1
    answered(capsys, "undo", found["run_id"], "--yes")
    assert place.contents() == before
