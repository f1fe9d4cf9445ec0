"""Bytes, seconds and shares as text, and sizes as people type them. GB is 10**9, GiB is 2**30."""

from __future__ import annotations

import re

from greendata.errors import UsageError

BYTES_PER_UNIT = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
LARGEST_SIZE = 2**63 - 1
_SIZE = re.compile(r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[a-z]*)\s*", re.IGNORECASE)
_DECIMAL_UNITS = ("kB", "MB", "GB", "TB", "PB")
_BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def parse_bytes(text: str) -> int:
    """The number of bytes that ``64MiB``, ``1.5 GB`` or ``1000`` means.

    Raises:
        UsageError: not a size, an ambiguous unit (``64M``), zero, or more than 2**63 - 1.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a size", hint="Write it like 64MiB, 1.5GB or 1000000.")
    unit = match["unit"].lower() or "b"
    if unit not in BYTES_PER_UNIT:
        letter = unit[0].upper() if unit[0] in "kmgt" else "M"
        hint = f"Write {letter}B for powers of 1000 or {letter}iB for powers of 1024."
        raise UsageError(
            f"{text!r} has no unit of bytes that is known: {match['unit']!r}", hint=hint
        )
    size = _whole_bytes(match["number"], BYTES_PER_UNIT[unit])
    if not 0 < size <= LARGEST_SIZE:
        raise UsageError(f"{text!r} is out of range: sizes go from 1 byte to 2**63 - 1")
    return size


def _whole_bytes(number: str, factor: int) -> int:
    """``number * factor`` without the rounding of floats."""
    whole, _, fraction = number.partition(".")
    return int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[smhdw])\s*")


def parse_duration(text: str) -> float:
    """Seconds that ``36h``, ``90m``, ``7d`` or ``2w`` means.

    Raises:
        UsageError: not a duration, or zero.
    """
    match = _DURATION.fullmatch(text)
    seconds = float(match["number"]) * _SECONDS_PER_UNIT[match["unit"]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"{text!r} is not a duration", hint="Write it like 36h, 90m or 7d.")
    return seconds


def format_bytes(size_bytes: int) -> str:
    """Bytes in powers of 1000: ``999 bytes``, ``1.5 kB``, ``12.3 GB``."""
    return _scaled(size_bytes, 1000, _DECIMAL_UNITS)


def format_binary_bytes(size_bytes: int) -> str:
    """Bytes in powers of 1024, for memory: ``1.5 GiB``."""
    return _scaled(size_bytes, 1024, _BINARY_UNITS)


def _scaled(size_bytes: int, step: int, units: tuple[str, ...]) -> str:
    if abs(size_bytes) < step:
        return f"{size_bytes} byte" if size_bytes == 1 else f"{size_bytes} bytes"
    value = float(size_bytes)
    for unit in units:
        value /= step
        # 999.95 would be shown as 1000.0 of the smaller unit
        if abs(value) < step - 0.05 or unit == units[-1]:
            break
    return f"{value:.1f} {unit}"


def format_seconds(seconds: float) -> str:
    """A duration: ``0.4 s``, ``12 s``, ``3 min 04 s``, ``1 h 02 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_rate(size_bytes: int, seconds: float) -> str:
    """Bytes a second, ``-`` where no time has passed."""
    if seconds <= 0:
        return "-"
    return f"{format_bytes(round(size_bytes / seconds))}/s"


def format_share(share: float) -> str:
    """A share in 0..1 as percent; only 0 is shown as 0 % and only 1 as 100 %."""
    percent = share * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %"


def percent(part: float, whole: float) -> str:
    """``part`` of ``whole`` in percent, ``-`` where there is no whole."""
    return format_share(part / whole) if whole else "-"


def format_count(number: int) -> str:
    """A number with its thousands set apart."""
    return f"{number:,}"


def format_number(value: float) -> str:
    """An amount: three digits that count, more of large ones."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 0.01:
        return f"{value:.3g}"
    return f"{value:.1e}"
