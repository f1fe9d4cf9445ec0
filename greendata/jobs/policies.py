"""``greendata policy check, test, explain, schema``: review tools for policy files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greendata.config import CONFIG_NAME, DatasetSettings, StoreSettings
from greendata.errors import ObjectNotFoundError, PolicyError, UsageError
from greendata.jobs.results import MEMORY_BYTES
from greendata.model import SCHEMA_VERSION
from greendata.policy.cases import SUFFIX, read_cases, run_cases
from greendata.policy.document import PolicySet, read_policies
from greendata.policy.review import review
from greendata.policy.text import LARGEST_FILE_BYTES
from greendata.policy.verdicts import UNION_COUNTRIES, DatasetRules, Surroundings
from greendata.sql import temporary_duckdb
from greendata.stores.opening import normalise_uri

if TYPE_CHECKING:
    from greendata.policy.review import Finding

ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCheck:
    """What ``policy check`` found in files that are right."""

    files: tuple[str, ...]
    policies: tuple[str, ...]
    cases: int
    digest: str
    findings: tuple[Finding, ...]
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``policy check --json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """One case of a file; without failures it passed."""

    file: str
    name: str
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTest:
    """All cases; ``untested`` are policies that no case ever sees decide or protect."""

    cases: tuple[CaseReport, ...]
    failed: int
    untested: tuple[str, ...]
    without_cases: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``policy test --json``."""
        return asdict(self)


def policy_files(paths: Sequence[str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Policy files and files of cases that are named, or stand in folders that are.

    A file of cases brings the policies beside it, and these their cases.

    Raises:
        UsageError: nothing there.
    """
    named: list[Path] = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _is_policy_name(p) and p.is_file())
            if not inside:
                raise UsageError(f"{text}: no .yaml file in this folder")
            named += inside
        elif path.exists():
            named.append(path)
        else:
            raise ObjectNotFoundError(f"{text}: no such file", hint="Name policy files or folders.")
    policies = dict.fromkeys(_policies_of(path) for path in named)
    for path in policies:
        if not path.exists():
            raise ObjectNotFoundError(f"{path}: no such file, but cases for it")
    cases = [path for path in map(cases_of, policies) if path.exists()]
    return tuple(policies), tuple(cases)


def _is_policy_name(path: Path) -> bool:
    is_hidden = path.name.startswith(".")
    return path.suffix in ENDINGS and path.name != CONFIG_NAME and not is_hidden


def cases_of(path: Path) -> Path:
    """Where the cases of a policy file stand."""
    return path.with_name(path.stem + SUFFIX)


def _policies_of(path: Path) -> Path:
    if not path.name.endswith(SUFFIX):
        return path
    stem = path.name.removesuffix(SUFFIX)
    found = [path.with_name(stem + ending) for ending in ENDINGS]
    return next((other for other in found if other.exists()), found[0])


def load_policies(paths: Sequence[str]) -> PolicySet:
    """All policies of these files and folders, as one set.

    Raises:
        PolicyError: a mistake in any of them.
    """
    policies, _ = policy_files(paths)
    return read_policies((str(path), read_bounded(path)) for path in policies)


def check_policies(paths: Sequence[str]) -> PolicyCheck:
    """Read policies and their cases, and look for what cannot be meant.

    Raises:
        PolicyError: a mistake in any file; the message lists all.
    """
    files, cases = policy_files(paths)
    policies = load_policies(paths)
    number = 0
    mistakes = []
    for path in cases:
        try:
            beside = read_policies([_named(_policies_of(path))])
            number += len(read_cases(str(path), read_bounded(path), beside).rows)
        except PolicyError as error:
            mistakes.append(error.message)
    if mistakes:
        raise PolicyError("\n".join(mistakes))
    return PolicyCheck(
        files=tuple(map(str, files)),
        policies=tuple(entry.name for entry in policies.policies),
        cases=number,
        digest=policies.digest,
        findings=review(policies),
    )


def run_policy_cases(paths: Sequence[str]) -> PolicyTest:
    """Run the cases beside each of the policy files.

    Raises:
        PolicyError: a file is wrong.
    """
    files, _ = policy_files(paths)
    reports: list[CaseReport] = []
    untested: list[str] = []
    bare = [str(path) for path in files if not cases_of(path).exists()]
    with temporary_duckdb("cases", memory_bytes=MEMORY_BYTES, threads=1) as connection:
        for path in files:
            policies = read_policies([_named(path)])
            if not cases_of(path).exists():
                continue
            cases = read_cases(*_named(cases_of(path)), policies)
            seen: set[str] = set()
            for result in run_cases(connection, policies, cases):
                seen |= result.decided_by
                reports.append(
                    CaseReport(
                        file=cases.file.name, name=result.name, failures=tuple(result.failures)
                    )
                )
            untested += [e.name for e in policies.policies if e.name not in seen]
    return PolicyTest(
        cases=tuple(reports),
        failed=sum(bool(report.failures) for report in reports),
        untested=tuple(untested),
        without_cases=tuple(bare),
    )


def surroundings(
    as_of: datetime, *, stores: Sequence[StoreSettings], datasets: Sequence[DatasetSettings]
) -> Surroundings:
    """What decisions depend on besides policies and inventory, from the configuration."""
    return Surroundings(
        as_of=as_of,
        normalise=lambda uri: normalise_uri(uri, stores),
        datasets={
            entry.name: DatasetRules(
                readers=entry.readers,
                retention_min_days=(entry.retention or {}).get("min_days", 0),
            )
            for entry in datasets
        },
        areas=_areas(),
    )


def _areas() -> dict[str, str]:
    """``eu`` and ``us`` for the regions that are there, whatever the provider calls them."""
    from greendata.footprint.tables import rows_of

    countries = dict.fromkeys(UNION_COUNTRIES, "eu") | {"USA": "us"}
    return {
        region: countries[row["country"]]
        for (_, region), row in rows_of("regions").items()
        if row["country"] in countries
    }


def _named(path: Path) -> tuple[str, bytes]:
    return str(path), read_bounded(path)


def read_bounded(path: Path) -> bytes:
    """The file's content, no more of it than the reader's limit can tell.

    Raises:
        ObjectNotFoundError: it is not there.
        PolicyError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ObjectNotFoundError(f"{path}: no such file") from error
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from error
