"""The public keys of the auth server, fetched so that no request waits for them without need.

A key that is known is found at once, whatever the endpoint does. One fetch runs at a time. An answer without a usable
key, or no answer, leaves the keys as they are.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from tokens.jws import VerificationKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

JWKS_ALGORITHMS = frozenset({"EdDSA", "ES256", "ES512", "RS256", "PS256"})
MAX_BODY_BYTES = 256 * 1024
MAX_SEARCHING = 500
"""So many requests wait for a fetch at most: unknown keys must not take the places of known ones."""
_MAX_KEYS = 128
_RSA_BITS = range(2048, 8193)
# A compressed body could swell past the cap before we see its size.
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}

log = structlog.get_logger(__name__)


class KeysUnavailable(Exception):  # noqa: N818 - a state of the service, to be answered with 503
    """The key of a token is not known and cannot be asked for now, so it can be neither accepted nor refused."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds: of a whole fetch, between fetches for unknown keys, and between fetches that keep the set fresh."""

    timeout: float = 3.0
    cooldown: float = 5.0
    refresh: float = 600.0


class KeySet:
    """The keys of one JWKS endpoint, by `kid`."""

    def __init__(self, url: str, http: httpx.AsyncClient, *, timing: Timing, on_change: Callable[[], None]) -> None:
        """Know no key yet; `on_change` is called whenever the keys have become others."""
        self._url = url
        self._http = http
        self._timing = timing
        self._on_change = on_change
        self._keys: dict[str, VerificationKey] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._freshness: asyncio.Task[None] | None = None
        self._next_search = float("-inf")
        self._searching = 0

    async def find(self, kid: str) -> VerificationKey | None:
        """Give the key of that name: at once if it is known, else after at most one fetch a cooldown.

        Raises:
            KeysUnavailable: there is no key at all yet, or too many wait for an unknown one.
        """
        searched = False
        while (key := self._keys.get(kid)) is None:
            if self._searching >= MAX_SEARCHING:
                raise KeysUnavailable
            if self._fetching is None:
                now = asyncio.get_running_loop().time()
                if searched or now < self._next_search:
                    break
                searched = True
                self._next_search = now + self._timing.cooldown
            self._searching += 1
            try:
                await asyncio.shield(self._fetch())
            finally:
                self._searching -= 1
        if not self._keys:
            raise KeysUnavailable
        return key

    def start(self) -> None:
        """Start the first fetch, and fetch now and then, so that a withdrawn key is forgotten."""
        self._fetch()
        self._freshness = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """End what runs in the background."""
        for task in (self._freshness, self._fetching):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.shield(self._fetch())
            await asyncio.sleep(self._timing.refresh if self._keys else self._timing.cooldown)

    def _fetch(self) -> asyncio.Task[None]:
        """Give the fetch that runs, started now if there was none."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._replace())
        return self._fetching

    async def _replace(self) -> None:
        try:
            async with asyncio.timeout(self._timing.timeout):
                keys = read_key_set(await self._download())
        except Exception as error:  # noqa: BLE001 - whatever a broken endpoint causes, the keys we have stay
            log.warning("jwks_fetch_failed", error=type(error).__name__, known_keys=len(self._keys))
        else:
            if keys != self._keys:
                self._keys = keys
                self._on_change()
                log.info("jwks_changed", known_keys=len(keys))
        finally:
            self._fetching = None

    async def _download(self) -> bytes:
        async with self._http.stream("GET", self._url, headers=_HEADERS) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ValueError("too long")
            return bytes(body)


@asynccontextmanager
async def open_key_set(url: str, *, timing: Timing, on_change: Callable[[], None]) -> AsyncIterator[KeySet]:
    """Open the keys behind a URL; the first fetch runs in the background, so the service starts without it."""
    async with httpx.AsyncClient(follow_redirects=False, timeout=timing.timeout) as http:
        keys = KeySet(url, http, timing=timing, on_change=on_change)
        keys.start()
        try:
            yield keys
        finally:
            await keys.close()


def read_key_set(body: bytes) -> dict[str, VerificationKey]:
    """Read a JWK set (RFC 7517): its usable keys by `kid`, the first of a name.

    Raises:
        ValueError: it is no JWK set, or has no usable key.
    """
    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError("not a JWK set")
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        key = _read_key(entry) if isinstance(kid, str) else None
        if key is not None:
            keys.setdefault(str(kid), key)
    if not keys:
        raise ValueError("no usable key")
    return keys


def _read_key(entry: dict[str, object]) -> VerificationKey | None:
    """Read a public signature key and bind it to one algorithm of its type; None for any other key."""
    fitting = _algorithms_of(entry)
    algorithm = entry.get("alg", fitting[0] if fitting else None)
    operations = entry.get("key_ops", ["verify"])
    verifies = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if not isinstance(algorithm, str) or algorithm not in fitting or not verifies:
        return None
    try:
        material = PyJWK(entry, algorithm).key
    except PyJWTError:
        return None
    if isinstance(material, RSAPublicKey) and material.key_size not in _RSA_BITS:
        return None
    return VerificationKey(algorithm=algorithm, material=material)


def _algorithms_of(entry: dict[str, object]) -> tuple[str, ...]:
    """Give the algorithms that fit a public key's type, the default first; none for a private or symmetric key."""
    match entry:
        case {"d": _}:
            return ()
        case {"kty": "OKP", "crv": "Ed25519"}:
            return ("EdDSA",)
        case {"kty": "EC", "crv": "P-256"}:
            return ("ES256",)
        case {"kty": "EC", "crv": "P-521"}:
            return ("ES512",)
        case {"kty": "RSA"}:
            return ("RS256", "PS256")
    return ()
