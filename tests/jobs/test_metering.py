"""What a run itself costs, by each meter, and what is left of a saving."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from greendata.errors import ExtraMissingError
from greendata.footprint.estimate import Saving
from greendata.footprint.ranges import Range
from greendata.jobs.metering import (
    OwnFootprint,
    RunMeter,
    Traffic,
    net_of,
    request_price,
    sum_of_records,
)
from greendata.jobs.meters import CodeCarbonMeter, EnergyMeter, ModelMeter, RaplMeter, Spent
from greendata.operating.records import MachineSettings

HOUR = Spent(wall_seconds=3600, cpu_seconds=1800, vcpus=4)


class Fixed(EnergyMeter):
    name = "rapl"
    grade = "measured"
    basis = "made"

    def energy_kwh(self, spent: Spent) -> Range:
        return Range.exact(2.0)


def ran(region: str | None = "us-east-1", **values: Any) -> OwnFootprint:
    machine = replace(MachineSettings(usd_per_vcpu_hour=Decimal("0.05"), vcpus=4), **values)
    with RunMeter(machine, region=region, meter=Fixed()) as meter:
        pass
    return meter.footprint(
        Traffic(read_bytes=10**9, requests={"read": 3}, cost_usd=Decimal("0.25"))
    )


def test_a_shared_machine_is_charged_for_what_it_did() -> None:
    found = ModelMeter(is_dedicated=False).energy_kwh(HOUR)
    assert found.central == pytest.approx(0.5 * 3.5 / 1000)
    assert found.low < found.central < found.high


def test_a_dedicated_machine_is_charged_for_idle_time_too() -> None:
    found = ModelMeter(is_dedicated=True).energy_kwh(HOUR)
    busy = 0.5 / 4
    assert found.central == pytest.approx(4 * (3.5 * busy + 0.74 * (1 - busy)) / 1000)
    assert "reserved" in ModelMeter(is_dedicated=True).basis


def domain(root: Path, name: str, kind: str, microjoules: int) -> Path:
    folder = root / name
    folder.mkdir()
    (folder / "name").write_text(f"{kind}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("1000000000\n")
    return folder


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages, of which one has memory and cores; and what would count them twice."""
    root = tmp_path / "powercap"
    root.mkdir()
    domain(root, "intel-rapl:0", "package-0", 900_000_000)
    domain(root, "intel-rapl:0:0", "core", 0)
    domain(root, "intel-rapl:0:1", "dram", 0)
    domain(root, "intel-rapl:1", "package-1", 0)
    domain(root, "intel-rapl:2", "psys", 0)
    domain(root, "intel-rapl-mmio:0", "package-0", 0)
    (tmp_path / "stat").write_text("cpu  0 0 0 100 0 0 0 0 0 0\n")
    return root


def spend(root: Path, stat: Path, meter: RaplMeter) -> None:
    meter.start()
    for folder in root.iterdir():
        before = int((folder / "energy_uj").read_text())
        after = (before + 360_000_000) % 1_000_000_000  # package-0 begins anew
        (folder / "energy_uj").write_text(f"{after}\n")
    stat.write_text("cpu  200000 0 160000 99999 5 0 0 0 0 0\n")  # 3600 s of ticks of 10 ms
    meter.stop()
    meter.stop()


@pytest.mark.parametrize(("is_dedicated", "share"), [(True, 1.0), (False, 0.5)])
def test_counters_are_read_once_each_and_when_they_begin_anew(
    powercap: Path, *, is_dedicated: bool, share: float
) -> None:
    stat = powercap.parent / "stat"
    meter = RaplMeter(is_dedicated=is_dedicated, root=powercap, stat=stat)
    assert RaplMeter.is_readable(powercap)
    spend(powercap, stat, meter)
    found = meter.energy_kwh(HOUR)
    assert found.low == found.high == pytest.approx(3 * 360 / 3.6e6 * share)


def test_counters_that_may_not_be_read_are_no_counters(tmp_path: Path) -> None:
    assert not RaplMeter.is_readable(tmp_path / "nothing")
    folder = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    (folder / "energy_uj").unlink()
    assert not RaplMeter.is_readable(tmp_path)
    (folder / "energy_uj").write_text("no number")
    assert not RaplMeter.is_readable(tmp_path)


def test_the_building_the_network_and_the_hardware_count_too() -> None:
    found = ran()
    assert found.compute_kwh.central == pytest.approx(2.0 * 1.15)
    assert found.network_kwh == Range(low=0, central=0, high=0.001)
    assert found.operational_kgco2e is not None
    assert found.operational_kgco2e.central == pytest.approx(2.3 * 0.3272)
    assert found.embodied_kgco2e.central < 1e-6
    assert found.cost_usd.central == pytest.approx(Decimal("0.25"), abs=Decimal("0.001"))
    assert (found.meter, found.grade) == ("rapl", "measured")
    assert found.wall_seconds >= 0
    assert found.as_dict()["energy_kwh"]["central"] == found.energy_kwh.central


def test_without_a_region_energy_is_known_and_carbon_is_not() -> None:
    found = ran(region=None)
    assert found.operational_kgco2e is found.carbon_kgco2e is None
    assert found.energy_kwh.central > 2
    assert any("write `region:`" in note for note in found.notes)


def test_what_travels_far_takes_more() -> None:
    assert ran(network="internet").network_kwh.central == pytest.approx(0.059)


def test_time_is_counted_from_the_start_to_the_end() -> None:
    with RunMeter(MachineSettings(meter="model"), region="eu-north-1") as meter:
        during = meter.spent()
        sum(range(300_000))
    after = meter.spent()
    assert 0 <= during.cpu_seconds < after.cpu_seconds
    assert meter.spent() == after
    found = meter.footprint()
    assert found.meter == "cpu_seconds"
    assert 0 < found.energy_kwh.central < 1e-3


def test_requests_have_list_prices() -> None:
    price = request_price("us-east-1", date(2026, 11, 21))
    assert price("put", "s3://b/k", 0) == Decimal("0.000005")
    assert price("list", "s3://b/", 0) == Decimal("0.000005")
    assert price("read", "s3://b/k", 5) == Decimal("0.0000004")
    assert price("delete", "s3://b/k", 0) == 0
    assert price("read", "file:///x", 0) == 0
    assert request_price("nowhere-1", date(2026, 11, 21))("put", "s3://b/k", 0) > 0


def test_parts_of_a_run_add_up() -> None:
    one = ran().as_record()
    other = one | {"read_bytes": 7, "requests": {"read": 2, "put": 1}}
    found = sum_of_records([one, other])
    assert found is not None
    assert (found["read_bytes"], found["requests"]) == (10**9 + 7, {"read": 5, "put": 1})
    assert Decimal(found["cost_usd"]["high"]) == 2 * Decimal(one["cost_usd"]["high"])
    for name in ("energy_kwh", "carbon_kgco2e"):
        assert found[name]["high"] == pytest.approx(one[name]["high"] + other[name]["high"])
    unknown = ran(region=None).as_record()
    assert (sum_of_records([one, unknown]) or one)["carbon_kgco2e"] is None
    assert (sum_of_records([]), sum_of_records([one])) == (None, one)


def saving(kwh: float | None) -> Saving:
    energy = None if kwh is None else Range(low=kwh / 2, central=kwh, high=kwh * 2)
    return Saving(
        cost_usd=Decimal(10),
        energy_kwh=energy,
        operational_kgco2e=energy,
        embodied_kgco2e=None if energy is None else Range.exact(0.0),
    )


def test_a_saving_is_netted_at_its_lowest_against_the_runs_highest() -> None:
    own = ran()
    found = net_of(saving(1.0), own)
    assert found.cost_usd == pytest.approx(Decimal("119.75"), abs=Decimal("0.001"))
    assert own.carbon_kgco2e is not None
    assert found.sure_kgco2e == pytest.approx(12 * 0.5 - own.carbon_kgco2e.high)
    assert found.carbon_kgco2e is not None
    assert found.carbon_kgco2e.central == pytest.approx(12 - own.carbon_kgco2e.central)
    assert found.payback_months is not None
    assert found.payback_months[0] == pytest.approx(own.energy_kwh.central)
    assert found.payback_months[1] == pytest.approx(own.energy_kwh.high / 0.5)


def test_what_is_not_known_is_not_netted() -> None:
    found = net_of(saving(None), ran())
    assert found.energy_kwh is found.carbon_kgco2e is None
    assert found.sure_kgco2e is None
    assert net_of(saving(1.0), ran(region=None)).sure_kgco2e is None


def test_codecarbon_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(ExtraMissingError) as caught:
        RunMeter(MachineSettings(meter="codecarbon"))
    assert caught.value.exit_code == 50
    assert "pip install 'greendata[codecarbon]'" in (caught.value.hint or "")


@pytest.mark.skipif(
    importlib.util.find_spec("codecarbon") is None, reason="the extra codecarbon is not installed"
)
@pytest.mark.filterwarnings("ignore")
def test_codecarbon_is_a_meter_where_it_is_installed() -> None:
    meter = CodeCarbonMeter(is_dedicated=False, country="SWE")
    meter.start()
    sum(range(10_000_000))
    meter.stop()
    assert 0 < meter.energy_kwh(HOUR).central < 1
