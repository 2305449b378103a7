"""What group is made, and whom is it told? Bodies of `POST /sandbox/send-groups` and `.../campaigns`, loaded.

`PlanSchema` holds what both flows share. Each flow adds its facts: whatever only its notifications and rows need.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema
from yarl import URL

from clearance.sandbox.generated_customers import Customers
from clearance.sandbox.loopback import NotLoopbackError, load_loopback_url

CUSTOMERS_MAX = 1_000_000
ID_MAX = 2**53
WINDOW_MAX_S = 31 * 86_400
TARGETS_MAX = 10


class Facts(Protocol):
    """What one flow tells of a group. Times are texts in the site's zone."""

    def heads_up(self, group_id: int, *, timestamp: str, deadline: str, count: int) -> bytes:
        """The body that says: these customers await an answer."""

    def cancelled(self, group_id: int, *, timestamp: str) -> bytes | None:
        """The body that says: no longer. None: this flow has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFaults:
    """What goes wrong with replies that list customers.

    Attributes:
        truncate: The share of the replies whose connection is closed in the middle.
        truncate_first: How many of the first replies are, whatever the share.
        truncate_at: Where, as a share of the rows; None: anywhere.
        is_clean: The reply ends as if it were whole, though the array does not.
        bytes_per_s: As fast as this; None: as fast as it is read.
    """

    truncate: float
    truncate_first: int
    truncate_at: float | None
    is_clean: bool
    bytes_per_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """What to make. `targets` None is the registered listener; `count_told` is what the heads-up says."""

    group_id: int | None
    customers: Customers
    count_told: int
    window_s: float
    targets: tuple[URL, ...] | None
    copies: int
    retries: int
    retry_after_s: float
    time_zone: ZoneInfo
    faults: StreamFaults
    facts: Facts


def ratio() -> fields.Float:
    """A share from 0 to 1."""
    return fields.Float(load_default=0.0, validate=validate.Range(0, 1))


def integer(low: int, high: int, default: int | None = None) -> fields.Integer:
    """A whole number within limits; no default: None."""
    return fields.Integer(
        strict=True, load_default=default, allow_none=default is None, validate=validate.Range(low, high)
    )


def identity(default: int) -> fields.Integer:
    """An id as the vendor has them."""
    return integer(1, ID_MAX, default)


def seconds(low: float) -> fields.Float:
    """A window: may be negative where what is already past can be asked for."""
    return fields.Float(required=True, validate=validate.Range(low, WINDOW_MAX_S))


class MoveSchema(Schema):
    """A body of `POST .../{id}/move`: seconds from now to the other deadline."""

    window_s = seconds(-WINDOW_MAX_S)


class StreamFaultsSchema(Schema):
    """`stream` in a body, or a body of `PUT .../{id}/stream`; loads to `StreamFaults`."""

    truncate = ratio()
    truncate_first = integer(0, 1_000_000, 0)
    truncate_at = fields.Float(load_default=None, allow_none=True, validate=validate.Range(0, 1))
    clean = fields.Boolean(load_default=False)
    bytes_per_s = integer(1, 1_000_000_000)

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> StreamFaults:
        """Faults."""
        return StreamFaults(is_clean=data.pop("clean"), **data)


class PlanSchema(Schema):
    """What both flows share; loads to a `GroupPlan`."""

    id = integer(1, ID_MAX)
    customers = fields.Integer(strict=True, required=True, validate=validate.Range(1, CUSTOMERS_MAX))
    first_customer = integer(1, 10**12, 100_000)
    window_s = seconds(-WINDOW_MAX_S)
    seed = integer(-(2**63), 2**63, 1)
    missing = ratio()
    malformed = ratio()
    promo_codes = fields.List(fields.String(), load_default=list, validate=validate.Length(max=20))
    count_told = integer(0, ID_MAX)
    targets = fields.List(
        fields.String(), load_default=None, allow_none=True, validate=validate.Length(1, TARGETS_MAX)
    )
    token = fields.String(load_default=None, allow_none=True)
    copies = integer(1, 20, 1)
    retries = integer(0, 10, 0)
    retry_after_s = fields.Float(load_default=1.0, validate=validate.Range(0, 3600))
    time_zone = fields.String(load_default="UTC")
    stream = fields.Nested(StreamFaultsSchema, load_default=lambda: StreamFaultsSchema().load({}))

    @validates_schema
    def check_shares(self, data: dict[str, Any], **_: object) -> None:
        """A value is missing or malformed, not both."""
        if data.get("missing", 0.0) + data.get("malformed", 0.0) > 1 + 1e-9:
            raise ValidationError("with missing: must together be at most 1", "malformed")

    @post_load
    def make(self, data: dict[str, Any], **_: object) -> GroupPlan:
        """A plan."""
        return GroupPlan(
            group_id=data["id"],
            customers=Customers(
                count=data["customers"],
                first=data["first_customer"],
                seed=data["seed"],
                missing=data["missing"],
                malformed=data["malformed"],
                promo_codes=tuple(data["promo_codes"]),
            ),
            count_told=data["customers"] if data["count_told"] is None else data["count_told"],
            window_s=data["window_s"],
            targets=None if data["targets"] is None else load_targets(data["targets"], data["token"]),
            copies=data["copies"],
            retries=data["retries"],
            retry_after_s=data["retry_after_s"],
            time_zone=_load_time_zone(data["time_zone"]),
            faults=data["stream"],
            facts=self.make_facts(data),
        )

    @abstractmethod
    def make_facts(self, data: dict[str, Any]) -> Facts:
        """What the flow adds."""


def load_targets(texts: Sequence[str], token: str | None) -> tuple[URL, ...]:
    """Raises: ValidationError: A target is not on this machine."""
    try:
        urls = tuple(load_loopback_url(text) for text in texts)
    except NotLoopbackError as error:
        raise ValidationError(str(error), "targets") from None
    return urls if token is None else tuple(url.update_query(token=token) for url in urls)


def _load_time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: a name such as "Europe" is a directory
        raise ValidationError("must be the name of a time zone", "time_zone") from None
