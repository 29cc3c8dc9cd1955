"""The nemesis: each function brings about one fault, and takes it back."""

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
from tasklog.supervision.service import Service
from tests.chaos.planted import TOGGLE_OUTSIDE_THE_LOCK
from tests.chaos.proxy import Proxy
from tests.chaos.world import World

Fault: TypeAlias = Callable[[World, random.Random], None]

_STATEMENT_SECONDS = 2.0


def kill_gateway(world: World, rng: random.Random) -> None:
    world.kill(rng.choice(world.gateways))


def kill_projector(world: World, rng: random.Random) -> None:
    world.kill(rng.choice(world.projectors))


def kill_postgres(world: World, _: random.Random) -> None:
    world.kill(world.postgres)


def kill_redis(world: World, _: random.Random) -> None:
    world.kill(world.valkey)


def kill_gateway_at_statement(world: World, rng: random.Random) -> None:
    _kill_at_statement(world, world.gateways, world.gateway_proxy, rng)


def kill_projector_at_statement(world: World, rng: random.Random) -> None:
    _kill_at_statement(world, world.projectors, world.projector_proxy, rng)


def _kill_at_statement(world: World, services: list[Service], proxy: Proxy, rng: random.Random) -> None:
    service = rng.choice(services)
    if _at_statement(world, proxy, rng.randrange(1, 25), lambda: _signal(service, signal.SIGKILL)):
        assert service.process is not None
        service.process.wait(10)
        service.start()


def cut_at_statement(world: World, rng: random.Random) -> None:
    """The backend is gone between two statements, the service is not."""
    proxy = rng.choice([world.gateway_proxy, world.projector_proxy])
    _at_statement(world, proxy, rng.randrange(1, 25), proxy.cut)


def stop_lock_holder(world: World, rng: random.Random) -> None:
    """A projector is stopped in the middle of its transaction, with the locks that it holds there."""
    _stop_lock_holder(world, rng, rng.uniform(1, 3))


def stop_lock_holder_long(world: World, rng: random.Random) -> None:
    _stop_lock_holder(world, rng, 20)


def _stop_lock_holder(world: World, rng: random.Random, seconds: float) -> None:
    service = rng.choice(world.projectors)
    if _at_statement(world, world.projector_proxy, rng.randrange(1, 10), lambda: _signal(service, signal.SIGSTOP)):
        world.pause(seconds)
        _signal(service, signal.SIGCONT)


def stop_gateway(world: World, rng: random.Random) -> None:
    service = rng.choice(world.gateways)
    if _at_statement(world, world.gateway_proxy, rng.randrange(1, 10), lambda: _signal(service, signal.SIGSTOP)):
        world.pause(rng.uniform(1, 3))
        _signal(service, signal.SIGCONT)


def terminate_backends(world: World, rng: random.Random) -> None:
    """Some of the services' backends, or all."""
    world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tasklog_%' AND random() < $1",
        rng.choice([0.3, 1.0]),
    )


def freeze_postgres(world: World, rng: random.Random) -> None:
    _for_a_while(world, rng.uniform(0.3, 2), Proxy.freeze, Proxy.thaw)


def freeze_postgres_long(world: World, _: random.Random) -> None:
    """Longer than any time-out of the services."""
    _for_a_while(world, 12, Proxy.freeze, Proxy.thaw)


def slow_postgres(world: World, rng: random.Random) -> None:
    delay = rng.uniform(0.02, 0.2)
    _for_a_while(world, rng.uniform(0.5, 2), lambda proxy: proxy.delay(delay), lambda proxy: proxy.delay(0))


def unreachable_postgres(world: World, rng: random.Random) -> None:
    proxies = [world.gateway_proxy, world.projector_proxy]
    for proxy in proxies:
        world.background.run(proxy.close())
    world.pause(rng.uniform(0.3, 2))
    for proxy in proxies:
        world.background.run(proxy.open())


def lose_commits(world: World, rng: random.Random) -> None:
    """Commits happen, and their answers are lost."""
    for proxy in (world.gateway_proxy, world.projector_proxy):
        world.background.call(proxy.lose_commits, rng.randrange(1, 4))
    world.pause(rng.uniform(0.3, 0.8))


def flush_redis(world: World, _: random.Random) -> None:
    with Redis.from_url(world.valkey.url) as redis:
        redis.flushall()


def full_redis(world: World, rng: random.Random) -> None:
    with Redis.from_url(world.valkey.url) as redis:
        redis.config_set("maxmemory", "1")
        world.pause(rng.uniform(0.5, 2))
        redis.config_set("maxmemory", "64mb")


def freeze_redis(world: World, rng: random.Random) -> None:
    assert world.valkey.process is not None
    world.valkey.process.send_signal(signal.SIGSTOP)
    world.pause(rng.uniform(0.5, 3))
    world.valkey.process.send_signal(signal.SIGCONT)


def unreachable_redis(world: World, rng: random.Random) -> None:
    world.background.run(world.redis_proxy.close())
    world.pause(rng.uniform(0.5, 2))
    world.background.run(world.redis_proxy.open())


def fill_disk(world: World, rng: random.Random) -> None:
    """No byte is left where Postgres stores; it may panic, and is started again when there is room."""
    filler = world.directory / "postgres" / "filler"
    with filler.open("wb", buffering=0) as file:
        end = time.monotonic() + rng.uniform(1, 3)
        while time.monotonic() < end:
            try:
                file.write(b"\0" * 2**16)
            except OSError:
                time.sleep(0.02)
    filler.unlink()


def jump(world: World, rng: random.Random) -> None:
    """The clock of services and Postgres is an hour off, one way or the other, or right again."""
    (world.directory / "clock").write_text(rng.choice(["+3600", "-3600", "+0"]))


def terminate_gateway(world: World, rng: random.Random) -> None:
    """SIGTERM under load: it ends by itself, in time and with code 0."""
    service = rng.choice(world.gateways)
    assert service.process is not None
    service.ask_to_stop()
    began = time.monotonic()
    code = service.process.wait(30)
    if code != 0 or time.monotonic() - began > 10:
        world.complaints.append(f"SIGTERM: exit code {code} after {time.monotonic() - began:.1f} s")
    service.start()
    world.wait_until_healthy(10)


def pass_time(world: World, _: random.Random) -> None:
    """Nothing, but for a fault that is planted in the services."""
    world.pause(1)


def decide_outside_the_lock(world: World, _: random.Random) -> None:
    """Planted, for the checker to find: the append no longer looks at the version that was decided on."""
    text = (Path(event_log.__file__).parent / "functions.sql").read_text()
    for sound, broken in TOGGLE_OUTSIDE_THE_LOCK:
        assert sound in text, sound
        text = text.replace(sound, broken)
    world.execute_script(text)


def _for_a_while(world: World, seconds: float, begin: Callable[[Proxy], Any], end: Callable[[Proxy], Any]) -> None:
    proxies = [world.gateway_proxy, world.projector_proxy]
    for proxy in proxies:
        world.background.call(begin, proxy)
    world.pause(seconds)
    for proxy in proxies:
        world.background.call(end, proxy)


def _at_statement(world: World, proxy: Proxy, number: int, action: Callable[[], None]) -> bool:
    """Act before the `number`th statement from now; False if there were not so many in time."""
    reached = threading.Event()

    def act() -> None:
        action()
        reached.set()

    world.background.call(proxy.at_statement, number, act)
    if reached.wait(_STATEMENT_SECONDS):
        return True
    world.background.call(proxy.at_statement, 0, None)
    return reached.is_set()


def _signal(service: Service, number: signal.Signals) -> None:
    assert service.process is not None
    if service.process.poll() is None:
        os.kill(service.process.pid, number)
