"""The command line starts quickly: a process imports its own parts, not those of every command."""

import subprocess
import sys

import click
import pytest

from workers.cli import main

_HEAVY = {"alembic", "celery", "cel_expr_python", "kombu", "redis", "sqlalchemy"}
_CONTEXT = click.Context(main)


_LISTED = """
import atexit, sys
from workers.cli import main
atexit.register(lambda: print("imported:", *sys.modules))
main(["--help"])
"""


def test_the_command_line_alone_imports_nothing_heavy_not_even_to_list_its_commands() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _LISTED], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    listed, _, imported = told.partition("imported:")
    assert _HEAVY & set(imported.split()) == set()
    listed_names = {
        line.split()[0] for line in listed.partition("Commands:")[2].splitlines() if line[2:3].strip()
    }
    assert listed_names == set(main.list_commands(_CONTEXT))


@pytest.mark.parametrize("name", main.list_commands(_CONTEXT))
def test_a_command_is_listed_with_what_it_says_of_itself(name: str) -> None:
    command = main.get_command(_CONTEXT, name)
    formatter = click.HelpFormatter(width=400)
    main.format_commands(_CONTEXT, formatter)

    assert command is not None
    assert command.help
    (line,) = [line for line in formatter.getvalue().splitlines() if line.split()[:1] == [name]]
    assert line.removeprefix(f"  {name}").strip() == command.help.splitlines()[0]


@pytest.mark.parametrize("name", main.list_commands(_CONTEXT))
def test_every_command_is_where_it_is_looked_for(name: str) -> None:
    command = main.get_command(_CONTEXT, name)

    assert command is not None
    assert command.name == name


def test_a_command_that_does_not_exist_is_none() -> None:
    assert main.get_command(_CONTEXT, "approve-everybody") is None
