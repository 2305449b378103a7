"""`clearance rules try`: what would these rules decide about these customers, and why?

Nothing is recorded, and nobody is asked: a check that asks somebody is taken to approve, and the output says so.
With `--ask` they are asked as a worker would ask them: a system that does something when it is asked does it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import click

from clearance.clock import utc_now
from clearance.decisions.decision import APPROVED, Campaign, Customer, Decision
from clearance.decisions.engine import Engine
from clearance.decisions.rules import CelCheck, Rules
from clearance.identifiers import new_id
from clearance.ledger.group_commit import GroupCommit
from config import logs, settings
from config.settings import SettingsError
from workers import connections, deciding
from workers.commands.listing import json_option, printable, show_all
from workers.commands.rules_changes import answer_of
from workers.commands.rules_files import load_campaign, load_customers, misspelt_attributes
from workers.judges import read_rules

# As a lane asks: no more customers in one question.
_PORTION = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Decisions, one a customer, and the checks that were taken to approve."""

    decisions: Sequence[Decision]
    assumed: Sequence[str]


@click.command("try")
@click.argument("file")
@click.option("--campaign", "campaign_path", required=True, metavar="FILE", help="JSON: the campaign.")
@click.option(
    "--customers", "customers_path", required=True, metavar="FILE", help="JSON or CSV: the customers."
)
@click.option(
    "--ask", is_flag=True, help="Ask: suppression lists, your functions, and other systems, for real."
)
@click.option(
    "--ask-s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How long all that may take, for each 1,000 customers.",
)
@json_option
def try_rules(
    *, file: str, campaign_path: str, customers_path: str, ask: bool, ask_s: float, as_json: bool
) -> None:
    """Decide about customers of a file by the rules in FILE; record nothing."""
    rules = read_rules(file)
    campaign, customers = load_campaign(campaign_path), load_customers(customers_path)
    for told in misspelt_attributes(customers, tuple(rules.kind_by_attribute)):
        click.echo(f"warning: {printable(told)}", err=True)
    tried = _asked(rules, file, campaign, customers, ask_s) if ask else assuming(rules, campaign, customers)
    if as_json:
        click.echo(json.dumps(_facts(rules, customers, tried)))
        return
    rows = [
        _row(customer, decision) | {"reasons": ", ".join(decision.reasons)}
        for customer, decision in zip(customers, tried.decisions, strict=True)
    ]
    show_all(("customer", "answer", "reasons"), rows, as_json=False)
    _tell_counts(tried)


def assuming(rules: Rules, campaign: Campaign, customers: Sequence[Customer]) -> Tried:
    """What the rules decide when everybody who would be asked approves."""
    engine = Engine(rules)
    policy = engine.policy_for(campaign)
    ids = () if isinstance(policy, Decision) else policy.checks
    assumed = [each for each in ids if not isinstance(rules.check_by_id[each], CelCheck)]
    answers = [dict.fromkeys(assumed, APPROVED)] * len(customers)
    return Tried(decisions=engine.decide_many(campaign, customers, answers), assumed=assumed)


def _asked(
    rules: Rules, source: str, campaign: Campaign, customers: Sequence[Customer], ask_s: float
) -> Tried:
    here = settings.load()
    if not connections.shared_redis_url(here):
        raise SettingsError(("CLEARANCE_REDIS_URL: required to heed the fleet's cool-downs",))
    logs.configure(here.log_format, here.log_level, "rules-try")
    ledger = connections.ledger(here)
    commits = GroupCommit(ledger, connections.metrics)
    judges = deciding.judges(here, commits)
    try:
        judge = judges.judge(rules, source=source)
        # Its own occasion: who is asked must not take it for the real question, nor for an earlier try.
        occasion = f"try-{new_id(utc_now())}"
        decisions = [
            judged.decision
            for start in range(0, len(customers), _PORTION)
            for judged in judge.judge(
                campaign,
                customers[start : start + _PORTION],
                ends_at=utc_now() + timedelta(seconds=ask_s),
                occasion=occasion,
            )
        ]
    finally:
        judges.close()
        commits.close()
        ledger.close()
    return Tried(decisions=decisions, assumed=())


def _row(customer: Customer, decision: Decision) -> dict[str, object]:
    return {
        "customer": customer.customer_id,
        "answer": answer_of(decision),
        "reasons": decision.reasons,
    }


def _facts(rules: Rules, customers: Sequence[Customer], tried: Tried) -> dict[str, object]:
    rows = [_row(customer, decision) for customer, decision in zip(customers, tried.decisions, strict=True)]
    return {
        "version": rules.version,
        "policy": tried.decisions[0].policy or None,
        "assumed_to_approve": list(tried.assumed),
        "customers": rows,
        "answers": dict(Counter(map(answer_of, tried.decisions))),
        "reasons": dict(_reasons(tried).most_common()),
    }


def _reasons(tried: Tried) -> Counter[str]:
    return Counter(reason for decision in tried.decisions for reason in decision.reasons)


def _tell_counts(tried: Tried) -> None:
    counts = Counter(map(answer_of, tried.decisions))
    by_policy = tried.decisions[0].policy
    click.echo(
        f"\n{counts['approved']} approved, {counts['rejected']} rejected,"
        f" {f'by policy {by_policy}' if by_policy else 'by no policy'}"
    )
    reasons = _reasons(tried).most_common()
    if reasons:
        click.echo()
        show_all(
            ("customers", "reason"),
            [{"customers": count, "reason": reason} for reason, count in reasons],
            False,
        )
    if tried.assumed:
        click.echo(f"\nassumed to approve: {', '.join(tried.assumed)} (nobody was asked; --ask asks)")
