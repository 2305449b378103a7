"""How a time is written on a command line."""

from datetime import UTC, datetime

import click


class Moment(click.ParamType[datetime]):
    """A time with its offset, or in UTC without one."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The moment, in UTC; a usage error when it is none."""
        if isinstance(value, datetime):
            return value
        try:
            written = datetime.fromisoformat(value)
        except ValueError:
            self.fail("must be a date or a time, as 2026-03-02 or 2026-03-02T09:00:00", param, ctx)
        return written.replace(tzinfo=UTC) if written.tzinfo is None else written.astimezone(UTC)


MOMENT = Moment()
