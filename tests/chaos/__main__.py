"""Injects faults, prints a table, and exits with 1 if a promise was broken.

`./run chaos [SCENARIO...] [--seconds N] [--seed N] [--patience N]`
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import typer

from tests.chaos.background import Background
from tests.chaos.options import make_template
from tests.chaos.report import Row, table
from tests.chaos.runner import run_scenario
from tests.chaos.scenarios import SCENARIOS


def main() -> int:
    arguments = _arguments()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    names = arguments.scenarios or [name for name, scenario in SCENARIOS.items() if scenario.weight]
    typer.echo(f"seed {seed}, {arguments.seconds:.0f} s: {', '.join(names)}")
    rows: list[Row] = []
    end = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory(prefix="tasklog-chaos-") as directory:
        template = make_template(Path(directory) / "template")
        background = Background()
        for number, name in enumerate(names):
            left = sum(SCENARIOS[other].weight or 1 for other in names[number:])
            seconds = (end - time.monotonic()) * (SCENARIOS[name].weight or 1) / left
            place = Path(directory) / f"w{number}"
            row = run_scenario(
                name, place, template, background, seed=seed, seconds=seconds, patience=arguments.patience
            )
            rows.append(row)
            typer.echo(row.report())
        background.close()
    typer.echo(f"\nseed {seed}\n\n{table(rows)}")
    return 1 if any(row.violations for row in rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run chaos", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--seconds", type=float, default=300, help="how long, over all scenarios (300)")
    parser.add_argument("--seed", type=int, help="the same faults again; random without it")
    parser.add_argument(
        "--patience", type=float, default=1, help="how many times as long as promised it may take to heal (1)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
