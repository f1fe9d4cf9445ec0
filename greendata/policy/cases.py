"""Cases beside a policy file: given objects, and what is to be decided of them.

A case fails on a decision that is missing as on one that nobody expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.catalog.traces import KNOWN_TAGS
from greendata.config import did_you_mean
from greendata.errors import PolicyError, UsageError
from greendata.footprint.classes import tier_of
from greendata.policy.columns import VERSION_COLUMNS, VIEW_COLUMNS, Kind
from greendata.policy.document import PolicySet, validated
from greendata.policy.evaluate import compile_policies
from greendata.policy.outcomes import Outcome, outcomes
from greendata.policy.text import Path, YamlFile, read_yaml
from greendata.policy.verdicts import DatasetRules, Surroundings
from greendata.units import parse_bytes

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from greendata.policy.model import Case, CaseDocument, Expected, GivenObject

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
"""The moment of every case: ages are stated, so which one it is makes no difference."""

SUFFIX = ".cases.yaml"
_TABLE = "case_objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCases:
    """A file of cases, and the rows of the inventory that each of them gives."""

    file: YamlFile
    document: CaseDocument
    rows: tuple[tuple[dict[str, Any], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """``failures`` are lines with their places; none: the case passed.

    ``decided_by`` names the policies that decided an object of it, or protected one.
    """

    name: str
    failures: tuple[str, ...]
    decided_by: frozenset[str]


def read_cases(name: str, raw: bytes, policies: PolicySet) -> LoadedCases:
    """The cases of a file that stands beside these policies.

    Raises:
        PolicyError: it is not such a file, or names columns or policies that are not there.
    """
    from greendata.policy.model import CaseDocument

    file = read_yaml(raw, name)
    document: CaseDocument = validated(CaseDocument, file)
    complaints: list[str] = []
    rows = []
    for index, case in enumerate(document.cases):
        path: Path = ("cases", index)
        complaints += _bad_case(file, path, case, policies)
        found = []
        for place, given in zip(_places(file, (*path, "given")), case.objects, strict=True):
            try:
                found.append(_row(file, place, given))
            except PolicyError as error:
                complaints.append(error.message)
        rows.append(tuple(found))
    if complaints:
        raise PolicyError("\n".join(complaints))
    return LoadedCases(file=file, document=document, rows=tuple(rows))


def run_cases(
    connection: DuckDBPyConnection, policies: PolicySet, cases: LoadedCases
) -> Iterator[CaseResult]:
    """Decide every case for itself; the connection's table of cases is replaced."""
    rules = {
        name: DatasetRules(readers=facts.readers, retention_min_days=facts.retention_min_days)
        for name, facts in cases.document.datasets.items()
    }
    around = Surroundings(as_of=AS_OF, datasets=rules)
    compiled = compile_policies(policies, around, source=_TABLE)
    for index, (case, rows) in enumerate(zip(cases.document.cases, cases.rows, strict=True)):
        _create_table(connection, rows)
        found = {(entry.uri, entry.version_id): entry for entry in outcomes(connection, compiled)}
        failures: list[str] = []
        places = _places(cases.file, ("cases", index, "expect"))
        for place, row, expected in zip(places, rows, case.expectations, strict=True):
            outcome = found.get((row["uri"], row["version_id"]))
            failures += [
                cases.file.complaint(place, f"case {case.name!r}: {row['uri']}: {difference}")
                for difference in _differences(expected, outcome)
            ]
        decided = {name for entry in found.values() for name in entry.decisions}
        decided |= {
            entry.stays.because.removeprefix("policy ")
            for entry in found.values()
            if entry.stays is not None and entry.stays.reason == "protected"
        }
        yield CaseResult(name=case.name, failures=tuple(failures), decided_by=frozenset(decided))


def _create_table(connection: DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa

    arrow = pa.Table.from_pylist([dict(row) for row in rows], schema=inventory_schema())
    connection.register("given_objects", arrow)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS SELECT *, tags AS {KNOWN_TAGS}"
        " FROM given_objects"
    )
    connection.unregister("given_objects")


def inventory_schema() -> pa.Schema:
    """Columns of the inventory view with types that any case can be put in."""
    import pyarrow as pa

    types = {
        Kind.TEXT: pa.string(),
        Kind.TRUTH: pa.bool_(),
        Kind.TIME: pa.timestamp("us", tz="UTC"),
        Kind.BYTES: pa.int64(),
        Kind.DAYS: pa.int64(),
        Kind.USD: pa.decimal128(24, 12),
        Kind.NUMBER: pa.float64(),
        Kind.TEXTS: pa.list_(pa.string()),
        Kind.NAMED_TEXTS: pa.map_(pa.string(), pa.string()),
    }
    return pa.schema([(name, types[kind]) for name, kind in VIEW_COLUMNS.items()])


def _places(file: YamlFile, path: Path) -> list[Path]:
    """Of one object, or of each in a list."""
    node = file.data
    for part in path:
        node = node[part]
    return [(*path, index) for index in range(len(node))] if isinstance(node, list) else [path]


def _bad_case(file: YamlFile, path: Path, case: Case, policies: PolicySet) -> Iterator[str]:
    if len(case.objects) != len(case.expectations):
        yield file.complaint(
            (*path, "expect"),
            f"{len(case.objects)} objects are given, of {len(case.expectations)} is something"
            " expected",
        )
    keys = [(given.uri, (given.model_extra or {}).get("version_id")) for given in case.objects]
    if len(set(keys)) < len(keys):
        yield file.complaint(
            (*path, "given"), "the same object twice: give each version its version_id"
        )
    names = [entry.name for entry in policies.policies]
    for place, expected in zip(_places(file, (*path, "expect")), case.expectations, strict=False):
        named = [*(expected.decisions or {}), *([expected.policy] if expected.policy else [])]
        for name in named:
            if name not in names:
                yield file.complaint(
                    (*place, "decisions", name),
                    f"there is no policy {name!r} beside this file.{did_you_mean(name, names)}",
                )


def _row(file: YamlFile, place: Path, given: GivenObject) -> dict[str, Any]:
    """All columns of the view, those not given as a listing alone would know them."""
    extra = dict(given.model_extra or {})
    row: dict[str, Any] = dict.fromkeys(VIEW_COLUMNS) | _known_of(given.uri)
    for name, value in extra.items():
        try:
            row[name] = _value(name, value)
        except (UsageError, ValueError, TypeError) as error:
            raise PolicyError(file.complaint((*place, name), f"{name}: {error}")) from None
    for age, at in (("age_days", "modified_at"), ("idle_days", "accessed_at")):
        if row[at] is None and row[age] is not None:
            row[at] = AS_OF - timedelta(days=row[age])
        elif row[age] is None and row[at] is not None:
            row[age] = (AS_OF - row[at]).days
    if row["days_in_tier"] is None:
        row["days_in_tier"] = row["age_days"]
    if "tier" not in extra:
        row["tier"] = tier_of(given.uri, row["storage_class"])
    return row


def _known_of(uri: str) -> dict[str, Any]:
    store, mark, rest = uri.partition("://")
    owner, _, key = rest.partition("/")
    bucket, _, account = owner.partition("@")
    if not mark:
        store, bucket, key = "file", "", uri.lstrip("/")
        uri = f"file:///{key}"
    elif store == "file":
        bucket, key = "", rest.lstrip("/")
    name = key.rpartition("/")[2].lower()
    bare, _, codec = name.rpartition(".")
    is_packed = codec in ("gz", "gzip", "zst", "zstd", "bz2", "xz", "lz4")
    shape = (bare if is_packed else name).rpartition(".")
    return {
        "uri": uri,
        "store": store,
        "store_id": f"{store}:{account or 'aws'}" if store != "file" else "file",
        "account": account or None,
        "bucket": bucket or None,
        "key": key,
        "format": shape[2] if shape[1] else None,
        "codec": codec if is_packed else None,
        "is_latest": True,
        "is_delete_marker": False,
        "verified_copies": 0,
    }


def _value(name: str, value: Any) -> Any:
    """As the column holds it; None is unknown."""
    kind = VIEW_COLUMNS.get(name)
    if kind is None:
        told = " It follows from the versions that are given." if name in VERSION_COLUMNS else ""
        raise UsageError(f"no column of the inventory.{told or did_you_mean(name, VIEW_COLUMNS)}")
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case Kind.TEXT if isinstance(value, str):
            return value
        case Kind.TRUTH if isinstance(value, bool):
            return value
        case Kind.BYTES if isinstance(value, str):
            return parse_bytes(value)
        case Kind.BYTES | Kind.DAYS if is_number and isinstance(value, int):
            return value
        case Kind.NUMBER if is_number:
            return float(value)
        case Kind.USD if is_number:
            return Decimal(str(value))
        case Kind.TIME if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        case Kind.TEXTS if isinstance(value, list) and all(isinstance(v, str) for v in value):
            return value
        case Kind.NAMED_TEXTS if isinstance(value, dict):
            if all(isinstance(item, str) for item in value.values()):
                return list(value.items())
    raise UsageError(f"{value!r} is not {kind}")


def _differences(expected: Expected, outcome: Outcome | None) -> Iterator[str]:
    decisions = {} if outcome is None else outcome.decisions
    stays = None if outcome is None else outcome.stays
    if expected.decisions is not None:
        wanted = {
            name: action.model_dump(exclude_none=True)
            for name, action in expected.decisions.items()
        }
        for name in sorted(wanted.keys() - decisions.keys()):
            yield f"{name} was to decide {wanted[name]}, {_instead(outcome)}"
        for name in sorted(wanted.keys() & decisions.keys()):
            if wanted[name] != decisions[name]:
                yield f"{name} was to decide {wanted[name]}, not {decisions[name]}"
        for name in sorted(decisions.keys() - wanted.keys()):
            yield f"nobody expected that {name} decides {decisions[name]}"
        return
    reason = stays.reason if stays else "decided" if decisions else "out-of-scope"
    if reason != expected.stays:
        yield f"was to stay for {expected.stays!r}, {_instead(outcome)}"
    elif stays and expected.policy not in (None, stays.policy):
        yield f"was to stay for policy {expected.policy}, {_instead(outcome)}"
    elif stays and expected.because not in (None, stays.because):
        yield f"was to stay because of {expected.because!r}, {_instead(outcome)}"


def _instead(outcome: Outcome | None) -> str:
    if outcome is None or not outcome.is_in_scope:
        return "but is in the scope of no policy (out-of-scope)"
    if outcome.stays is not None:
        stays = outcome.stays
        return f"but stays for {stays.reason!r} ({stays.policy}: {stays.because})"
    decided = "; ".join(f"{name} decides {action}" for name, action in outcome.decisions.items())
    return f"but {decided}"
