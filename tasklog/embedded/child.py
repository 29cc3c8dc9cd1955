"""Child processes that never outlive this one, and servers that refuse root started as nobody."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NOBODY = 65534
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
# Loaded before any fork, because a forked child should not import or open libraries.
_libc = ctypes.CDLL(None, use_errno=True)


class RunAs(Enum):
    """The user that a child runs as."""

    SELF = auto()
    NAMESPACE = auto()
    """This machine's root, which sees itself as nobody; its files still belong to root."""
    NOBODY = auto()


def spawn(  # noqa: PLR0913 - keywords, each with a default
    arguments: Sequence[str | Path],
    *,
    run_as: RunAs = RunAs.SELF,
    death_signal: signal.Signals = signal.SIGKILL,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C only reaches the parent, which ends all children in order.

    On Linux the kernel sends `death_signal` to the child when this process dies, for any reason. Call it from the main
    thread: the kernel watches the thread, not the process.
    """
    user = NOBODY if run_as is RunAs.NOBODY else None
    return subprocess.Popen(  # noqa: S603 - no shell
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=env,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        start_new_session=True,
        pass_fds=pass_fds,
        preexec_fn=_before_exec(run_as, death_signal),  # noqa: PLW1509 - this process has one thread
    )


def end(
    process: subprocess.Popen[bytes],
    politely: signal.Signals,
    timeout: float,
    firmly: signal.Signals = signal.SIGKILL,
) -> None:
    """Send a signal and wait; after `timeout` seconds send the second signal, and 0.3 s later kill."""
    for how, patience in ((politely, max(timeout, 0.05)), (firmly, 0.3), (signal.SIGKILL, 5)):
        process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def can_run(arguments: Sequence[str | Path], run_as: RunAs) -> bool:
    """Return whether a short command succeeds when run as this user."""
    try:
        return spawn(arguments, run_as=run_as, output=subprocess.DEVNULL).wait(10) == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _before_exec(run_as: RunAs, death_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    parent = os.getpid()

    def prepare() -> None:
        if run_as is RunAs.NAMESPACE:
            _become_nobody_in_a_namespace()
        # After any change of identity, which would clear it. The parent may also have died before it was set.
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _become_nobody_in_a_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")
