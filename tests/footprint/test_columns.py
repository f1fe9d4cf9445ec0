"""The SQL over the tables says what the functions say, for any object."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.errors import MissingFactError
from greendata.footprint import columns, costs
from greendata.footprint.carbon import class_carbon
from greendata.footprint.energy import TB
from greendata.footprint.prices import PriceList, places, price_list
from tests.examples import examples

DAY = date(2026, 8, 1)
PRICES: PriceList = price_list(DAY)
CLASSES = sorted(PRICES.classes)
MOVES = sorted(PRICES.transitions)
SIZES = st.one_of(st.integers(0, 300 * 1024), st.integers(0, costs.LARGEST_OBJECT_BYTES))
DAYS = st.integers(0, 400)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.register("rates", columns.rates_table(DAY))
    made.register("transitions", columns.transitions_table(DAY))
    made.register("transfers", columns.transfers_table(DAY))
    return made


def agree(found: Decimal | float | None, expected: Decimal | float | None) -> bool:
    """To a millionth of a millionth of a USD or of the amount."""
    if found is None or expected is None:
        return found is expected
    difference = abs(Decimal(found) - Decimal(expected))
    return difference <= Decimal("1e-12") + abs(Decimal(expected)) * Decimal("1e-12")


def computed(function: Any, *arguments: Any) -> Decimal | None:
    try:
        result: Decimal = function(*arguments)
    except MissingFactError:
        return None
    return result


@settings(max_examples=examples(20))
@given(st.lists(st.tuples(st.sampled_from(CLASSES), SIZES, DAYS), min_size=1, max_size=200))
def test_objects_cost_the_same_in_sql(
    connection: duckdb.DuckDBPyConnection, rows: list[tuple[tuple[str, str, str], int, int]]
) -> None:
    objects = pa.table(
        {
            "n": list(range(len(rows))),
            "provider": [key[0] for key, _, _ in rows],
            "region": [key[1] or None for key, _, _ in rows],
            "storage_class": [key[2] for key, _, _ in rows],
            "size_bytes": [size for _, size, _ in rows],
            "days": [days for _, _, days in rows],
        }
    )
    join = columns.rates_join_sql(
        provider="i.provider", region="i.region", storage_class="i.storage_class"
    )
    query = (
        f"SELECT {columns.monthly_cost_sql('i.size_bytes')},"
        f" {columns.early_delete_cost_sql('i.size_bytes', 'i.days')},"
        f" {columns.read_cost_sql('i.size_bytes')},"
        f" {columns.billed_bytes_sql('i.size_bytes')},"
        f" {columns.is_monitored_sql('i.size_bytes')},"
        f" {columns.quantity_sql('operational_kgco2e', 'high', 'i.size_bytes')}"
        f" FROM objects i JOIN rates r ON {join} ORDER BY i.n"
    )
    found = connection.sql(query).fetchall()
    assert len(found) == len(rows) == len(objects)
    for (key, size, days), (cost, owed, read, billed, is_monitored, carbon) in zip(
        rows, found, strict=True
    ):
        prices = PRICES.classes[key]
        assert agree(cost, computed(costs.monthly_cost, prices, size)), key
        assert agree(owed, computed(costs.early_delete_cost, prices, size, days)), key
        assert agree(read, computed(costs.read_cost, prices, size)), key
        assert billed == costs.billed_bytes(prices, size)
        assert is_monitored == costs.is_monitored(prices, size)
        operational = class_carbon()[key].operational_kgco2e
        expected = None if operational is None else operational.scaled(size / TB).high
        assert agree(carbon, expected), key


@settings(max_examples=examples(20))
@given(st.lists(st.tuples(st.sampled_from(MOVES), SIZES, DAYS), min_size=1, max_size=200))
def test_moves_cost_the_same_in_sql(
    connection: duckdb.DuckDBPyConnection,
    rows: list[tuple[tuple[str, str, str, str, str], int, int]],
) -> None:
    names = ("provider", "region", "source_class", "target_class", "way")
    moves = pa.table(
        {name: [key[at] for key, _, _ in rows] for at, name in enumerate(names)}
        | {
            "n": list(range(len(rows))),
            "size_bytes": [size for _, size, _ in rows],
            "days": [days for _, _, days in rows],
        }
    )
    found = connection.sql(
        f"SELECT {columns.transition_cost_sql('m.size_bytes', 'm.days')} FROM moves m"
        f" JOIN transitions t USING ({', '.join(names)})"
        " JOIN rates r ON r.provider = m.provider AND r.region = m.region"
        " AND r.storage_class = m.source_class ORDER BY m.n"
    ).fetchall()
    assert len(found) == len(rows) == len(moves)
    for (key, size, days), (cost,) in zip(rows, found, strict=True):
        provider, region, source, _, _ = key
        prices = PRICES.classes[provider, region, source]
        expected = computed(costs.transition_cost, PRICES.transitions[key], prices, size, days)
        assert agree(cost, expected), key


def test_transfers_cost_the_same_in_sql(connection: duckdb.DuckDBPyConnection) -> None:
    size = 123_456_789
    expression = columns.transfer_cost_sql(str(size), source="r", target="g", transfer="x")
    found = connection.sql(
        f"SELECT x.source_region, {expression} FROM transfers x"
        " JOIN rates r ON r.provider = x.provider AND r.region = x.source_region"
        " JOIN rates g ON g.provider = x.provider AND g.region = x.target_region"
        " WHERE r.storage_class = 'STANDARD_IA' AND g.storage_class = 'STANDARD'"
        " AND x.target_region = 'us-east-1'"
    ).fetchall()
    assert len(found) > 15
    for region, cost in found:
        price = PRICES.transfer_usd_per_gib("s3", region, "us-east-1")
        source = PRICES.find("s3", region, "STANDARD_IA")
        target = PRICES.find("s3", "us-east-1", "STANDARD")
        assert agree(cost, computed(costs.transfer_cost, source, target, price, size)), region


def test_the_tables_hold_every_place_class_and_move_once() -> None:
    rates = columns.rates_table(DAY)
    assert rates.schema.equals(columns.RATES)
    keys = rates.select(["provider", "region", "storage_class"]).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == len(keys) == len(PRICES.classes)
    assert {(key["provider"], key["region"]) for key in keys} == set(places())
    assert len(columns.transitions_table(DAY)) == len(MOVES)
    assert len(columns.transfers_table(DAY)) == len(PRICES.transfers)


def test_what_is_not_known_is_null_in_sql(connection: duckdb.DuckDBPyConnection) -> None:
    objects = pa.table(
        {
            "provider": ["az", "s3", "file", "s3", "az"],
            "region": ["swedencentral", None, None, None, None],
            "storage_class": ["Hot", "SNOW", None, None, "Smart"],
            "size_bytes": pa.array([1, 1, 1, None, 1], pa.int64()),
        }
    )
    join = columns.rates_join_sql(
        provider="i.provider", region="i.region", storage_class="i.storage_class"
    )
    found = connection.sql(
        f"SELECT {columns.monthly_cost_sql('i.size_bytes')} FROM objects i"
        f" LEFT JOIN rates r ON {join}"
    ).fetchall()
    assert len(objects) == len(found)
    assert {cost for (cost,) in found} == {None}


def test_unknown_days_in_a_class_are_no_reason_to_owe_nothing(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = connection.sql(
        f"SELECT storage_class, {columns.early_delete_cost_sql('1000', 'NULL::BIGINT')}"
        " FROM rates r WHERE region = 'us-east-1'"
    ).fetchall()
    known = {name for name, owed in found if owed is not None}
    assert known == {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "EXPRESS_ONEZONE",
        "INTELLIGENT_TIERING",
    }
