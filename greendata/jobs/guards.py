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
_EXAMPLES = 3


def find_alarms(
    connection: DuckDBPyConnection,
    duplicates: str,
    *,
    max_group: int = DEFAULT_MAX_GROUP,
    max_removal_share: float = DEFAULT_MAX_REMOVAL_SHARE,
) -> tuple[Alarm, ...]:
    """Alarms of a table of duplicates beside ``objects``; the largest groups first."""
    groups = connection.execute(
        "SELECT kept_uri, kept_row, count(*) AS members,"
        " list(document_uri || '#' || document_row ORDER BY document_uri, document_row)"
        f"[:{_EXAMPLES}]"
        f" FROM {duplicates} GROUP BY ALL HAVING count(*) > ?"
        " ORDER BY members DESC, kept_uri, kept_row LIMIT 10",
        [max_group],
    ).fetchall()
    found = [
        Alarm(
            name="large-group",
            subject=f"{uri}#{row}",
            message=f"{uri}#{row}: {members} documents are redundant because of it, more than"
            f" --max-group {max_group}",
            examples=tuple(examples),
        )
        for uri, row, members, examples in groups
    ]
    shares = connection.execute(
        "SELECT document_dataset, removed / documents AS share, examples FROM ("
        " SELECT document_dataset, count(*) AS removed,"
        f" list(document_uri || '#' || document_row)[:{_EXAMPLES}] AS examples"
        f" FROM {duplicates} GROUP BY document_dataset) r"
        " JOIN (SELECT dataset AS document_dataset, sum(documents) AS documents FROM objects"
        "  WHERE status = 'read' GROUP BY dataset) t USING (document_dataset)"
        " WHERE removed > ? * documents ORDER BY share DESC, document_dataset",
        [max_removal_share],
    ).fetchall()
    found += [
        Alarm(
            name="large-removal",
            subject=dataset,
            message=f"{dataset}: {share:.1%} of its documents are redundant, more than"
            f" --max-removal-share {max_removal_share}",
            examples=tuple(examples),
        )
        for dataset, share, examples in shares
    ]
    return tuple(found)
