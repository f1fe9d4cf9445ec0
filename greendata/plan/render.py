"""A plan as Markdown for a pull request: what a reviewer must know to decide, on one page.

Names from stores and policies are data: they are shown as code, every character that Markdown,
HTML or a terminal would act upon written as a reference or an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from greendata.units import format_number

if TYPE_CHECKING:
    from greendata.plan.compare import Difference
    from greendata.plan.document import Bounds, PlanDocument, PolicyTotals, Stays, Totals

_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
LONGEST_NAME = 160
MOST_REASONS = 20
OLD_DAYS = 2
"""Reports come daily; one older than this tells of another state (``inventory.max_age``)."""

_COPYING = frozenset({"tier", "relocate", "recompress"})
"""Actions that make a new object of each, in S3."""

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_ACTIVE = re.compile(r"[^\w .,:/=><%'()+-]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", re.ASCII)


def code(text: str) -> str:
    """``text`` shown letter by letter, in a table cell or anywhere else."""
    if len(text) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        text = f"{text[:half]} … {text[-half:]}"
    return f"<code>{escaped(text)}</code>"


def visible(text: str) -> str:
    """``text`` with every character that hides or reorders others as an escape."""
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escaped(text: str) -> str:
    """``text`` with every character that could be acted upon as a reference."""
    return _ACTIVE.sub(_reference, visible(text)).replace("<", "&lt;").replace(">", "&gt;")


def _reference(found: re.Match[str]) -> str:
    character = found[0]
    is_letter = ord(character) > 0x7F and character.isprintable()
    return character if is_letter else f"&#{ord(character)};"


def markdown(document: PlanDocument) -> str:
    """The whole plan."""
    return "\n".join(_lines(document)) + "\n"


def markdown_difference(found: Difference) -> str:
    """What one plan has and another has not."""
    return "\n".join(_difference_lines(found)) + "\n"


def _lines(plan: PlanDocument) -> Iterator[str]:
    yield "## greendata plan"
    yield ""
    yield headline(plan)
    yield ""
    if plan.totals.irreversible:
        size = size_text(plan.totals.irreversible_bytes)
        yield (
            f"> **Irreversible: {plan.totals.irreversible:,} actions, {size}.** They can be"
            " undone until their purge, and not after it."
        )
        yield ""
    old = age_warning(plan)
    if old is not None:
        yield f"> **{old}** Apply looks at every object again and skips what changed."
        yield ""
    acl = acl_warning(plan)
    if acl is not None:
        yield f"> {acl}"
        yield ""
    for entry in plan.limits.exceeded:
        yield (
            f"> **Beyond the limit `{entry.limit}`**: {escaped(entry.words)}. Applying is refused"
            " until greendata.yaml allows it or the plan is smaller."
        )
        yield ""
    yield from _policy_table(plan.policies, plan.totals)
    several = several_text(plan)
    if several is not None:
        yield several
        yield ""
    yield from _withheld(plan.policies)
    yield from _prefix_table(plan)
    yield from _stays_tables(plan.stays)
    yield from _footer(plan)


def age_warning(plan: PlanDocument) -> str | None:
    """What a reviewer must know of an inventory that was taken long before the plan."""
    days = (plan.as_of - plan.inventory_as_of).days
    if days < OLD_DAYS:
        return None
    return (
        f"The inventory is {days:,} days old: what was written, read or removed since"
        f" {plan.inventory_as_of:%Y-%m-%d} is not in it."
    )


def several_text(plan: PlanDocument) -> str | None:
    """What must stay for objects that no single other one holds whole."""
    if plan.several is None:
        return None
    one = plan.several.actions == 1
    objects = "1 object stand" if one else f"{plan.several.actions:,} objects stand"
    return (
        f"All rows of {objects} only in several others together, in up to {plan.several.most}:"
        " each of these is pinned until the purge, and read again before it."
    )


def acl_warning(plan: PlanDocument) -> str | None:
    """What a reviewer must know of objects that S3 copies."""
    copied = {
        entry.policy
        for entry in plan.policies
        if entry.totals.actions and not _COPYING.isdisjoint(entry.action)
    }
    if not any(
        entry.policy in copied and entry.prefix.startswith("s3:") for entry in plan.prefixes
    ):
        return None
    return (
        "Copies in S3 carry all that belongs to an object but an ACL of its own: they get the ACL"
        " that their bucket gives to new objects. Where ACLs are disabled nothing changes."
    )


def headline(plan: PlanDocument) -> str:
    """One sentence on the whole plan."""
    found = plan.totals
    if not found.actions:
        count = "1 object" if plan.scope_objects == 1 else f"{plan.scope_objects:,} objects"
        return f"Nothing to do: {count} in scope, all stay as they are."
    saving = _money(found.monthly_saving_usd)
    direction = f"saves {saving} USD" if found.monthly_saving_usd >= 0 else f"costs {saving} USD"
    unknown = found.unknown_savings
    direction += " a month"
    if unknown:
        direction += f" (not counting {unknown:,} actions whose saving nobody knows)"
    return (
        f"**{found.objects:,} of {plan.scope_objects:,} objects** in scope,"
        f" {size_text(found.size_bytes)}: costs {_money(found.fees_usd)} USD once, {direction},"
        f" pays back {_payback(found)}. {found.reversible:,} actions reversible,"
        f" {found.costly:,} reversible at a cost, {found.irreversible:,} irreversible once purged."
    )


_COLUMNS = ("objects", "size", "USD once", "USD saved a month", "payback", "kWh saved a month",
            "kgCO2e saved a month", "irreversible")  # fmt: skip


def _policy_table(policies: Sequence[PolicyTotals], totals: Totals) -> Iterator[str]:
    if not totals.actions:
        return
    yield "### By policy"
    yield ""
    yield from _header(("policy", "action", *_COLUMNS), left=2)
    acting = [entry for entry in policies if entry.totals.actions]
    for entry in acting:
        yield _row(code(entry.policy), code(action_text(entry.action)), *_cells(entry.totals))
    yield _row("**total**", "", *(f"**{cell}**" if cell else "" for cell in _cells(totals)))
    yield ""
    told = [(entry, " ".join(_told(entry))) for entry in acting]
    for entry, words in told:
        if words:
            yield f"- {code(entry.policy)}: {words}"
    if any(words for _, words in told):
        yield ""
    idle = [entry for entry in policies if not entry.totals.actions]
    if idle:
        yield f"Nothing to do for: {', '.join(code(entry.policy) for entry in idle)}."
        yield ""
    if any(entry.totals.unknown_savings for entry in policies):
        yield (
            "`+?`: of some objects the saving hangs on what nobody knows beforehand (reads, the"
            " size of unfinished uploads); it counts as zero here."
        )
        yield ""
    if totals.checked_at_apply:
        yield (
            f"Holds of {totals.checked_at_apply:,} actions are not known: they are read just before"
            " acting, and stop the action."
        )
        yield ""


def _told(entry: PolicyTotals) -> Iterator[str]:
    """Sentences on a policy: what for, what becomes of the objects, what it takes for granted."""
    if entry.description:
        yield escaped(entry.description)
    for change in entry.classes:
        yield (
            f"{change.objects:,} objects from {code(change.from_class or '?')} to"
            f" {code(change.to_class)}"
            + (f", which takes up to {change.restore_hours} hours to open." if
               change.restore_hours else ".")
        )  # fmt: skip
    if entry.takes_modified:
        yield "**Where nothing tells of reads, it goes by the time an object was written.**"


def action_text(action: dict[str, Any]) -> str:
    """An action as its policy has it, on one line."""
    ((name, value),) = action.items()
    if not isinstance(value, dict):
        return f"{name}: {value}"
    inner = ", ".join(f"{key}: {item}" for key, item in value.items())
    return f"{name}: {inner}"


def _withheld(policies: Sequence[PolicyTotals]) -> Iterator[str]:
    found = [entry for entry in policies if entry.withheld]
    if found:
        yield "### Withheld by a guard"
        yield ""
        for entry in found:
            words = escaped(entry.withheld or "")
            yield f"- {code(entry.policy)}: {words}. Nothing of it is planned."
        yield ""


def _prefix_table(plan: PlanDocument) -> Iterator[str]:
    if not plan.prefixes:
        return
    yield "### Where most of it is"
    yield ""
    yield from _header(("folder", "policy", *_COLUMNS[:4]), left=2)
    for entry in plan.prefixes:
        yield _row(code(entry.prefix), code(entry.policy), *_cells(entry.totals)[:4])
    yield ""


def _stays_tables(stays: Sequence[Stays]) -> Iterator[str]:
    refused = [entry for entry in stays if entry.is_refused]
    rest = [entry for entry in stays if not entry.is_refused]
    yield "### Refused, and why"
    yield ""
    if refused:
        yield from _reasons(refused)
    else:
        yield "Nothing."
        yield ""
    yield "### Conflicts"
    yield ""
    protected = [entry for entry in refused if entry.reason == "protected"]
    yield (
        "None: two policies of equal priority that want different things of an object stop the"
        " plan."
        + (f" Protected from other policies: {_sum(protected):,} objects." if protected else "")
    )
    yield ""
    if rest:
        yield (
            f"<details><summary>{_sum(rest):,} objects stay because no condition asks for them"
            "</summary>"
        )
        yield ""
        yield from _reasons(rest)
        yield "</details>"
        yield ""


def _sum(found: Sequence[Stays]) -> int:
    return sum(entry.objects for entry in found)


def _reasons(found: Sequence[Stays]) -> Iterator[str]:
    yield from _header(("policy", "reason", "because", "for example", "objects", "size"), left=4)
    for entry in found[:MOST_REASONS]:
        yield _row(
            code(entry.policy), entry.reason, code(entry.because), code(entry.example_uri),
            f"{entry.objects:,}", size_text(entry.size_bytes),
        )  # fmt: skip
    if len(found) > MOST_REASONS:
        left = found[MOST_REASONS:]
        yield _row(
            f"and {len(left)} more", "", "", "", f"{_sum(left):,}",
            size_text(sum(entry.size_bytes for entry in left)),
        )  # fmt: skip
    yield ""


def _footer(plan: PlanDocument) -> Iterator[str]:
    yield (
        f"Plan `{plan.plan_id[:16]}` as of {plan.as_of:%Y-%m-%d %H:%M} UTC, on an inventory of"
        f" {plan.inventory_as_of:%Y-%m-%d %H:%M} UTC; policies `{plan.policy_digest[:12]}`,"
        f" prices and coefficients `{plan.model_version}`."
    )
    yield ""
    yield "<details><summary>What these figures assume</summary>"
    yield ""
    for line in plan.assumptions:
        yield f"- {line}"
    yield ""
    yield "</details>"


def _difference_lines(found: Difference) -> Iterator[str]:
    yield "## greendata plan: what changes"
    yield ""
    yield (
        f"Against plan `{found.against_id[:16]}` on the same inventory: {found.added:,} actions"
        f" more, {found.removed:,} fewer, {found.changed:,} otherwise, {found.same:,} the same."
    )
    yield ""
    if not found.policies:
        return
    yield from _header(
        ("policy", "actions more", "fewer", "otherwise", "size", "USD once", "USD saved a month",
         "irreversible"),
        left=1,
    )  # fmt: skip
    for entry in found.policies:
        yield _row(
            code(entry.policy), f"{entry.added:,}", f"{entry.removed:,}", f"{entry.changed:,}",
            _signed_size(entry.size_bytes), _signed(entry.fees_usd),
            _signed(entry.monthly_saving_usd), f"{entry.irreversible:+,}",
        )  # fmt: skip
    yield ""


def _header(names: Sequence[str], *, left: int) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" if place < left else "---:" for place in range(len(names))))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(found: Totals) -> tuple[str, ...]:
    saving = _money(found.monthly_saving_usd, signed=True)
    return (
        f"{found.objects:,}",
        size_text(found.size_bytes),
        _money(found.fees_usd),
        f"{saving} +?" if found.unknown_savings else saving,
        payback_text(found),
        bounds_text(found.energy_kwh),
        bounds_text(found.carbon_kgco2e),
        f"{found.irreversible:,}",
    )


def size_text(size_bytes: int) -> str:
    """In the largest unit of which there is a tenth."""
    amount = abs(size_bytes)
    unit, name = next((found for found in _UNITS if amount >= found[0] / 10), (1, "bytes"))
    return f"{format_number(size_bytes / unit)} {name}"


def _signed_size(size_bytes: int) -> str:
    return f"{'+' if size_bytes > 0 else ''}{size_text(size_bytes)}"


def _money(value: Decimal, *, signed: bool = False) -> str:
    """Cents, or what there is below them; never rounded to nothing."""
    amount = value if signed else abs(value)
    if amount and abs(amount) < Decimal("0.005"):
        return format_number(float(amount))
    return f"{amount:,.2f}"


def _signed(value: float | Decimal) -> str:
    text = format_number(float(value))
    return f"+{text}" if value > 0 else text


def payback_text(found: Totals) -> str:
    """Days or months, or that it never does."""
    if not found.actions:
        return ""
    if found.payback_days is None:
        return "not known" if found.unknown_savings else "never"
    return _span(found.payback_days)


def _payback(found: Totals) -> str:
    if found.payback_days is None:
        return "at a time not known" if found.unknown_savings else "never"
    return "at once" if not found.payback_days else f"after {_span(found.payback_days)}"


def _span(days: int) -> str:
    if not days:
        return "at once"
    return f"{days} d" if days < 90 else f"{days / 30:.1f} months"


def bounds_text(found: Bounds | None) -> str:
    """Central value with what it lies between."""
    if found is None:
        return "?"
    low, central, high = map(format_number, (found.low, found.central, found.high))
    return central if low == central == high else f"{central} ({low} to {high})"
