"""The settings of every process, from the environment or `.env`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime import postgres_url
from runtime.workers import AUTO, MOST_WORKERS, workers_that_fit

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
    "console_url": _WEB,
    "console_token_url": _WEB,
}
"""The schemes that each URL setting may begin with."""


_RANGE: Final = re.compile(r"([1-9][0-9]{0,15})-([1-9][0-9]{0,15})")
_LARGEST_ID: Final = 2**53 - 1
_CELL: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})=(.*)")

Workers: TypeAlias = Annotated[int, Field(ge=1, le=MOST_WORKERS)]
"""A number of processes; `auto` in its place is as many as fit."""


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
    api_workers: Workers | None = None
    projector_workers: Workers | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000",)
    data_dir: Path = Path(".data")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"

    database_url: SecretStr | None = None
    command_database_url: SecretStr | None = None
    projector_database_url: SecretStr | None = None
    read_database_url: SecretStr | None = None
    database_pooler: Pooler = "auto"
    standby_wait_ms: int = Field(default=200, ge=0, le=5000)
    redis_url: SecretStr | None = None
    allow_superuser: bool = False
    task_ids: Annotated[tuple[int, int] | None, NoDecode] = None
    cells: Annotated[dict[str, SecretStr] | None, NoDecode] = None
    rate_limit: str | None = None
    max_streams: int = Field(default=10_000, ge=0)

    better_auth_secret: SecretStr | None = None
    better_auth_secret_previous: SecretStr | None = None
    jwt_algorithm: Literal["HS256"] = "HS256"
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwks_url: str | None = None

    console: bool = True
    console_url: str | None = None
    console_token_url: str | None = None

    _database: str = PrivateAttr(default="DATABASE_URL")

    @field_validator("api_workers", "projector_workers", mode="before")
    @classmethod
    def _count_what_fits(cls, value: object) -> object:
        return workers_that_fit() if value == AUTO else value

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

    @field_validator("task_ids", mode="before")
    @classmethod
    def _read_range(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match = _RANGE.fullmatch(value.strip())
        if match is None or not int(match[1]) < int(match[2]) <= _LARGEST_ID:
            raise ValueError(
                "it must be the first and the last id, such as 1000000000000-1999999999999, at most 2^53 - 1"
            )
        return int(match[1]), int(match[2])

    @field_validator("cells", mode="before")
    @classmethod
    def _read_cells(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found: dict[str, SecretStr] = {}
        for entry in value.split():
            match = _CELL.fullmatch(entry)
            if match is None or match[1] in found or not _is_url(match[2], _POSTGRES):
                raise ValueError("it must be names and Postgres URLs, such as a=postgresql://… b=postgresql://…")
            found[match[1]] = SecretStr(match[2])
        return found

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
    def database(self) -> str:
        """Return what names the database in messages."""
        return self._database

    def calling_it(self, database: str) -> Settings:
        """Return the same settings, whose database has another name in messages."""
        copy = self.model_copy()
        copy._database = database  # noqa: SLF001 - its own
        return copy

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


def is_postgres_url(text: str) -> bool:
    """Return whether a text is the URL of a Postgres."""
    return _is_url(text, _POSTGRES)


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
