"""Settings of a bucket: what names one, and what has to fit together."""

from __future__ import annotations

import pytest

from server.settings import SettingWrong, read_settings

BUCKET = {"RELEASES_BLOBS": "s3://releases/production/blobs"}
KEY = {"RELEASES_S3_ACCESS_KEY_ID": "id", "RELEASES_S3_SECRET_ACCESS_KEY": "hunter2"}


@pytest.mark.parametrize(
    ("text", "bucket"),
    [
        ("", None),
        ("s3://releases", ("releases", "")),
        ("s3://releases/", ("releases", "")),
        ("s3://my.bucket-1/a/b_c", ("my.bucket-1", "a/b_c")),
        ("s3://releases/production/", ("releases", "production")),
    ],
)
def test_a_url_names_the_bucket_and_the_prefix(text: str, bucket: tuple[str, str] | None) -> None:
    assert read_settings((), {"RELEASES_BLOBS": text}).bucket == bucket


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RELEASES_BLOBS", "s3://"),
        ("RELEASES_BLOBS", "s3:///prefix"),
        ("RELEASES_BLOBS", "s3://Capitals"),
        ("RELEASES_BLOBS", "s3://ab"),
        ("RELEASES_BLOBS", "s3://releases/../other"),
        ("RELEASES_BLOBS", "s3://releases/./other"),
        ("RELEASES_BLOBS", "s3://releases//other"),
        ("RELEASES_BLOBS", "s3://releases/a b"),
        ("RELEASES_BLOBS", "/srv/blobs"),
        ("RELEASES_S3_ENDPOINT", "s3.example.com"),
        ("RELEASES_S3_ENDPOINT", "https://s3.example.com/path"),
        ("RELEASES_S3_ENDPOINT", "https://user:hunter2@s3.example.com"),
        ("RELEASES_S3_REGION", ""),
        ("RELEASES_S3_REGION", "us east"),
        ("RELEASES_S3_PATH_STYLE", "maybe"),
        ("RELEASES_S3_ALLOW_HTTP", "2"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_setting(variable: str, value: str) -> None:
    with pytest.raises(SettingWrong) as refused:
        read_settings((), {**BUCKET, variable: value})
    text = str(refused.value)
    assert text.startswith(variable)
    assert "must be" in text
    assert "\n" not in text
    assert "hunter2" not in text


@pytest.mark.parametrize("missing", list(KEY))
def test_an_access_key_is_an_id_and_its_secret(missing: str) -> None:
    given = {name: value for name, value in KEY.items() if name != missing}
    with pytest.raises(SettingWrong, match=f"{missing} is not set") as refused:
        read_settings((), {**BUCKET, **given})
    assert "hunter2" not in str(refused.value)


def test_a_sessions_token_needs_its_access_key() -> None:
    with pytest.raises(SettingWrong, match="RELEASES_S3_ACCESS_KEY_ID is not set"):
        read_settings((), {**BUCKET, "RELEASES_S3_SESSION_TOKEN": "hunter2"})
    assert read_settings((), {**BUCKET, **KEY, "RELEASES_S3_SESSION_TOKEN": "t"}).s3_session_token == "t"


def test_contents_travel_readable_only_where_that_is_said() -> None:
    plain = {**BUCKET, "RELEASES_S3_ENDPOINT": "http://127.0.0.1:9000/"}
    with pytest.raises(SettingWrong, match="RELEASES_S3_ALLOW_HTTP"):
        read_settings((), plain)
    assert read_settings((), {**plain, "RELEASES_S3_ALLOW_HTTP": "yes"}).s3_endpoint == "http://127.0.0.1:9000"


@pytest.mark.parametrize("variable", ["ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"])
def test_a_setting_of_s3_without_a_bucket_is_refused(variable: str) -> None:
    with pytest.raises(SettingWrong, match="RELEASES_BLOBS names no bucket"):
        read_settings((), {f"RELEASES_S3_{variable}": "https://s3.example.com"})
