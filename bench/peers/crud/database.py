"""The engine, and a session for each request."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlmodel import SQLModel

engine = create_async_engine(os.environ["DATABASE_URL"], pool_pre_ping=True, pool_size=5, max_overflow=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def create_tables() -> None:
    """Create the table if it is missing."""
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)


async def session() -> AsyncIterator[AsyncSession]:
    """Yield a session for the time of a request."""
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]
