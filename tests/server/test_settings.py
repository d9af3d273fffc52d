"""Settings: read from flags and variables, checked, and documented by the table that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from server.settings import TABLE, Settings, SettingWrong, is_loopback, markdown, read_settings
from store.health.items import SessionLimits
from store.health.spans import Span, window_asked
from store.health.windows import HOUR_US, Period
from store.quotas.quota import NO_QUOTA, Quota
from tests.clocks import START_US

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_of_settings_is_what_the_table_makes() -> None:
    assert PAGE.read_text() == markdown(), "run: release-server settings > docs/settings.md"


def test_every_field_of_the_settings_is_in_the_table() -> None:
    assert {setting.name for setting in TABLE} == set(Settings.__dataclass_fields__)


def test_every_default_is_a_value_that_is_taken(tmp_path: Path) -> None:
    settings = read_settings((), {"HOME": str(tmp_path)})
    assert settings.listen == "127.0.0.1:50051"
    assert settings.max_file_bytes == 10 * 2**30
    assert settings.reflection
    assert not settings.allow_plain_text
    assert settings.tls_certificate is None


def test_data_lies_where_xdg_says() -> None:
    settings = read_settings((), {"XDG_DATA_HOME": "/srv/data"})
    assert settings.data == Path("/srv/data/release-registry")
    assert settings.database == "sqlite:///srv/data/release-registry/registry.db"
    assert settings.operator_token_file == Path("/srv/data/release-registry/operator-token")
    assert read_settings((), {"XDG_DATA_HOME": "relative"}).data == Path.home() / ".local/share/release-registry"


def test_a_flag_wins_over_a_variable() -> None:
    environment = {"RELEASES_LISTEN": "127.0.0.1:1", "RELEASES_STREAM_SLOTS": "5"}
    settings = read_settings(("--listen", "127.0.0.1:2", "--call-slots=7"), environment)
    assert (settings.listen, settings.stream_slots, settings.call_slots) == ("127.0.0.1:2", 5, 7)


def test_a_database_of_postgresql_is_taken_as_it_is() -> None:
    url = "postgresql://u:p@host/name"
    settings = read_settings((), {"RELEASES_DATABASE": url})
    assert settings.database == url
    assert not settings.uses_sqlite


@pytest.mark.parametrize(
    "variable,value",
    [
        ("RELEASES_LISTEN", "50051"),
        ("RELEASES_LISTEN", "localhost:65536"),
        ("RELEASES_LISTEN", "::1:50051"),
        ("RELEASES_DATA", ""),
        ("RELEASES_DATABASE", "mysql://host/name"),
        ("RELEASES_DATABASE", "sqlite://relative.db"),
        ("RELEASES_DATABASE", "sqlite:///"),
        ("RELEASES_DATABASE", "postgresql://"),
        ("RELEASES_DATABASE", "postgresql://u:sec%ret@h/x"),
        ("RELEASES_DATABASE", "postgresql://h/x?nonsense=1"),
        ("RELEASES_POOLER", "statement"),
        ("RELEASES_TLS_CERTIFICATE", "/nowhere/server.crt"),
        ("RELEASES_ALLOW_PLAIN_TEXT", "maybe"),
        ("RELEASES_REFLECTION", "2"),
        ("RELEASES_MAX_FILE_BYTES", "0"),
        ("RELEASES_MAX_FILE_BYTES", "10GB"),
        ("RELEASES_MAX_FILE_BYTES", str(2**40 + 1)),
        ("RELEASES_CALL_SLOTS", "0"),
        ("RELEASES_CALL_SLOTS", "١"),
        ("RELEASES_STREAM_SLOTS", "1001"),
        ("RELEASES_CALL_SECONDS", "-1"),
        ("RELEASES_SILENCE_SECONDS", "1.5"),
        ("RELEASES_DRAIN_SECONDS", "9" * 30),
        ("RELEASES_SESSION_DAYS", "91"),
        ("RELEASES_SESSION_DAYS", "35"),
        ("RELEASES_HEALTH_HOUR_DAYS", "1"),
        ("RELEASES_HEALTH_DAYS", "91"),
        ("RELEASES_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_setting(variable: str, value: str) -> None:
    with pytest.raises(SettingWrong) as refused:
        read_settings((), {variable: value})
    text = str(refused.value)
    assert text.startswith(variable)
    assert "must be" in text
    assert "\n" not in text


def test_what_is_made_of_something_is_kept_for_longer_than_that() -> None:
    days = {"RELEASES_SESSION_DAYS": "90", "RELEASES_HEALTH_HOUR_DAYS": "91", "RELEASES_HEALTH_DAYS": "92"}
    settings = read_settings((), days)
    assert settings.session_limits == SessionLimits(session_days=90, hour_days=91, days=92)
    assert read_settings((), {}).session_limits == SessionLimits()
    with pytest.raises(SettingWrong, match="RELEASES_HEALTH_DAYS=92: must be"):
        read_settings((), days | {"RELEASES_HEALTH_HOUR_DAYS": "93"})


def test_the_boundaries_of_a_number_are_taken() -> None:
    for value in ("1", "1000"):
        slots = {"RELEASES_CALL_SLOTS": value, "RELEASES_STREAM_SLOTS": "1"}
        assert read_settings((), slots).call_slots == int(value)


def test_streams_take_at_most_half_of_the_threads() -> None:
    slots = {"RELEASES_CALL_SLOTS": "20", "RELEASES_STREAM_SLOTS": "20"}
    assert read_settings((), slots).stream_slots == 20
    with pytest.raises(SettingWrong, match="RELEASES_STREAM_SLOTS=21: must be at most RELEASES_CALL_SLOTS, 20"):
        read_settings((), slots | {"RELEASES_STREAM_SLOTS": "21"})


@pytest.mark.parametrize("url", ["mysql://user:hunter2@host/name", "postgresql://user:hunter2%@host/name"])
def test_what_a_database_url_holds_is_not_repeated_in_the_refusal(url: str) -> None:
    for arguments, environment in (((), {"RELEASES_DATABASE": url}), (("--database", url), {})):
        with pytest.raises(SettingWrong) as refused:
            read_settings(arguments, environment)
        assert "hunter2" not in str(refused.value)
        assert refused.value.__cause__ is None


def test_a_password_with_special_characters_is_written_with_percent_signs() -> None:
    url = "postgresql://user:sec%25ret@host/name"
    assert read_settings((), {"RELEASES_DATABASE": url}).database == url


def test_an_unknown_variable_is_refused_with_a_hint() -> None:
    with pytest.raises(SettingWrong, match="Did you mean RELEASES_DATABASE"):
        read_settings((), {"RELEASES_DATABSE": "x"})
    with pytest.raises(SettingWrong, match="release-server settings"):
        read_settings((), {"RELEASES_FROBNICATE": "x"})
    read_settings((), {"OTHER_VARIABLE": "x"})


def test_a_secret_has_no_flag() -> None:
    assert "token" not in " ".join(setting.flag or "" for setting in TABLE)
    with pytest.raises(SettingWrong):
        read_settings(("--bootstrap-token", "operator-of-the-tests"), {})


@pytest.mark.parametrize("given,missing", [("CERTIFICATE", "KEY"), ("KEY", "CERTIFICATE")])
def test_tls_needs_both_files(tmp_path: Path, given: str, missing: str) -> None:
    file = tmp_path / "pem"
    file.write_text("x")
    with pytest.raises(SettingWrong, match=f"RELEASES_TLS_{missing} is not set"):
        read_settings((), {f"RELEASES_TLS_{given}": str(file)})
    with pytest.raises(SettingWrong, match=f"^--tls-{missing.lower()} is not set"):
        read_settings((f"--tls-{given.lower()}", str(file)), {})


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:50051", "registry.example.com:50051"])
def test_plain_text_beyond_loopback_is_refused_unless_allowed(tmp_path: Path, listen: str) -> None:
    with pytest.raises(SettingWrong, match=r"^RELEASES_LISTEN=.* beyond loopback.* RELEASES_ALLOW_PLAIN_TEXT=yes"):
        read_settings((), {"RELEASES_LISTEN": listen})
    with pytest.raises(SettingWrong, match=r"^--listen=.* beyond loopback.* --tls-key.* --allow-plain-text=yes"):
        read_settings(("--listen", listen), {})
    read_settings((), {"RELEASES_LISTEN": listen, "RELEASES_ALLOW_PLAIN_TEXT": "yes"})
    pem = tmp_path / "pem"
    trustme.CA().issue_cert("registry.example.com").private_key_and_cert_chain_pem.write_to_path(pem)
    tls = {"RELEASES_TLS_CERTIFICATE": str(pem), "RELEASES_TLS_KEY": str(pem)}
    read_settings((), {"RELEASES_LISTEN": listen, **tls})


def test_a_certificate_and_a_key_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate, key = tmp_path / "server.crt", tmp_path / "server.key"
    authority.issue_cert("localhost").cert_chain_pems[0].write_to_path(certificate)
    authority.issue_cert("localhost").private_key_pem.write_to_path(key)
    for wrong in (key, certificate):
        with pytest.raises(SettingWrong, match="are no pair"):
            read_settings((), {"RELEASES_TLS_CERTIFICATE": str(certificate), "RELEASES_TLS_KEY": str(wrong)})
    with pytest.raises(SettingWrong, match=r"^--tls-certificate=.* and RELEASES_TLS_KEY=.* are no pair"):
        read_settings(("--tls-certificate", str(certificate)), {"RELEASES_TLS_KEY": str(certificate)})


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingWrong, match="must be a folder"):
        read_settings((), {"RELEASES_DATA": str(tmp_path / "file")})


def test_loopback_is_known_by_its_addresses_and_its_name() -> None:
    for address in ("127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"):
        assert is_loopback(address)
    for address in ("0.0.0.0:1", "[::]:1", "localhost.example.com:1", "128.0.0.1:1"):
        assert not is_loopback(address)


@pytest.mark.parametrize("text", ["0", "-1", "3599", "nan", "inf", "24h", "1e5", "86400.0", "", " 86400", "9" * 19])
def test_a_grace_time_that_would_remove_what_is_in_use_is_refused(text: str) -> None:
    with pytest.raises(SettingWrong, match="RELEASES_GRACE_SECONDS"):
        read_settings((), {"RELEASES_GRACE_SECONDS": text})


def test_the_grace_time_is_a_day_and_at_least_an_hour() -> None:
    assert read_settings((), {}).grace_seconds == 24 * 3600
    assert read_settings((), {"RELEASES_GRACE_SECONDS": "3600"}).grace_seconds == 3600


def test_hours_are_kept_for_as_long_as_every_period_that_is_told_in_hours() -> None:
    days = {"RELEASES_SESSION_DAYS": "1"}
    with pytest.raises(SettingWrong, match="RELEASES_HEALTH_HOUR_DAYS"):
        read_settings((), days | {"RELEASES_HEALTH_HOUR_DAYS": "2"})
    kept = read_settings((), days | {"RELEASES_HEALTH_HOUR_DAYS": "3"}).session_limits.hour_days
    for hour in range(24):
        for period in (Period.LAST_24H, Period.LAST_48H):
            window_asked(Span(period), now_us=START_US + hour * HOUR_US, hour_days=kept)


def test_a_quota_is_a_number_or_nothing() -> None:
    assert read_settings((), {}).default_quota == NO_QUOTA
    said = {"RELEASES_QUOTA_STORED_BYTES": "0", "RELEASES_QUOTA_FILE_COUNT": "", "RELEASES_QUOTA_STREAM_COUNT": "7"}
    assert read_settings((), said).default_quota == Quota(0, None, 7)
    for text in ("-1", "10GiB", "none", "1001"):
        with pytest.raises(SettingWrong, match="RELEASES_QUOTA_STREAM_COUNT"):
            read_settings((), {"RELEASES_QUOTA_STREAM_COUNT": text})
