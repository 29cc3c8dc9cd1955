# The image of every service: Python packages from the hashed lock, and the project's packages. No servers, no secrets.
FROM python:3.14-slim AS build
RUN python -m venv --without-pip /venv
ARG LOCK=runtime
COPY requirements/$LOCK.lock ./image.lock
RUN --mount=type=cache,target=/var/cache/pip \
    pip --cache-dir /var/cache/pip --python /venv/bin/python install --require-hashes --only-binary :all: --no-deps --disable-pip-version-check \
        --root-user-action=ignore --quiet -r image.lock
WORKDIR /app
COPY . .
RUN rm -r requirements && python -m compileall -q --invalidation-mode unchecked-hash .

FROM python:3.14-slim
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "tasklog"]
CMD ["help"]
