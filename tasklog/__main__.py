"""`python -m tasklog`: what `./run` executes."""
# ruff: noqa: E402 - Ctrl-C ends what is still importing without a word; what runs decides for itself

from __future__ import annotations

import signal

_python = signal.getsignal(signal.SIGINT)
if _python is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from tasklog.cli.app import main

signal.signal(signal.SIGINT, _python)
main()
