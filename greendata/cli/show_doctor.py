"""What ``doctor`` found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greendata.cli.output import print_line, print_table, visible_uri

if TYPE_CHECKING:
    from greendata.jobs.doctor import Diagnosis


def show_diagnosis(found: Diagnosis) -> None:
    """Findings, the actions they allow, and the container's own rules."""
    print_line(f"{visible_uri(found.uri)} ({found.store_id})")
    print_table(
        ("tried", "verdict", "detail"),
        [(finding.name, finding.verdict.value, finding.detail) for finding in found.findings],
    )
    print_line()
    for action in found.actions:
        reasons = [f"needs {', '.join(action.missing)}"] if action.missing else []
        reasons += action.conflicts
        reason = f" ({'; '.join(reasons)})" if reasons else ""
        print_line(f"{action.action}: {'safe' if action.is_allowed else 'refused'}{reason}")
    print_line()
    for line in _rules(found):
        print_line(line)
    if found.leftovers:
        print_line("Could not be deleted: " + ", ".join(map(visible_uri, found.leftovers)))


def _rules(found: Diagnosis) -> list[str]:
    rules = found.rules
    counts = {"lifecycle rules": rules.lifecycle, "replication rules": rules.replication}
    lines = [f"versioning: {rules.versioning or 'unknown'}"]
    lines += [f"{name}: {'unknown' if r is None else len(r)}" for name, r in counts.items()]
    days = rules.soft_delete_days
    lines.append(f"soft delete: {'unknown' if days is None else f'{days} days'}")
    if rules.unreadable:
        lines.append(f"not readable: {', '.join(rules.unreadable)}")
    return lines
