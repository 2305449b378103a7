"""The commands `clearance rules ...`: is a file right, what would it decide, what decides now.

Exit codes: 0 done; 1 a file has mistakes, a process has not followed, or the ledger is away; 2 the settings or the
arguments are wrong.
"""

import json
from collections.abc import Iterable, Iterator, Sequence

import click

from clearance.checks.python import PythonCheckError, load_python_check
from clearance.decisions.rules import Problem, PythonCheck, Rules, RulesError
from config import settings
from config.settings import SettingsError
from workers.commands.listing import json_option, printable
from workers.commands.rules_diff import diff_rules
from workers.commands.rules_files import FileError
from workers.commands.rules_fleet import reload_rules, show_rules
from workers.commands.rules_try import try_rules
from workers.judges import line_of, read_rules, unset_variables

EXIT_WRONG, EXIT_SETTINGS = 1, 2


class _Commands(click.Group):
    """Tells every problem of a file in a line of its own, and ends with an exit code for scripts."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            _tell(error.problems)
            ctx.exit(EXIT_SETTINGS)
        except (RulesError, FileError) as error:
            _tell(map(str, error.problems))
            ctx.exit(EXIT_WRONG)


@click.group(cls=_Commands)
def rules() -> None:
    """Who may get which campaign: check, try, compare and reload the rules."""


rules.add_command(try_rules)
rules.add_command(diff_rules)
rules.add_command(show_rules)
rules.add_command(reload_rules)


@rules.command("check")
@click.argument("file", required=False)
@json_option
@click.pass_context
def check_rules(ctx: click.Context, file: str | None, as_json: bool) -> None:
    """Say whether FILE (by default CLEARANCE_RULES_PATH) can be used, and everything that is wrong with it."""
    path = file or settings.load().rules_path
    found: Rules | None = None
    try:
        found = read_rules(path)
        problems = list(_uninstalled(found, path))
    except RulesError as error:
        problems = list(error.problems)
    warnings = [] if found is None else [*found.warnings, *_unset(found, path)]
    if as_json:
        click.echo(json.dumps(_facts(path, found, problems, warnings)))
    else:
        _tell(map(str, problems))
        _tell(
            str(Problem(source=each.source, line=each.line, told=f"warning: {each.told}"))
            for each in warnings
        )
        if found is not None and not problems:
            counted = f"{_many(len(found.check_by_id), 'check')}, {_many(len(found.policies), 'policy', 'policies')}"
            click.echo(f"{printable(path)} can be used: version {found.version}, {counted}")
    ctx.exit(EXIT_WRONG if problems else 0)


def _facts(
    path: str, found: Rules | None, problems: Sequence[Problem], warnings: Sequence[Problem]
) -> dict[str, object]:
    def shown(those: Sequence[Problem]) -> list[dict[str, object]]:
        return [{"line": each.line, "told": each.told} for each in those]

    return {
        "file": path,
        "can_be_used": not problems,
        "version": None if found is None else found.version,
        "checks": [] if found is None else list(found.check_by_id),
        "policies": [] if found is None else [each.id for each in found.policies],
        "problems": shown(problems),
        "warnings": shown(warnings),
    }


def _uninstalled(found: Rules, path: str) -> Iterator[Problem]:
    """Python checks that cannot be made here: no process of this environment would start."""
    for check in found.check_by_id.values():
        if isinstance(check, PythonCheck):
            try:
                load_python_check(check)
            except PythonCheckError as error:
                yield Problem(source=path, line=line_of(found, check), told=f"check `{check.id}`: {error}")


def _unset(found: Rules, path: str) -> Iterator[Problem]:
    """Variables that are not set here: they may be where the workers run."""
    for check, name in unset_variables(found, settings.named_secret):
        told = f"check `{check.id}`: the variable {name} is not set here; workers do not start without it"
        yield Problem(source=path, line=line_of(found, check), told=told)


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(line), err=True)
