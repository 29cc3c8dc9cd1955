"""Several workers of one service: how `./run command-api` and the like run them, and their ports for operators."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from tasklog.serving.listener import listen
from tasklog.supervision.crew import Crew
from tasklog.supervision.signals import Signals, StopRequested
from tasklog.supervision.telling import tell
from tasklog.supervision.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

    from runtime.settings import Settings

TakePort: TypeAlias = "Callable[[], socket.socket | None]"


@contextmanager
def open_ports(settings: Settings) -> Iterator[TakePort]:
    """Yield a function that opens the next admin port: ADMIN_PORT, the one above, and so on; 0 is any port.

    They stay open while the block runs, so that a new worker listens on the port of the one that it replaces. Without
    ADMIN_PORT the function returns None. It raises SettingsError if the port is in use.
    """
    numbers = count()
    with ExitStack() as stack:

        def take() -> socket.socket | None:
            if (port := settings.admin_port) is None:
                return None
            return stack.enter_context(listen(settings.admin_host, port and port + next(numbers), "ADMIN"))

        yield take


def workers_of(
    command: str, number: int, env: Mapping[str, str], take_port: TakePort, listener: socket.socket | None = None
) -> list[Worker]:
    """Return workers, numbered if there are several; none is started."""
    return [
        Worker(command, number=n if number > 1 else None, env=env, inherited=listener, admin=take_port())
        for n in range(1, number + 1)
    ]


def supervise(command: str, number: int, settings: Settings, env: Mapping[str, str]) -> None:
    """Run workers of one service until SIGINT or SIGTERM; SIGHUP replaces them, one after the other.

    Raises:
        SettingsError: it cannot listen on its port.
        SystemExit: a worker cannot start, and has said why.
    """
    signals = Signals()
    with suppress(StopRequested), ExitStack() as stack:
        is_api = command != "projector"
        listener = stack.enter_context(listen(settings.api_host, settings.api_port)) if is_api else None
        take_port = stack.enter_context(open_ports(settings))
        crew = stack.enter_context(closing(Crew(signals)))
        first, *further = workers_of(command, number, env, take_port, listener)
        crew.start(first)  # alone, so that only one says what is wrong
        crew.wait_until_ready([first])
        for worker in further:
            crew.start(worker)
        crew.wait_until_ready(further)
        tell(f"{number} worker{'s' if number > 1 else ''} of {command} run; SIGHUP restarts them, one after the other.")
        crew.keep_running()
