"""`python -m tasklog`: what `./run` executes.

Ctrl-C ends the process silently while it imports or exits; commands at work handle it themselves, see `interruptible`.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from tasklog.cli.app import main

main()
