"""What a deployment may set: the only reader of the environment.

In: environment variables with the prefix `CLEARANCE_`; one that is empty or blank counts as unset. Out: one
frozen `Settings`, or every problem at once (`SettingsError`; the command line prints them and exits with
2). A problem names the variable and what is expected, never its value: many carry a password. The text
under a field is its documentation; `config.reference` makes `docs/configuration.md` and `.env.example` of
it. How one variable is read: `config.setting_reading`.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial

from marshmallow import ValidationError, validate

from config import production, setting_reading
from config.mail_settings import MailSettings
from config.setting_choices import Deployment, LogFormat, ScheduledApi, SignatureMode
from config.setting_fields import setting
from config.setting_rules import (
    LEVEL,
    NOT_NEGATIVE,
    PATH,
    PORT,
    POSITIVE,
    file_path,
    url_of,
    zone,
)

PREFIX = setting_reading.PREFIX
variable = setting_reading.variable
# What `clearance worker` and `clearance sandbox` read, each for itself.
_NO_SETTINGS = {f"{PREFIX}{name}" for name in ("LANE", "SANDBOX_SECRET", "SANDBOX_API_KEY")}


class SettingsError(Exception):
    """The environment cannot be used. `problems` names each variable and what is wrong, never a value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_fleet = partial(setting, "Ledger, broker and fleet")
_ingest = partial(setting, "Ingest")
_optimove = partial(setting, "Optimove")
_triggered = partial(setting, "Triggered lane")
_scheduled = partial(setting, "Scheduled lanes")
_rules = partial(setting, "Rules")
_operations = partial(setting, "Operations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(MailSettings):
    """Every setting of every process. Units are in the names; secrets never appear in `repr`."""

    env: Deployment = _fleet(Deployment.DEVELOPMENT)  # noqa: RUF009  # a field
    """`development`, or `production`, which refuses the defaults that are for a laptop: the embedded ledger and broker,
    secrets that can be guessed, vendors without TLS."""
    ledger_url: str = _fleet("sqlite:///var/clearance.db", url_of("sqlite", "postgresql"), secret=True)
    """Where the ledger is: `sqlite:///path` (embedded) or `postgresql://user:password@host/database`; with
    `?sslmode=verify-full&sslrootcert=/path` by TLS."""
    broker_url: str = _fleet(
        "redis://127.0.0.1:6390/0", url_of("redis", "rediss", "sentinel", "amqp", "amqps"), secret=True
    )
    """The Celery broker: `redis://`, `rediss://`, `sentinel://`, `amqp://` or `amqps://`. Unset,
    `clearance up` starts an embedded server (`CLEARANCE_UP_BROKER_PORT`)."""
    redis_url: str = _fleet("", url_of("redis", "rediss", "sentinel"), secret=True)
    """Redis for what the fleet shares (cool-downs, rate limits, slots). Empty: the broker, if that is Redis."""
    sentinel_master: str = _fleet("clearance")
    """The name by which Sentinel knows the primary; for `sentinel://` URLs."""
    broker_ca_path: str = _fleet("", file_path)
    """The authority that signed the certificate of `rediss://` or `amqps://`, a PEM file; unset, those of the system.
    The certificate and its host name are always checked."""
    broker_cert_path: str = _fleet("", file_path)
    """Our own certificate there, a PEM file, where the server asks for one."""
    broker_key_path: str = _fleet("", file_path)
    """Its key, a PEM file."""
    broker_socket_timeout_s: float = _fleet(2.0, POSITIVE)
    """How long one exchange with the broker may take before it counts as lost."""
    ledger_timeout_s: float = _fleet(2.0, POSITIVE)
    """How long one exchange with the ledger may take before it counts as down."""
    guardian_interval_s: float = _fleet(0.2, POSITIVE)
    """How often the guardian looks for what is due, overdue or abandoned."""
    heartbeat_every_s: float = _fleet(10.0, POSITIVE)
    """How often a guardian sends a message through each lane's queue, to find out whether it is worked on."""
    eta_window_s: float = _fleet(5.0, NOT_NEGATIVE)
    """How long before its time an obligation is handed to Celery with an `eta`; before that it waits in
    the ledger."""

    ingest_host: str = _ingest("127.0.0.1")
    """The address that ingest listens on."""
    ingest_port: int = _ingest(8080, PORT)
    """The port that ingest listens on."""
    ingest_max_body_bytes: int = _ingest(262_144, POSITIVE)
    """The largest request body; a larger one is refused with 413 while it is being read."""
    ingest_body_timeout_s: float = _ingest(5.0, POSITIVE)
    """How long a sender may take to send its body; a slower one is refused with 408."""
    ingest_header_timeout_s: float = _ingest(30.0, validate.Range(min=0.1, max=60))
    """How long a sender may take to send its headers, and how long a connection may wait for its next request; then
    it is closed. A proxy that keeps connections must let go of them sooner."""
    ingest_rate_per_s: float = _ingest(2000.0, NOT_NEGATIVE)
    """Requests a second that one address may make to one ingest process; beyond it they are refused with 429, at the
    relay with 503, and `Retry-After`. 0 for no limit."""
    ingest_trusted_proxies: int = _ingest(0, validate.Range(min=0, max=10))
    """How many proxies of ours are before ingest: a request's address is then that many entries from the end of
    `X-Forwarded-For`. 0: it is the connection's."""
    rejections_kept: int = _ingest(1000, POSITIVE)
    """How many refused requests are kept for `clearance rejected list`, without their content."""

    optimove_base_url: str = _optimove("", url_of("https", "http"))
    """The customer's Optimove API, e.g. `https://api4.optimove.net`."""
    optimove_api_key: str = _optimove("", secret=True)
    """Sent as `X-API-KEY`."""
    optimove_webhook_secrets: tuple[str, ...] = _optimove((), secret=True)
    """The live HMAC secrets of the triggered webhook, comma-separated: two while one is being rotated."""
    optimove_signature_mode: SignatureMode = _optimove(SignatureMode.RAW)  # noqa: RUF009  # a field
    """The bytes that are signed: `raw`, the body as sent, or `minified`, the body parsed and written again
    without white space."""
    optimove_freshness_s: float = _optimove(300.0, POSITIVE)
    """How far the signed `timestamp` may be from our clock, either way; beyond it the request is refused
    as a replay."""
    optimove_triggered_approval_path: str = _optimove("/conditional-execution/v2/triggered/approval", PATH)
    """The path of SendWebhookApproval."""
    optimove_webhooks_path: str = _optimove("/conditional-execution/v2/triggered/webhooks/", PATH)
    """The path of CreateWebhook and GetWebhooks, and with `/{id}` of GetWebhookById and DeleteWebhook."""
    optimove_webhook_settings_path: str = _optimove("/conditional-execution/v2/triggered/settings", PATH)
    """The path of UpdateWebhookSettings."""
    optimove_timeout_s: float = _optimove(10.0, POSITIVE)
    """The longest that one call to Optimove may take; on the triggered lane never more than what is left
    of the budget."""

    triggered_timeout_ms: int = _triggered(5000, POSITIVE)
    """The tenant's response timeout at Optimove (`clearance optimove settings show`)."""
    send_margin_ms: int = _triggered(200, NOT_NEGATIVE)
    """How long before the deadline the approval must leave, for the network; later, it is recorded as
    missed."""
    attempt_timeout_ms: int = _triggered(1500, POSITIVE)
    """The longest that one attempt to send an approval may take before it is repeated."""
    hedge_after_ms: int = _triggered(1000, POSITIVE)
    """How long after acceptance the guardian publishes again what no worker holds."""
    triggered_lease_ms: int = _triggered(1500, POSITIVE)
    """How long a worker holds an obligation without renewing it; after that another may take it over."""
    triggered_threads: int = _triggered(32, POSITIVE)
    """Threads of one worker process: approvals that it can have under way at once."""
    check_reserve_ms: int = _triggered(500, NOT_NEGATIVE)
    """How long before the approval must leave the checks that ask somebody have to be done: what is left then
    is for the approval."""
    clock_skew_alert_s: float = _triggered(1.0, POSITIVE)
    """A difference between Optimove's clock and ours above this is logged and alerted."""

    scheduled_api: ScheduledApi = _scheduled(ScheduledApi.V2)  # noqa: RUF009  # a field
    """The scheduled API that the site has: `v2` (send groups) or `v1` (campaigns). Notifications of the other
    are refused with 409."""
    optimove_listener_token: str = _scheduled("", secret=True)
    """What the scheduled routes ask for, as the query parameter `token` or the password of Basic auth: their
    notifications are not signed. Empty: they let nobody in."""
    site_timezone: str = _scheduled("UTC", zone)
    """The time zone of the site, in which Optimove writes the times of scheduled campaigns, e.g.
    `Europe/Berlin`."""
    optimove_send_group_customers_path: str = _scheduled(
        "/v2/conditional-execution/scheduled/send-groups/{id}/customers", PATH
    )
    """The path of Get Customers in Send Group (V2)."""
    optimove_send_group_approvals_path: str = _scheduled(
        "/v2/conditional-execution/scheduled/send-groups/{id}/approvals", PATH
    )
    """The path of Update Customer Status in Send Group (V2)."""
    optimove_customers_page_size: int = _scheduled(0, validate.Range(min=0, max=1_000_000))
    """Customers of a send group asked for at once with `$top` and `$skip` (V2); 0 for all in one reply."""
    optimove_campaign_customers_path: str = _scheduled(
        "/current/customers/GetProcessedCampaignCustomers", PATH
    )
    """The path of GetProcessedCampaignCustomers (V1)."""
    optimove_campaign_customers_page_size: int = _scheduled(10_000, validate.Range(min=1, max=10_000))
    """Customers of a campaign asked for at once (V1); the vendor gives at most 10,000."""
    optimove_promotion_status_path: str = _scheduled(
        "/current/integrations/UpdateCustomerPromotionStatus", PATH
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
    optimove_rate_calls: int = _scheduled(50, POSITIVE)
    """Calls to the scheduled API that the whole fleet may make in any window."""
    optimove_rate_window_s: float = _scheduled(10.5, POSITIVE)
    """The window: Optimove's ten seconds, and a little for the way there, which takes longer for one call
    than for another."""
    optimove_rate_reserved: int = _scheduled(0, NOT_NEGATIVE)
    """Of those calls, how many the scheduled lanes leave to triggered approvals. For a site where both are in
    one API group: triggered approvals then take part in the limit, and may use all of it."""
    review_chunk_customers: int = _scheduled(1000, validate.Range(min=1, max=10_000))
    """Customers that are reviewed together: one obligation, one transaction."""
    submit_min_margin_s: float = _scheduled(60.0, NOT_NEGATIVE)
    """How long before its deadline a group's approvals begin to leave, at the latest."""
    submit_safety_factor: float = _scheduled(2.0, validate.Range(min=1))
    """They begin so many times their estimated duration before the deadline, if that is sooner."""
    submit_call_estimate_s: float = _scheduled(2.0, POSITIVE)
    """How long one approval call is taken to last until calls were measured."""
    submit_stop_margin_s: float = _scheduled(1.0, NOT_NEGATIVE)
    """How long before the deadline nothing is sent any more."""
    scheduled_lease_s: float = _scheduled(5.0, POSITIVE)
    """How long a worker holds an obligation of the scheduled lanes without renewing it; after that another
    may take it over."""
    review_processes: int = _scheduled(2, POSITIVE)
    """Processes of one review worker."""
    submit_threads: int = _scheduled(8, POSITIVE)
    """Threads of one submit worker: groups that it can fetch or submit at once."""

    rules_path: str = _rules("config/rules.toml")
    """The rules file. A process that decides refuses to start without one that is right
    (`clearance rules check`)."""
    rules_look_every_s: float = _rules(2.0, POSITIVE)
    """How often a process looks whether `clearance rules reload` was asked for."""
    check_breaker_failures: int = _rules(5, POSITIVE)
    """After so many failures in a row a process asks an `http` check's system no more for a while."""
    check_breaker_rest_s: float = _rules(5.0, POSITIVE)
    """How long that while is; then one question finds out whether the system answers again."""
    inputs_retention_days: int = _rules(30, POSITIVE)
    """How long what decisions were made from is kept, under `record_inputs = true`; `clearance purge` removes
    what is older."""

    metrics_port: int = _operations(0, validate.Range(min=0, max=65535))
    """The port at which a worker or guardian serves its metrics; 0 for not at all. Ingest serves `/metrics`
    itself. On one host each needs its own: one that is taken is told in the log, and the work goes on without."""
    metrics_host: str = _operations("127.0.0.1")
    """The address at which it does. It asks for no password: on loopback, or where only the monitoring reaches it."""
    flower_host: str = _operations("127.0.0.1")
    """The address that Flower listens on. Its `/metrics` and `/healthcheck` ask for no password: keep it on
    loopback, or put a proxy before it."""
    flower_port: int = _operations(5555, PORT)
    """The port that Flower listens on."""
    flower_user: str = _operations("clearance")
    """Flower's basic auth user."""
    flower_password: str = _operations("", secret=True)
    """Flower's basic auth password. Empty: Flower does not start."""
    up_triggered_workers: int = _operations(2, POSITIVE)
    """Triggered worker processes that `clearance up` starts."""
    up_broker_port: int = _operations(6390, PORT)
    """The port, on loopback, of the broker that `clearance up` embeds when `CLEARANCE_BROKER_URL` is
    unset."""
    up_sandbox_port: int = _operations(8900, PORT)
    """The port, on loopback, of the sandbox that `clearance up` starts when no Optimove is set."""
    log_format: LogFormat = _operations(LogFormat.AUTO)  # noqa: RUF009  # a field
    """`console`, `json`, or `auto`: console on a terminal, JSON elsewhere."""
    log_level: str = _operations("INFO", LEVEL)
    """The least severe level that is logged."""
    state_dir: str = _operations("var")
    """Where embedded processes keep their state: broker, Flower, process ids."""

    def __post_init__(self) -> None:
        for name in ("optimove_base_url", "optilyz_base_url", "bloomreach_base_url"):
            object.__setattr__(self, name, getattr(self, name).rstrip("/"))
        # Recipients are read with either spelling, and have Optilyz' own from there on.
        pairs = tuple(
            pair.replace("individualization", "individualisation") for pair in self.optilyz_id_fields
        )
        object.__setattr__(self, "optilyz_id_fields", pairs)
        campaign_field = self.bloomreach_campaign_field.replace("individualization", "individualisation")
        object.__setattr__(self, "bloomreach_campaign_field", campaign_field)


def load() -> Settings:
    """The settings of this process, from its environment and from the files that it names.

    Raises:
        SettingsError: With every problem at once; fix them and start again.
    """
    reading = setting_reading.read(fields(Settings), os.environ)
    settings = Settings(**reading.value_by_name)
    problem_by_variable = dict(_contradictions(settings))
    if settings.env is Deployment.PRODUCTION:
        problem_by_variable |= {
            PREFIX + name.upper(): f"{told} ({PREFIX}ENV is production)."
            for name, told in production.laptop_defaults(settings).items()
        }
    # Last: what cannot be read was judged by its default.
    problem_by_variable |= reading.problem_by_variable
    if problem_by_variable:
        raise SettingsError(tuple(f"{name}: {told}" for name, told in sorted(problem_by_variable.items())))
    return settings


def is_given(name: str) -> bool:
    """Whether the environment says something of this field, itself or by a file."""
    return any(item.name == name and setting_reading.is_set(item, os.environ) for item in fields(Settings))


def unknown_names() -> tuple[str, ...]:
    """Variables with our prefix that no setting reads: probably misspelt."""
    known = {name for item in fields(Settings) for name in setting_reading.variables(item)} | _NO_SETTINGS
    return tuple(sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known))


def named_secret(name: str) -> str | None:
    """The variable, or the file in `<name>_FILE`, that a rules file names as `env:NAME`, without our prefix.

    None when it is unset or blank, or its file cannot be read.
    """
    with suppress(ValidationError):
        return (setting_reading.secret_text(name, os.environ) or "").strip() or None
    return None


def _contradictions(settings: Settings) -> dict[str, str]:
    """Values that are right by themselves, but not together."""
    problems = {}
    if settings.optimove_rate_reserved >= settings.optimove_rate_calls:
        problems[f"{PREFIX}OPTIMOVE_RATE_RESERVED"] = f"must be less than {PREFIX}OPTIMOVE_RATE_CALLS."
    if settings.send_margin_ms >= settings.triggered_timeout_ms:
        problems[f"{PREFIX}SEND_MARGIN_MS"] = f"must be less than {PREFIX}TRIGGERED_TIMEOUT_MS."
    if bool(settings.broker_cert_path) is not bool(settings.broker_key_path):
        problems[f"{PREFIX}BROKER_CERT_PATH"] = f"goes with {PREFIX}BROKER_KEY_PATH: set both, or neither."
    return problems
