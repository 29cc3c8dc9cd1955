"""`./run upgrade`: moves the ledger of DATA_DIR to another major version of Postgres, and keeps the old cluster.

Both servers run beside each other: the old one on its own files, the new one on new files in `postgres.upgrading`,
which become `postgres` when every row has arrived and was compared. Until then, the old cluster stays in its place.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasklog.embedded.binaries import find_newer_postgres
from tasklog.embedded.cluster import make_cluster, retire_old_server, version_of
from tasklog.embedded.data_dir import lock_holder, locked, open_data_dir, socket_dir
from tasklog.embedded.identity import choose_identity
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.switch import CLUSTER, UNFINISHED, finish_switch, kept_cluster, leftovers, switch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PORT: Final = 5433
"""Part of the name of the new server's socket, beside the old one's."""
_STOP_SECONDS: Final = 600
_LARGEST_LOG_BYTES: Final = 2**30
_EMPTY_CLUSTER_BYTES: Final = 2**26


class UpgradeError(Exception):
    """An upgrade that cannot begin: one sentence that says what to do."""


class NothingNewerError(UpgradeError):
    """The newest Postgres of this machine already has the data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Upgrade:
    """Both servers while they run, their major versions, and where the old cluster will be."""

    old: Postgres
    new: Postgres
    before: int
    after: int
    kept: Path


@contextmanager
def upgrade(directory: Path) -> Iterator[Upgrade]:
    """Yield both servers; when the context ends well, the new cluster takes the old one's place.

    When it does not, the old cluster is as before.

    Raises:
        NothingNewerError: there is no newer Postgres here.
        UpgradeError: Tasklog runs, there is no ledger or too little room, or an old cluster is in the way.
        SettingsError: the programs of the old version are not here, or a server does not start.
    """
    data_dir = open_data_dir(directory)
    with locked(data_dir) as ours:
        if not ours:
            where = f"{directory} (process {lock_holder(data_dir)})"
            raise UpgradeError(f"Tasklog runs on {where}: stop it, then run ./run upgrade again.")
        finish_switch(data_dir)
        before = version_of(data_dir / CLUSTER)
        if before is None:
            raise UpgradeError(f"There is no ledger in {directory} yet: ./run begins one with this version's Postgres.")
        if (found := find_newer_postgres(before)) is None:
            raise NothingNewerError(f"The data are of Postgres {before}, and no newer one was found: nothing to do.")
        programs, after = found
        kept = kept_cluster(data_dir, before)
        if kept.exists():
            raise UpgradeError(f"{kept} is from an earlier upgrade: move it away, or delete it if you do not need it.")
        _remove_leftovers(data_dir)
        _check_room(data_dir)
        with _running(data_dir, programs, after) as (old, new):
            yield Upgrade(old=old, new=new, before=before, after=after, kept=kept)
        switch(data_dir, kept)
        (data_dir / f"{UNFINISHED}.log").unlink(missing_ok=True)


@contextmanager
def _running(data_dir: Path, programs: Path, version: int) -> Iterator[tuple[Postgres, Postgres]]:
    """Run the old server, and a new one with an empty cluster; remove the new cluster after an error."""
    sockets = socket_dir(data_dir)
    old = Postgres(data_dir, sockets, {"autovacuum": "off"})
    new = Postgres(data_dir, sockets, {"autovacuum": "off"}, cluster=UNFINISHED, port=_PORT)
    try:
        run_as, owner, programs = choose_identity(programs, data_dir, sockets)
        make_cluster(data_dir / UNFINISHED, programs, version, run_as, owner)
        old.start()
        new.start()
        yield old, new
        new.stop(_STOP_SECONDS)
    except BaseException:
        new.stop(0)
        shutil.rmtree(data_dir / UNFINISHED, ignore_errors=True)
        raise
    finally:
        old.stop(timeout=10)


def _remove_leftovers(data_dir: Path) -> None:
    """Remove the clusters that a killed upgrade left, and end a server that outlived it."""
    for cluster in leftovers(data_dir):
        retire_old_server(cluster, time.sleep)
        shutil.rmtree(cluster)


def _check_room(data_dir: Path) -> None:
    """Refuse to begin if the new cluster may not fit: as much as the old one, and the log of writing it.

    Raises:
        UpgradeError: it may not.
    """
    size = sum(file.stat().st_size for file in (data_dir / CLUSTER / "base").rglob("*") if file.is_file())
    needed = size + min(size, _LARGEST_LOG_BYTES) + _EMPTY_CLUSTER_BYTES
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        raise UpgradeError(
            f"The new cluster may need {needed / 1e6:,.0f} MB, and {data_dir} has {free / 1e6:,.0f} MB of free space: "
            "make room there, and run ./run upgrade again."
        )
