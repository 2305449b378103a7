"""How a customer is named on a command line and in a file: text as written, `007` is not `7`."""

import re

import click

# As wide as the ledger's columns, and as the door takes them.
_MOST_CHARACTERS = 256
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")


class CustomerId(click.ParamType[str]):
    """An argument that is a customer id."""

    name = "customer"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id; a usage error when no customer can have it."""
        try:
            return customer_id_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def customer_id_of(written: str) -> str:
    """The id as written: neither trimmed nor read as a number.

    Raises:
        ValueError: No customer can have it.
    """
    if not 0 < len(written) <= _MOST_CHARACTERS:
        raise ValueError(f"customer_id: must be 1 to {_MOST_CHARACTERS} characters")
    refuse_unstorable("customer_id", written)
    return written


def refuse_unstorable(what: str, written: str) -> None:
    """Refuse what neither a terminal nor both databases take.

    Raises:
        ValueError: Says what is wrong with it, never what it holds.
    """
    if _CONTROL_CHARACTER.search(written):
        raise ValueError(f"{what}: must not hold control characters")
    if _NOT_UTF8.search(written):
        raise ValueError(f"{what}: is not UTF-8")
