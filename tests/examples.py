"""How many examples hypothesis tries.

The usual run is the same each time. ``scripts/test --hypothesis-profile thorough`` tries ten times
as many, and others each time.
"""

from __future__ import annotations

from hypothesis import settings

_USUAL, _THOROUGH = 100, 1_000


def register_profiles() -> None:
    """Called before any test is defined."""
    settings.register_profile("usual", max_examples=_USUAL, deadline=None, derandomize=True)
    settings.register_profile("thorough", max_examples=_THOROUGH, deadline=None)
    settings.load_profile("usual")


def examples(usual: int) -> int:
    """So many in the usual run."""
    return usual * settings().max_examples // _USUAL
