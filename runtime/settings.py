"""The settings of every process, from the environment or `.env`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime import postgres_url

Pooler: TypeAlias = Literal["auto", "yes", "no"]
"""Whether a pooler is between us and Postgres; `auto` decides by the URL."""

SHORTEST_SECRET: Final = 32
"""The least length of a secret, in bytes, so that nobody can guess it."""

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")

_POSTGRES: Final = ("postgresql", "postgres")
_WEB: Final = ("https", "http")
_SCHEMES: Final = {
    "database_url": _POSTGRES,
    "command_database_url": _POSTGRES,
    "projector_database_url": _POSTGRES,
    "read_database_url": _POSTGRES,
    "redis_url": ("redis", "rediss", "unix"),
    "jwks_url": _WEB,
    "console_token_url": _WEB,
}
"""The schemes that each URL setting may begin with."""


class SettingsError(Exception):
    """A setting that the process cannot start with: one sentence that says what to do."""


class Settings(BaseSettings):
    """One field for each setting; `.env.example` explains them."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True, frozen=True)

    environment: Literal["development", "production"] = "development"
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    admin_host: str = "127.0.0.1"
    admin_port: int | None = Field(default=None, ge=0, le=65535)
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000",)
    data_dir: Path = Path(".data")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"

    database_url: SecretStr | None = None
    command_database_url: SecretStr | None = None
    projector_database_url: SecretStr | None = None
    read_database_url: SecretStr | None = None
    database_pooler: Pooler = "auto"
    redis_url: SecretStr | None = None
    allow_superuser: bool = False
    rate_limit: str | None = None
    max_streams: int = Field(default=10_000, ge=0)

    better_auth_secret: SecretStr | None = None
    better_auth_secret_previous: SecretStr | None = None
    jwt_algorithm: Literal["HS256"] = "HS256"
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwks_url: str | None = None

    console: bool = True
    console_token_url: str | None = None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(origin.strip().rstrip("/").lower() for origin in value.split(",") if origin.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _refuse_what_is_no_origin(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in value:
            raise ValueError("answers carry credentials, so * would allow every page: name each origin")
        if not all(_ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("each origin is scheme://host or scheme://host:port, such as http://localhost:3000")
        return value

    @field_validator("data_dir")
    @classmethod
    def _find_home(cls, value: Path) -> Path:
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError("there is no home directory of that name") from None

    @field_validator(*_SCHEMES, mode="before")
    @classmethod
    def _leave_out_what_was_copied_along(cls, value: object, info: ValidationInfo) -> object:
        return _copied(value, (info.field_name or "").upper()) if isinstance(value, str) else value

    @field_validator(*_SCHEMES)
    @classmethod
    def _refuse_what_is_no_url(cls, value: SecretStr | str | None, info: ValidationInfo) -> SecretStr | str | None:
        schemes = _SCHEMES[info.field_name or ""]
        url = value.get_secret_value() if isinstance(value, SecretStr) else value
        if url is not None and not _is_url(url, schemes):
            beginnings = " or ".join(f"{scheme}://" for scheme in schemes)
            escapes = "" if schemes is _WEB else " (write @ : / # ? [ of a password as %40 %3A %2F %23 %3F %5B)"
            raise ValueError(f"it must be a URL that begins with {beginnings}{escapes}")
        return value

    @property
    def embedded(self) -> bool:
        """Return whether Postgres is the embedded one: development on one machine, with a generated secret.

        The services then have their own URLs without a host, as the server only listens on a socket in a private
        directory.
        """
        return self.database_url is None and all(
            host.is_socket for url in self.service_urls for host in postgres_url.parse(url).hosts
        )

    @property
    def service_urls(self) -> list[str]:
        """Return the services' own database URLs."""
        urls = (self.command_database_url, self.projector_database_url, self.read_database_url)
        return [url.get_secret_value() for url in urls if url is not None]


def _copied(text: str, name: str) -> str:
    """Return a URL without the spaces, quotes, `psql` or `NAME=` that were pasted along with it."""
    text = text.strip().removeprefix(f"{name}=").removeprefix("psql ").strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1].strip() if quoted else text


def _is_url(url: str, schemes: tuple[str, ...]) -> bool:
    """Return whether a URL can be parsed and has one of the schemes, also with `+driver`. Web URLs need a host."""
    try:
        if schemes is _POSTGRES:
            postgres_url.parse(url)
            return True
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme.partition("+")[0] in schemes and (host is not None or schemes is not _WEB)


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: names the first setting that is not valid, never its value.
    """
    try:
        return Settings()
    except OSError as error:
        raise SettingsError(f".env cannot be read ({error.strerror}): make it readable, or remove it.") from None
    except UnicodeDecodeError:
        raise SettingsError(".env is not UTF-8: save it as UTF-8 text.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "The settings"
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name} is not valid: {reason}. See .env.example.") from None
