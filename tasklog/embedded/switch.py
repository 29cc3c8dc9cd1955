"""The cluster's directory in DATA_DIR, and how `./run upgrade` replaces it: no kill leaves two ledgers, or none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER: Final = "postgres"
UNFINISHED: Final = "postgres.upgrading"
"""A new cluster that is being filled. A killed upgrade leaves it, and the next one removes it."""

_COMPLETE: Final = "postgres.upgraded"
"""A new cluster that was filled and verified."""


def has_ledger(data_dir: Path) -> bool:
    """Return whether a DATA_DIR has a cluster, also if its upgrade was killed at the last step."""
    return any((data_dir / name).exists() for name in (CLUSTER, _COMPLETE))


def kept_cluster(data_dir: Path, version: int) -> Path:
    """Return where an upgrade keeps the old cluster of this major version."""
    return data_dir / f"{CLUSTER}.{version}"


def switch(data_dir: Path, kept: Path) -> None:
    """Put the new cluster, which is complete and stopped, in the place of the old one; keep the old one."""
    (data_dir / UNFINISHED).rename(data_dir / _COMPLETE)
    sync_directory(data_dir)
    (data_dir / CLUSTER).rename(kept)
    finish_switch(data_dir)


def finish_switch(data_dir: Path) -> None:
    """Do the last step of a switch, if it was killed there: the old cluster has made room, the new one is complete.

    While the old cluster is in its place, it stays: the upgrade begins again. Needs DATA_DIR's lock.
    """
    if (data_dir / _COMPLETE).exists() and not (data_dir / CLUSTER).exists():
        (data_dir / _COMPLETE).rename(data_dir / CLUSTER)
        sync_directory(data_dir)


def leftovers(data_dir: Path) -> list[Path]:
    """Return the clusters that a killed upgrade left, none of which is in use."""
    return [path for name in (UNFINISHED, _COMPLETE) if (path := data_dir / name).exists()]


def sync_directory(directory: Path) -> None:
    """Flush the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
