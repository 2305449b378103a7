"""How times are told to an operator: the moment in UTC, and how long it is until then or since."""

from datetime import datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def countdown(at: datetime, now: datetime) -> str:
    """`in 4 min 12 s`, `2 d 3 h ago`; seconds with a tenth in the last minute."""
    left_s = (at - now).total_seconds()
    length = duration(abs(left_s))
    return f"in {length}" if left_s >= 0 else f"{length} ago"


def duration(seconds: float) -> str:
    """The two largest units of a length of time."""
    tenths = round(seconds, 1)
    if tenths < 60:
        return f"{tenths:.1f} s"
    left = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def moment(at: datetime, now: datetime) -> str:
    """To the second, for tables; without the day when it is today's."""
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def exact(at: datetime) -> str:
    """To the millisecond."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def iso(at: datetime | None) -> str | None:
    """For scripts: ISO 8601 in UTC."""
    return at.isoformat(timespec="milliseconds") if at else None
