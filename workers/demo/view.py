"""What a person sees of a demo: progress while it runs, and the report as a table."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

_PLAIN_EVERY_S = 2.0


class View:
    """A moving bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._console = Console() if sys.stdout.isatty() else None
        self._progress: Progress | None = None
        self._task: Any = None
        self._told_at = 0.0

    def say(self, text: str) -> None:
        """Something happened."""
        if self._progress is not None:
            self._progress.console.print(text)
        else:
            click.echo(text)

    def begin(self, what: str, total: int) -> None:
        """Something with a known end begins."""
        self.end()
        self._told_at = time.monotonic()
        if self._console is None:
            click.echo(f"{what} ...")
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console)
        self._progress.start()
        self._task = self._progress.add_task(what, total=total)

    def at(self, done: int, total: int) -> None:
        """So far."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done)
        elif time.monotonic() - self._told_at >= _PLAIN_EVERY_S:
            self._told_at = time.monotonic()
            click.echo(f"  {done}/{total}")

    def end(self) -> None:
        """It has ended, or never will."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def show(report: Mapping[str, Any], more: Sequence[str]) -> None:
    """Print the report, and where there is more."""
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print()
    for lane, figures in report["lanes"].items():
        table = Table("figure", lane, box=None, header_style="bold")
        for name, value in figures.items():
            table.add_row(name.replace("_", " "), _text(value))
        console.print(table)
        console.print()
    table = Table("figure", "whole run", box=None, header_style="bold")
    for name in ("restarts", "rules_versions", "duration_s"):
        table.add_row(name.replace("_", " "), _text(report[name]))
    console.print(table)
    console.print()
    table = Table("promise", "", "measured", box=None, header_style="bold")
    for promise in report["promises"]:
        held = "[green]held[/]" if promise["held"] else "[bold red]BROKEN[/]"
        table.add_row(promise["name"], held, promise["measured"])
    console.print(table)
    console.print()
    for line in more:
        click.echo(line)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
