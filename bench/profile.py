"""Where Tasklog's time goes: py-spy on gateway and projector, CPU of every process, Postgres's function times."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.measure import one_round
from bench.processes import cpu_seconds, tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.contenders import Tasklog
    from bench.lab import Lab
    from bench.works import Work

_TOP: Final = 25
_FUNCTIONS: Final = """
    SELECT funcname, calls, total_time, self_time FROM pg_stat_user_functions ORDER BY self_time DESC LIMIT 8
"""


async def profile(lab: Lab, tasklog: Tasklog, work: Work, seconds: float) -> str:
    """Run a work for some seconds and describe it."""
    processes = {"gateway": tasklog.gateway.pid, "projector": tasklog.projector.pid}
    await tasklog.ledger.owner.execute("SELECT pg_stat_reset()")
    plain = await one_round(lab, work, tasklog, 0, seconds)
    backends = {pid: cpu_seconds(pid) for pid in _all(lab, processes)}
    spies = [
        asyncio.create_task(_spy(pid, lab.directory / f"{name}.stacks", seconds)) for name, pid in processes.items()
    ]
    sampled = await one_round(lab, work, tasklog, 1, seconds)
    for spy in spies:
        await spy
    lines = [f"\n== {work.title}: {plain.measured.rate:,.0f}/s, {sampled.measured.rate:,.0f}/s while sampled"]
    lines += [f"-- CPU µs an answer: {_costs(plain.cpu)}"]
    for name in processes:
        lines += [f"-- {name}", *_hot(lab.directory / f"{name}.stacks")]
    lines += ["-- CPU seconds a process, of the whole sampled round (with its seeding)"]
    lines += _cpu(backends)
    lines += ["-- Postgres: function, calls, total ms, own ms"]
    rows = await tasklog.ledger.owner.fetch(_FUNCTIONS)
    lines += [f"{r['funcname']:<24}{r['calls']:>9}{r['total_time']:>10.0f}{r['self_time']:>10.0f}" for r in rows]
    return "\n".join(lines)


def _costs(cpu: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {spent:.0f}" for name, spent in cpu.items())


def _all(lab: Lab, processes: Mapping[str, int]) -> list[int]:
    assert lab.postgres.process is not None
    return [*processes.values(), *tree(lab.postgres.process.pid)]


def _cpu(before: Mapping[int, float]) -> list[str]:
    used = {}
    for pid, spent in before.items():
        if Path(f"/proc/{pid}").exists():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            used[f"{words[-70:]} ({pid})"] = cpu_seconds(pid) - spent
    ordered = sorted(used.items(), key=lambda one: -one[1])
    return [f"{spent:8.2f}  {name}" for name, spent in ordered if spent >= 0.05]


async def _spy(pid: int, output: Path, seconds: float) -> None:
    how = f"record --pid {pid} --duration {round(seconds + 3)} --rate 200 --format raw --output"
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("py-spy"),
        *how.split(),
        output,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await process.wait()


def _hot(stacks: Path) -> list[str]:
    """Return the functions that ran most, alone and with their callees, in percent of the samples."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in stacks.read_text().splitlines():
        frames, _, count = line.rpartition(" ")
        names = [re.sub(r":\d+\)$", ")", frame) for frame in frames.split(";")]
        total += int(count)
        own[names[-1]] += int(count)
        for name in set(names):
            whole[name] += int(count)
    if not total:
        return ["no samples"]
    kept = list(dict.fromkeys([*(n for n, _ in own.most_common(_TOP)), *(n for n, _ in whole.most_common(_TOP * 2))]))
    kept.sort(key=lambda name: -whole[name])
    return [f"{100 * whole[name] / total:6.1f} % {100 * own[name] / total:6.1f} % own  {name}" for name in kept]
