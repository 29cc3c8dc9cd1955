"""A world with front ends: listeners of streams, replicas of clients/typescript in Node, and a person who undoes."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from tasklog.embedded.backup import restore
from tests.chaos.fold import Event
from tests.chaos.ledger import read_stored
from tests.chaos.listening import Listener
from tests.chaos.undoing import Undoer
from tests.chaos.world import World
from tests.clients.driven import driven_replica

READING: Final = "user0"
"""The user whose replica only follows, while the load's clients write."""
WRITING: Final = "front"
"""The user whose replica is the only writer."""
ERASED: Final = "erin"
"""The user who is erased now and then; her replica writes, too."""
UNDOING: Final = "undine"
"""The user who takes back what they did, and back again; the replica only follows."""

ERASE: Final = "SELECT tasklog.erase($1, 'operator', 'chaos')"


@dataclass(frozen=True, kw_only=True, slots=True)
class Created:
    """A task that a replica was told to create."""

    title: str
    at: float
    answer: Future[Any]


class FrontEndsWorld(World):
    """A world with listeners of all users, and replicas of some."""

    def open(self) -> None:
        """Start everything, then the front ends."""
        super().open()
        self.unread = frozenset({WRITING, ERASED, UNDOING})
        self.histories: list[tuple[float, dict[str, list[Event]]]] = []
        self.erasures: list[float] = []
        self.created: list[Created] = []
        self._numbers = count(1)
        users = [user.name for user in self.load.users] + [WRITING, ERASED, UNDOING]
        self.listeners = [Listener(user, self.load.ports, random.Random(f"{self._seed} {user}")) for user in users]
        self.undoer = Undoer(user=UNDOING, ports=self.load.ports, rng=random.Random(f"{self._seed} {UNDOING}"))
        work = [listener.follow_forever() for listener in self.listeners]
        self._following = [asyncio.run_coroutine_threadsafe(one, self.background.loop) for one in work]
        self._undoing = asyncio.run_coroutine_threadsafe(self.undoer.work_forever(), self.background.loop)
        replicas = (READING, WRITING, ERASED, UNDOING)
        self.replicas = {u: self._stack.enter_context(driven_replica(self.gateway_url, u)) for u in replicas}

    @property
    def gateway_url(self) -> str:
        """Return the address of a gateway."""
        return f"http://127.0.0.1:{self.load.ports[0]}"

    def give_commands(self, rng: random.Random) -> None:
        """Let the replicas that write create tasks and change some, whatever the services do at the moment."""
        for user in (WRITING, ERASED):
            replica = self.replicas[user]
            for _ in range(rng.randrange(1, 4)):
                title = f"task {next(self._numbers)} of {user}"
                answer = replica.begin("create", {"title": title, "tags": ["home"]})
                self.created.append(Created(title=title, at=time.monotonic(), answer=answer))
            for task in rng.sample(tasks := replica.tasks(), min(3, len(tasks))):
                if rng.random() < 0.6:
                    replica.begin("edit", task["id"], {"description": f"{rng.random()}", "priority": "high"})
                else:
                    replica.begin(rng.choice(["complete", "reopen", "delete"]), task["id"])

    def restore(self, backup: Path) -> None:
        """Restore a backup while no service runs, as an operator does; clients may hold what they were told before."""
        stored = asyncio.run(read_stored(self.url, unread=frozenset({ERASED})))
        self.postgres.stop(timeout=30)
        shutil.rmtree(self.directory / "postgres")
        restore(backup, self.directory)
        self.start_postgres()
        if self.erasures:  # there may have been one since the backup
            self.execute(ERASE, ERASED)
        self.forgiven_until = time.monotonic()
        self.histories.append((self.forgiven_until, stored.streams))

    def end_undoing(self) -> None:
        """End the person who takes things back."""
        self._undoing.cancel()

    def end_following(self) -> None:
        """End the listeners."""
        for following in self._following:
            following.cancel()

    def close(self) -> None:
        """End everything that this world started."""
        self.end_undoing()
        self.end_following()
        super().close()
