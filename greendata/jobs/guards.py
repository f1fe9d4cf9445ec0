"""Alarms before anything is left out: a group too large, a dataset that would lose too much.

Chains of near-duplicates and boilerplate have emptied corpora before; a person looks first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.model import Alarm

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DEFAULT_MAX_GROUP = 10_000
DEFAULT_MAX_REMOVAL_SHARE = 0.9
_EXAMPLES, _MOST_GROUPS = 3, 10


_PART = "hash(kept_uri, kept_row) & 65535"
"""Documents are counted by parts first: hardly one has a group as large as is asked for."""


def find_alarms(
    connection: DuckDBPyConnection,
    duplicates: str,
    *,
    max_group: int = DEFAULT_MAX_GROUP,
    max_removal_share: float = DEFAULT_MAX_REMOVAL_SHARE,
) -> tuple[Alarm, ...]:
    """Alarms of a table of duplicates beside ``objects``; the largest groups first."""
    groups = connection.execute(
        f"SELECT kept_uri, kept_row, count(*) AS members FROM {duplicates}"
        f" WHERE {_PART} IN (SELECT {_PART} AS part FROM {duplicates}"
        "  GROUP BY part HAVING count(*) > $most)"
        " GROUP BY ALL HAVING count(*) > $most"
        f" ORDER BY members DESC, kept_uri, kept_row LIMIT {_MOST_GROUPS}",
        {"most": max_group},
    ).fetchall()
    found = [
        Alarm(
            name="large-group",
            subject=f"{uri}#{row}",
            message=f"{uri}#{row}: {members} documents are redundant because of it, more than"
            f" --max-group {max_group}",
            examples=_examples(connection, duplicates, "kept_uri = ? AND kept_row = ?", uri, row),
        )
        for uri, row, members in groups
    ]
    shares = connection.execute(
        "SELECT document_dataset, removed / documents AS share FROM ("
        f" SELECT document_dataset, count(*) AS removed FROM {duplicates}"
        "  GROUP BY document_dataset)"
        " JOIN (SELECT dataset AS document_dataset, sum(documents) AS documents FROM objects"
        "  WHERE status = 'read' GROUP BY dataset) USING (document_dataset)"
        " WHERE removed > ? * documents ORDER BY share DESC, document_dataset",
        [max_removal_share],
    ).fetchall()
    found += [
        Alarm(
            name="large-removal",
            subject=dataset,
            message=f"{dataset}: {share:.1%} of its documents are redundant, more than"
            f" --max-removal-share {max_removal_share}",
            examples=_examples(connection, duplicates, "document_dataset = ?", dataset),
        )
        for dataset, share in shares
    ]
    return tuple(found)


def _examples(
    connection: DuckDBPyConnection, duplicates: str, where: str, *values: object
) -> tuple[str, ...]:
    """Few of the documents; asked for group by group, as a list of all would be in memory."""
    rows = connection.execute(
        f"SELECT document_uri, document_row FROM {duplicates} WHERE {where}"
        f" ORDER BY document_uri, document_row LIMIT {_EXAMPLES}",
        list(values),
    ).fetchall()
    return tuple(f"{uri}#{row}" for uri, row in rows)
