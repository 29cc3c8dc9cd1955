"""`python -m tasklog`: what `./run` executes.

Ctrl-C ends without a word what is still importing, or done; what works decides for itself, see `interruptible`.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from tasklog.cli.app import main

main()
