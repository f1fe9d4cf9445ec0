from __future__ import annotations

import functools
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greendata.policy.columns import COLUMNS, VIEW_COLUMNS
from greendata.policy.expression import parse_condition
from greendata.policy.globs import glob_to_regex, match_glob
from greendata.policy.lexer import FUNCTIONS, KEYWORDS, ExpressionError
from tests.examples import examples

HOSTILE = [
    "1=1) or (1=1",
    "(select 1) = 1",
    "size_bytes > (select max(size_bytes) from inventory)",
    "exists (select 1)",
    "size_bytes in (select 1)",
    "read_csv('/etc/passwd') = 'x'",
    "read_text('/etc/passwd') = 'x'",
    "glob('/etc/*')",
    "getenv('HOME') = 'x'",
    "current_setting('secret_directory') = 'x'",
    "key = 'a'; drop table inventory",
    "key = 'a' -- and size_bytes > 1",
    "key = 'a' /* x */ and size_bytes > 1",
    "size_bytes > 1 # x",
    "size_bytes > 1 - -1 --",
    "\u0455ize_bytes > 1",  # a Cyrillic s
    "size_bytes \uff1e 1",  # a wide >
    "size_bytes\u00a0> 1",  # a blank that is none
    "key = 'a\u202eb'",
    "key = 'a\u200bb'",
    "key = 'a\x00b'",
    "key = \u2018a\u2019",
    "(" * 10_000 + "1" + ")" * 10_000,
    "(" * 200 + "size_bytes" + ")" * 200 + " > 1",
    "not " * 300 + "is_latest",
    "not " * 30_000 + "is_latest",
    "- " * 300 + "1 < size_bytes",
    "1+" * 250 + "1 > size_bytes",
    "[" * 500,
    "repeat('a', 1000000000) = key",
    "regexp_matches(key, '(a+)+$')",
    "key similar to '(a+)+'",
    "key ~ 'a'",
    "key like '%a%a%a%a%a%a%'",
    "range(1000000000) is null",
    "list_transform(residency, x -> x) is null",
    "sleep(1) = 1",
    "random() < 0.5",
    "now() > modified_at",
    "current_timestamp > modified_at",
    "size_bytes::varchar = '1'",
    "cast(size_bytes as varchar) = '1'",
    "case when is_latest then true end",
    "key || key = 'a'",
    "\"key\" = 'a'",
    "inventory.key = 'a'",
    "$1 = key",
    "? = key",
    "@x = key",
    "key = e'\\n'",
    "key = x'41'",
    "key = $$a$$",
    "key collate nocase = 'a'",
    "count(*) > 1",
    "sum(size_bytes) over () > 1",
    "struct_pack(a := 1) is null",
    "{'a': 1} is null",
    "tags['a']['b'] = 'c'",
    "tags[key] = 'c'",
    "columns('.*') = 1",
    "* = 1",
    "key in ('a', key)",
    "key = 'a' union select 1",
    "key = 'a' limit 1",
    "size_bytes > 99999999999999999999",
    "size_bytes > 1e308",
    "true",
    "1 = 1",
    "null",
    "",
    "   ",
    "'",
    "a" * 5_000,
    "is_latest or " * 400 + "is_latest",
    "and",
    ")",
]


@pytest.mark.parametrize("text", HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_hostile_expressions_are_refused_before_any_database_sees_them(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_condition(text)
    assert 0 <= caught.value.offset <= len(text)


@pytest.mark.parametrize(
    ("text", "at", "what", "hint"),
    [
        ("idel_days > 3", "idel", "Did you mean 'idle_days'?", ""),
        ("is_latest and mibs(3) < size_bytes", "mibs", "Did you mean 'mib'?", ""),
        ("idle_days >= mib(8)", "mib", "cannot be compared", "mib(8)"),
        ("size_bytes > days(8)", "days", "cannot be compared", "mib(8)"),
        ("size_bytes > '8 MiB'", "'8", "cannot be compared", "without quotes"),
        ("age_days > '8 d'", "'8", "cannot be compared", "days(30)"),
        ("tags = 'a'", "'a'", "cannot be compared", "tag('name')"),
        ("residency = 'eu'", "'eu'", "cannot be compared", "has(residency"),
        ("tier = 'archve'", "'archve", "Did you mean 'archive'?", "one of"),
        ("store in ('s3', 'gcs')", "'gcs", "never 'gcs'", ""),
        ("modified_at < 'soon'", "'soon", "is not a time", "2026-01-31"),
        ("key like 'a%'", "like", "unknown column", "glob("),
        ("is_latest and size_bytes", "size_bytes", "is no condition", "mib(8)"),
        ("size_bytes + age_days > 1", "age_days", "do not add up", ""),
        ("size_bytes * size_bytes > 1", "size_bytes > 1", "means nothing", ""),
        ("coalesce(idle_days, 900) > 1", "idle_days", "unknown idle_days", "unknown_access"),
        ("greatest(idle_days, age_days) > 1", "idle_days", "unknown idle_days", "unknown_access"),
        ("(idle_days < 9) is not true", "idle", "unknown idle_days", "unknown_access"),
        ("idle_days is distinct from 9", "idle", "unknown idle_days", "unknown_access"),
        ("starts_with(key, key)", "key)", "a text in quotes", ""),
        ("mib(size_bytes) > 1", "mib", "other arguments", "mib(8)"),
        ("size_bytes > kib(0.3)", "kib", "no whole number", ""),
        ("size_bytes >= 3 3", "3 3", "something is missing or too much", ""),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place_and_what_to_write(
    text: str, at: str, what: str, hint: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_condition(text)
    error = caught.value
    assert what in error.message
    assert hint in (error.hint or "")
    assert text[error.offset :].startswith(at) or abs(text.rindex(at) - error.offset) <= 2


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("size_bytes >= mib(8)", '"size_bytes" >= 8388608'),
        ("size_bytes >= GB(1.5)", '"size_bytes" >= 1500000000'),
        ("age_days > weeks(2)", '"age_days" > 14'),
        ("tags['a''b'] = 'c'", "MAP_EXTRACT_VALUE(\"tags\", 'a''b') = 'c'"),
        ("-3 < age_days", '(-3) < "age_days"'),
        ("is_latest is true and is_held is not null and not (is_locked is null)", None),
        ("key is not distinct from 'a'", None),
        ("has(residency, 'eu')", None),
        ("modified_at between '2026-01-01' and '2026-02-01T00:00:00+02:00'", None),
        ("not (store in ('s3', 'az') or is_held) and age_days % 2 = 0", "refused"),
        ("lower(key) = 'a' or upper(trim(key)) = 'B' or length(key) > 3", None),
        ("round(size_bytes / gib(1)) > 3 and abs(duplicate_fraction - 1) < 0.5", None),
        ("nullif(documents, 0) > 3 and coalesce(documents, text_bytes / mib(1)) > 3", None),
        ("size_bytes / documents > 100", None),
    ],
)
def test_what_may_be_said_becomes_sql_that_the_database_takes(text: str, sql: str | None) -> None:
    if sql == "refused":
        with pytest.raises(ExpressionError):
            parse_condition(text)
        return
    made = " AND ".join(part.tree.sql(dialect="duckdb") for part in parse_condition(text).conjuncts)
    if sql is not None:
        assert made == sql
    assert run(made) == []


def run(made: str) -> list[tuple[object, ...]]:
    types = {
        "text": "VARCHAR", "true or false": "BOOLEAN", "a time": "TIMESTAMPTZ", "bytes": "BIGINT",
        "days": "BIGINT", "USD": "DECIMAL(24, 12)", "a number": "DOUBLE",
        "a list of texts": "VARCHAR[]", "texts by name": "MAP(VARCHAR, VARCHAR)",
    }  # fmt: skip
    listed = ", ".join(f"NULL::{types[kind]} AS {name}" for name, kind in COLUMNS.items())
    database().execute(f"CREATE TABLE IF NOT EXISTS o AS SELECT {listed}")
    return database().execute(f"SELECT 1 FROM o WHERE {made}").fetchall()


@functools.cache
def database() -> duckdb.DuckDBPyConnection:
    """One for all tests of this module: they only read from it."""
    return duckdb.connect()


@pytest.fixture(autouse=True, scope="module")
def _closing() -> Iterator[None]:
    yield
    database().close()
    database.cache_clear()


def test_arithmetic_neither_overflows_nor_fails() -> None:
    condition = parse_condition(f"size_bytes * {10**17} * {10**17} > 1 or size_bytes / 0 > 1")
    made = condition.conjuncts[0].tree.sql(dialect="duckdb")
    found = database().execute(
        f"SELECT size_bytes FROM (VALUES (9223372036854775807), (0)) t(size_bytes) WHERE {made}"
    )
    assert found.fetchall() == [(9223372036854775807,)]


def test_parts_are_those_that_the_outermost_and_joins() -> None:
    condition = parse_condition(
        "age_days between 1 and 9 and (is_held or is_latest)\n and  not is_locked"
    )
    assert [part.text for part in condition.conjuncts] == [
        "age_days between 1 and 9", "(is_held or is_latest)", "not is_locked",
    ]  # fmt: skip
    assert len(parse_condition("is_held and is_latest or is_locked").conjuncts) == 1


def test_columns_are_those_of_the_inventory_view() -> None:
    from greendata.catalog.inventory import INVENTORY_COLUMNS

    assert tuple(VIEW_COLUMNS) == INVENTORY_COLUMNS


WORDS = st.sampled_from(
    [*KEYWORDS, *FUNCTIONS, *COLUMNS, "(", ")", "[", "]", ",", "=", "<", ">=", "+", "-", "*", "/",
     "1", "2.5", "'a'", "''", "--", ";", "::", "select", "é", "'"]
)  # fmt: skip


@settings(max_examples=examples(300))
@given(st.lists(WORDS, max_size=14).map(" ".join))
def test_any_text_is_refused_or_becomes_sql_that_runs(text: str) -> None:
    try:
        condition = parse_condition(text)
    except ExpressionError:
        return
    for part in condition.conjuncts:
        run(part.tree.sql(dialect="duckdb"))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("**/_delta_log/**", ["_delta_log/0.json", "a/_delta_log/0", "a/b/_delta_log/c/d"],
         ["a/x_delta_log/0", "_delta_log"]),
        ("**/*.parquet", ["a.parquet", "a/b.parquet"], ["a.parquet.gz"]),
        ("raw/**", ["raw/a", "raw/a/b"], ["raws/a", "a/raw/b"]),
        ("raw/*.jsonl", ["raw/a.jsonl"], ["raw/a/b.jsonl", "rawXa.jsonl"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("**/_SUCCESS", ["_SUCCESS", "a/_SUCCESS"], ["a_SUCCESS"]),
        ("plain", ["plain"], ["plainer"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
        ("(a+)+[b].{c}$", ["(a+)+[b].{c}$"], ["aab"]),
        ("**", ["", "a", "a/b"], []),
    ],
)  # fmt: skip
def test_globs_stay_in_a_folder_unless_they_say_otherwise(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    from sqlglot import exp

    made = match_glob(exp.column("key", quoted=True), pattern).sql(dialect="duckdb")
    for key in [*matching, *other]:
        found = database().execute(f"SELECT {made} FROM (SELECT ? AS key)", [key]).fetchone()
        assert found == (key in matching,), key


@settings(max_examples=examples(150))
@given(st.text("ab/*?.", max_size=8), st.text("ab/.", max_size=8))
def test_shortcuts_for_globs_mean_what_the_regular_expression_means(pattern: str, key: str) -> None:
    from sqlglot import exp

    made = match_glob(exp.column("key", quoted=True), pattern).sql(dialect="duckdb")
    found = (
        database()
        .execute(
            f"SELECT {made}, regexp_full_match(key, ?, 's') FROM (SELECT ? AS key)",
            [glob_to_regex(pattern), key],
        )
        .fetchone()
    )
    assert found is not None
    assert found[0] == found[1]
