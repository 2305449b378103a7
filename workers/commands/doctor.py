"""`clearance doctor`: what is wrong, what to do about it, and where that is written; works when nothing else does.

Exit codes: 0 nothing has failed (with `--strict`, and nothing is a warning), 1 something has, 2 the settings cannot be
used: then nothing else is looked at.
"""

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from time import monotonic, sleep

import click

from config import settings
from config.settings import SettingsError
from workers.commands.listing import json_option, printable
from workers.doctor import clocks, lanes, parts, vendors, work
from workers.doctor.examination import Check, examine
from workers.doctor.findings import Finding, Level, fail, ok, warn
from workers.doctor.means import Means, means

EXIT_FAILED, EXIT_SETTINGS = 1, 2
_LOOK_AGAIN_AFTER_S = 1.0
# What a check may take beside one exchange that takes as long as it may.
_SLACK_S = 1.5
_COLOUR = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


@click.command()
@click.option("--offline", is_flag=True, help="Do not call vendors.")
@click.option("--strict", is_flag=True, help="Exit with 1 on a warning, too.")
@click.option(
    "--wait-s",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Look again for so long, until nothing fails: after a start or a deploy.",
)
@click.option(
    "--timeout-s",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="How long the ledger, the broker and a vendor may take.",
)
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, *, offline: bool, strict: bool, wait_s: float, timeout_s: float, as_json: bool
) -> None:
    """Say what is wrong, what to do about it, and which runbook has more.

    Looks at this host's settings and rules, the ledger, the broker, every lane, the clocks, the vendors, and what is
    late or waits for a person. All at once: it takes a few seconds, whatever hangs.
    """
    try:
        here = settings.load()
    except SettingsError as error:
        _show([fail("settings", told, "set it right, then look again") for told in error.problems], as_json)
        ctx.exit(EXIT_SETTINGS)
    looking = means(here, timeout_s=timeout_s, asks_vendors=not offline)
    again_until_s = monotonic() + wait_s
    findings = _look(looking)
    while any(each.level is Level.FAIL for each in findings) and monotonic() < again_until_s:
        sleep(_LOOK_AGAIN_AFTER_S)
        findings = _look(looking)
    _show(findings, as_json)
    bad = (Level.FAIL, Level.WARN) if strict else (Level.FAIL,)
    ctx.exit(EXIT_FAILED if any(each.level in bad for each in findings) else 0)


def _look(looking: Means) -> list[Finding]:
    checks: dict[str, Check] = {
        "rules file": partial(lanes.look_at_rules_file, looking),
        "ledger": partial(parts.look_at_ledger, looking),
        "broker": partial(parts.look_at_broker, looking),
        "redis": partial(parts.look_at_redis, looking),
        "guardian": partial(lanes.look_at_guardian, looking),
        "lanes": partial(lanes.look_at_lanes, looking),
        "rules in force": partial(lanes.look_at_rules_in_force, looking),
        "deadlines": partial(work.look_at_deadlines, looking),
        "waiting": partial(work.look_at_what_waits, looking),
        "clock ledger": partial(clocks.look_at_ledger_clock, looking),
        "clock redis": partial(clocks.look_at_redis_clock, looking),
        "clock workers": partial(clocks.look_at_workers_clocks, looking),
        "clock optimove": partial(clocks.look_at_optimove_clock, looking),
        "vendor optimove": partial(vendors.look_at_optimove, looking),
        "vendor optilyz": partial(vendors.look_at_optilyz, looking),
        "vendor bloomreach": partial(vendors.look_at_bloomreach, looking),
    }
    return [_look_at_settings(), *examine(checks, timeout_s=looking.timeout_s + _SLACK_S)]


def _look_at_settings() -> Finding:
    unknown = settings.unknown_names()
    if unknown:
        told = f"nobody reads {', '.join(map(printable, unknown))}"
        return warn("settings", told, "misspelt, or of another release: see docs/configuration.md")
    return ok("settings", "can be used")


def _show(findings: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        rows = [_facts(each) for each in findings]
        click.echo(json.dumps({"failed": _count(findings, Level.FAIL), "checks": rows}))
        return
    for each in findings:
        level = click.style(f"{each.level.value:<4}", fg=_COLOUR[each.level])
        do = f"; {each.do}" if each.do else ""
        page = f" ({each.runbook.page})" if each.runbook else ""
        click.echo(f"{level}  {each.check:<18}  {each.told}{do}{page}")
    counts = Counter(each.level for each in findings)
    click.echo(f"\n{counts[Level.FAIL]} failed, {counts[Level.WARN]} to know of, {counts[Level.OK]} ok")


def _facts(finding: Finding) -> dict[str, str | None]:
    return {
        "check": finding.check,
        "level": finding.level.value,
        "told": finding.told,
        "do": finding.do or None,
        "runbook": finding.runbook.page if finding.runbook else None,
    }


def _count(findings: Sequence[Finding], level: Level) -> int:
    return sum(each.level is level for each in findings)
