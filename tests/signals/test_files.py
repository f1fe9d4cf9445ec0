"""Signals without a network: an average, and a file."""

from __future__ import annotations

from datetime import timedelta

import pytest

from greendata.errors import ServiceError
from greendata.signals.averages import StaticSignal
from greendata.signals.base import Forecast
from greendata.signals.csvfile import CsvSignal
from tests.signals.contract import HOURS, NOW


def read(text: str | bytes) -> Forecast:
    raw = text.encode() if isinstance(text, str) else text
    signal = CsvSignal(place="f.csv", read=lambda: raw)
    return signal.forecast(NOW, NOW + 2 * HOURS, now=NOW)


HEAD = "starts_at,intensity_gco2e_per_kwh\n"
ROWS = "2026-11-21T12:00Z,300\n2026-11-21T14:00+01:00,0\n2026-11-21T14:00Z,50.5\n"


def test_an_average_is_the_same_for_all_hours() -> None:
    signal = StaticSignal(region="eu-north-1", intensity_gco2e_per_kwh=35.3, basis="lifecycle")
    found = signal.forecast(NOW, NOW + 30 * HOURS, now=NOW)
    assert found.kind == "average"
    assert [point.intensity_gco2e_per_kwh for point in found.points] == [35.3]
    assert found.ends_at - found.starts_at == timedelta(hours=30)


def test_a_file_is_read_with_its_offsets() -> None:
    found = read(HEAD + ROWS)
    assert [point.intensity_gco2e_per_kwh for point in found.points] == [300, 0]
    assert found.ends_at == NOW + 2 * HOURS


def test_ends_may_be_given() -> None:
    found = read("ends_at," + HEAD + "2026-11-21T12:15Z,2026-11-21T11:00Z,300\n")
    assert found.ends_at == NOW + timedelta(minutes=15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no column intensity_gco2e_per_kwh and starts_at"),
        (HEAD, "holds no forecast"),
        ("starts_at,lbs_per_mwh\n2026-11-21T12:00Z,1\n", "has no column intensity_gco2e_per_kwh"),
        (HEAD + "2026-11-21T12:00Z,-1\n", "says -1.0 gCO2e/kWh"),
        (HEAD + "2026-11-21T12:00Z,nan\n", "no intensity"),
        (HEAD + "2026-11-21T12:00Z,2000\n", "says 2000.0 gCO2e/kWh"),
        (HEAD + "2026-11-21T12:00Z,many\n", "line 2: 'many' is no number"),
        (HEAD + "2026-11-21T12:00Z\n", "line 2: None is no number"),
        (HEAD + "2026-11-21T12:00,100\n", "no time with an offset"),
        (HEAD + "9999-12-31T23:59Z,100\n", "no time with an offset"),
        (HEAD + "yesterday,100\n", "no time with an offset"),
        (HEAD + ROWS + "2026-11-21T17:00Z,1\n", "has a hole from"),
        (HEAD + "2026-11-20T12:00Z,100\n", "it is stale"),
        (HEAD + '2026-11-21T12:00Z,"100\n', "is no CSV"),
        (b"\xff\xfe\x00", "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_believed_is_refused(text: str | bytes, expected: str) -> None:
    with pytest.raises(ServiceError, match=r"^csv \(f\.csv\): ") as caught:
        read(text)
    assert expected in str(caught.value)
