"""What a deployment may set: the only reader of the environment.

In: environment variables with the prefix `CLEARANCE_`. Out: one frozen `Settings`, or every problem at once
(`SettingsError`; the command line prints them and exits with 2). A field's metadata is its whole documentation:
`docs/configuration.md` and `.env.example` are generated from it, and a test fails when they are stale.
"""

import os
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, cast

from environs import Env, EnvValidationError
from marshmallow import validate

PREFIX = "CLEARANCE_"


class SettingsError(Exception):
    """The environment cannot be used. `problems` names each variable and what is wrong, never a secret's value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SignatureMode(StrEnum):
    """Which bytes Optimove signs: not stated by the vendor, hence a setting."""

    RAW = "raw"
    MINIFIED = "minified"


class LogFormat(StrEnum):
    """How a log line looks; `auto` is console on a terminal and JSON elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class _Section(StrEnum):
    FLEET = "Ledger, broker and fleet"
    INGEST = "Ingest"
    OPTIMOVE = "Optimove"
    TRIGGERED = "Triggered lane"
    OPERATIONS = "Operations"


def _setting(
    section: _Section,
    doc: str,
    *,
    default: object,
    kind: str = "str",
    secret: bool = False,
    rule: Callable[[Any], Any] | None = None,
    enum: type[StrEnum] | None = None,
) -> Any:
    metadata = {"section": section, "doc": doc, "kind": kind, "secret": secret, "rule": rule, "enum": enum}
    return field(default=cast(Any, default), metadata=metadata, repr=not secret)


_POSITIVE = validate.Range(min=0, min_inclusive=False)
_NOT_NEGATIVE = validate.Range(min=0)
_PORT = validate.Range(min=1, max=65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of every process. Units are in the names; secrets never appear in `repr`."""

    ledger_url: str = _setting(
        _Section.FLEET,
        "Where the ledger is: `sqlite:///path` (embedded) or `postgresql://user:password@host/database`.",
        default="sqlite:///var/clearance.db",
        secret=True,
    )
    broker_url: str = _setting(
        _Section.FLEET,
        "The Celery broker: `redis://`, `rediss://`, `sentinel://` or `amqp://`. Unset, `clearance up` starts an "
        "embedded server at this address.",
        default="redis://127.0.0.1:6390/0",
        secret=True,
    )
    redis_url: str = _setting(
        _Section.FLEET,
        "Redis for what the whole fleet shares (cool-downs, limits, leases). Empty: the broker, if it is Redis.",
        default="",
        secret=True,
    )
    broker_socket_timeout_s: float = _setting(
        _Section.FLEET,
        "How long one exchange with the broker may take before it counts as lost.",
        default=2.0,
        kind="float",
        rule=_POSITIVE,
    )
    ledger_timeout_s: float = _setting(
        _Section.FLEET,
        "How long one exchange with the ledger may take before it counts as down.",
        default=2.0,
        kind="float",
        rule=_POSITIVE,
    )
    guardian_interval_s: float = _setting(
        _Section.FLEET,
        "How often the guardian looks for what is due, overdue or abandoned.",
        default=0.2,
        kind="float",
        rule=_POSITIVE,
    )
    eta_window_s: float = _setting(
        _Section.FLEET,
        "How long before its time an obligation is handed to Celery with an `eta`; before that it waits in the ledger.",
        default=5.0,
        kind="float",
        rule=_NOT_NEGATIVE,
    )
    ingest_host: str = _setting(_Section.INGEST, "The address that ingest listens on.", default="127.0.0.1")
    ingest_port: int = _setting(
        _Section.INGEST, "The port that ingest listens on.", default=8080, kind="int", rule=_PORT
    )
    ingest_max_body_bytes: int = _setting(
        _Section.INGEST,
        "The largest request body; a larger one is refused with 413 while it is being read.",
        default=262_144,
        kind="int",
        rule=_POSITIVE,
    )
    ingest_body_timeout_s: float = _setting(
        _Section.INGEST,
        "How long a sender may take to send its body; a slower one is refused with 408.",
        default=5.0,
        kind="float",
        rule=_POSITIVE,
    )
    rejections_kept: int = _setting(
        _Section.INGEST,
        "How many refused requests are kept for `clearance rejected list`, without their content.",
        default=1000,
        kind="int",
        rule=_POSITIVE,
    )
    optimove_base_url: str = _setting(
        _Section.OPTIMOVE, "The customer's Optimove API, e.g. `https://api4.optimove.net`.", default=""
    )
    optimove_api_key: str = _setting(_Section.OPTIMOVE, "Sent as `X-API-KEY`.", default="", secret=True)
    optimove_webhook_secrets: tuple[str, ...] = _setting(
        _Section.OPTIMOVE,
        "The live HMAC secrets of the triggered webhook, comma-separated: two while one is being rotated.",
        default=(),
        kind="list",
        secret=True,
    )
    optimove_signature_mode: SignatureMode = _setting(
        _Section.OPTIMOVE,
        "The bytes that are signed: `raw`, the body as sent, or `minified`, the body parsed and written again "
        "without white space.",
        default=SignatureMode.RAW,
        enum=SignatureMode,
    )
    optimove_freshness_s: float = _setting(
        _Section.OPTIMOVE,
        "How far the signed `timestamp` may be from our clock, either way; beyond it the request is refused as a replay.",
        default=300.0,
        kind="float",
        rule=_POSITIVE,
    )
    optimove_triggered_approval_path: str = _setting(
        _Section.OPTIMOVE,
        "SendWebhookApproval.",
        default="/conditional-execution/v2/triggered/approval",
    )
    optimove_webhooks_path: str = _setting(
        _Section.OPTIMOVE,
        "CreateWebhook, GetWebhooks, and with `/{id}` GetWebhookById and DeleteWebhook.",
        default="/conditional-execution/v2/triggered/webhooks/",
    )
    optimove_webhook_settings_path: str = _setting(
        _Section.OPTIMOVE,
        "UpdateWebhookSettings.",
        default="/conditional-execution/v2/triggered/settings",
    )
    optimove_timeout_s: float = _setting(
        _Section.OPTIMOVE,
        "The longest that one call to Optimove may take; on the triggered lane never more than what is left of the budget.",
        default=10.0,
        kind="float",
        rule=_POSITIVE,
    )
    triggered_timeout_ms: int = _setting(
        _Section.TRIGGERED,
        "The tenant's response timeout at Optimove (`clearance optimove settings show`).",
        default=5000,
        kind="int",
        rule=_POSITIVE,
    )
    send_margin_ms: int = _setting(
        _Section.TRIGGERED,
        "How long before the deadline the approval must leave, for the network; later, it is recorded as missed.",
        default=200,
        kind="int",
        rule=_NOT_NEGATIVE,
    )
    attempt_timeout_ms: int = _setting(
        _Section.TRIGGERED,
        "The longest that one attempt to send an approval may take before it is repeated.",
        default=1500,
        kind="int",
        rule=_POSITIVE,
    )
    hedge_after_ms: int = _setting(
        _Section.TRIGGERED,
        "How long after acceptance the guardian publishes again what no worker holds.",
        default=1000,
        kind="int",
        rule=_POSITIVE,
    )
    triggered_lease_ms: int = _setting(
        _Section.TRIGGERED,
        "How long a worker holds an obligation without renewing it; after that another may take it over.",
        default=1500,
        kind="int",
        rule=_POSITIVE,
    )
    triggered_threads: int = _setting(
        _Section.TRIGGERED,
        "Threads of one worker process: approvals that it can have under way at once.",
        default=32,
        kind="int",
        rule=_POSITIVE,
    )
    minimal_policy: str = _setting(
        _Section.TRIGGERED,
        "Who is approved: `reject`, `approve`, or `attribute:NAME=VALUE` (only customers whose personalization has that value).",
        default="reject",
    )
    clock_skew_alert_s: float = _setting(
        _Section.TRIGGERED,
        "A difference between Optimove's clock and ours above this is logged and alerted.",
        default=1.0,
        kind="float",
        rule=_POSITIVE,
    )
    metrics_port: int = _setting(
        _Section.OPERATIONS,
        "Where a worker or guardian serves its metrics on loopback; 0 for not at all. Ingest serves `/metrics` itself.",
        default=0,
        kind="int",
        rule=_NOT_NEGATIVE,
    )
    flower_port: int = _setting(
        _Section.OPERATIONS, "Flower's port on loopback.", default=5555, kind="int", rule=_PORT
    )
    flower_user: str = _setting(_Section.OPERATIONS, "Flower's basic auth user.", default="clearance")
    flower_password: str = _setting(
        _Section.OPERATIONS,
        "Flower's basic auth password. Empty: Flower does not start.",
        default="",
        secret=True,
    )
    up_triggered_workers: int = _setting(
        _Section.OPERATIONS,
        "Triggered worker processes that `clearance up` starts.",
        default=2,
        kind="int",
        rule=_POSITIVE,
    )
    log_format: LogFormat = _setting(
        _Section.OPERATIONS,
        "`console`, `json`, or `auto`: console on a terminal, JSON elsewhere.",
        default=LogFormat.AUTO,
        enum=LogFormat,
    )
    log_level: str = _setting(
        _Section.OPERATIONS,
        "The least severe level that is logged.",
        default="INFO",
        rule=validate.OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
    )
    state_dir: str = _setting(
        _Section.OPERATIONS,
        "Where embedded processes keep their state: broker, Flower, process ids.",
        default="var",
    )


def load() -> Settings:
    """The settings of this process, from its environment.

    Raises:
        SettingsError: With every problem of the environment at once; fix them and start again.
    """
    reader = Env(eager=False, prefix=PREFIX)
    values = {item.name: _read(reader, item) for item in fields(Settings)}
    try:
        reader.seal()
    except EnvValidationError as error:
        problems = tuple(
            f"{name}: {_told(messages)}"
            for name, messages in sorted(cast(dict[str, Any], error.error_messages).items())
        )
        raise SettingsError(problems) from None
    return Settings(**values)


def unknown_names() -> tuple[str, ...]:
    """Variables with our prefix that no setting reads: probably misspelt."""
    known = {PREFIX + item.name.upper() for item in fields(Settings)}
    return tuple(sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known))


def _read(reader: Env, item: Field[Any]) -> Any:
    name, rule = item.name.upper(), item.metadata["rule"]
    if item.metadata["enum"] is not None:
        return reader.enum(name, default=item.default, enum=item.metadata["enum"], by_value=True)
    if item.metadata["kind"] == "list":
        return tuple(part.strip() for part in reader.list(name, default=list(item.default)) if part.strip())
    return getattr(reader, item.metadata["kind"])(name, default=item.default, validate=rule)


def _told(messages: Any) -> str:
    return " ".join(messages) if isinstance(messages, list) else str(messages)
