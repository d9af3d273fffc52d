"""What a refusal of an S3 service says about itself, without what it quotes.

The client library tells it in text alone: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html has the
words.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_STATUS: Final = re.compile(r"status code: (\d{3})\b")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")

_CREDENTIALS: Final = frozenset(
    {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "AccessDenied", "RequestExpired"}
)
_FULL: Final = frozenset(
    {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"}
)
_ADVICE: Final = {
    "NoSuchBucket": "there is no such bucket.",
    "InvalidBucketName": "there is no such bucket.",
    "PermanentRedirect": "the bucket is in another region; set RELEASES_S3_REGION.",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set RELEASES_S3_REGION.",
    "IllegalLocationConstraintException": "the bucket is in another region; set RELEASES_S3_REGION.",
    "InvalidAccessKeyId": "the service does not know the access key.",
    "SignatureDoesNotMatch": "the secret of the access key is wrong.",
    "RequestTimeTooSkewed": "this machine's clock is wrong.",
}


class Refusal(NamedTuple):
    """The HTTP status and the service's word for the error; 0 and empty when no answer came."""

    status: int
    code: str

    @classmethod
    def of(cls, error: BaseException) -> Refusal:
        """What the client library's error tells."""
        text = str(error)
        if "redirect without LOCATION" in text:  # how Amazon tells that a bucket is elsewhere; its body is not shown
            return cls(301, "PermanentRedirect")
        status, code = _STATUS.search(text), _CODE.search(text)
        return cls(int(status[1]) if status else 0, code[1] if code else "")

    @property
    def is_of_credentials(self) -> bool:
        """Whether other credentials may be taken."""
        return (self.status in {401, 403} and not self.is_full) or self.code in _CREDENTIALS

    @property
    def is_full(self) -> bool:
        """Whether there is no room."""
        return self.status == 507 or self.code in _FULL

    @property
    def advice(self) -> str:
        """What is wrong, for the operator: the end of a line."""
        if self.code in _ADVICE:
            return _ADVICE[self.code]
        if self.status in {401, 403}:
            return "the service does not let us in; look at the access key and its rights."
        if self.status == 404:
            return "there is no such bucket."
        if self.status:
            return f"the service answers {self.status}{f' ({self.code})' if self.code else ''}."
        return "the service cannot be reached."
