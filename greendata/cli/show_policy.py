"""Policies, cases and explanations, for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greendata.cli.output import print_line, visible, visible_uri
from greendata.units import format_count, format_number

if TYPE_CHECKING:
    from greendata.jobs.explain import ExplainedPrice, PolicyExplanation
    from greendata.jobs.policies import PolicyCheck, PolicyTest
    from greendata.jobs.policy_rules import ImportedPolicies
    from greendata.policy.explain import Explanation, PolicyVerdict
    from greendata.policy.native.export import Exported

_MARKS = {True: "yes", False: "no", None: "unknown"}


def show_check(found: PolicyCheck, *, is_verbose: bool) -> None:
    """Warnings a line each, notes too if asked for, then what was read."""
    for finding in found.findings:
        if is_verbose or finding.level == "warning":
            print_line(f"{finding.place}: {finding.level}: {finding.policy} {finding.message}")
    warnings = sum(finding.level == "warning" for finding in found.findings)
    notes = len(found.findings) - warnings
    shown = "" if is_verbose or not notes else " (-v shows them)"
    print_line(
        f"{format_count(len(found.policies))} policies in {format_count(len(found.files))} files,"
        f" {format_count(found.cases)} cases: no mistake, {warnings} warnings, {notes} notes on"
        f" which policy comes before which{shown}."
    )
    print_line(f"Digest {found.digest}")


def show_test(found: PolicyTest) -> None:
    """Failures, then how many passed, and what no case covers."""
    for report in found.cases:
        for line in report.failures:
            print_line(f"FAILED {line}")
    for name in found.without_cases:
        print_line(f"{name}: no cases beside it")
    for name in found.untested:
        print_line(f"{name}: no case in which this policy decides")
    passed = len(found.cases) - found.failed
    print_line(f"{passed} of {len(found.cases)} cases passed.")


def show_explanation(found: PolicyExplanation) -> None:
    """Each version of the object with the steps of every policy."""
    for entry in found.objects:
        _show_object(entry, [p for p in found.prices if p.version_id == entry.version_id])
    print_line(f"As of {found.as_of:%Y-%m-%d %H:%M} UTC or later.")


def _show_object(entry: Explanation, prices: Sequence[ExplainedPrice]) -> None:
    version = f" version {entry.version_id}" if entry.version_id else ""
    print_line(f"{visible_uri(entry.uri)}{version} ({entry.state})")
    if entry.decisions:
        for name, action in entry.decisions.items():
            print_line(f"  decided by {name}: {_action(action)}")
            for price in prices:
                if price.policy == name:
                    print_line(f"    {_price(price)}")
    elif entry.stays:
        stays = entry.stays
        print_line(f"  stays: {stays.reason} ({stays.policy}: {stays.because})")
    else:
        print_line("  no policy that acts is about it")
    print_line()
    for verdict in entry.policies:
        _show_verdict(verdict)
        print_line()


def _price(found: ExplainedPrice) -> str:
    if found.refusal is not None:
        return f"a plan refuses it: {found.refusal}: {found.because}"
    saving = found.monthly_saving_usd
    saved = (
        "what nobody knows beforehand"
        if saving is None
        else f"{format_number(float(saving))} USD a month"
    )
    days = found.payback_days
    back = "" if days is None else f"; pays back after {days} d" if days else "; at once"
    return f"costs {format_number(float(found.fees_usd or 0))} USD once, saves {saved}{back}"


def _show_verdict(verdict: PolicyVerdict) -> None:
    because = f": {verdict.because}" if verdict.because else ""
    print_line(f"  {verdict.policy} ({_action(verdict.action)}): {verdict.verdict}{because}")
    for step in verdict.steps:
        if verdict.verdict == "out-of-scope" and step.stage != "scope":
            continue
        values = ", ".join(f"{name} = {_value(value)}" for name, value in step.values.items())
        shown = f"   [{values}]" if values else ""
        print_line(f"    {_MARKS[step.passed]:<8} {step.text}{shown}")


def _value(value: Any) -> str:
    return "unknown" if value is None else str(value)


def _action(action: Mapping[str, Any]) -> str:
    found = []
    for name, value in action.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key}: {_listed(item)}" for key, item in value.items())
        found.append(f"{name}: {value}" if value else name)
    return "; ".join(found)


def _listed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def show_import(found: ImportedPolicies) -> None:
    """What a file became, and what of it is not kept."""
    print_line(f"{found.source} ({found.kind}): {len(found.policies)} policies in {found.output}.")
    for sentence in (*found.comments, *(f"Left out: {text}" for text in found.left_out)):
        print_line(f"  {sentence}")


def show_export_notes(found: Exported) -> None:
    """On stderr: the rules themselves are the output."""
    for sentence in found.notes:
        print(f"note: {visible(sentence)}", file=sys.stderr)
    for sentence in found.left_out:
        print(f"left out: {visible(sentence)}", file=sys.stderr)
