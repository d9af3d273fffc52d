"""Settings of files: where their bytes are kept, how large they get, and how long what is unused stays."""

from __future__ import annotations

import re
from typing import Final

from server.settings.parsing import any_text, number, secret, yes_or_no
from server.settings.setting import Setting, SettingWrong
from server.settings.values import Settings

DEFAULT_MAX_FILE_BYTES: Final = 10 * 2**30

_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*/?")
_ENDPOINT: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?/?")
_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,64}")


def _blobs(text: str) -> str:
    # S3 clients fold "." and ".." away.
    if text and (not _BUCKET.fullmatch(text) or {".", ".."} & set(text.split("/"))):
        raise ValueError("must be s3://bucket or s3://bucket/prefix, in letters, digits and !_.*'()-")
    return text


def _endpoint(text: str) -> str:
    if text and not _ENDPOINT.fullmatch(text):
        raise ValueError("must be https://host or https://host:port, without a path")
    return text.rstrip("/")


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError("must be the name of a region, such as us-east-1")
    return text


SETTINGS: Final = (
    Setting(
        "blobs",
        "",
        "URL",
        "Where the bytes of files are kept: `s3://bucket/prefix` is a bucket of any S3-compatible service, which must "
        "exist; the prefix is the registry's alone. Empty: the folder `blobs` in the data folder.",
        _blobs,
    ),
    Setting(
        "s3_endpoint",
        "",
        "URL",
        "The service that has the bucket, such as `https://s3.example.com:9000`. Empty: Amazon's of the region.",
        _endpoint,
    ),
    Setting("s3_region", "us-east-1", "region", "The bucket's region.", _region),
    Setting(
        "s3_access_key_id",
        "",
        "text",
        "Who the server is to the service. Empty: what Amazon's own variables, web identity or the machine's role say.",
        any_text,
    ),
    Setting(
        "s3_secret_access_key", "", "text", "The secret of the access key; both or neither.", secret, is_secret=True
    ),
    Setting(
        "s3_session_token",
        "",
        "text",
        "The session's token, where the access key is a temporary one.",
        secret,
        is_secret=True,
    ),
    Setting(
        "s3_path_style",
        "yes",
        "yes or no",
        "Whether the bucket stands in the path of a request; `no` puts it before the name of the host.",
        yes_or_no,
    ),
    Setting(
        "s3_allow_http",
        "no",
        "yes or no",
        "Whether the endpoint may be `http://`: contents travel readable. Requests are signed all the same.",
        yes_or_no,
    ),
    Setting(
        "max_file_bytes",
        str(DEFAULT_MAX_FILE_BYTES),
        "bytes, 1 to 1099511627776",
        "The largest file that is taken.",
        number(1, 2**40),
    ),
    Setting(
        "grace_seconds",
        str(24 * 3600),
        "seconds, 3600 to 315360000",
        "How long bytes that no file refers to any more are kept before they are removed.",
        number(3600, 10 * 365 * 24 * 3600),
    ),
)


def check_bucket(settings: Settings) -> None:
    """The settings of S3 fit each other, and are not set in vain; raises SettingWrong."""
    if not settings.blobs:
        named = {
            "RELEASES_S3_ENDPOINT": settings.s3_endpoint,
            "RELEASES_S3_ACCESS_KEY_ID": settings.s3_access_key_id,
            "RELEASES_S3_SECRET_ACCESS_KEY": settings.s3_secret_access_key,
            "RELEASES_S3_SESSION_TOKEN": settings.s3_session_token,
        }
        for variable, value in named.items():
            if value:
                raise SettingWrong(f"{variable} is set, but RELEASES_BLOBS names no bucket.")
        return
    if bool(settings.s3_access_key_id) != bool(settings.s3_secret_access_key):
        missing = "RELEASES_S3_ACCESS_KEY_ID" if settings.s3_secret_access_key else "RELEASES_S3_SECRET_ACCESS_KEY"
        raise SettingWrong(f"{missing} is not set: an access key is an id and its secret, or neither.")
    if settings.s3_session_token and not settings.s3_access_key_id:
        raise SettingWrong("RELEASES_S3_ACCESS_KEY_ID is not set: a session's token belongs to a temporary access key.")
    if settings.s3_endpoint.startswith("http://") and not settings.s3_allow_http:
        raise SettingWrong(
            "RELEASES_S3_ENDPOINT is http://, where contents would travel readable: name https://, or set "
            "RELEASES_S3_ALLOW_HTTP=yes."
        )
