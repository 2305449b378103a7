"""How a person says why: part of every command that changes what the fleet does, and kept for `clearance audit`."""

import click

from workers.commands.customer_id import refuse_unstorable

_MOST_CHARACTERS = 500


class Reason(click.ParamType[str]):
    """A line of text."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text without spaces around it; a usage error when it says nothing."""
        why = value.strip()
        if not 0 < len(why) <= _MOST_CHARACTERS:
            self.fail(f"must be 1 to {_MOST_CHARACTERS} characters", param, ctx)
        try:
            refuse_unstorable("it", why)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return why


REASON = Reason()
