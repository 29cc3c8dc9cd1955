"""A scenario: which faults, in which world, how many, and what else must hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.checker import Violation
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.world import World

Body = Callable[[World, random.Random, float], None]
Check = Callable[[World], Iterator[Violation]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`count` faults, at most `pause` seconds apart, or as many as its time allows; or its own `body`.

    `weight` is its share of the time; `needs` returns why it cannot run here, if so.
    """

    faults: tuple[Fault, ...] = ()
    count: int = 20
    pause: float = 1.0
    weight: float = 1.0
    lag_seconds: float = 10.0
    options: Options = field(default_factory=Options)
    world: type[World] = World
    body: Body | None = None
    check: Check | None = None
    needs: Callable[[], str | None] = lambda: None


def libfaketime() -> Path | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else None


def needs_libfaketime() -> str | None:
    return None if libfaketime() else "libfaketime is not installed (Debian's package libfaketime)"


def needs_mount() -> str | None:
    capabilities = Path("/proc/self/status").read_text().partition("CapEff:\t")[2][:16]
    return None if int(capabilities, 16) >> 21 & 1 else "a small disk needs the right to mount a tmpfs"
