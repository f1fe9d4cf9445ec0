"""What policy files say of when to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from greendata.errors import PolicyError
from greendata.operating.reading import window_settings
from greendata.operating.records import CarbonSettings

if TYPE_CHECKING:
    from greendata.policy.model import Carbon
    from greendata.policy.text import YamlFile


def window_of(carbon: Carbon, file: YamlFile) -> CarbonSettings:
    """The window of one file; signal and machine are the configuration's to say.

    Raises:
        PolicyError: no duration, no deadline, or two rules.
    """

    def complain(location: tuple[int | str, ...], what: str, hint: str | None) -> PolicyError:
        dotted = ".".join(str(part) for part in location)
        return PolicyError(file.complaint(location, f"{dotted}: {what}"), hint=hint)

    return CarbonSettings(**window_settings(carbon.model_dump(), ("carbon",), complain))


def contradictions(windows: Mapping[str, CarbonSettings]) -> Iterator[PolicyError]:
    """Files that run together run in one window."""
    found = iter(windows.items())
    first = next(found, None)
    for name, window in found:
        if first is not None and window != first[1]:
            yield PolicyError(f"{name}: carbon: is another window than that of {first[0]}")
