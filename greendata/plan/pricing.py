"""What each decided action costs once and saves each month, as SQL over the price tables.

A query a kind, all with the columns of ``COLUMNS``, over ``plan_acting d`` joined with its own
rates ``r``, those of the class or region it goes to ``q``, and what the move costs. What is not
known is NULL and refuses the action where it is needed. The formulae are those of ``footprint``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from greendata.footprint.columns import (
    BOUNDS,
    class_sql,
    early_delete_cost_sql,
    monthly_cost_sql,
    quantity_sql,
    rates_join_sql,
    read_cost_sql,
    transfer_cost_sql,
)
from greendata.footprint.tables import GIB
from greendata.plan.actions import KEPT_DAYS, MOVED_DAYS, REFUSALS, REVERSIBILITY, TARGET_CLASS
from greendata.plan.results import KIND_TYPE, enumeration
from greendata.policy.tiers import ARCHIVES

COLUMNS = (
    "number", "kind", "policy", "to_", "fees", "saving", "needs_saving", "problem", "detail",
    "reversibility", "group_text", "max_payback", "lacks_region",
    "size_bytes", "is_hold_unknown", "uri", "store_id", "version_id", "etag", "from_",
    *(f"{quantity}_{bound}" for quantity in ("kwh", "kg") for bound in BOUNDS),
)  # fmt: skip

CARRIED = ("etag", "size_bytes", "storage_class", "tier", "region", "store", "days_in_tier",
           "is_delete_marker", "is_latest")  # fmt: skip
"""Of the view, for every action."""

CARRIED_FOR = {
    "tier": ("reads_30d", "read_bytes_30d"),
    "relocate": ("key", "training_region", "read_bytes_30d", "dataset", "pinned_by"),
    "recompress": ("recompress_ratios", "dataset", "pinned_by"),
    "quarantine": ("pinned_by",),
    "expire": ("pinned_by",),
}

_REFUSAL_TYPE = enumeration(REFUSALS)
_REVERSIBILITY_TYPE = enumeration(REVERSIBILITY)
_VERSIONED = "(d.store = 's3' AND d.version_id IS NOT NULL AND d.version_id <> 'null')"
_CLASS = class_sql("d.storage_class", "d.store")
_FROM = (
    "FROM plan_acting d JOIN plan_policies p ON p.number = d.{column}"
    " LEFT JOIN plan_froms f ON f.storage_class IS NOT DISTINCT FROM d.storage_class"
    " AND f.tier IS NOT DISTINCT FROM d.tier AND f.region IS NOT DISTINCT FROM d.region"
    " AND f.is_latest IS NOT DISTINCT FROM d.is_latest"
    " LEFT JOIN plan_rates r ON "
    + rates_join_sql(provider="d.store", region="d.region", storage_class="d.storage_class")
)
_NONE = {f"{quantity}_{bound}": "0.0" for quantity in ("kwh", "kg") for bound in BOUNDS}
_IS_LOCAL = "d.store = 'file'"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Expressions of one kind: money, what stands against it, and what it saves besides.

    ``joins`` follow the object's own rates; ``problem`` is a word of ``REFUSALS`` or NULL.
    """

    fees: str
    saving: str
    to: str
    problem: str = "NULL"
    detail: str = "NULL"
    joins: str = ""
    needs_saving: str = "false"
    reversibility: str = "'reversible'"
    saved: Mapping[str, str] | None = None
    group_text: str = "NULL"


def kept_cost(days: str) -> str:
    """An object kept in quarantine for some days before it is purged: storage, as USD."""
    return f"({monthly_cost_sql('d.size_bytes')} * {days} / 30)"


def _carbon(size: str, sign: str = "", rates: str = "r") -> dict[str, str]:
    """Saved a month by not storing a size; negative if ``sign`` is, with its bounds turned."""
    found = {}
    for bound, other in zip(BOUNDS, reversed(BOUNDS), strict=True):
        source = other if sign else bound
        energy = quantity_sql("energy_kwh", source, size, rates)
        operational = quantity_sql("operational_kgco2e", source, size, rates)
        embodied = quantity_sql("embodied_kgco2e", source, size, rates)
        found[f"kwh_{bound}"] = f"({sign}{energy})"
        found[f"kg_{bound}"] = f"({sign}({operational} + {embodied}))"
    return found


def _tier() -> _Kind:
    cases = " ".join(
        f"WHEN d.store = '{store}' AND p.tier = '{tier}' THEN '{name}'"
        for (store, tier), name in TARGET_CLASS.items()
    )
    target = f"CASE {cases} END"
    way = (
        "CASE WHEN d.store = 'az' THEN CASE WHEN r.is_readable THEN 'set_tier' ELSE 'rehydrate' END"
        " WHEN r.is_readable THEN 'copy' ELSE 'restore_and_copy' END"
    )
    joins = (
        f" LEFT JOIN plan_rates q ON q.provider = d.store AND q.region = d.region"
        f" AND q.storage_class = {target}"
        f" LEFT JOIN plan_transitions t ON t.provider = d.store AND t.region = d.region"
        f" AND t.source_class = {_CLASS} AND t.target_class = {target} AND t.way = {way}"
    )
    # in a versioned bucket the copy leaves an earlier version, billed until it is purged
    later = f"CASE WHEN {_VERSIONED} THEN {KEPT_DAYS} ELSE 0 END"
    owed = early_delete_cost_sql("d.size_bytes", f"(d.days_in_tier + {later})")
    fees = (
        f"t.usd_per_object + t.usd_per_gib * d.size_bytes / {GIB} + {owed}"
        f" + CASE WHEN {_VERSIONED} THEN {kept_cost(str(KEPT_DAYS))} ELSE 0 END"
    )
    stored = f"{monthly_cost_sql('d.size_bytes')} - {monthly_cost_sql('d.size_bytes', 'q')}"
    reads = f"CASE WHEN d.reads_30d > 0 THEN {_reads('r')} - {_reads('q')} ELSE 0 END"
    # what Intelligent-Tiering saves follows from reads that nobody knows beforehand
    saving = f"CASE WHEN p.tier = 'intelligent' THEN NULL ELSE {stored} + {reads} END"
    unmonitored = "p.tier = 'intelligent' AND (d.size_bytes >= q.monitored_from_bytes) IS NOT TRUE"
    return _Kind(
        fees=fees,
        saving=saving,
        needs_saving="p.tier <> 'intelligent'",
        to="json_object('tier', p.tier, 'storage_class', q.storage_class)",
        joins=joins,
        problem=(
            "CASE WHEN q.storage_class IS NOT NULL AND r.storage_class IS NOT NULL"
            " AND t.way IS NULL THEN 'no-way'"
            f" WHEN q.storage_class IS NOT NULL AND {unmonitored} THEN 'no-saving' END"
        ),
        detail=(
            f"concat(d.store, ' ', {_CLASS}, ' to ', coalesce({target}, p.tier), ' in ', d.region)"
        ),
        reversibility=(
            "CASE WHEN q.min_duration_days = 0 AND q.retrieval_usd_per_gib = 0"
            " THEN 'reversible' ELSE 'costly' END"
        ),
    )


def _reads(rates: str) -> str:
    """Reads of a month as they were measured, at a class's prices."""
    return (
        f"(d.reads_30d * ({rates}.get_usd + {rates}.restore_usd)"
        f" + {rates}.retrieval_usd_per_gib * coalesce(d.read_bytes_30d,"
        f" d.reads_30d * d.size_bytes) / {GIB})"
    )


def _removal(kind: str) -> _Kind:
    """Quarantine now, purge after the grace: money and carbon are saved from then on."""
    size = "coalesce(d.size_bytes, 0)"
    owed = early_delete_cost_sql(size, "(d.days_in_tier + p.grace_days)")
    # without versions the object is copied to quarantine, which owes a minimum duration again
    moved = (
        f"{read_cost_sql(size)} + r.put_usd + {early_delete_cost_sql(size, 'd.days_in_tier')}"
        f" + {early_delete_cost_sql(size, 'p.grace_days')}"
    )
    fees = (
        f"CASE WHEN d.is_delete_marker OR {_IS_LOCAL} THEN 0"
        f" WHEN {_VERSIONED} THEN {owed} ELSE {moved} END"
    )
    saving = f"CASE WHEN d.is_delete_marker OR {_IS_LOCAL} THEN 0 ELSE {monthly_cost_sql(size)} END"
    archived = f"d.tier IN {ARCHIVES} AND NOT {_VERSIONED}"
    is_copy = kind == "quarantine"
    survivor = (
        "CASE WHEN s.problem IS NOT NULL THEN s.problem"
        " WHEN s.survivors IS NULL THEN 'no-proof' END"
    )
    saved = _carbon(size)
    return _Kind(
        fees=fees,
        saving=saving,
        to=(
            "json_object('grace_days', p.grace_days, 'allow', p.allow)"
            if is_copy
            else "json_object('grace_days', p.grace_days)"
        ),
        joins=" LEFT JOIN plan_survivors s ON s.number = d.number" if is_copy else "",
        problem=(
            f"CASE WHEN {archived} THEN 'archived'"
            + (f" ELSE {survivor} END" if is_copy else " END")
        ),
        detail="s.detail" if is_copy else "NULL",
        reversibility=(
            "CASE WHEN p.allow IS NULL THEN 'costly' ELSE 'irreversible' END"
            if is_copy
            else "'irreversible'"
        ),
        saved={
            name: f"CASE WHEN d.is_delete_marker THEN 0.0 ELSE {sql} END"
            for name, sql in saved.items()
        },
    )


def _relocate() -> _Kind:
    joins = (
        " LEFT JOIN plan_rates q ON q.provider = d.store AND q.storage_class = r.storage_class"
        " AND q.region = coalesce(p.region, d.training_region)"
        " LEFT JOIN plan_transfers x ON x.provider = d.store AND x.source_region = d.region"
        " AND x.target_region = q.region"
        " LEFT JOIN plan_transfers x0 ON x0.provider = d.store AND x0.source_region = d.region"
        " AND x0.target_region = d.training_region"
        " LEFT JOIN plan_transfers x1 ON x1.provider = d.store AND x1.source_region = q.region"
        " AND x1.target_region = d.training_region"
        " LEFT JOIN plan_claims c ON c.provider = d.store AND c.storage_class = r.storage_class"
        " AND c.source_region = d.region AND c.target_region = q.region"
        " LEFT JOIN plan_targets g ON g.number = d.number"
    )
    owed = early_delete_cost_sql("d.size_bytes", f"(d.days_in_tier + {MOVED_DAYS})")
    copied = transfer_cost_sql("d.size_bytes", source="r", target="q", transfer="x")
    kept = kept_cost(str(MOVED_DAYS))
    fees = f"{copied} + CASE WHEN p.mode = 'move' THEN {owed} + {kept} ELSE 0 END"
    reads = (
        "CASE WHEN d.read_bytes_30d > 0"
        f" THEN d.read_bytes_30d / {GIB} * (x0.usd_per_gib - x1.usd_per_gib) ELSE 0 END"
    )
    before = f"CASE WHEN p.mode = 'move' THEN {monthly_cost_sql('d.size_bytes')} ELSE 0 END"
    added = _carbon("d.size_bytes", "-", "q")
    saved = {
        name: f"CASE WHEN p.mode = 'replicate' THEN {sql}"
        + (f" ELSE coalesce(d.size_bytes / 1e12 * c.{name}, 0.0) END" if "kg" in name else
           " ELSE 0.0 END")
        for name, sql in added.items()
    }  # fmt: skip
    return _Kind(
        fees=fees,
        saving=f"{before} - {monthly_cost_sql('d.size_bytes', 'q')} + {reads}",
        needs_saving="true",
        to="json_object('region', q.region, 'mode', p.mode, 'uri', g.uri)",
        joins=joins,
        problem="CASE WHEN q.region IS NOT NULL THEN g.problem END",
        detail=(
            f"concat(d.store, ' ', {_CLASS}, ' from ', d.region, ' to ',"
            " coalesce(p.region, d.training_region))"
        ),
        reversibility="'costly'",
        saved=saved,
        group_text="CASE WHEN p.mode = 'move' THEN {manifest} END",
    )


def _recompress() -> _Kind:
    ratio = "map_extract_value(d.recompress_ratios, p.profile)"
    size = f"CAST(round(d.size_bytes * {ratio}) AS BIGINT)"
    owed = early_delete_cost_sql("d.size_bytes", f"(d.days_in_tier + {KEPT_DAYS})")
    fees = (
        f"CASE WHEN {_IS_LOCAL} THEN 0 ELSE {read_cost_sql('d.size_bytes')} + r.put_usd"
        f" + {owed} + {kept_cost(str(KEPT_DAYS))} END"
    )
    saving = (
        f"CASE WHEN {_IS_LOCAL} THEN 0 ELSE {monthly_cost_sql('d.size_bytes')}"
        f" - {monthly_cost_sql(size)} END"
    )
    return _Kind(
        fees=fees,
        saving=saving,
        needs_saving=f"NOT {_IS_LOCAL}",
        to=(
            "json_merge_patch(json_object('profile', p.profile), json_object("  # which drops nulls
            "'min_saving', p.min_saving, 'allow_window', p.allow_window))"
        ),
        problem=f"CASE WHEN {ratio} IS NULL THEN 'unmeasured'"
        f" WHEN {ratio} >= 1 THEN 'no-saving' END",
        detail="concat('profile ', p.profile, '; greendata recompress --dry-run measures it')",
        reversibility="'costly'",
        saved=_carbon(f"(d.size_bytes - {size})"),
        group_text="{manifest}",
    )


def _request(to: str, *, rent: str = "0", price: str = "q.put_usd") -> _Kind:
    """One request, charged like a write of the hot class."""
    hot = (
        " LEFT JOIN plan_rates q ON q.provider = d.store AND q.region = d.region"
        " AND q.storage_class = CASE d.store WHEN 's3' THEN 'STANDARD' ELSE 'Hot' END"
        " LEFT JOIN plan_tag_rents y ON y.provider = d.store AND y.region = d.region"
    )
    return _Kind(
        fees=f"CASE WHEN {_IS_LOCAL} THEN 0 ELSE {price} END",
        saving=f"CASE WHEN {_IS_LOCAL} THEN 0 ELSE {rent} END",
        to=to,
        joins=hot,
    )


def _kinds() -> dict[str, _Kind]:
    hot_copy = (
        f"r.restore_usd + r.retrieval_usd_per_gib * d.size_bytes / {GIB}"
        f" + q.storage_usd_per_gib_month * d.size_bytes * p.days / 30 / {GIB}"
    )
    return {
        "recompress": _recompress(),
        "tier": _tier(),
        "relocate": _relocate(),
        "quarantine": _removal("quarantine"),
        "expire": _removal("expire"),
        "abort_uploads": _Kind(
            fees="0",
            saving=f"CASE WHEN {_IS_LOCAL} THEN 0 ELSE {monthly_cost_sql('d.size_bytes')} END",
            to="json_object('upload_id', d.version_id)",
            reversibility="'irreversible'",
            saved=_carbon("d.size_bytes"),
        ),
        "restore": _request("json_object('days', p.days)", price=hot_copy),
        "tag": _request("NULL", rent="-y.usd_per_tag_month"),
        "hold": _request("json_object('hold', 'legal')"),
    }


def priced_sql(kind: str, column: str, *, to: str | None = None, manifests: str = "NULL") -> str:
    """Rows of one slot: ``column`` of ``plan_acting`` holds the number of the policy.

    ``to`` stands for the kind's own parameters; ``manifests`` is SQL of the group of an object
    whose dataset switches as one.
    """
    entry = _kinds()[kind]
    found = {
        "number": "d.number",
        "kind": f"'{kind}'::{KIND_TYPE}",
        "policy": f"d.{column}",
        "to_": to or entry.to,
        "fees": f"CAST({entry.fees} AS DECIMAL(24, 12))",
        "saving": f"CAST({entry.saving} AS DECIMAL(24, 12))",
        "needs_saving": entry.needs_saving,
        "problem": entry.problem,
        "detail": entry.detail,
        "reversibility": f"({entry.reversibility})::{_REVERSIBILITY_TYPE}",
        "group_text": entry.group_text.format(manifest=manifests),
        "max_payback": "p.max_payback_days",
        **{
            name: f"d.{name}"
            for name in ("size_bytes", "is_hold_unknown", "uri", "store_id", "version_id", "etag")
        },
        "from_": "f.from_",
        "lacks_region": (
            "false"
            if kind == "abort_uploads"
            else f"NOT {_IS_LOCAL} AND d.region IS NULL AND NOT d.is_delete_marker"
        ),
        **(entry.saved or _NONE),
    }
    listed = ", ".join(f"{found[name]} AS {name}" for name in COLUMNS)
    return f"SELECT {listed} {_FROM.format(column=column)}{entry.joins}"


def judged_sql(kind: str, column: str, *, to: str | None = None, manifests: str = "NULL") -> str:
    """``priced_sql`` with ``payback`` in days and ``refusal``, a word of ``REFUSALS`` or NULL.

    ``detail`` says more of a refusal; what only led to it is left out.
    """
    payback = (
        "CASE WHEN coalesce(saving, 0) >= 0 AND fees = 0 THEN 0 WHEN saving > 0 THEN"
        " CAST(least(ceil(CAST(fees AS DOUBLE) / CAST(saving AS DOUBLE) * 30), 1e15) AS BIGINT) END"
    )
    # elsewhere a saving may hang on what nobody can know, such as reads or the size of an upload
    unknown = "saving IS NULL" if kind in ("quarantine", "expire", "tag", "hold") else "false"
    refusal = (
        "CASE WHEN problem IN ('no-proof', 'several', 'survivor', 'no-survivor', 'unmeasured')"
        " THEN problem"
        " WHEN lacks_region THEN 'no-region'"
        " WHEN problem IS NOT NULL THEN problem"
        f" WHEN fees IS NULL OR {unknown} OR needs_saving AND saving IS NULL THEN 'no-price'"
        " WHEN needs_saving AND saving <= 0 THEN 'no-saving'"
        " WHEN payback > max_payback OR max_payback IS NOT NULL AND payback IS NULL THEN 'payback'"
        " END"
    )
    return (
        "SELECT * EXCLUDE (problem, needs_saving, lacks_region, max_payback)"
        " REPLACE (CASE WHEN refusal IS NOT NULL THEN detail END AS detail)"
        f" FROM (SELECT *, ({refusal})::{_REFUSAL_TYPE} AS refusal"
        f" FROM (SELECT *, {payback} AS payback"
        f" FROM ({priced_sql(kind, column, to=to, manifests=manifests)})))"
    )


def carried_columns(kinds: Iterable[str]) -> tuple[str, ...]:
    """Columns of the view that pricing these kinds needs."""
    found = dict.fromkeys(CARRIED)
    for kind in kinds:
        found |= dict.fromkeys(CARRIED_FOR.get(kind, ()))
    return tuple(found)
