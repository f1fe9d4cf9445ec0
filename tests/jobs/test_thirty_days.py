"""Thirty nights on a clock of their own, with everything that goes wrong in a month."""

from __future__ import annotations

import json
import os
import random
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import PolicyError
from greendata.jobs import parts
from greendata.jobs.audit import AuditRequest, audit
from greendata.progress import Progress
from greendata.stores.local import path_to_uri
from tests.forking import start_forked
from tests.jobs.dying_pass import night

START = datetime(2026, 3, 1, 1, 30, tzinfo=UTC)
NIGHTS = 30
GRACE_DAYS = 5
KILLED = {4: 6, 11: 9, 12: 12, 20: 15, 27: 18}
"""Nights on which the pod is killed, at which write: of leases, journals, pins and state."""
FAILED = 8
POLICY = """\
version: 1
policies:
  - name: copies
    scope: {prefixes: ["DATA/crawl/"]}
    where: verified_copies >= 1
    action: {quarantine: {grace_days: GRACE}}
  - name: scratch
    scope: {prefixes: ["DATA/scratch/"]}
    where: age_days >= 3
    guard: {unattended: true}
    action: {expire: {grace_days: GRACE}}
"""


@dataclass(slots=True)
class Month:
    """The folder, who writes to it, and what must be there."""

    place: Path
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    written: dict[str, bytes] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    kills: int = 0
    taken_by_others: set[bytes] = field(default_factory=set)

    @property
    def data(self) -> Path:
        return self.place / "data"

    def set_policies(self) -> None:
        text = POLICY.replace("DATA", path_to_uri(str(self.data)))
        (self.place / "policies/p.yaml").write_text(text.replace("GRACE", str(GRACE_DAYS)))

    def write(self, name: str, content: bytes, at: datetime) -> None:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + "~")
        partial.write_bytes(content)
        os.utime(partial, (at.timestamp(), at.timestamp()))
        if path.exists():
            self.taken_by_others.add(path.read_bytes())
        partial.replace(path)
        self.written[name] = content

    def live(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.data)): path.read_bytes()
            for path in self.data.rglob("*")
            if path.is_file() and ".greendata" not in path.parts
        }

    def held(self) -> list[bytes]:
        return [
            path.read_bytes()
            for path in (self.data / ".greendata/quarantine").rglob("*")
            if path.is_file() and path.name != "write.lock"
        ]

    def day(self, number: int, at: datetime) -> None:
        """What others do: new files, copies, changes, deletions, a name that comes again."""
        self.write(f"crawl/{number}.txt", f"text of day {number}\n".encode() * 20, at)
        self.write(f"scratch/{number}.txt", f"scratch of day {number}\n".encode(), at)
        others = sorted(name for name in self.live() if name.startswith("crawl/"))
        if number % 2:
            copied = self.chance.choice(others)
            self.write(f"crawl/copy-{number}.txt", (self.data / copied).read_bytes(), at)
        if number % 5 == 3:
            self.write(self.chance.choice(others), f"changed on day {number}\n".encode(), at)
        if number % 7 == 6:
            name = self.chance.choice(others)
            self.taken_by_others.add((self.data / name).read_bytes())
            (self.data / name).unlink()
            self.written.pop(name, None)
        gone = sorted(set(self.written) - set(self.live()))
        if gone and number % 6 == 5:  # somebody wants a name again that is in quarantine
            self.write(gone[0], f"again on day {number}\n".encode(), at)

    def pass_night(self, number: int, at: datetime) -> None:
        """One pass, killed or not, and once more after it was killed."""
        request = {
            "policies": [str(self.place / "policies")],
            "catalog": str(self.place / "catalog"),
            "uris": [path_to_uri(str(self.data))],
            "forecast": str(self.place / "forecast.csv"),
            "purges": number % 3 == 0,
        }
        if number == FAILED:
            (self.place / "policies/p.yaml").write_text("version: 1\npolicies: nonsense\n")
            with pytest.raises(PolicyError):
                night(at, request)
            self.set_policies()
            return
        if number in KILLED:
            self._be_killed(at, request, KILLED[number])
            self.check(at)
            at += timedelta(minutes=10)
        live = set(self.live().values())
        last = {body for body in self.held() if body not in live and b"scratch" not in body}
        self.answers.append(night(at, request))
        assert last <= {*self.held(), *self.live().values()}, "the last copy was purged"

    def _be_killed(self, at: datetime, request: dict[str, Any], count: int) -> None:
        program = start_forked(
            "tests.jobs.dying_pass",
            at.isoformat(),
            "greendata.stores.local:LocalStore.put",
            str(count),
            json.dumps(request),
            environment=dict(os.environ),
        )
        _, errors = program.communicate(timeout=120)
        assert program.returncode in (0, -signal.SIGKILL), errors
        self.kills += program.returncode != 0

    def check(self, at: datetime) -> None:
        """Nobody's bytes are lost, and what others wrote is never touched."""
        live = self.live()
        held = self.held()
        for name, content in self.written.items():
            if name in live:
                assert live[name] == content, f"{at}: {name} was changed"
            elif name.startswith("scratch/"):
                day = int(name.removeprefix("scratch/").removesuffix(".txt"))
                age = (at - START).days - day
                assert content in held or age >= 3 + GRACE_DAYS, f"{at}: {name} went too early"
            else:
                is_kept = content in live.values() or content in held
                assert is_kept or content in self.taken_by_others, f"{at}: {name} is nowhere"


@pytest.mark.slow
def test_a_month_of_nights_ends_with_nothing_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parts, "now_utc", parts.now_utc)  # given back at the end
    (tmp_path / "policies").mkdir()
    rows = [
        f"{(START + timedelta(hours=hour)).isoformat()},{300 + 200 * (hour % 24 < 3)}"
        for hour in range(-24, 24 * (NIGHTS + 3))
    ]
    (tmp_path / "forecast.csv").write_text(
        "starts_at,intensity_gco2e_per_kwh\n" + "\n".join(rows) + "\n"
    )
    month = Month(tmp_path)
    month.set_policies()
    for number in range(NIGHTS):
        at = START + timedelta(days=number)
        month.day(number, at - timedelta(hours=6))
        month.pass_night(number, at)
        month.check(at)
    answers = month.answers
    assert len(answers) == NIGHTS - 1
    assert month.kills >= 3
    assert sum(answer["done"] for answer in answers) > 25
    assert sum(answer["purged"] or 0 for answer in answers) > 15
    assert any(answer["settled"] for answer in answers)
    assert any(answer["waited_seconds"] > 0 for answer in answers)
    found = audit(
        AuditRequest(catalog=str(tmp_path / "catalog"), is_full=True),
        now=START + timedelta(days=NIGHTS),
        progress=Progress(),
    )
    # others changed or removed some copies that stand for what waits in quarantine
    assert {finding.problem for finding in found.findings} <= {
        "survivor-changed", "survivor-missing",
    }  # fmt: skip
