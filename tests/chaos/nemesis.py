"""The nemesis: each function causes one fault, ends it, and returns whether it happened.

It may not happen, for example if no statement came in time, or nobody was connected. Such a fault tested nothing.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from redis import Redis

import event_log
from tasklog.embedded.valkey import Valkey
from tasklog.supervision.service import Service
from tests.chaos.planted import TOGGLE_OUTSIDE_THE_LOCK, happened_in
from tests.chaos.proxy import Proxy
from tests.chaos.world import World

Fault: TypeAlias = Callable[[World, random.Random], bool]

_STATEMENT_SECONDS = 2.0
_LOST_TOGGLES = """
    SELECT FROM (
        SELECT type, lag(type) OVER (PARTITION BY task_id ORDER BY position) AS before FROM tasklog.events
        WHERE type IN ('task.completed', 'task.reopened')
    ) AS toggles WHERE type = before LIMIT 1
"""


def kill_gateway(world: World, rng: random.Random) -> bool:
    return world.kill(rng.choice(world.gateways))


def kill_projector(world: World, rng: random.Random) -> bool:
    return world.kill(rng.choice(world.projectors))


def kill_postgres(world: World, _: random.Random) -> bool:
    return world.kill(world.postgres)


def kill_redis(world: World, _: random.Random) -> bool:
    return world.kill(world.valkey)


def kill_gateway_at_statement(world: World, rng: random.Random) -> bool:
    return _kill_at_statement(world, world.gateways, world.gateway_proxy, rng)


def kill_projector_at_statement(world: World, rng: random.Random) -> bool:
    return _kill_at_statement(world, world.projectors, world.projector_proxy, rng)


def _kill_at_statement(world: World, services: list[Service], proxy: Proxy, rng: random.Random) -> bool:
    service = rng.choice(services)
    if not _at_statement(world, proxy, rng.randrange(1, 25), lambda: _signal(service, signal.SIGKILL)):
        return False
    assert service.process is not None
    service.process.wait(10)
    service.start()
    return True


def cut_at_statement(world: World, rng: random.Random) -> bool:
    """Cut the connections between two statements; the service stays up."""
    proxy = rng.choice([world.gateway_proxy, world.projector_proxy])
    return _at_statement(world, proxy, rng.randrange(1, 25), proxy.cut)


def stop_lock_holder(world: World, rng: random.Random) -> bool:
    """Stop a projector in the middle of a transaction, while it holds locks."""
    return _stop_lock_holder(world, rng, rng.uniform(1, 3))


def stop_lock_holder_long(world: World, rng: random.Random) -> bool:
    return _stop_lock_holder(world, rng, 20)


def _stop_lock_holder(world: World, rng: random.Random, seconds: float) -> bool:
    return _stop_at_statement(world, rng.choice(world.projectors), world.projector_proxy, rng, seconds)


def stop_gateway(world: World, rng: random.Random) -> bool:
    return _stop_at_statement(world, rng.choice(world.gateways), world.gateway_proxy, rng, rng.uniform(1, 3))


def _stop_at_statement(world: World, service: Service, proxy: Proxy, rng: random.Random, seconds: float) -> bool:
    if not _at_statement(world, proxy, rng.randrange(1, 10), lambda: _signal(service, signal.SIGSTOP)):
        return False
    world.pause(seconds)
    _signal(service, signal.SIGCONT)
    return True


def terminate_backends(world: World, rng: random.Random) -> bool:
    """Terminate some of the services' backends, or all."""
    rows = world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tasklog_%' AND random() < $1",
        rng.choice([0.3, 1.0]),
    )
    return any(row[0] for row in rows)


def freeze_postgres(world: World, rng: random.Random) -> bool:
    return _for_a_while(world, rng.uniform(0.3, 2), Proxy.freeze, Proxy.thaw)


def freeze_postgres_long(world: World, _: random.Random) -> bool:
    """Freeze Postgres for longer than any time-out of the services."""
    return _for_a_while(world, 12, Proxy.freeze, Proxy.thaw)


def slow_postgres(world: World, rng: random.Random) -> bool:
    delay = rng.uniform(0.02, 0.2)
    return _for_a_while(world, rng.uniform(0.5, 2), lambda proxy: proxy.delay(delay), lambda proxy: proxy.delay(0))


def unreachable_postgres(world: World, rng: random.Random) -> bool:
    proxies = [world.gateway_proxy, world.projector_proxy]
    for proxy in proxies:
        world.background.run(proxy.close())
    world.pause(rng.uniform(0.3, 2))
    for proxy in proxies:
        world.background.run(proxy.open())
    return True


def lose_commits(world: World, rng: random.Random) -> bool:
    """Let commits happen, but lose their answers."""
    proxies = (world.gateway_proxy, world.projector_proxy)
    before = sum(proxy.lost for proxy in proxies)
    for proxy in proxies:
        world.background.call(proxy.lose_commits, rng.randrange(1, 4))
    world.pause(rng.uniform(0.3, 0.8))
    return sum(proxy.lost for proxy in proxies) > before


def flush_redis(world: World, _: random.Random) -> bool:
    with Redis.from_url(world.valkey.url) as redis:
        return bool(redis.flushall())


def full_redis(world: World, rng: random.Random) -> bool:
    with Redis.from_url(world.valkey.url) as redis:
        redis.config_set("maxmemory", "1")
        world.pause(rng.uniform(0.5, 2))
        redis.config_set("maxmemory", "64mb")
    return True


def freeze_redis(world: World, rng: random.Random) -> bool:
    frozen = _signal(world.valkey, signal.SIGSTOP)
    world.pause(rng.uniform(0.5, 3))
    _signal(world.valkey, signal.SIGCONT)
    return frozen


def unreachable_redis(world: World, rng: random.Random) -> bool:
    world.background.run(world.redis_proxy.close())
    world.pause(rng.uniform(0.5, 2))
    world.background.run(world.redis_proxy.open())
    return True


def fill_disk(world: World, rng: random.Random) -> bool:
    """Fill Postgres's disk. It may panic, and is restarted when there is room."""
    filler = world.directory / "postgres" / "filler"
    is_full = False
    with filler.open("wb", buffering=0) as file:
        end = time.monotonic() + rng.uniform(1, 3)
        while time.monotonic() < end:
            try:
                file.write(b"\0" * 2**16)
            except OSError:
                is_full = True
                time.sleep(0.02)
    filler.unlink()
    return is_full


def jump(world: World, rng: random.Random) -> bool:
    """Set the clock of services and Postgres an hour ahead or back, or right again."""
    clock, time_off = world.directory / "clock", rng.choice(["+3600", "-3600", "+0"])
    before = clock.read_text()
    clock.write_text(time_off)
    return time_off != before


def terminate_gateway(world: World, rng: random.Random) -> bool:
    """Send SIGTERM under load: the gateway must end by itself, in time and with code 0."""
    service = rng.choice(world.gateways)
    assert service.process is not None
    service.ask_to_stop()
    began = time.monotonic()
    code = service.process.wait(30)
    if code != 0 or time.monotonic() - began > 10:
        seconds = time.monotonic() - began
        world.complain("a process ends as it should", f"SIGTERM: exit code {code} after {seconds:.1f} s")
    service.start()
    world.wait_until_healthy(10)
    return True


def planted(world: World, _: random.Random) -> bool:
    """Wait a second for the fault that is planted in the services, unless one has happened that was not counted."""
    if happened_in(world.directory) <= world.faults:
        world.pause(1)
    return happened_in(world.directory) > world.faults


def lose_toggle(world: World, _: random.Random) -> bool:
    """Wait for a lost toggle, which `decide_outside_the_lock` causes if two decide on one task at once."""
    world.pause(1)
    return bool(world.execute(_LOST_TOGGLES))


def decide_outside_the_lock(world: World, _: random.Random) -> bool:
    """Planted: make the append ignore the version that a command was decided on."""
    text = (Path(event_log.__file__).parent / "append.sql").read_text()
    for sound, broken in TOGGLE_OUTSIDE_THE_LOCK:
        assert sound in text, sound
        text = text.replace(sound, broken)
    world.execute_script(text)
    return True


def _for_a_while(world: World, seconds: float, begin: Callable[[Proxy], Any], end: Callable[[Proxy], Any]) -> bool:
    proxies = [world.gateway_proxy, world.projector_proxy]
    for proxy in proxies:
        world.background.call(begin, proxy)
    world.pause(seconds)
    for proxy in proxies:
        world.background.call(end, proxy)
    return True


def _at_statement(world: World, proxy: Proxy, number: int, action: Callable[[], bool]) -> bool:
    """Act before the `number`th statement from now; return False if it came too late, or the act had no effect."""
    reached, effects = threading.Event(), []

    def act() -> None:
        effects.append(action())
        reached.set()

    world.background.call(proxy.at_statement, number, act)
    if not reached.wait(_STATEMENT_SECONDS):
        world.background.call(proxy.at_statement, 0, None)
    return any(effects)


def _signal(part: Service | Valkey, number: signal.Signals) -> bool:
    assert part.process is not None
    if part.process.poll() is not None:
        return False
    os.kill(part.process.pid, number)
    return True
