"""What the providers that are asked over HTTP share: the address, the credentials, the JSON."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from greendata.errors import ConfigError
from greendata.signals.base import Signal
from greendata.web import Call, Retries, ask_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How a provider is reached.

    Attributes:
        url: None is the provider's own.
        zone: its word for the grid.
        key, user, password: secrets from the environment.
    """

    url: str | None = None
    zone: str | None = None
    key: str | None = None
    user: str | None = None
    password: str | None = None
    max_age_seconds: float | None = None
    timeout_seconds: float = 10.0
    allow_http: bool = False
    retries: Retries = field(default_factory=Retries)


class WebSignal(Signal):
    """A provider with an address."""

    own_url: ClassVar[str | None] = None

    def __init__(self, service: Service) -> None:
        super().__init__(max_age_seconds=service.max_age_seconds)
        self._service = service
        self.place = (service.url or self.own_url or "").rstrip("/")

    @property
    @abstractmethod
    def _secrets(self) -> Collection[str]:
        """What no message may show."""

    @property
    def _zone(self) -> str:
        """Raises ConfigError: neither the configuration nor the data files know it."""
        if not self._service.zone:
            raise ConfigError(
                f"{self.name}: the data files do not know its name for this region's grid",
                hint="Write `zone:` beside the provider in greendata.yaml.",
            )
        return self._service.zone

    def _get(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
    ) -> Any:
        service = self._service
        call = Call(
            url=f"{self.place}{path}",
            query=query or {},
            headers=headers or {},
            basic=basic,
            secrets=self._secrets,
            timeout_seconds=service.timeout_seconds,
            allow_http=service.allow_http,
        )
        return ask_json(call, service.retries)

    def _part(self, document: Any, name: str, kind: type | tuple[type, ...]) -> Any:
        """A member of an answer, of a kind.

        Raises:
            ServiceError: it is not there, or another.
        """
        if isinstance(document, dict) and isinstance(document.get(name), kind):
            return document[name]
        raise self.complaint(
            f"the answer has no {name!r} of the documented kind",
            hint="Is the URL that of this provider's API, and of the version that is documented?",
        )
