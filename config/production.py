"""What may a laptop do that production may not? Use the defaults of a first try, and secrets that can be guessed.

In: settings. Out: what is wrong with each for `CLEARANCE_ENV=production`, by the name of its field, without its value.
What is empty lets nobody in, and is no problem: not every process needs every secret.
"""

from dataclasses import fields
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from config.settings import Settings

# A made secret of this length cannot be guessed; a word can.
LEAST_SECRET_CHARS = 16
_OURS_TO_MAKE = ("optimove_webhook_secrets", "optimove_listener_token", "relay_api_keys", "flower_password")
_PLACEHOLDERS = ("sandbox-", "changeme", "change-me", "your-")
_CREDENTIALS = (
    *_OURS_TO_MAKE,
    "optimove_api_key",
    "optilyz_api_key",
    "bloomreach_project_token",
    "bloomreach_api_key_id",
    "bloomreach_api_secret",
)
_SERVERS = ("ledger_url", "broker_url", "redis_url")
_VENDORS = ("optimove_base_url", "optilyz_base_url", "bloomreach_base_url")
# The passwords that servers and examples come with.
_KNOWN_PASSWORDS = frozenset(
    {"guest", "postgres", "password", "clearance", "redis", "admin", "secret", "test"}
)


def laptop_defaults(settings: "Settings") -> dict[str, str]:
    """What production refuses, by field; nothing when all is well. `settings.env` plays no role."""
    return (
        _left_unset(settings) | _reachable_by_anyone(settings) | _guessable(settings) | _talkative(settings)
    )


def _left_unset(settings: "Settings") -> dict[str, str]:
    default_by_name = {item.name: item.default for item in fields(settings)}
    told = {
        "ledger_url": "is the embedded database of a laptop: say where the ledger is",
        "broker_url": "is the embedded broker of a laptop: say where the broker is",
    }
    problems = {name: text for name, text in told.items() if getattr(settings, name) == default_by_name[name]}
    if settings.ledger_url.startswith("sqlite:") and not settings.ledger_url.startswith("sqlite:////"):
        problems.setdefault("ledger_url", "depends on the directory of each process: give an absolute path")
    return problems


def _reachable_by_anyone(settings: "Settings") -> dict[str, str]:
    problems = {
        name: "must begin with https://: credentials and personal data go there"
        for name in _VENDORS
        if getattr(settings, name).startswith("http://")
    }
    for name in _SERVERS:
        if any(_password(url).lower() in _KNOWN_PASSWORDS for url in getattr(settings, name).split(";")):
            problems[name] = "has a password that everybody knows"
    return problems


def _guessable(settings: "Settings") -> dict[str, str]:
    problems = {}
    for name in _CREDENTIALS:
        values = _values(settings, name)
        if name in _OURS_TO_MAKE and any(len(value) < LEAST_SECRET_CHARS for value in values):
            problems[name] = f"must have at least {LEAST_SECRET_CHARS} characters, made at random"
        if any(value.lower().startswith(_PLACEHOLDERS) for value in values):
            problems[name] = "is that of the sandbox, or of an example"
    return problems


def _talkative(settings: "Settings") -> dict[str, str]:
    if settings.log_level != "DEBUG":
        return {}
    return {"log_level": "must not be DEBUG: INFO has all that an operator needs"}


def _values(settings: "Settings", name: str) -> tuple[str, ...]:
    value = getattr(settings, name)
    return value if isinstance(value, tuple) else (value,) if value else ()


def _password(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme in ("amqp", "amqps") and parts.username is None:
        return "guest"  # whom the client takes itself for
    return unquote(parts.password or "")
