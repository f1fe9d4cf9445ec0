"""Guards of a policy as a whole: a policy that goes beyond one is withheld, all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from greendata.units import format_binary_bytes, format_count

if TYPE_CHECKING:
    from greendata.config import LimitSettings
    from greendata.policy.document import LoadedPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What some actions come to; carbon is what they add a month at most, not what they save."""

    objects: int = 0
    size_bytes: int = 0
    fees_usd: Decimal = Decimal(0)
    monthly_saving_usd: Decimal = Decimal(0)
    added_kgco2e: float = 0.0


def broken_guard(policy: LoadedPolicy, found: Amounts, scope_objects: int | None) -> str | None:
    """The first guard that the policy's actions go beyond, in words; None if they keep to all.

    ``scope_objects`` are those in the policy's scope, known where it guards a share of them.
    """
    return next(_broken(policy, found, scope_objects), None)


def _broken(policy: LoadedPolicy, found: Amounts, scope_objects: int | None) -> Iterator[str]:
    guard = policy.model.guard
    if guard.max_objects is not None and found.objects > guard.max_objects:
        yield (
            f"max_objects: {format_count(found.objects)} objects,"
            f" {format_count(guard.max_objects)} allowed"
        )
    if policy.max_bytes is not None and found.size_bytes > policy.max_bytes:
        yield (
            f"max_bytes: {format_binary_bytes(found.size_bytes)},"
            f" {format_binary_bytes(policy.max_bytes)} allowed"
        )
    if guard.max_percent is not None and scope_objects:
        percent = 100 * found.objects / scope_objects
        if percent > guard.max_percent:
            yield (
                f"max_percent: {percent:.1f} % of the objects in scope,"
                f" {guard.max_percent:g} % allowed"
            )
    if guard.max_one_off_usd is not None and found.fees_usd > guard.max_one_off_usd:
        yield f"max_one_off_usd: {found.fees_usd:.2f} USD, {guard.max_one_off_usd} allowed"
    if guard.min_saving_usd is not None and found.monthly_saving_usd < guard.min_saving_usd:
        yield (
            f"min_saving_usd: {found.monthly_saving_usd:.2f} USD a month,"
            f" {guard.min_saving_usd} wanted"
        )
    if guard.max_carbon_kgco2e is not None and found.added_kgco2e > guard.max_carbon_kgco2e:
        yield (
            f"max_carbon_kgco2e: up to {found.added_kgco2e:.3g} kgCO2e more a month,"
            f" {guard.max_carbon_kgco2e:g} allowed"
        )


def exceeded_limits(
    limits: LimitSettings, objects: int, size_bytes: int, scope_objects: int
) -> Mapping[str, str]:
    """Limits that the whole plan is beyond, so that applying it is refused: name to words."""
    found = {}
    if objects > limits.max_objects:
        found["max_objects"] = (
            f"{format_count(objects)} objects, {format_count(limits.max_objects)} allowed"
        )
    if size_bytes > limits.max_bytes:
        found["max_bytes"] = (
            f"{format_binary_bytes(size_bytes)}, {format_binary_bytes(limits.max_bytes)} allowed"
        )
    percent = 100 * objects / scope_objects if scope_objects else 0.0
    if percent > limits.max_percent:
        found["max_percent"] = (
            f"{percent:.1f} % of the objects in scope, {limits.max_percent:g} % allowed"
        )
    return found
