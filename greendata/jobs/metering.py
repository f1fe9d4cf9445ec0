"""What a run itself costs, and what is left of a saving after it.

Carbon is counted by the average of the region where the run was, like that of storage, so that the
two may be subtracted. A job's own is taken at its highest where a saving is called sure.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from greendata.footprint.carbon import (
    compute_embodied_carbon,
    find_region,
    operational_carbon,
    regions,
)
from greendata.footprint.energy import transfer_energy
from greendata.footprint.estimate import Saving, payback
from greendata.footprint.prices import DEFAULT_CLASS, REFERENCE_REGION, price_list
from greendata.footprint.ranges import Range, UsdRange
from greendata.footprint.tables import model_version, rows_of
from greendata.jobs.meters import (
    CodeCarbonMeter,
    EnergyMeter,
    ModelMeter,
    RaplMeter,
    Spent,
)
from greendata.jobs.request import available_processors
from greendata.operating.records import CarbonSettings, MachineSettings
from greendata.runners.usage import UsageMeter
from greendata.stores.local import LocalStore
from greendata.stores.opening import watched
from greendata.stores.wrappers.metered import MeteredStore

if TYPE_CHECKING:
    from datetime import date

    from greendata.footprint.carbon import Region
    from greendata.stores.base import Store
    from greendata.stores.wrappers.metered import Price

HORIZON_MONTHS = 12
"""Over which a saving is weighed against what it took (carbon reference, section 7)."""

_WRITES = frozenset(
    {"put", "start_upload", "put_part", "complete_upload", "copy", "list", "list_folder",
     "versions", "uploads", "own_objects", "set_tags"}
)  # fmt: skip
"""Requests that both clouds bill at the price of a write; listings are among them."""

_NOT_SENT = frozenset({"expand", "sweep"})
"""Calls that a remote store answers by itself."""

_FREE = frozenset({"delete", "delete_versions", "abort_upload"}) | _NOT_SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a run moved between itself and stores that are not on its machine."""

    read_bytes: int = 0
    written_bytes: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)
    cost_usd: Decimal = Decimal(0)


class MeteredStores:
    """Counts what goes to several back ends, with list prices; local ones are not counted.

    Safe to share between threads: each back end has a counter of its own.
    """

    def __init__(self, region: str | None = None) -> None:
        self._price = request_price(region, datetime.now(UTC).date())
        self._made: list[MeteredStore] = []

    def around(self, inner: Store) -> Store:
        """The back end, counted."""
        if isinstance(inner, LocalStore):
            return inner
        self._made.append(MeteredStore(inner, self._price))
        return self._made[-1]

    def traffic(self) -> Traffic:
        """All that was counted so far."""
        requests: Counter[str] = Counter()
        for store in self._made:
            requests.update(store.usage.calls)
        return Traffic(
            read_bytes=sum(store.usage.read_bytes for store in self._made),
            written_bytes=sum(store.usage.written_bytes for store in self._made),
            requests={name: requests[name] for name in sorted(requests.keys() - _NOT_SENT)},
            cost_usd=sum((store.usage.cost_usd for store in self._made), Decimal(0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFootprint:
    """What a run itself took.

    Attributes:
        meter: ``rapl``, ``reserved_vcpu``, ``cpu_seconds`` or ``codecarbon``; ``basis`` in words.
        compute_kwh: with the building (PUE); ``network_kwh`` without.
        operational_kgco2e: None where the grid of the region is not known.
        cost_usd: requests at list price, and processors where ``usd_per_vcpu_hour`` is configured.
    """

    started_at: datetime
    ended_at: datetime
    wall_seconds: float
    cpu_seconds: float
    vcpus: int
    read_bytes: int
    written_bytes: int
    requests: Mapping[str, int]
    meter: str
    grade: Literal["measured", "modelled"]
    basis: str
    region: str | None
    compute_kwh: Range
    network_kwh: Range
    operational_kgco2e: Range | None
    embodied_kgco2e: Range
    cost_usd: UsdRange
    model_version: str
    notes: tuple[str, ...] = ()

    @property
    def energy_kwh(self) -> Range:
        """Of computing and moving; bounds are added, which overstates how far they lie apart."""
        return self.compute_kwh + self.network_kwh

    @property
    def carbon_kgco2e(self) -> Range | None:
        """Operational and embodied; None unless both are known."""
        if self.operational_kgco2e is None:
            return None
        return self.operational_kgco2e + self.embodied_kgco2e

    def as_record(self) -> dict[str, Any]:
        """For a journal: numbers and text alone."""
        found: dict[str, Any] = json.loads(json.dumps(self.as_dict(), default=str))
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON; USD as decimal text."""
        carbon = self.carbon_kgco2e
        return {
            **asdict(self),
            "energy_kwh": asdict(self.energy_kwh),
            "carbon_kgco2e": None if carbon is None else asdict(carbon),
        }


_SUMMED = ("wall_seconds", "cpu_seconds", "read_bytes", "written_bytes")
_SUMMED_RANGES = (
    "compute_kwh", "network_kwh", "energy_kwh", "operational_kgco2e", "embodied_kgco2e",
    "carbon_kgco2e",
)  # fmt: skip


def sum_of_records(records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What several parts of a run took together, by ``OwnFootprint.as_record``; None of none.

    What is not a sum is the last one's. A range that one of them does not know is None.
    """
    if len(records) < 2:
        return dict(records[0]) if records else None
    total = dict(records[-1]) | {"started_at": records[0].get("started_at")}
    for name in _SUMMED:
        total[name] = sum(record.get(name) or 0 for record in records)
    requests: Counter[str] = Counter()
    for record in records:
        requests.update(record.get("requests") or {})
    total["requests"] = dict(requests)
    for name in _SUMMED_RANGES:
        ranges = [record.get(name) for record in records]
        total[name] = _added([found for found in ranges if found], len(records))
    costs = [record["cost_usd"] for record in records if record.get("cost_usd")]
    total["cost_usd"] = {
        bound: str(sum((Decimal(cost[bound]) for cost in costs), Decimal(0)))
        for bound in ("low", "central", "high")
    }
    return total


def _added(ranges: Sequence[Mapping[str, float]], wanted: int) -> dict[str, float] | None:
    if len(ranges) < wanted:
        return None
    return {bound: sum(found[bound] for found in ranges) for bound in ("low", "central", "high")}


class RunMeter:
    """Counts from ``with`` on; ``footprint`` may be asked during the run and after it."""

    def __init__(
        self,
        machine: MachineSettings,
        *,
        region: str | None = None,
        meter: EnergyMeter | None = None,
    ) -> None:
        self._machine = machine
        self._place = _place_of(region)
        self._region = region
        self._meter = meter or open_meter(machine, self._place)
        self._vcpus = machine.vcpus or available_processors()
        self._began = time.monotonic()
        self._usage = UsageMeter()
        self._spent: Spent | None = None
        self._started_at = self._ended_at = datetime.now(UTC)

    def __enter__(self) -> RunMeter:
        self._began, self._usage = time.monotonic(), UsageMeter()
        self._started_at = datetime.now(UTC)
        self._meter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Nothing more is counted: some meters tell only then."""
        if self._spent is None:
            self._meter.stop()
            self._spent = self.spent()
            self._ended_at = datetime.now(UTC)

    def spent(self) -> Spent:
        """Wall and processor time so far, or in all once the run has ended."""
        if self._spent is not None:
            return self._spent
        return Spent(
            wall_seconds=time.monotonic() - self._began,
            cpu_seconds=self._usage.read().cpu_seconds,
            vcpus=self._vcpus,
        )

    def footprint(self, traffic: Traffic | None = None) -> OwnFootprint:
        """What the run took, as far as the meter tells: RAPL and CodeCarbon when it has ended."""
        moved = traffic or Traffic()
        spent = self.spent()
        place = self._place or find_region("s3", None)
        compute = self._meter.energy_kwh(spent).times(place.pue)
        size = moved.read_bytes + moved.written_bytes
        network = transfer_energy(size, self._machine.network)
        hours = spent.reserved_hours if self._machine.is_dedicated else spent.busy_hours
        grid = place.intensity_gco2e_per_kwh
        energy = compute + network
        ended_at = self._ended_at if self._spent is not None else datetime.now(UTC)
        return OwnFootprint(
            started_at=self._started_at,
            ended_at=ended_at,
            wall_seconds=spent.wall_seconds,
            cpu_seconds=spent.cpu_seconds,
            vcpus=spent.vcpus,
            read_bytes=moved.read_bytes,
            written_bytes=moved.written_bytes,
            requests=dict(moved.requests),
            meter=self._meter.name,
            grade=self._meter.grade,
            basis=self._meter.basis,
            region=self._region,
            compute_kwh=compute,
            network_kwh=network,
            operational_kgco2e=None if grid is None else operational_carbon(energy, grid),
            embodied_kgco2e=compute_embodied_carbon(hours),
            cost_usd=_cost(moved, hours, self._machine),
            model_version=model_version(),
            notes=tuple(self._notes(place, size)),
        )

    def _notes(self, place: Region, size_bytes: int) -> list[str]:
        notes = [
            f"Buildings count with a PUE of {place.pue.central:g}.",
            "The energy of requests is not counted.",
        ]
        if place.intensity_gco2e_per_kwh is None:
            notes.append("The grid is not known: write `region:` below carbon in greendata.yaml.")
        if self._machine.usd_per_vcpu_hour is None:
            notes.append("USD are of requests: processors have no `usd_per_vcpu_hour`.")
        if size_bytes:
            scope = self._machine.network.replace("_", " ")
            notes.append(f"What was moved is taken as {scope}.")
        return notes


class OwnMeter:
    """Counts all that a run takes from ``with`` on: time, energy, and what its stores move.

    Only ``Stores`` that are made inside count. One inside another counts for both.
    """

    def __init__(self, carbon: CarbonSettings) -> None:
        self._meter = RunMeter(carbon.machine, region=carbon.region)
        self._stores = MeteredStores(carbon.region)
        self._watching = contextlib.ExitStack()

    def __enter__(self) -> OwnMeter:
        self._watching.enter_context(watched(self._stores.around))
        self._watching.enter_context(self._meter)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watching.close()

    def footprint(self) -> OwnFootprint:
        """What it took; time and energy after this are not counted any more."""
        self._meter.stop()
        return self._meter.footprint(self._stores.traffic())


def open_meter(machine: MachineSettings, place: Region | None) -> EnergyMeter:
    """The meter that the configuration asks for.

    Raises:
        ExtraMissingError: CodeCarbon, where it is not installed.
    """
    if machine.meter == "codecarbon":
        row = {} if place is None else rows_of("regions").get((place.provider, place.region), {})
        return CodeCarbonMeter(is_dedicated=machine.is_dedicated, country=row.get("country"))
    if machine.meter == "auto" and RaplMeter.is_readable():
        return RaplMeter(is_dedicated=machine.is_dedicated)
    return ModelMeter(is_dedicated=machine.is_dedicated)


def request_price(region: str | None, day: date) -> Price:
    """List prices of requests, for ``MeteredStore``: of the provider's default class.

    A region without a list has the prices of the provider's reference region; what no list knows
    (a local store) costs nothing.
    """
    classes = price_list(day).classes

    def price(name: str, uri: str, size_bytes: int) -> Decimal:
        provider = uri.partition("://")[0]
        if name in _FREE or provider not in DEFAULT_CLASS:
            return Decimal(0)
        word = DEFAULT_CLASS[provider]
        found = classes.get((provider, region or "", word))
        found = found or classes.get((provider, REFERENCE_REGION[provider], word))
        if found is None:
            return Decimal(0)
        return (found.put_usd if name in _WRITES else found.get_usd) or Decimal(0)

    return price


def _cost(moved: Traffic, hours: float, machine: MachineSettings) -> UsdRange:
    cost = moved.cost_usd
    if machine.usd_per_vcpu_hour is not None:
        cost += machine.usd_per_vcpu_hour * Decimal(str(round(hours, 9)))
    return UsdRange(low=cost, central=cost, high=cost)


def _place_of(region: str | None) -> Region | None:
    for provider, name in sorted(regions()):
        if region and name == region:
            return find_region(provider, name)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSaving:
    """A saving over some months after what it took to get it; None where either is not known.

    Attributes:
        sure_kgco2e: the saving at its lowest, what it took at its highest; only where it is above
            zero is the work surely worth its carbon.
        payback_months: of energy: central and at worst; None if perhaps never.
    """

    months: int
    cost_usd: Decimal | None
    energy_kwh: Range | None
    carbon_kgco2e: Range | None
    sure_kgco2e: float | None
    payback_months: tuple[float, float] | None


def net_of(saving: Saving, own: OwnFootprint, *, months: int = HORIZON_MONTHS) -> NetSaving:
    """What is left of a saving a month, over some months, after a run's own."""
    energy = saving.energy_kwh
    carbon = _sum(saving.operational_kgco2e, saving.embodied_kgco2e)
    own_carbon = own.carbon_kgco2e
    net_carbon = None
    if carbon is not None and own_carbon is not None:
        net_carbon = carbon.scaled(months).minus_independent(own_carbon)
    usd = saving.cost_usd
    return NetSaving(
        months=months,
        cost_usd=None if usd is None else usd * months - own.cost_usd.central,
        energy_kwh=(
            None if energy is None else energy.scaled(months).minus_independent(own.energy_kwh)
        ),
        carbon_kgco2e=net_carbon,
        sure_kgco2e=None if net_carbon is None else net_carbon.low,
        payback_months=None if energy is None else payback(own.energy_kwh, energy),
    )


def _sum(one: Range | None, other: Range | None) -> Range | None:
    return None if one is None or other is None else one + other
