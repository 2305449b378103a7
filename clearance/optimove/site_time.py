"""Which moment does a time of the scheduled API mean? The site's wall clock, in both directions.

In: `YYYY-MM-DD HH:MM:SS` without a zone; where an offset or `Z` is given, that counts. Out: aware UTC.

A wall clock that is moved makes two sorts of doubt, and both have two readings:
- it is put back, so that the time comes twice (an overlap): before the change, and after it;
- it is put forward, so that the time never comes (a gap): by the offset before the change, which lies behind the gap,
  and by the offset after it, which lies before the gap.
Of two readings the earlier one counts: a deadline is never extended by doubt. Who knows more chooses from `readings`.
Source: facts sheet, "Units and traps"; PEP 495 (`fold`) for the readings.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_FORM = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
EXPECTED = "must be a time, YYYY-MM-DD HH:MM:SS"
# Inside them no offset leads out of the years that a datetime can hold.
LEAST_YEAR, GREATEST_YEAR = 1970, 9998


def parse(text: object) -> datetime:
    """What is written: naive if it is the site's wall clock, aware if an offset is given.

    Raises:
        ValueError: It is no such time. The text does not repeat it.
    """
    if not isinstance(text, str) or not _FORM.fullmatch(text):
        raise ValueError(EXPECTED)
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(EXPECTED) from None  # its text repeats what was sent
    if not LEAST_YEAR <= written.year <= GREATEST_YEAR:
        raise ValueError(EXPECTED)
    return written


@dataclass(frozen=True, slots=True)
class SiteTime:
    """The wall clock of one site."""

    zone: ZoneInfo

    def load(self, text: str) -> datetime:
        """The moment as aware UTC; of two readings the earlier one.

        Raises:
            ValueError: It is no such time. The text does not repeat it.
        """
        return self.readings(parse(text))[0]

    def readings(self, written: datetime) -> tuple[datetime, ...]:
        """Every moment that `written` may mean, as aware UTC, the earliest first: one, or two in doubt."""
        if written.tzinfo is not None:
            return (written.astimezone(UTC),)
        both = (written.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return tuple(sorted(set(both)))

    def dump(self, at: datetime) -> str:
        """The aware `at` by the site's wall clock, in whole seconds, cut off. In an overlap it may mean two moments.

        Raises:
            ValueError: `at` has no zone. A bug of the caller.
        """
        if at.tzinfo is None:
            raise ValueError("a moment needs a zone")
        return at.astimezone(self.zone).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
