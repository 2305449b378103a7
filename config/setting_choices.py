"""Which values a setting with a choice may have."""

from enum import StrEnum


class Deployment(StrEnum):
    """What this is for: production refuses what is there for a first try on a laptop."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class SignatureMode(StrEnum):
    """Which bytes Optimove signs: not stated by the vendor, hence a setting."""

    RAW = "raw"
    MINIFIED = "minified"


class ScheduledApi(StrEnum):
    """Which of Optimove's two scheduled APIs the site has: never both."""

    V1 = "v1"
    V2 = "v2"


class OptilyzAuth(StrEnum):
    """What Optilyz gets as the Basic user: the key itself, or a token that the key was exchanged for."""

    KEY = "key"
    TOKEN = "token"  # noqa: S105 - the name of a way, not a secret


class LogFormat(StrEnum):
    """How a log line looks; `auto` is console on a terminal and JSON elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"
