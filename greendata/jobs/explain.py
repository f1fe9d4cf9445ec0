"""``greendata policy explain``: what every policy says of one object, and what it would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.catalog.queries import create_view
from greendata.errors import ObjectNotFoundError, PolicyError
from greendata.footprint.tables import model_version
from greendata.jobs.plan import declared_places, price_tables
from greendata.jobs.policies import load_policies, surroundings
from greendata.jobs.view import open_inventory
from greendata.model import SCHEMA_VERSION
from greendata.plan.actions import REFUSALS
from greendata.plan.build import PlanInputs, build_plan, compile_for_plan
from greendata.plan.survivors import create_no_contents
from greendata.policy.evaluate import compile_policies
from greendata.policy.explain import explain
from greendata.stores.opening import normalise_uri

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from greendata.config import DatasetSettings, StoreSettings
    from greendata.policy.explain import Explanation

_NEEDS_OTHERS = ("guard", "group")
"""Refusals that follow from all that a plan is about; here one object alone is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPrice:
    """What a decided action costs, or why a plan would refuse it: None where only a plan knows.

    ``monthly_saving_usd`` is None where it hangs on what nobody knows; ``payback_days`` also where
    it never pays back.
    """

    version_id: str | None
    policy: str
    kind: str
    fees_usd: Decimal | None
    monthly_saving_usd: Decimal | None
    payback_days: int | None
    refusal: str | None
    because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyExplanation:
    """Of the object asked for, each of its versions that the inventory has."""

    objects: tuple[Explanation, ...]
    prices: tuple[ExplainedPrice, ...]
    as_of: datetime
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of ``policy explain --json``."""
        return asdict(self)


def explain_object(
    uri: str,
    paths: Sequence[str],
    *,
    catalog: str,
    stores: Sequence[StoreSettings],
    datasets: Sequence[DatasetSettings],
    as_of: datetime,
) -> PolicyExplanation:
    """Every policy's verdict on an object of the catalog's inventory.

    Raises:
        ObjectNotFoundError: the inventory does not have it.
        PolicyError: a file is wrong.
    """
    around = surroundings(as_of, stores=stores, datasets=datasets)
    policies = load_policies(paths)
    compiled = compile_policies(policies, around, source="explained")
    wanted = normalise_uri(uri, stores)
    columns = {*compiled.columns, *compile_for_plan(policies, around).columns}
    inputs = PlanInputs(
        policies=policies,
        around=around,
        prices=price_tables(as_of),
        snapshot=(),
        model_version=model_version(),
        places=declared_places(stores),
    )
    with open_inventory(
        catalog, stores=stores, datasets=datasets, as_of=as_of, columns=columns
    ) as opened:
        opened.connection.execute(
            "CREATE TEMP TABLE explained AS SELECT * FROM inventory WHERE uri = $1", [wanted]
        )
        found = explain(opened.connection, compiled)
        prices = _prices(opened.connection, inputs)
        listed_at = opened.oldest_as_of
    if not found:
        raise ObjectNotFoundError(
            f"{wanted}: not in the inventory",
            hint="greendata objects lists what is; greendata inventory URI takes it in.",
        )
    return PolicyExplanation(objects=found, prices=prices, as_of=listed_at)


def _prices(connection: DuckDBPyConnection, inputs: PlanInputs) -> tuple[ExplainedPrice, ...]:
    """Of the decided actions, but quarantines: which copy stays follows from all the others."""
    create_view(connection, "inventory", "SELECT * FROM explained")
    create_no_contents(connection)
    try:
        build_plan(connection, inputs)
    except PolicyError:  # a contradiction, which the verdicts tell
        return ()
    rows = connection.execute(
        "SELECT p.version_id, n.policy::VARCHAR, p.kind::VARCHAR, p.fees, p.saving, p.payback,"
        " p.refusal::VARCHAR, p.detail FROM plan_priced p JOIN plan_names n ON n.number = p.policy"
        " WHERE p.kind <> 'quarantine' ORDER BY p.version_id, p.kind, n.number"
    ).fetchall()
    return tuple(
        ExplainedPrice(
            version_id=version_id,
            policy=policy,
            kind=kind,
            fees_usd=fees,
            monthly_saving_usd=saving,
            payback_days=payback,
            refusal=None if refusal in _NEEDS_OTHERS else refusal,
            because=None
            if refusal is None or refusal in _NEEDS_OTHERS
            else ": ".join(filter(None, (REFUSALS[refusal], detail))),
        )
        for version_id, policy, kind, fees, saving, payback, refusal, detail in rows
    )
