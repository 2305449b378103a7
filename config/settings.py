"""What a deployment may set: the only reader of the environment.

In: environment variables with the prefix `CLEARANCE_`; one that is empty or blank counts as unset. Out: one
frozen `Settings`, or every problem at once (`SettingsError`; the command line prints them and exits with
2). A problem names the variable and what is expected, never its value: many carry a password. The text
under a field is its documentation; `config.reference` makes `docs/configuration.md` and `.env.example` of
it.
"""

import os
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from environs import Env, EnvValidationError
from marshmallow import ValidationError, validate

PREFIX = "CLEARANCE_"
# What `clearance worker` and `clearance sandbox` read, each for itself.
_NO_SETTINGS = {f"{PREFIX}{name}" for name in ("LANE", "SANDBOX_SECRET", "SANDBOX_API_KEY")}


class SettingsError(Exception):
    """The environment cannot be used. `problems` names each variable and what is wrong, never a value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SignatureMode(StrEnum):
    """Which bytes Optimove signs: not stated by the vendor, hence a setting."""

    RAW = "raw"
    MINIFIED = "minified"


class ScheduledApi(StrEnum):
    """Which of Optimove's two scheduled APIs the site has: never both."""

    V1 = "v1"
    V2 = "v2"


class LogFormat(StrEnum):
    """How a log line looks; `auto` is console on a terminal and JSON elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


_Rule = Callable[[Any], object]


def _url(*schemes: str) -> _Rule:
    """A rule for URLs of these schemes; brokers may list several servers with semicolons between them."""
    expected = "must begin with one of " + ", ".join(f"{scheme}://" for scheme in schemes)

    def check(value: str) -> None:
        for part in value.split(";"):
            try:
                url, port = urlsplit(part), urlsplit(part).port
            except ValueError:
                raise ValidationError("has a host or a port that cannot be read.") from None
            if url.scheme not in schemes:
                raise ValidationError(f"{expected}.")
            if url.scheme in ("sqlite", "postgresql") and len(url.path) < len("/x"):
                raise ValidationError("names no database after the last slash.")
            if url.scheme not in ("sqlite", "postgresql") and (not url.hostname or port == 0):
                raise ValidationError("names no host.")

    return check


def _trimmed(value: str) -> None:
    if value != value.strip():
        raise ValidationError("begins or ends with white space: perhaps the newline of a file.")


def _zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise ValidationError("is no time zone, such as Europe/Berlin.") from None


_POSITIVE = validate.Range(min=0, min_inclusive=False)
_NOT_NEGATIVE = validate.Range(min=0)
_PORT = validate.Range(min=1, max=65535)
_PATH = validate.Regexp(r"/[^\s?#]*\Z", error="must be a path that begins with a slash.")
_LEVEL = validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"])


def _setting(section: str, default: object, rule: _Rule | None = None, *, secret: bool = False) -> Any:
    metadata = {"section": section, "rule": rule, "secret": secret}
    return field(default=cast(Any, default), metadata=metadata, repr=not secret)


_fleet = partial(_setting, "Ledger, broker and fleet")
_ingest = partial(_setting, "Ingest")
_optimove = partial(_setting, "Optimove")
_triggered = partial(_setting, "Triggered lane")
_scheduled = partial(_setting, "Scheduled lanes")
_rules = partial(_setting, "Rules")
_operations = partial(_setting, "Operations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of every process. Units are in the names; secrets never appear in `repr`."""

    ledger_url: str = _fleet("sqlite:///var/clearance.db", _url("sqlite", "postgresql"), secret=True)
    """Where the ledger is: `sqlite:///path` (embedded) or `postgresql://user:password@host/database`."""
    broker_url: str = _fleet(
        "redis://127.0.0.1:6390/0", _url("redis", "rediss", "sentinel", "amqp", "amqps"), secret=True
    )
    """The Celery broker: `redis://`, `rediss://`, `sentinel://`, `amqp://` or `amqps://`. Unset,
    `clearance up` starts an embedded server (`UP_BROKER_PORT`)."""
    redis_url: str = _fleet("", _url("redis", "rediss", "sentinel"), secret=True)
    """Redis for what the fleet shares (cool-downs, limits, leases). Empty: the broker, if that is Redis."""
    broker_socket_timeout_s: float = _fleet(2.0, _POSITIVE)
    """How long one exchange with the broker may take before it counts as lost."""
    ledger_timeout_s: float = _fleet(2.0, _POSITIVE)
    """How long one exchange with the ledger may take before it counts as down."""
    guardian_interval_s: float = _fleet(0.2, _POSITIVE)
    """How often the guardian looks for what is due, overdue or abandoned."""
    eta_window_s: float = _fleet(5.0, _NOT_NEGATIVE)
    """How long before its time an obligation is handed to Celery with an `eta`; before that it waits in
    the ledger."""

    ingest_host: str = _ingest("127.0.0.1")
    """The address that ingest listens on."""
    ingest_port: int = _ingest(8080, _PORT)
    """The port that ingest listens on."""
    ingest_max_body_bytes: int = _ingest(262_144, _POSITIVE)
    """The largest request body; a larger one is refused with 413 while it is being read."""
    ingest_body_timeout_s: float = _ingest(5.0, _POSITIVE)
    """How long a sender may take to send its body; a slower one is refused with 408."""
    rejections_kept: int = _ingest(1000, _POSITIVE)
    """How many refused requests are kept for `clearance rejected list`, without their content."""

    optimove_base_url: str = _optimove("", _url("https", "http"))
    """The customer's Optimove API, e.g. `https://api4.optimove.net`."""
    optimove_api_key: str = _optimove("", secret=True)
    """Sent as `X-API-KEY`."""
    optimove_webhook_secrets: tuple[str, ...] = _optimove((), secret=True)
    """The live HMAC secrets of the triggered webhook, comma-separated: two while one is being rotated."""
    optimove_signature_mode: SignatureMode = _optimove(SignatureMode.RAW)  # noqa: RUF009  # a field
    """The bytes that are signed: `raw`, the body as sent, or `minified`, the body parsed and written again
    without white space."""
    optimove_freshness_s: float = _optimove(300.0, _POSITIVE)
    """How far the signed `timestamp` may be from our clock, either way; beyond it the request is refused
    as a replay."""
    optimove_triggered_approval_path: str = _optimove("/conditional-execution/v2/triggered/approval", _PATH)
    """The path of SendWebhookApproval."""
    optimove_webhooks_path: str = _optimove("/conditional-execution/v2/triggered/webhooks/", _PATH)
    """The path of CreateWebhook and GetWebhooks, and with `/{id}` of GetWebhookById and DeleteWebhook."""
    optimove_webhook_settings_path: str = _optimove("/conditional-execution/v2/triggered/settings", _PATH)
    """The path of UpdateWebhookSettings."""
    optimove_timeout_s: float = _optimove(10.0, _POSITIVE)
    """The longest that one call to Optimove may take; on the triggered lane never more than what is left
    of the budget."""

    triggered_timeout_ms: int = _triggered(5000, _POSITIVE)
    """The tenant's response timeout at Optimove (`clearance optimove settings show`)."""
    send_margin_ms: int = _triggered(200, _NOT_NEGATIVE)
    """How long before the deadline the approval must leave, for the network; later, it is recorded as
    missed."""
    attempt_timeout_ms: int = _triggered(1500, _POSITIVE)
    """The longest that one attempt to send an approval may take before it is repeated."""
    hedge_after_ms: int = _triggered(1000, _POSITIVE)
    """How long after acceptance the guardian publishes again what no worker holds."""
    triggered_lease_ms: int = _triggered(1500, _POSITIVE)
    """How long a worker holds an obligation without renewing it; after that another may take it over."""
    triggered_threads: int = _triggered(32, _POSITIVE)
    """Threads of one worker process: approvals that it can have under way at once."""
    check_reserve_ms: int = _triggered(500, _NOT_NEGATIVE)
    """How long before the approval must leave the checks that ask somebody have to be done: what is left then
    is for the approval."""
    clock_skew_alert_s: float = _triggered(1.0, _POSITIVE)
    """A difference between Optimove's clock and ours above this is logged and alerted."""

    scheduled_api: ScheduledApi = _scheduled(ScheduledApi.V2)  # noqa: RUF009  # a field
    """The scheduled API that the site has: `v2` (send groups) or `v1` (campaigns). Notifications of the other
    are refused with 409."""
    optimove_listener_token: str = _scheduled("", secret=True)
    """What the scheduled routes ask for, as the query parameter `token` or the password of Basic auth: their
    notifications are not signed. Empty: they let nobody in."""
    site_timezone: str = _scheduled("UTC", _zone)
    """The time zone of the site, in which Optimove writes the times of scheduled campaigns, e.g.
    `Europe/Berlin`."""
    optimove_send_group_customers_path: str = _scheduled(
        "/v2/conditional-execution/scheduled/send-groups/{id}/customers", _PATH
    )
    """The path of Get Customers in Send Group (V2)."""
    optimove_send_group_approvals_path: str = _scheduled(
        "/v2/conditional-execution/scheduled/send-groups/{id}/approvals", _PATH
    )
    """The path of Update Customer Status in Send Group (V2)."""
    optimove_customers_page_size: int = _scheduled(0, validate.Range(min=0, max=1_000_000))
    """Customers of a send group asked for at once with `$top` and `$skip` (V2); 0 for all in one reply."""
    optimove_campaign_customers_path: str = _scheduled(
        "/current/customers/GetProcessedCampaignCustomers", _PATH
    )
    """The path of GetProcessedCampaignCustomers (V1)."""
    optimove_campaign_customers_page_size: int = _scheduled(10_000, validate.Range(min=1, max=10_000))
    """Customers of a campaign asked for at once (V1); the vendor gives at most 10,000."""
    optimove_promotion_status_path: str = _scheduled(
        "/current/integrations/UpdateCustomerPromotionStatus", _PATH
    )
    """The path of UpdateCustomerPromotionStatus (V1)."""
    optimove_v1_customer_id_field: str = _scheduled("CustomerID")
    """The field of a V1 row that holds the customer's id."""
    optimove_v1_promo_code_field: str = _scheduled("PromoCode")
    """The field of a V1 row that holds promotion codes, with commas between them."""
    optimove_v1_attributes_field: str = _scheduled("CustomerAttributes")
    """The field of a V1 row that holds the attributes, in the order in which they were asked for."""
    optimove_approvals_per_call: int = _scheduled(10_000, validate.Range(min=1, max=10_000))
    """Most customers in one approval call."""
    optimove_rate_calls: int = _scheduled(50, _POSITIVE)
    """Calls to the scheduled API that the whole fleet may make in any window."""
    optimove_rate_window_s: float = _scheduled(10.5, _POSITIVE)
    """The window: Optimove's ten seconds, and a little for the way there, which takes longer for one call
    than for another."""
    optimove_rate_reserved: int = _scheduled(0, _NOT_NEGATIVE)
    """Of those calls, how many the scheduled lanes leave to triggered approvals. For a site where both are in
    one API group: triggered approvals then take part in the limit, and may use all of it."""
    review_chunk_customers: int = _scheduled(1000, validate.Range(min=1, max=10_000))
    """Customers that are reviewed together: one obligation, one transaction."""
    submit_min_margin_s: float = _scheduled(60.0, _NOT_NEGATIVE)
    """How long before its deadline a group's approvals begin to leave, at the latest."""
    submit_safety_factor: float = _scheduled(2.0, validate.Range(min=1))
    """They begin so many times their estimated duration before the deadline, if that is sooner."""
    submit_call_estimate_s: float = _scheduled(2.0, _POSITIVE)
    """How long one approval call is taken to last until calls were measured."""
    submit_stop_margin_s: float = _scheduled(1.0, _NOT_NEGATIVE)
    """How long before the deadline nothing is sent any more."""
    scheduled_lease_s: float = _scheduled(5.0, _POSITIVE)
    """How long a worker holds an obligation of the scheduled lanes without renewing it; after that another
    may take it over."""
    review_processes: int = _scheduled(2, _POSITIVE)
    """Processes of one review worker."""
    submit_threads: int = _scheduled(8, _POSITIVE)
    """Threads of one submit worker: groups that it can fetch or submit at once."""

    rules_path: str = _rules("config/rules.toml")
    """The rules file. A process that decides refuses to start without one that is right
    (`clearance rules check`)."""
    rules_look_every_s: float = _rules(2.0, _POSITIVE)
    """How often a process looks whether `clearance rules reload` was asked for."""
    check_breaker_failures: int = _rules(5, _POSITIVE)
    """After so many failures in a row a process asks an `http` check's system no more for a while."""
    check_breaker_rest_s: float = _rules(5.0, _POSITIVE)
    """How long that while is; then one question finds out whether the system answers again."""
    inputs_retention_days: int = _rules(30, _POSITIVE)
    """How long what decisions were made from is kept, under `record_inputs = true`; `clearance purge` removes
    what is older."""

    metrics_port: int = _operations(0, validate.Range(min=0, max=65535))
    """Where a worker or guardian serves its metrics on loopback; 0 for not at all. Ingest serves
    `/metrics` itself."""
    flower_host: str = _operations("127.0.0.1")
    """The address that Flower listens on. Its `/metrics` and `/healthcheck` ask for no password: keep it on
    loopback, or put a proxy before it."""
    flower_port: int = _operations(5555, _PORT)
    """The port that Flower listens on."""
    flower_user: str = _operations("clearance")
    """Flower's basic auth user."""
    flower_password: str = _operations("", secret=True)
    """Flower's basic auth password. Empty: Flower does not start."""
    up_triggered_workers: int = _operations(2, _POSITIVE)
    """Triggered worker processes that `clearance up` starts."""
    up_broker_port: int = _operations(6390, _PORT)
    """The port, on loopback, of the broker that `clearance up` embeds when `BROKER_URL` is unset."""
    up_sandbox_port: int = _operations(8900, _PORT)
    """The port, on loopback, of the sandbox that `clearance up` starts when no Optimove is set."""
    log_format: LogFormat = _operations(LogFormat.AUTO)  # noqa: RUF009  # a field
    """`console`, `json`, or `auto`: console on a terminal, JSON elsewhere."""
    log_level: str = _operations("INFO", _LEVEL)
    """The least severe level that is logged."""
    state_dir: str = _operations("var")
    """Where embedded processes keep their state: broker, Flower, process ids."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimove_base_url", self.optimove_base_url.rstrip("/"))


def load() -> Settings:
    """The settings of this process, from its environment.

    Raises:
        SettingsError: With every problem of the environment at once; fix them and start again.
    """
    reader = Env(eager=False, prefix=PREFIX)
    values = {item.name: _read(reader, item) for item in fields(Settings) if _is_set(item)}
    try:
        reader.seal()
    except EnvValidationError as error:
        messages_by_name = cast(dict[str, list[str]], error.error_messages)
        problems = (f"{name}: {' '.join(messages)}" for name, messages in sorted(messages_by_name.items()))
        raise SettingsError(tuple(problems)) from None
    settings = Settings(**values)
    if settings.optimove_rate_reserved >= settings.optimove_rate_calls:
        raise SettingsError(
            (f"{PREFIX}OPTIMOVE_RATE_RESERVED: must be less than {PREFIX}OPTIMOVE_RATE_CALLS.",)
        )
    if settings.send_margin_ms >= settings.triggered_timeout_ms:
        raise SettingsError((f"{PREFIX}SEND_MARGIN_MS: must be less than {PREFIX}TRIGGERED_TIMEOUT_MS.",))
    return settings


def unknown_names() -> tuple[str, ...]:
    """Variables with our prefix that no setting reads: probably misspelt."""
    known = {variable(item) for item in fields(Settings)} | _NO_SETTINGS
    return tuple(sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known))


def named_secret(name: str) -> str | None:
    """The variable that a rules file names as `env:NAME`, without our prefix; None when it is unset or blank."""
    return os.environ.get(name, "").strip() or None


def variable(item: Field[Any]) -> str:
    """The environment variable of one field of `Settings`."""
    return PREFIX + item.name.upper()


def _is_set(item: Field[Any]) -> bool:
    return bool(os.environ.get(variable(item), "").strip())


def _read(reader: Env, item: Field[Any]) -> Any:
    name, default, rule = item.name.upper(), item.default, item.metadata["rule"]
    if isinstance(default, StrEnum):
        return reader.enum(name, enum=type(default), by_value=True)
    if isinstance(default, tuple):
        parts: list[str] = reader.list(name)
        return tuple(part.strip() for part in parts if part.strip())
    if isinstance(default, str):
        return reader.str(name, validate=[_trimmed, rule] if rule else _trimmed)
    read_number = reader.int if isinstance(default, int) else reader.float
    return read_number(name, validate=rule)
