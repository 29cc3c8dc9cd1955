"""`.env.example` explains every setting, and shows its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.redis_client import redis_pool
from runtime.settings import Settings, SettingsError, load_settings

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / ".env.example").read_text()
SHOWN = dict(re.findall(r"^#([A-Z_]+)=(.+)$", EXAMPLE, re.MULTILINE))


def test_the_example_names_each_setting_of_the_services_and_of_compose_once() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    of_compose = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    assert sorted(re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE)) == sorted(settings | of_compose)


@pytest.mark.parametrize("name", ["PG_BIN", "FORWARDED_ALLOW_IPS", "PYTHON"])
def test_the_example_names_what_is_read_from_the_environment_alone(name: str) -> None:
    _, _, of_environment = EXAMPLE.partition("only as environment variables, not in this file.")
    assert re.search(rf"\b{name}: ", of_environment)


def test_the_example_explains_each_setting_in_the_line_above_it() -> None:
    assert len(re.findall(r"^# .+[.)]\n#[A-Z_]+=", EXAMPLE, re.MULTILINE)) == len(SHOWN)


def test_what_the_example_shows_is_the_default_or_a_value_that_fits(tmp_path: Path) -> None:
    taken = tmp_path / ".env"
    taken.write_text("\n".join(f"{name}={value}" for name, value in SHOWN.items()))
    shown = Settings(_env_file=taken)
    for name, field in Settings.model_fields.items():
        value = getattr(shown, name)
        assert value is not None if field.default is None else value == field.default, name


def test_a_setting_that_does_not_fit_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "hunter2")
    with pytest.raises(SettingsError, match="API_PORT is not valid") as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        *(("DATABASE_URL", url) for url in ("mysql://h/d", "h:5432/d", "http://h", "sqlite:///x", "not a url")),
        *(("DATABASE_URL", f"postgresql://u:hunter2@{where}/d") for where in ("[h", "h:port", "h:99999", "[h]")),
        ("COMMAND_DATABASE_URL", "postgresql://u:hunter2@[h/d"),
        ("PROJECTOR_DATABASE_URL", "postgresql://u:hunter2@[h/d"),
        ("READ_DATABASE_URL", "postgresql://u:hunter2@[h/d"),
        *(("REDIS_URL", url) for url in ("hunter2", "http://:hunter2@x", "redis://:hunter2@h:abc/0", "redis://[")),
        *(
            ("JWKS_URL", url)
            for url in ("auth.example", "ftp://a.example/", "/jwks", "http:///jwks", "http://a:b/", "http://[")
        ),
    ],
)
def test_what_is_no_url_of_its_kind_is_refused_without_being_repeated(
    monkeypatch: pytest.MonkeyPatch, setting: str, url: str
) -> None:
    monkeypatch.setenv(setting, url)
    with pytest.raises(SettingsError, match=f"^{setting} is not valid: it must be a URL") as refusal:
        load_settings()
    assert url not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_parameters_of_a_redis_url_are_those_that_redis_knows() -> None:
    kwargs = redis_pool("rediss://:a%40b@h/1?ssl_cert_reqs=none").connection_kwargs
    assert (kwargs["password"], kwargs["db"], kwargs["ssl_cert_reqs"]) == ("a@b", 1, "none")
    for wrong in ("redis://:hunter2@h/0?db=x", "redis://:hunter2@h/0?sslmode=require"):
        with pytest.raises(SettingsError, match="REDIS_URL") as refusal:
            redis_pool(wrong)
        assert "hunter2" not in str(refusal.value)


def test_an_empty_setting_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert Settings(_env_file=None).embedded


def test_origins_are_separated_by_commas_and_lose_spaces_and_a_slash_at_the_end() -> None:
    settings = Settings(_env_file=None, cors_origins="https://a.example/, http://localhost:3000 ,")
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")


@pytest.mark.parametrize(
    ("url", "embedded"),
    [
        ("postgresql://tasklog_reader@/tasklog?host=/a/private/directory", True),
        ("postgresql://tasklog_reader:password@postgres/tasklog", False),
        ("postgresql://tasklog_reader:password@/tasklog?host=postgres", False),
        ("postgresql://tasklog_reader@a:5432,b:5432/tasklog", False),
    ],
)
def test_a_service_whose_database_is_elsewhere_is_not_in_the_embedded_development_mode(
    url: str, *, embedded: bool
) -> None:
    """In that case a short secret is refused."""
    assert Settings(_env_file=None, read_database_url=url).embedded is embedded


@pytest.mark.parametrize("origin", ["localhost:3000", "https://a.example/path", "https://u@a.example", "null", "*"])
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", f"https://a.example,{origin}")
    with pytest.raises(SettingsError, match=r"^CORS_ORIGINS is not valid: (each origin|answers)"):
        load_settings()


def test_a_browsers_origins_are_let_pass() -> None:
    origins = "HTTPS://A.example:8443, http://[::1]:3000, chrome-extension://abcdef"
    assert Settings(_env_file=None, cors_origins=origins).cors_origins == (
        "https://a.example:8443",
        "http://[::1]:3000",
        "chrome-extension://abcdef",
    )


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings(_env_file=None, data_dir="~/x").data_dir == tmp_path / "x"
    monkeypatch.setenv("DATA_DIR", "~nobody-has-this-name/x")
    with pytest.raises(SettingsError, match="DATA_DIR is not valid: there is no home"):
        load_settings()


@pytest.mark.parametrize("password", ["p#ss", "p/ss", "p?ss"])
def test_a_password_that_is_not_escaped_is_told_how(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{password}@h/d")
    with pytest.raises(SettingsError, match="of a password as %40") as refusal:
        load_settings()
    assert password not in str(refusal.value)


@pytest.mark.parametrize("around", ["{} ", "{}\n", "\t{}", "'{}'", '"{}"', "' {} '", "psql '{}'", "DATABASE_URL={}"])
@pytest.mark.parametrize("setting", ["DATABASE_URL", "REDIS_URL", "JWKS_URL"])
def test_what_was_copied_along_with_a_url_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, setting: str, around: str
) -> None:
    urls = {
        "DATABASE_URL": "postgresql://u:p@h/d",
        "REDIS_URL": "redis://h/0",
        "JWKS_URL": "https://auth.example/api/auth/jwks",
    }
    monkeypatch.setenv(setting, around.replace("DATABASE_URL", setting).format(urls[setting]))
    found = getattr(load_settings(), setting.lower())
    assert (found if isinstance(found, str) else found.get_secret_value()) == urls[setting]


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql://u:1/hunter2@h/d",
        "postgresql://u:1?hunter2@h/d",
        "postgresql://u:1#hunter2@h/d",
        "postgresql:/u:hunter2@h/d",
        "postgresql:u:hunter2@h/d",
        "postgres//u:hunter2@h/d",
        "postgresql://u:hunter2@h1:5432,h2:x/d",
        "postgresql://u:hunter2@h1,,h2/d",
        "postgresql://u:hunter2@/d?host=h&port=x",
        "postgresql://u:hunter2@/d?host=a,b,c&port=1,2",
        "postgresql://u:hunter2@h/d?port=0",
        "postgresql://u:hunter2@ho st/d",
    ],
)
def test_a_postgres_url_that_says_nothing_or_two_things_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("DATABASE_URL", wrong)
    with pytest.raises(
        SettingsError, match=r"^DATABASE_URL is not valid: it must be a URL.*begins with postgresql://"
    ) as told:
        load_settings()
    assert "hunter2" not in str(told.value)
