"""Services that are told to end: one after the other, by SIGHUP, while Postgres is silent, without a log."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import IO, Final

from tasklog.supervision.service import Service
from tests.chaos.checker import Violation
from tests.chaos.options import Options
from tests.chaos.scenario import Scenario, needs_mount
from tests.chaos.special import all_accepted_are_answered
from tests.chaos.world import START_SECONDS, UnhealthyError, World
from tests.machine import handles
from tests.servers import eventually

END_SECONDS: Final = 10.0
"""How soon a service must end after SIGTERM, in seconds."""

_IN_FLIGHT_SECONDS: Final = 0.3
"""In seconds. A request that was cut sooner may have met a connection just closed as idle: it was never read."""


def restart_next(world: World, _: random.Random) -> bool:
    """Restart the services in turn; each is healthy before the next one ends."""
    service = world.services[world.faults % len(world.services)]
    end_in_order(world, service)
    service.start()
    _wait_until_healthy(world)
    return True


def hang_up(world: World, rng: random.Random) -> bool:
    """Send SIGHUP, as a closed terminal does: the service goes on, or ends as after SIGTERM."""
    service = rng.choice(world.services)
    world.resting.add(service)
    end_in_order(world, service, signal.SIGHUP, may_go_on=True)
    assert service.process is not None
    if service.process.poll() is not None:
        service.start()
    world.resting.discard(service)
    _wait_until_healthy(world)
    return True


def terminate_while_frozen(world: World, _: random.Random) -> bool:
    """Send SIGTERM while Postgres is silent: open requests are answered, and the service ends in time."""
    service = world.services[world.faults % len(world.services)]
    proxies = (world.gateway_proxy, world.projector_proxy)
    for proxy in proxies:
        world.background.call(proxy.freeze)
    world.pause(0.5)
    end_in_order(world, service)
    for proxy in proxies:
        world.background.call(proxy.thaw)
    service.start()
    _wait_until_healthy(world)
    return True


def kill_while_slow(world: World, rng: random.Random) -> bool:
    """Planted: kill a service before it has answered what it read."""
    world.background.call(world.gateway_proxy.delay, 0.2)
    world.pause(1.5)
    world.background.call(world.gateway_proxy.delay, 0.0)
    return world.kill(rng.choice(world.gateways))


def end_in_order(
    world: World, service: Service, number: signal.Signals = signal.SIGTERM, *, may_go_on: bool = False
) -> None:
    """Send a signal to a process that handles it, and wait for the end: it must come in time and with code 0."""
    process = service.process
    assert process is not None
    eventually(lambda: handles(process.pid, number) or process.poll() is not None, START_SECONDS)
    process.send_signal(number)
    began = time.monotonic()
    try:
        code: int | None = process.wait(1 if may_go_on else END_SECONDS * world.patience)
    except subprocess.TimeoutExpired:
        if may_go_on:
            return
        process.kill()
        process.wait()
        code = None
    if code != 0:
        ended = "did not end" if code is None else f"ended with {code}"
        seconds = time.monotonic() - began
        world.complain("a process ends as it should", f"{service.name} {ended}, {number.name}, {seconds:.1f} s")


def _wait_until_healthy(world: World) -> None:
    try:
        world.wait_until_healthy(END_SECONDS * world.patience)
    except UnhealthyError as error:
        world.complain("it heals by itself", str(error))


def all_in_flight_are_answered(world: World) -> Iterator[Violation]:
    """Check that no request was cut that the service had read or carried out."""
    yield from all_accepted_are_answered(world)
    least = _IN_FLIGHT_SECONDS * world.patience
    for one in world.load.history:
        if one.status is None and not one.gave_up and one.returned - one.invoked > least:
            yield Violation("a request in flight is answered", one.user, str(one))


class PipedWorld(World):
    """A world whose services log into a pipe, as under a supervisor or in a container; `cat` reads it."""

    def open_log(self) -> IO[bytes]:
        """Open a pipe to the log file."""
        file = self._stack.enter_context(self.log.open("ab"))
        self.cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        self._stack.callback(self.close_log)
        assert self.cat.stdin is not None
        return self.cat.stdin

    def close_log(self) -> None:
        """Stop reading the log, for good."""
        self.cat.kill()
        self.cat.wait()
        assert self.cat.stdin is not None
        self.cat.stdin.close()

    def reopen_log(self) -> None:
        """Give each service a new pipe, and restart one after the other."""
        output = self.open_log()
        for service in self.services:
            service._output = output
            end_in_order(self, service)
            service.start()
            _wait_until_healthy(self)


def close_log_pipe(world: World, rng: random.Random) -> bool:
    """Close the pipe of the log."""
    assert isinstance(world, PipedWorld)
    world.close_log()
    began = time.monotonic()
    world.pause(rng.uniform(1, 2))
    asked = _ask_for_answers(world, began)
    world.reopen_log()
    return asked


def _ask_for_answers(world: World, began: float) -> bool:
    """Return whether requests were sent since a moment; complain if one of them was not answered."""
    asked = [one for one in list(world.load.history) if began < one.invoked and one.returned < time.monotonic()]
    for one in asked:
        if one.status is None:
            world.complain("every request is answered", str(one))
    return bool(asked)


def stop_reading_log(world: World, rng: random.Random) -> bool:
    """Stop the log's reader until the pipe is full, and a while longer."""
    assert isinstance(world, PipedWorld)
    world.cat.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    world.pause(rng.uniform(3, 4))
    world.cat.send_signal(signal.SIGCONT)
    return _ask_for_answers(world, began)


class SmallLogWorld(World):
    """A world whose log is on a separate disk of 16 MB."""

    def open_log(self) -> IO[bytes]:
        """Mount the disk, and open the log on it."""
        disk = self.directory / "logs"
        disk.mkdir()
        self.mount_disk(disk, 16)
        self.log = disk / "services.log"
        return super().open_log()


def fill_log_disk(world: World, rng: random.Random) -> bool:
    """Fill the disk of the log."""
    filler = world.log.with_name("filler")
    with filler.open("wb", buffering=0) as file:
        full = _fill(file)
        before = len(world.load.history)
        world.pause(rng.uniform(1, 2))
        asked = len(world.load.history) > before
    filler.unlink()
    return full and asked


def _fill(file: IO[bytes]) -> bool:
    for size in (2**16, 1):
        try:
            while True:
                file.write(b"\0" * size)
        except OSError:
            continue
    return True


def lost_lines_are_told(world: World) -> Iterator[Violation]:
    """Check that nothing was cut, and that the log says how many lines are missing."""
    yield from all_are_answered(world)
    if "log lines were lost" not in world.log.read_text(errors="replace"):
        yield Violation("lost log lines are told", "all", "no line says so")


def all_are_answered(world: World) -> Iterator[Violation]:
    """Check that every request was answered."""
    for one in world.load.history:
        if one.status is None and one.user != "probe":
            yield Violation("every request is answered", one.user, str(one))


_SHORT: Final = (restart_next, hang_up, terminate_while_frozen, close_log_pipe)

RESTARTS: Final[dict[str, Scenario]] = {
    "short-ends": Scenario(
        faults=_SHORT, count=len(_SHORT), pause=0.1, weight=0, world=PipedWorld, check=all_in_flight_are_answered
    ),
    "rolling-restart": Scenario(
        faults=(restart_next,),
        count=16,
        pause=0.5,
        options=Options(gateways=2, projectors=2),
        check=all_in_flight_are_answered,
    ),
    "hang-up": Scenario(faults=(hang_up,), count=8, pause=0.5, check=all_in_flight_are_answered),
    "sigterm-while-frozen": Scenario(
        faults=(terminate_while_frozen,), count=4, pause=0.5, check=all_in_flight_are_answered
    ),
    "log-pipe-closed": Scenario(
        faults=(close_log_pipe, stop_reading_log), count=6, world=PipedWorld, check=all_in_flight_are_answered
    ),
    "log-disk-full": Scenario(
        faults=(fill_log_disk,), count=10, world=SmallLogWorld, needs=needs_mount, check=lost_lines_are_told
    ),
}
