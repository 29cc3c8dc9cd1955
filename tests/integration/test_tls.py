"""A database over TLS, with URLs as providers write them: encrypted, or one sentence that says why not.

The packaged Postgres has no TLS, but a PgBouncer before it has, as with a Neon database. It refuses unencrypted
connections (one of the cases), so every accepted connection is encrypted. Seen to fail: without `ssl`, with
sslrootcert=system taken for a file, and without the words of `refusal` about TLS.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from projector.catch_up import catch_up
from read_api.queries import TaskQuery
from runtime.settings import Settings
from tasklog.supervision.service import START_ERROR
from tests.ledger import created, list_tasks, opened
from tests.pgbouncer import running_pgbouncer
from tests.servers import SECRET, Servers


@dataclass(frozen=True, kw_only=True)
class OverTls:
    """A migrated database behind a server with a self-signed certificate for `localhost`."""

    name: str
    port: int
    certificate: Path
    another: Path

    def url(self, query: str, host: str = "localhost") -> str:
        """Return a URL of it; the query may name {certificate}, and {another}, which signed nothing here."""
        files = query.format(certificate=self.certificate, another=self.another)
        return f"postgres://postgres:p%40ss@{host}:{self.port}/{self.name}?{files}"


def self_signed(file: Path) -> Path:
    """Return the file of a self-signed certificate for `localhost`, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    file.write_bytes(certificate.public_bytes(pem) + private)
    return file


@pytest.fixture(scope="module")
def over_tls(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverTls]:
    directory = tmp_path_factory.mktemp("tls")
    ours, another = self_signed(directory / "server.pem"), self_signed(directory / "another.pem")
    with (
        servers.cloned() as database,
        running_pgbouncer(servers.postgres_url, directory, certificate=ours) as pooler,
    ):
        yield OverTls(name=database.name, port=pooler.port, certificate=ours, another=another)


def tasklog(command: str, url: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a database URL."""
    settings = {"DATABASE_URL": url, "BETTER_AUTH_SECRET": SECRET, "API_PORT": "0", "DATABASE_POOLER": "yes"}
    return subprocess.run(
        [sys.executable, "-m", "tasklog", command],
        env={**os.environ, **settings, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


QUERIES = [
    "sslmode=require",
    "sslmode=require&channel_binding=require",
    "sslmode=verify-ca&sslrootcert={certificate}",
    "sslmode=verify-full&sslrootcert={certificate}",
    "sslmode=verify-full&sslrootcert={certificate}&ssl_min_protocol_version=TLSv1.3",
    "sslmode=verify-full&sslrootcert=system",
    "sslrootcert=system",
    "ssl=require",
    "ssl=true",
    "",
]


@pytest.mark.parametrize("query", QUERIES)
async def test_every_service_writes_and_reads_over_an_encrypted_connection(
    over_tls: OverTls, query: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(over_tls.certificate))  # OpenSSL takes it for `system`
    url = SecretStr(over_tls.url(query))
    settings = Settings(_env_file=None, database_url=url, database_pooler="yes", allow_superuser=True)
    async with opened(*[(settings, role) for role in ("writer", "projector", "reader")]) as services:
        writer, projector, reader = services
        await created(writer, user, "Milk")
        await catch_up(projector)
        assert b'"title":"Milk"' in (await list_tasks(reader, user, TaskQuery())).body


def test_a_command_finds_its_database_over_tls(over_tls: OverTls) -> None:
    url = over_tls.url("sslmode=verify-full&sslrootcert={certificate}")
    for command in ("migrate", "status"):
        done = tasklog(command, url)
        assert done.returncode == 0, done.stderr


UNTRUSTED = "its certificate is refused: self-signed certificate"
IN_THE_CLEAR = "it only accepts encrypted connections"
REFUSED = [
    ("sslmode=verify-full&sslrootcert={another}", "localhost", UNTRUSTED),
    ("sslmode=verify-full&sslrootcert=system", "localhost", UNTRUSTED),
    ("sslmode=verify-full&sslrootcert={certificate}", "127.0.0.1", "IP address mismatch"),
    ("sslmode=verify-full", "localhost", "need sslrootcert=FILE, or sslrootcert=system"),
    ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "localhost", "/nowhere/ca.pem, which is not a readable file"),
    ("sslmode=disable", "localhost", IN_THE_CLEAR),
    ("ssl=false", "localhost", IN_THE_CLEAR),
]


@pytest.mark.parametrize(("query", "host", "said"), REFUSED)
def test_who_is_not_trusted_or_in_the_clear_is_one_sentence(
    over_tls: OverTls, tmp_path: Path, query: str, host: str, said: str
) -> None:
    done = tasklog("status", over_tls.url(query, host), HOME=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert said in done.stderr
    assert "p%40ss" not in done.stderr


@pytest.mark.parametrize(("command", "code"), [("migrate", 1), ("command-api", START_ERROR)])
def test_it_is_the_same_sentence_of_a_migration_and_of_a_service(over_tls: OverTls, command: str, code: int) -> None:
    done = tasklog(command, over_tls.url("sslmode=verify-full&sslrootcert={another}"))
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert UNTRUSTED in done.stderr


def test_a_server_without_tls_is_one_sentence(servers: Servers, tmp_path: Path) -> None:
    with running_pgbouncer(servers.postgres_url, tmp_path) as plain:
        done = tasklog("migrate", f"postgresql://postgres@127.0.0.1:{plain.port}/none?sslmode=require")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "it does not speak TLS" in done.stderr
