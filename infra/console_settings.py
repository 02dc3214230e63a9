"""Settings of the console, which a process of its own serves: see docs/console.md."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from weir.infra.setting_values import File, Host

_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


def check_api_url(url: str) -> str:
    """Return an API's address without a slash at its end; one on another machine has to be reached by HTTPS."""
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}):
        raise ValueError("expected http:// or https:// with a host and no path")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("expected https:// to another machine: keys never travel unencrypted")
    return url.rstrip("/")


ApiUrl = Annotated[str, AfterValidator(check_api_url)]


class ConsoleSettings(BaseModel):
    """The console for analysts, a client of the HTTP API."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Host = "127.0.0.1"
    port: int = Field(default=8010, ge=0, le=65_535)
    api_url: ApiUrl = ""
    """Where the API is, such as ``https://weir.example``; by default the address in the API's own settings."""
    api_ca_location: File = ""
    """A PEM file with who signed the API's certificate, where the system does not know them."""
    tls_certificate: File = ""
    """A PEM file with the certificate and its chain; with it the console speaks HTTPS."""
    tls_key: File = ""
    """A PEM file with its private key."""
    behind_proxy: bool = False
    """Whether a proxy of yours speaks HTTPS in front: cookies are then for HTTPS alone."""
    idle_minutes: int = Field(default=30, ge=1, le=1_440)
    """A session ends when its user does nothing for so long; a page that refreshes itself does nothing."""
    session_hours: int = Field(default=12, ge=1, le=168)
    """A session ends so long after its login, whatever its user does."""

    @model_validator(mode="after")
    def _check_tls(self) -> ConsoleSettings:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key are given together or not at all")
        return self

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the console by HTTPS."""
        return bool(self.tls_key) or self.behind_proxy
