from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greendata.errors import UsageError
from greendata.units import (
    LARGEST_SIZE,
    format_binary_bytes,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
    format_share,
    parse_bytes,
    percent,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1000", 1000),
        ("7b", 7),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("64MiB", 64 * 2**20),
        ("64 MB", 64_000_000),
        (" 1.5gib ", 3 * 2**29),
        ("0.1TB", 100_000_000_000),
        ("2TiB", 2**41),
    ],
)
def test_parse_bytes_tells_powers_of_1000_from_powers_of_1024(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e3", "nan", "0", "0.4", "1,5GB", "9e99", "٣MB"])
def test_parse_bytes_refuses_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bytes(text)


def test_parse_bytes_refuses_more_than_63_bits() -> None:
    assert parse_bytes(str(LARGEST_SIZE)) == LARGEST_SIZE
    with pytest.raises(UsageError, match="out of range"):
        parse_bytes(str(LARGEST_SIZE + 1))


def test_parse_bytes_names_both_units_when_the_unit_is_ambiguous() -> None:
    with pytest.raises(UsageError) as caught:
        parse_bytes("64G")
    assert caught.value.hint == "Write GB for powers of 1000 or GiB for powers of 1024."


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_parse_bytes_reads_every_whole_number(size_bytes: int) -> None:
    assert parse_bytes(str(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (12_340_000_000, "12.3 GB"),
        (5 * 10**18, "5000.0 PB"),
        (-1500, "-1.5 kB"),
    ],
)
def test_format_bytes_has_one_decimal_and_the_largest_unit(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


def test_format_binary_bytes_uses_powers_of_1024() -> None:
    assert format_binary_bytes(3 * 2**29) == "1.5 GiB"
    assert format_binary_bytes(1023) == "1023 bytes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (184, "3 min 04 s"),
        (3720, "1 h 02 min"),
        (3599.6, "1 h 00 min"),
    ],
)
def test_format_seconds_carries_into_the_next_unit(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"),
        (0.0004, "<0.1 %"),
        (0.5, "50.0 %"),
        (0.9996, ">99.9 %"),
        (1, "100.0 %"),
    ],
)
def test_format_share_shows_none_and_all_only_when_it_is_so(share: float, text: str) -> None:
    assert format_share(share) == text


def test_percent_and_rate_are_blank_without_a_whole() -> None:
    assert percent(0, 0) == "-"
    assert percent(1, 8) == "12.5 %"
    assert format_rate(5, 0) == "-"
    assert format_rate(80_000_000, 2) == "40.0 MB/s"


def test_format_count_sets_thousands_apart() -> None:
    assert format_count(1234567) == "1,234,567"
