"""The world of `./run serve`, which starts its own Postgres and Valkey and restarts what was killed."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from tests.chaos.load import Load
from tests.chaos.world import START_SECONDS, UnhealthyError, World
from tests.machine import children_of, command_of
from tests.servers import SECRET

_STOP_SECONDS = 10


class SupervisedWorld(World):
    """One `./run serve` and clients. There are no proxies, and this process restarts nothing."""

    def open(self) -> None:
        shutil.copytree(self._template, self.directory / "postgres", dirs_exist_ok=True)
        own = {"DATA_DIR": str(self.directory), "API_PORT": "0", "BETTER_AUTH_SECRET": SECRET}
        program = ["tests.chaos.planted", self.options.planted] if self.options.planted else ["tasklog"]
        output = self._stack.enter_context(self.log.open("ab"))
        self.supervisor = subprocess.Popen(
            [sys.executable, "-m", *program, "serve"],
            env=os.environ | own | dict(self.options.env),
            stdout=output,
            stderr=output,
        )
        self._stack.callback(self._stop)
        self.load = Load([self._port()], seed=self._seed, users=self.options.users, clients=self.options.clients)
        self.wait_until_healthy(START_SECONDS)
        self.observe(idle=True)
        self.background.run(self.load.start())

    def observe(self, *, idle: bool = False) -> None:
        """Record the memory of the gateway and the projector, not of Postgres and Valkey."""
        for child in self.children():
            for name in ("gateway", "projector"):
                if name in command_of(child):
                    self.memory.note(name, child, idle=idle)

    def children(self) -> list[int]:
        """Return the process ids of the supervisor's children."""
        return children_of(self.supervisor.pid)

    def _port(self) -> int:
        deadline = time.monotonic() + START_SECONDS
        while not (listening := re.search(r"listens on http://\S+?:(\d+)", self.log.read_text(errors="replace"))):
            if time.monotonic() > deadline or self.supervisor.poll() is not None:
                raise UnhealthyError("./run serve did not start")
            time.sleep(0.05)
        return int(listening[1])

    def _stop(self) -> None:
        self.supervisor.send_signal(signal.SIGTERM)
        try:
            self.supervisor.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()


def kill_child(world: World, rng: random.Random, named: str = "") -> bool:
    """Kill -9 a child with `named` in its command: by default any; return False if there is none."""
    assert isinstance(world, SupervisedWorld)
    children = [child for child in world.children() if named in command_of(child)]
    world.observe()
    if not children:
        return False
    try:
        os.kill(rng.choice(children), signal.SIGKILL)
    except ProcessLookupError:  # it ended meanwhile
        return False
    return True
