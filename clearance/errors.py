"""What can go wrong, named by what the worker does about it.

    ClearanceError
    ├── RetryLater                 try again, later
    │   ├── VendorUnavailable      no connection, no answer, or a 5xx
    │   ├── VendorThrottled        429: the whole fleet waits
    │   ├── LedgerUnavailable      the database does not answer
    │   └── BrokerUnavailable      the broker does not answer: the guardian publishes later
    ├── Park                       a person must act first
    │   ├── VendorCredentialsRefused   401 or 403
    │   └── VendorRefused          any other 4xx, or an error inside a 2xx
    ├── Reject                     the sender must act; nothing is queued
    └── DeadlinePassed             too late to be sent: recorded as missed

Anything else that escapes a task is a bug: it is parked with its type and place, and alerts.
Only `tasks/base.py` turns an error into an outcome. Errors carry facts (vendor, status, attempt), never
personal data, secrets or addresses: their text reaches logs, the ledger and Flower.
"""

from collections.abc import Mapping
from http import HTTPStatus


class ClearanceError(Exception):
    """Root of every error that the product raises on purpose."""


class RetryLater(ClearanceError):
    """The same work may succeed later. `retry_after_s` is the least wait that the other side asked for."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class VendorUnavailable(RetryLater):
    """The vendor could not be reached, did not answer in time, or answered 5xx.

    `may_have_arrived` is false only when it is certain that the vendor never saw the request.
    """

    def __init__(
        self, vendor: str, what: str, *, status: int | None = None, may_have_arrived: bool = True
    ) -> None:
        super().__init__(f"{vendor}: {what}")
        self.vendor = vendor
        self.status = status
        self.may_have_arrived = may_have_arrived

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the vendor may have acted on the request without our hearing of it."""
        return self.may_have_arrived and self.status is None


class VendorThrottled(RetryLater):
    """The vendor answered 429. The cool-down belongs to the fleet, not to this call."""

    def __init__(self, vendor: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{vendor}: 429 too many requests", retry_after_s=retry_after_s)
        self.vendor = vendor
        self.status = HTTPStatus.TOO_MANY_REQUESTS.value


class LedgerUnavailable(RetryLater):
    """The ledger cannot be reached or cannot write now. Nothing was acknowledged."""


class BrokerUnavailable(RetryLater):
    """Messages could not be published, or it is not known whether they were. The ledger has what they said."""


class Park(ClearanceError):
    """A repeat cannot help before a person has acted."""


class VendorCredentialsRefused(Park):
    """401 or 403: the key is wrong, expired or lacks a right. Source: facts sheet, "status of a bad key"."""

    def __init__(self, vendor: str, status: int) -> None:
        super().__init__(f"{vendor}: {status} credentials refused")
        self.vendor = vendor
        self.status = status


class VendorRefused(Park):
    """The vendor understood the request and will not take it."""

    def __init__(self, vendor: str, status: int, what: str = "request refused") -> None:
        super().__init__(f"{vendor}: {status} {what}")
        self.vendor = vendor
        self.status = status


class Reject(ClearanceError):
    """A request that is refused at the door.

    Attributes:
        status: The HTTP status of the answer.
        reason: A code with few values: it labels a metric.
        errors: For 422, messages by field path. They name fields and what was expected, never values.
    """

    def __init__(
        self, status: HTTPStatus, reason: str, message: str, errors: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.errors = errors or {}


class DeadlinePassed(ClearanceError):
    """There is no time left to answer.

    Attributes:
        reason: The code that the ledger records (`clearance.obligations.MissedReason`).
        margin_s: Seconds to the deadline; negative when it is past.
        last_error: What kept the last attempt from succeeding, if there was one.
    """

    def __init__(self, reason: str, *, margin_s: float, last_error: str = "") -> None:
        super().__init__(f"{reason}: {margin_s:+.3f} s to the deadline")
        self.reason = reason
        self.margin_s = margin_s
        self.last_error = last_error
