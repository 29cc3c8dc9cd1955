"""A process that fills the ledger of an earlier build by that build's own code: `bench.earlier_ledger` starts it.

Each line of its input is a call, `["seed", [users, tasks]]` or `["change", [tasks, number]]`; of its output, a result.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bench.ledger import Ledger  # of the build whose code PYTHONPATH names


async def _write(owner_url: str, writer_url: str, redis_url: str) -> None:
    ledger = await Ledger.open(owner_url, writer_url, redis_url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, arguments = json.loads(line)
        print(json.dumps(await getattr(ledger, name)(*arguments)), flush=True)


asyncio.run(_write(*sys.argv[1:]))
