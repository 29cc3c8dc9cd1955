"""The app and its routes. `DATABASE_URL` is SQLAlchemy's, `BETTER_AUTH_SECRET` the key of the tokens."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from sqlmodel import col, select

from bench.peers.crud.database import Session, create_tables, engine
from bench.peers.crud.models import NewTask, Sort, Status, Task, TaskAnswer, TaskChange, now
from bench.peers.crud.owner import Owner


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    await create_tables()
    yield
    await engine.dispose()


app = FastAPI(title="Todo", lifespan=_lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["http://localhost:3000"],
    allow_credentials=True,
    allow_methods=["GET", "POST", "PUT", "DELETE", "PATCH"],
    allow_headers=["Authorization", "Content-Type"],
)


async def _find(session: Session, owner: str, task_id: int) -> Task:
    found = await session.execute(select(Task).where(col(Task.id) == task_id, col(Task.user_id) == owner))
    task = found.scalar_one_or_none()
    if task is None:
        raise HTTPException(404, f"Task {task_id} not found")
    return task


async def _save(session: Session, task: Task) -> Task:
    await session.commit()
    await session.refresh(task)
    return task


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether it answers."""
    return {"status": "healthy"}


@app.get("/api/{user_id}/tasks", response_model=list[TaskAnswer])
async def list_tasks(
    owner: Owner, session: Session, status: Status = Status.ALL, sort: Sort = Sort.CREATED
) -> Sequence[Task]:
    """The user's tasks."""
    query = select(Task).where(col(Task.user_id) == owner)
    if status is not Status.ALL:
        query = query.where(col(Task.completed) == (status is Status.COMPLETED))
    query = query.order_by(col(Task.title) if sort is Sort.TITLE else col(Task.created_at).desc())
    return (await session.execute(query)).scalars().all()


@app.post("/api/{user_id}/tasks", response_model=TaskAnswer, status_code=201)
async def create_task(owner: Owner, body: NewTask, session: Session) -> Task:
    """A new task."""
    task = Task(user_id=owner, title=body.title, description=body.description)
    session.add(task)
    return await _save(session, task)


@app.get("/api/{user_id}/tasks/{task_id}", response_model=TaskAnswer)
async def get_task(owner: Owner, task_id: int, session: Session) -> Task:
    """One task."""
    return await _find(session, owner, task_id)


@app.put("/api/{user_id}/tasks/{task_id}", response_model=TaskAnswer)
async def update_task(owner: Owner, task_id: int, body: TaskChange, session: Session) -> Task:
    """The given fields change."""
    task = await _find(session, owner, task_id)
    for name, value in body.model_dump(exclude_unset=True).items():
        setattr(task, name, value)
    task.updated_at = now()
    return await _save(session, task)


@app.delete("/api/{user_id}/tasks/{task_id}")
async def delete_task(owner: Owner, task_id: int, session: Session) -> dict[str, str]:
    """The task is gone."""
    await session.delete(await _find(session, owner, task_id))
    await session.commit()
    return {"message": "Task deleted successfully"}


@app.patch("/api/{user_id}/tasks/{task_id}/complete", response_model=TaskAnswer)
async def toggle_task(owner: Owner, task_id: int, session: Session) -> Task:
    """Completed or not, turned over."""
    task = await _find(session, owner, task_id)
    task.completed = not task.completed
    task.updated_at = now()
    return await _save(session, task)
