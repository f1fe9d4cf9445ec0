from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from greendata.errors import IntegrityError
from greendata.inventory.access_logs import aggregate_days, parse_access_log

OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"


def line(
    key: str = "data/a",
    *,
    operation: str = "REST.GET.OBJECT",
    at: str = "06/Feb/2019:00:00:38 +0000",
    status: str = "200",
    agent: str = "Boto3/1.26",
    sent: str = "2662992",
    bucket: str = "b",
) -> str:
    """A line as AWS documents it."""
    return (
        f"{OWNER} {bucket} [{at}] 192.0.2.3 arn:aws:sts::1:role/x 3E57427F33 {operation} {key}"
        f' "GET /{bucket}/{key} HTTP/1.1" {status} - {sent} 3462992 70 10 "-" "{agent}" -'
        " s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234= SigV4"
        " ECDHE-RSA-AES128-GCM-SHA256 AuthHeader b.s3.us-west-1.amazonaws.com TLSV1.1 - -\n"
    )


def parsed(*lines: str) -> dict[tuple[str, date], dict[str, Any]]:
    found = parse_access_log("".join(lines).encode(), "s3://logs/1", "s3:aws")
    return {(row["uri"], row["day"]): row for row in found.rows.to_pylist()}


DAY = date(2019, 2, 6)


def test_reads_are_counted_by_object_and_day() -> None:
    found = parsed(
        line(),
        line(at="06/Feb/2019:23:59:59 +0000", sent="8", status="206"),
        line(at="07/Feb/2019:00:00:00 +0000", sent="-"),
    )
    first = found["s3://b/data/a", DAY]
    assert (first["reads"], first["read_bytes"]) == (2, 2_663_000)
    assert first["accessed_at"] == datetime(2019, 2, 6, 23, 59, 59, tzinfo=UTC)
    assert found["s3://b/data/a", date(2019, 2, 7)]["reads"] == 1
    assert {row["store_id"] for row in found.values()} == {"s3:aws"}


@pytest.mark.parametrize(
    "line",
    [
        line(operation="REST.PUT.OBJECT"),
        line(operation="REST.HEAD.OBJECT"),
        line(operation="REST.GET.BUCKET", key="-"),
        line(status="403"),
        line(status="304"),
        line(agent="Boto3/1.26 md/Botocore#1 greendata"),
        line(agent="greendata azsdk-python"),
    ],
)
def test_what_is_no_read_of_others_tells_only_that_the_bucket_is_logged(line: str) -> None:
    assert set(parsed(line)) == {("s3://b/", DAY)}


@pytest.mark.parametrize(
    "operation", ["REST.GET.OBJECT", "WEBSITE.GET.OBJECT", "REST.COPY.OBJECT_GET"]
)
def test_reading_in_any_way_counts(operation: str) -> None:
    assert ("s3://b/data/a", DAY) in parsed(line(operation=operation))


def test_an_agent_that_only_looks_like_ours_counts() -> None:
    assert ("s3://b/data/a", DAY) in parsed(line(agent="notgreendata/1"))


@pytest.mark.parametrize(
    ("logged", "names"),
    [
        ("a%20b", {"a b"}),
        ("a%2520b", {"a%20b", "a b"}),
        ("a%25b", {"a%b"}),
        ("%C3%A9", {"é"}),
        ("x+y", {"x+y"}),
    ],
)
def test_keys_are_decoded_once_and_twice(logged: str, names: set[str]) -> None:
    uris = {uri for uri, _ in parsed(line(logged))} - {"s3://b/"}
    assert uris == {f"s3://b/{name}" for name in names}


def test_lines_that_are_cut_are_counted() -> None:
    raw = (line() + line()[:80] + "\n\n").encode()
    found = parse_access_log(raw, "s3://logs/1", "s3:aws")
    assert (found.lines, found.unread_lines) == (2, 1)


def test_another_file_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"s3://logs/1.*no line"):
        parse_access_log(b"PAR1 what\n", "s3://logs/1", "s3:aws")


def test_an_empty_log_tells_nothing() -> None:
    assert parsed() == {}


def test_days_of_several_files_add_up() -> None:
    at = [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in (5, 9)]
    table = pa.table(
        {
            "uri": ["s3://b/a"] * 2,
            "accessed_at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "reads": [2, 3],
            "read_bytes": [10, 20],
        }
    )
    (row,) = aggregate_days(table).to_pylist()
    assert (row["accessed_at"], row["reads"], row["read_bytes"]) == (at[1], 5, 30)
