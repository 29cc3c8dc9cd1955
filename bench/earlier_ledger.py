"""The ledger of an earlier build: written by a process with that build's code, as its SQL functions are not ours."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.ledger import Ledger

if TYPE_CHECKING:
    from bench.builds import Build

_SCRIPT: Final = Path(__file__).with_name("scribe.py")
_LONGEST_LINE_BYTES: Final = 2**26


@dataclass(kw_only=True)
class EarlierLedger(Ledger):
    """A ledger that is read as ours, and seeded and changed by the earlier build."""

    scribe: asyncio.subprocess.Process

    @classmethod
    async def start(cls, build: Build, owner_url: str, writer_url: str, redis_url: str) -> EarlierLedger:
        """Connect, and start the process that writes; it ends when its input does."""
        ours = await Ledger.open(owner_url, writer_url, redis_url)
        scribe = await asyncio.create_subprocess_exec(
            *(build.python, _SCRIPT, owner_url, writer_url, redis_url),
            env={**os.environ, **build.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=_LONGEST_LINE_BYTES,
        )
        return cls(owner=ours.owner, writer=ours.writer, redis=ours.redis, scribe=scribe)

    async def seed(self, users: Iterable[str], tasks: int, edits: int = 0) -> dict[str, list[int]]:
        """Give each user `tasks` tasks with `edits` edits each."""
        made: dict[str, list[int]] = await self._call("seed", list(users), tasks, edits)
        return made

    async def change(self, tasks: dict[str, int], number: int) -> None:
        """Edit a task of each user, in one commit."""
        await self._call("change", tasks, number)

    async def _call(self, name: str, *arguments: Any) -> Any:
        assert self.scribe.stdin is not None
        assert self.scribe.stdout is not None
        self.scribe.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        await self.scribe.stdin.drain()
        if line := await self.scribe.stdout.readline():
            return json.loads(line)
        raise SystemExit("The earlier build could not fill its ledger: see its message above.")
