"""Status: the version, the size of the ledger, the lag of the projection, and what needs an operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from audit.departures import moving_users
from audit.standing import GivenIds, given_ids, schema_faults
from audit.verifications import Verification, faults_found, last_verification
from event_log.chain import Fault
from projector.job_states import JobState
from projector.lag import WAITING_SINCE
from projector.rebuild import faults as rebuild_faults
from projector.statements import IN_FORMAT
from runtime.database import Database
from runtime.schema import INSTALLED, read, schema_version
from runtime.version import VERSION

_NUMBERS: Final = f"""
    -- Each table is read once, and not joined. The lag is that of marked streams, of which
    -- there are few; it leaves out parked users, because they wait for an operator.
    SELECT all_streams.*, lag.*, all_checkpoints.*,
           -- Postgres's estimate, or an exact count before there is one.
           (SELECT CASE WHEN reltuples > 0 THEN reltuples::bigint ELSE (SELECT count(*) FROM tasklog.tasks) END
            FROM pg_class WHERE oid = 'tasklog.tasks'::regclass) AS tasks_about
    FROM (
        SELECT count(*) AS streams, coalesce(sum(head), 0)::bigint AS events FROM tasklog.streams
    ) AS all_streams, (
        SELECT coalesce(sum(s.head - coalesce(c.position, 0)), 0)::bigint AS lag_events,
               coalesce(extract(epoch FROM clock_timestamp() - min({WAITING_SINCE})), 0)::float AS lag_seconds
        FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
        WHERE s.unprojected_since IS NOT NULL AND c.parked_until IS NULL
    ) AS lag, (
        SELECT count(*) FILTER (WHERE c.parked_until IS NOT NULL) AS parked_users,
               count(*) FILTER (WHERE c.rebuild) AS users_to_rebuild,
               count(*) FILTER (WHERE NOT {IN_FORMAT} AND c.position > 0) AS users_in_other_formats
        FROM tasklog.checkpoints c
    ) AS all_checkpoints
"""
_PARKED: Final = """
    -- Parked users; those with the most attempts first.
    SELECT user_id, position + 1 AS position, attempts, parked_until, error FROM tasklog.checkpoints
    WHERE parked_until IS NOT NULL ORDER BY attempts DESC, user_id LIMIT 20
"""
_EVENTS: Final = """
    -- The number of events of a user, or of all users for null.
    SELECT coalesce(sum(head), 0)::bigint FROM tasklog.streams WHERE ($1::text IS NULL OR user_id = $1)
"""
_BEHIND: Final = """
    -- The number of unprojected events of a user, or of all users for null.
    SELECT coalesce(sum(greatest(s.head - coalesce(c.position, 0), 0)), 0)::bigint
    FROM tasklog.streams s LEFT JOIN tasklog.checkpoints c USING (user_id)
    WHERE ($1::text IS NULL OR s.user_id = $1)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked:
    """A user whose event at `position` cannot be projected."""

    user_id: str
    position: int
    attempts: int
    next_attempt: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultOfRebuild:
    """A user whose events the last rebuild could not replay; `position` is the first of these."""

    user_id: str
    position: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What Redis knows: the last jobs, newest first, the running projectors, and the processes with an admin port."""

    jobs: list[JobState]
    projectors: list[Mapping[str, object]]
    processes: list[Mapping[str, object]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What an operator has to know.

    `lag_seconds` is the longest time that a stream has waited for the projector. `verification` is the last
    verification of the whole ledger; `faults_found` holds its faults and those of later ones of single users. Facts
    that only Redis knows are None if it does not answer.
    """

    version: str
    schema: str
    schema_state: str
    streams: int
    events: int
    tasks_about: int
    lag_events: int
    lag_seconds: float
    task_ids: GivenIds
    users_arriving: int
    users_left: int
    users_to_remove: int
    users_unconfirmed: int
    parked_users: int
    users_to_rebuild: int
    users_in_other_formats: int
    parked: list[Parked]
    rebuild_faults: list[FaultOfRebuild]
    schema_faults: list[Fault]
    redis: bool
    verification: Verification | None
    faults_found: list[Fault] | None
    projectors: list[Mapping[str, object]] | None
    processes: list[Mapping[str, object]] | None
    jobs: list[JobState] | None

    @property
    def needs_somebody(self) -> bool:
        """Return whether an operator has to act: parked users, faults, a move to finish, hardly any task ids left."""
        found = self.parked_users or self.rebuild_faults or self.schema_faults or self.faults_found
        return bool(found or self.users_unconfirmed or self.task_ids.are_scarce)


async def status(database: Database, heard: Heard | None) -> Status:
    """Read the status; `heard` is what Redis knows, or None if it does not answer.

    Raises:
        UnavailableError: the database went away.
    """
    async with database.transaction("enable_seqscan = on") as connection:
        (numbers,) = await connection.fetch(_NUMBERS)
    moving, given = await moving_users(database), await given_ids(database)
    installed = read((await database.fetch(INSTALLED))[0]["installed"])
    schema = installed.digest if installed else "none"
    return Status(
        **numbers,
        task_ids=given,
        users_arriving=moving["arriving"],
        users_left=moving["left"],
        users_to_remove=moving["to_remove"],
        users_unconfirmed=moving["unconfirmed"],
        version=VERSION,
        schema=schema,
        # An older schema is impossible here: the database would not have been opened.
        schema_state="current" if schema == schema_version() else "newer",
        parked=await parked_users(database),
        rebuild_faults=[
            FaultOfRebuild(user_id=user, position=position, reason=reason)
            for user, (position, reason) in (await rebuild_faults(database)).items()
        ],
        schema_faults=await schema_faults(database),
        redis=heard is not None,
        verification=None if heard is None else last_verification(heard.jobs),
        faults_found=None if heard is None else faults_found(heard.jobs),
        projectors=None if heard is None else heard.projectors,
        processes=None if heard is None else heard.processes,
        jobs=None if heard is None else heard.jobs,
    )


async def parked_users(database: Database) -> list[Parked]:
    """Return the first parked users; those with the most attempts first.

    Raises:
        UnavailableError: the database went away.
    """
    return [
        Parked(
            user_id=row["user_id"],
            position=row["position"],
            attempts=row["attempts"],
            next_attempt=row["parked_until"].isoformat(),
            error=row["error"],
        )
        for row in await database.fetch(_PARKED)
    ]


async def event_count(database: Database, user_id: str | None = None) -> int:
    """Return how many events a user has, or all users together."""
    return int((await database.fetch(_EVENTS, user_id))[0][0])


async def events_behind(database: Database, user_id: str | None = None) -> int:
    """Return how many events of a user, or of all users together, are not projected yet."""
    return int((await database.fetch(_BEHIND, user_id))[0][0])
