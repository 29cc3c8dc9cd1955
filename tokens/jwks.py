"""The public keys of the auth server, fetched in the background.

A known key is found at once, whatever the endpoint does. One fetch runs at a time. A failed fetch leaves the keys as
they are, and proves nothing about a key that is not among them.
"""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from tokens.jws import one_name
from tokens.look_ups import KeysUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tokens.jws import Jws
    from tokens.look_ups import Timing

JWKS_ALGORITHMS = frozenset({"EdDSA", "ES256", "ES512", "RS256", "PS256"})
MAX_BODY_BYTES = 1024 * 1024
"""The largest key set, in bytes: 2,000 RSA keys, or 9,000 of Ed25519."""
MAX_SEARCHING = 500
"""The most requests that wait for a fetch, so that unknown keys cannot fill the service."""
_PATIENCE = 1.0
"""How long a request with an unknown key waits for a fetch to begin, in seconds."""
_RSA_BITS = range(2048, 8193)
# A compressed body could exceed the limit before we see its size.
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}

_ALGORITHMS = get_default_algorithms()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey:
    """A public key bound to one algorithm; `material` is what PyJWT's algorithm of that name takes."""

    algorithm: str
    material: Any = field(repr=False)

    def verifies(self, token: Jws) -> bool:
        """Return whether the private key of this one, with its own algorithm, made the token's signature."""
        return token.algorithm == self.algorithm and _ALGORITHMS[self.algorithm].verify(
            token.signed, self.material, token.signature
        )


class KeySet:
    """The keys of one JWKS endpoint, by `kid`."""

    algorithms = JWKS_ALGORITHMS

    def __init__(self, url: str, http: httpx.AsyncClient, *, timing: Timing, on_change: Callable[[], None]) -> None:
        """Start without keys; `on_change` is called whenever the keys change."""
        self._url = url
        self._http = http
        self._timing = timing
        self._on_change = on_change
        self._keys: dict[str, PublicKey] = {}
        self._body = b""
        """The last answer that was a key set."""
        self._fetching: asyncio.Task[bool] | None = None
        """The fetch that runs, or waits for its turn."""
        self._freshness: asyncio.Task[None] | None = None
        self._begun = 0
        self._answered = 0
        """The number of the last fetch that brought a key set; fetches are counted as they begin."""
        self._turn = 0.0
        """When the next fetch may begin, by the clock of the loop."""
        self._spent = 0.0
        """How far look-ups have used up their rate: when the next one would begin if each kept the cooldown."""
        self._searching = 0

    async def find(self, kid: str) -> PublicKey | None:
        """Return the key of that name, or None if a fetch that began after this call has not brought it.

        A known key is returned at once. For an unknown one, a single fetch answers all who wait.

        Raises:
            KeysUnavailable: the endpoint does not answer, must not be asked yet, or too many requests wait.
        """
        came = self._begun
        while (key := self._keys.get(kid)) is None and self._answered <= came:
            await self._wait_for_a_fetch()
        return key

    async def _wait_for_a_fetch(self) -> None:
        fetch = self._fetch()
        until_turn = self._turn - asyncio.get_running_loop().time()
        if self._searching >= MAX_SEARCHING or until_turn > _PATIENCE:
            raise KeysUnavailable(math.ceil(max(1, until_turn)))
        self._searching += 1
        try:
            answered = await asyncio.shield(fetch)
        finally:
            self._searching -= 1
        if not answered:
            raise KeysUnavailable

    def start(self) -> None:
        """Start the first fetch, and fetch regularly, so that a withdrawn key is forgotten."""
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
            await asyncio.sleep(self._timing.refresh if self._answered else self._timing.pause)

    def _fetch(self) -> asyncio.Task[bool]:
        """Return the fetch that runs or waits, or start one; its result is whether a key set came."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_in_turn())
        return self._fetching

    async def _fetch_in_turn(self) -> bool:
        clock = asyncio.get_running_loop().time
        try:
            await asyncio.sleep(self._turn - clock())
            self._begun += 1
            # Each cooldown of rest earns one look-up, up to `burst` of them.
            rested = clock() - self._timing.cooldown * (self._timing.burst - 1)
            self._spent = max(self._spent, rested) + self._timing.cooldown
            answered = await self._replace()
            self._turn = self._spent if answered else max(self._spent, clock() + self._timing.pause)
        finally:
            self._fetching = None
        return answered

    async def _replace(self) -> bool:
        try:
            async with asyncio.timeout(self._timing.timeout):
                body = await self._download()
                # In a thread: a large set takes longer than requests should wait.
                keys = self._keys if body == self._body else await asyncio.to_thread(read_key_set, body)
        except Exception as error:  # noqa: BLE001 - whatever a broken endpoint causes, the keys we have stay
            log.warning("jwks_fetch_failed", error=type(error).__name__, known_keys=len(self._keys))
            return False
        self._answered = self._begun
        self._body = body
        if not keys:
            log.warning("jwks_without_usable_key", known_keys=len(self._keys))
        elif keys != self._keys:
            self._keys = keys
            self._on_change()
            log.info("jwks_changed", known_keys=len(keys))
        return True

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
    """Open the keys of a URL; the first fetch runs in the background, so that the service starts without it."""
    async with httpx.AsyncClient(follow_redirects=False, timeout=timing.timeout) as http:
        keys = KeySet(url, http, timing=timing, on_change=on_change)
        keys.start()
        try:
            yield keys
        finally:
            await keys.close()


def read_key_set(body: bytes) -> dict[str, PublicKey]:
    """Return the usable keys of a JWK set (RFC 7517) by `kid`, the first one of a name. There may be none.

    Raises:
        ValueError: it is no JWK set.
    """
    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWK set")  # noqa: TRY004 - an answer of another shape
    keys: dict[str, PublicKey] = {}
    for entry in entries:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if isinstance(kid, str) and kid not in keys and (key := _read_key(entry)) is not None:
            keys[kid] = key
    return keys


def _read_key(entry: dict[str, object]) -> PublicKey | None:
    """Return a public signature key, bound to one algorithm of its type, or None for any other key."""
    fitting = _algorithms_of(entry)
    algorithm = one_name(entry.get("alg", fitting[0] if fitting else None))
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
    return PublicKey(algorithm=algorithm, material=material)


def _algorithms_of(entry: dict[str, object]) -> tuple[str, ...]:
    """Return the algorithms that fit a public key's type, the default first; none for a private or symmetric key."""
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
