"""Takes a Postgres URL apart, and writes it so that asyncpg reads it correctly.

asyncpg 0.32 ends the password at its first `@`, takes `?host=::1` for an empty host with a port, and does not know
`hostaddr`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

_URL: Final = re.compile(r"(?:jdbc:)?postgres(?:ql)?(?:\+[a-z0-9]+)?://([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?")
_HOST: Final = re.compile(r"(?:\[([^\]]+)\]|([^\[\]:\s]*))(?::([0-9]+))?")
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A server's name or address, or the directory of its socket."""

    name: str
    port: int | None = None

    @property
    def is_socket(self) -> bool:
        """Return whether it is the directory of a socket on this machine."""
        return self.name.startswith(("/", "@"))

    def written(self) -> str:
        """Return the host as it is written in a list of hosts."""
        return f"[{self.name}]" if ":" in self.name else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresURL:
    """A URL's parts. `login` is `user:password`, URL-encoded; `hosts` are in order; none means the local default."""

    login: str = field(repr=False)
    hosts: tuple[Host, ...]
    database: str
    parameters: tuple[tuple[str, str], ...] = field(repr=False)

    def written(self, parameters: list[tuple[str, str]]) -> str:
        """Return the URL with these parameters instead of its own."""
        login = f"{self.login}@" if self.login else ""
        if any(host.is_socket for host in self.hosts):
            places = [("host", ",".join(host.written() for host in self.hosts))]
            if any(host.port for host in self.hosts):
                places.append(("port", ",".join(str(host.port or 5432) for host in self.hosts)))
            return f"postgresql://{login}{self.database}?{urlencode([*places, *parameters])}"
        hosts = ",".join(host.written() + (f":{host.port}" if host.port else "") for host in self.hosts)
        query = f"?{urlencode(parameters)}" if parameters else ""
        return f"postgresql://{login}{hosts}{self.database}{query}"


def parse(url: str) -> PostgresURL:
    """Take a URL apart as libpq does: several hosts; parameters override what stands between `//` and `/`.

    Raises:
        ValueError: it is no Postgres URL, or is ambiguous, such as with an unescaped `/`, `?` or `#` in the password.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("it is not a Postgres URL")
    authority, path, query = match[1], match[2] or "", match[3] or ""
    if "@" in path or not all("=" in pair for pair in query.split("&") if pair):
        raise ValueError("the part after the host is neither a database name nor parameters")
    login, _, listed = authority.rpartition("@")
    parameters = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if value]
    given = dict(parameters)
    named = given.get("host") or given.get("hostaddr")
    hosts = _hosts(unquote(listed) if named is None else named, given.get("port"))
    return PostgresURL(
        login=_encoded(login),
        hosts=hosts,
        database=path,
        parameters=tuple(pair for pair in parameters if pair[0] not in ("host", "hostaddr", "port")),
    )


def _hosts(listed: str, ports: str | None) -> tuple[Host, ...]:
    names = listed.split(",") if listed else [""]
    numbers = [_port(port) for port in ports.split(",")] if ports else [None]
    if len(numbers) not in (1, len(names)):
        raise ValueError("there must be one port, or one for each host")
    if names == [""]:
        return (Host(name="", port=numbers[0]),) if ports else ()
    return tuple(_host(name, numbers[at % len(numbers)]) for at, name in enumerate(names))


def _host(text: str, port: int | None) -> Host:
    """Read `host`, `host:port`, `[::1]:port`, `::1` or a directory. The argument `port`, if given, takes precedence."""
    if text.startswith(("/", "@")):
        directory, _, number = text.partition(":")
        return Host(name=directory, port=port or (_port(number) if number else None))
    if text.count(":") > 1 and not text.startswith("["):
        return Host(name=str(ipaddress.IPv6Address(text)), port=port)
    match = _HOST.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        raise ValueError("it has a host that is not valid")
    name = str(ipaddress.IPv6Address(match[1])) if match[1] else match[2]
    return Host(name=name, port=port or (_port(match[3]) if match[3] else None))


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _HIGHEST_PORT:
        raise ValueError("it has a port that is not a number from 1 to 65535")
    return int(text)


def _encoded(login: str) -> str:
    """Return `user:password` with every special character URL-encoded."""
    user, colon, password = login.partition(":")
    return quote(unquote(user), safe="") + colon + quote(unquote(password), safe="")
