"""A world of two cells, each with a Postgres, a Valkey and services of its own; users move between them by `move`."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from typing import Final

import migrations
from tasklog.embedded import service_urls
from tests.chaos.history import Operation
from tests.chaos.http_client import Answer, CutError, HttpConnection
from tests.chaos.ledger import Stored
from tests.chaos.load import User
from tests.chaos.proxy import Proxy
from tests.chaos.world import World
from tests.fail_over import socket_of

TASK_IDS: Final = {"a": (1, 999_999_999), "b": (1_000_000_000, 1_999_999_999)}


class Cell(World):
    """A world whose ledger has a range of task ids of its own. `moves` leads the commands that move users to it."""

    name = "b"
    moves: Proxy

    def _start_services(self) -> None:
        migrations.upgrade(self.url, [*service_urls(self.postgres).values()], task_ids=TASK_IDS[self.name])
        self.moves = Proxy(socket_of(self.postgres))
        self.background.run(self.moves.open())
        self._stack.callback(self._end, self.moves)
        super()._start_services()
        self.load.probes = dict.fromkeys(self.load.ports, User(name=f"probe-{self.name}"))

    @property
    def owner_url(self) -> str:
        """The address for the commands that move users."""
        return f"postgresql://postgres@127.0.0.1:{self.moves.port}/tasklog?sslmode=disable"


class CellsWorld(Cell):
    """Cell a, and cell b in `there`. All users begin in a, and ask b only after a has sent them there."""

    name = "a"

    def open(self) -> None:
        """Start cell b without clients, then cell a with the clients of both."""
        nobody = replace(self.options, users=0, clients=0, planted=None)
        self.there = Cell(self.directory / "b", self._template, self.background, nobody, self._seed)
        self._stack.callback(self.there.close)
        self.there.memory, self.there.ends = self.memory, self.ends
        self.there.open()
        super().open()

    def _start_services(self) -> None:
        super()._start_services()
        self.load.home = [*self.load.ports]
        self.load.ports += self.there.load.ports
        self.load.probes |= self.there.load.probes
        self.load.history += self.there.load.history
        self.cells: dict[str, Cell] = {"a": self, "b": self.there}
        self.places = {user.name: "a" for user in self.load.users}

    def _start_clients(self) -> None:
        """Let each user add a first task in cell a: before it, no cell knows where the user is."""
        self.background.run(self._sign_up())
        super()._start_clients()

    async def _sign_up(self) -> None:
        with closing(HttpConnection(self.load.ports[0])) as connection:
            for user in self.load.users:
                first = Operation(user=user.name, kind="create", marker=user.marker(), body={"title": "first"})
                await self.load.perform(connection, user, first)

    def _revive(self) -> None:
        super()._revive()
        self.there._revive()

    @property
    def urls(self) -> list[str]:
        """The superuser's addresses of both ledgers."""
        return [self.url, self.there.url]

    def stored(self) -> Stored:
        """Return what is stored of each user where the user's stream is open: old rows elsewhere do not count."""
        merged = Stored(streams={}, heads={}, checkpoints={}, rows={})
        self.twice: set[str] = set()
        for found in (super().stored(), self.there.stored()):
            self.twice |= merged.heads.keys() & found.heads.keys()
            merged.heads.update(found.heads)
            merged.streams.update({user: found.streams[user] for user in found.heads})
            merged.checkpoints.update({user: at for user, at in found.checkpoints.items() if user in found.heads})
            merged.rows.update({key: row for key, row in found.rows.items() if key[0] in found.heads})
        return merged

    def ask(self, user: str, cell: Cell) -> Answer | None:
        """Return a cell's answer to a request for a user's list, None without one."""
        token = next(one.token for one in self.load.users if one.name == user)

        async def asked() -> Answer | None:
            headers = {"Authorization": f"Bearer {token}"}
            with closing(HttpConnection(cell.load.ports[0])) as connection, suppress(CutError):
                return await connection.request("GET", f"/api/{user}/tasks", headers)
            return None

        return self.background.run(asked())
