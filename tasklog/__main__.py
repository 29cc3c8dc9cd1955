"""`python -m tasklog`: what `./run` executes."""

from __future__ import annotations

from tasklog.cli.app import main

main()
