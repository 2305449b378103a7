"""A rules file becomes a judge, with everybody it asks, or says what is in the way."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from clearance.checks.judge import Question
from clearance.decisions.decision import APPROVED, Campaign, Customer, Verdict
from clearance.decisions.rules import RulesError, SuppressionCheck
from clearance.decisions.rules_file import load_rules
from tests.fakes.clock import ManualClock
from tests.fakes.cooldown import FakeCoolDown
from tests.fakes.metrics import RecordingMetrics
from workers.judges import Judges, Means, read_rules, unset_variables

ROOT = Path(__file__).resolve().parents[3]
FRAME = """
[attributes]
country = "string"
[[policy]]
id = "all"
applies = "true"
checks = [%s]
"""
SECRET = "Bearer canary"
HTTP = """
[[check]]
id = "%s"
reason = "NOT_ACTIVE"
[check.http]
url = "%s"
headers = { Authorization = "env:PROMO_AUTHORIZATION", Plain = "text" }
"""
PYTHON = """
[[check]]
id = "fraud"
reason = "FRAUD"
python = "no-such-check"
"""
LIST = """
[[check]]
id = "not-suppressed"
reason = "SUPPRESSED"
suppression = "customers"
"""


class _OnList:
    def __init__(self, check: SuppressionCheck) -> None:
        self.check = check

    def ask(self, question: Question) -> Sequence[Verdict]:
        on_list = Verdict(approved=False, reasons=(self.check.reason,))
        return [on_list if each.customer_id == "C2" else APPROVED for each in question.customers]


@dataclass
class Opened:
    """Judges of one process with what they asked for."""

    clock: ManualClock
    secrets: Mapping[str, str]
    destinations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.judges = Judges(
            Means(
                asks_list=_OnList,
                cooldown=self._cooldown,
                named_secret=self.secrets.get,
                breaker_failures=5,
                breaker_rest_s=5.0,
                threads=1,
                clock=self.clock,
                metrics=RecordingMetrics(),
            )
        )

    def _cooldown(self, destination: str) -> FakeCoolDown:
        self.destinations.append(destination)
        return FakeCoolDown(self.clock)

    def open(self, *checks: str) -> None:
        names = [line.split('"')[1] for check in checks for line in check.splitlines() if "id =" in line]
        text = FRAME % ", ".join(f'"{name}"' for name in names) + "".join(checks)
        self.judge = self.judges.judge(load_rules(text, source="rules.toml"), source="rules.toml")

    def problems(self, *checks: str) -> list[str]:
        with pytest.raises(RulesError) as caught:
            self.open(*checks)
        return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def opened(clock: ManualClock) -> Opened:
    secrets = {
        "PROMO_AUTHORIZATION": SECRET,
        "PROMO_URL": "https://promo.example/activate?key=canary",
        "NO_URL": "canary.example",
        "TWO_LINES": "canary\nX: y",
    }
    return Opened(clock, secrets)


def test_every_check_that_is_no_expression_is_asked(opened: Opened) -> None:
    opened.open(LIST)
    customers = [Customer(customer_id=each, attributes={}) for each in ("C1", "C2")]

    judged = opened.judge.judge(
        Campaign(lane="triggered"),
        customers,
        ends_at=opened.clock() + timedelta(seconds=1),
        occasion="n1",
    )

    assert [each.decision.approved for each in judged] == [True, False]
    assert judged[1].decision.reasons == ("SUPPRESSED",)


def test_the_checks_of_a_policy_are_asked_at_the_same_time_however_few_decisions_are_made_at_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_are_asked = threading.Barrier(4, timeout=10)
    ask = _OnList.ask

    def ask_together(self: _OnList, question: Question) -> Sequence[Verdict]:
        all_are_asked.wait()
        return ask(self, question)

    monkeypatch.setattr(_OnList, "ask", ask_together)
    opened.open(*[LIST.replace("not-suppressed", f"list-{number}") for number in range(4)])
    customer = Customer(customer_id="C1", attributes={})

    (judged,) = opened.judge.judge(
        Campaign(lane="triggered"), [customer], ends_at=opened.clock() + timedelta(seconds=1), occasion="n1"
    )

    assert judged.decision.approved


def test_a_variable_that_is_not_set_is_told_by_check_and_name(opened: Opened) -> None:
    other = HTTP.replace("PROMO_AUTHORIZATION", "PROMO_TOKEN") % ("promo", "env:PROMO_ADDRESS")

    assert opened.problems(other) == [
        "rules.toml:12: check `promo`: the variable PROMO_ADDRESS is not set",
        "rules.toml:12: check `promo`: the variable PROMO_TOKEN is not set",
    ]


def test_everything_that_is_wrong_is_told_at_once(opened: Opened) -> None:
    first = HTTP % ("first", "env:NO_SUCH")

    told = opened.problems(first, PYTHON)

    assert len(told) == 2
    assert told[0].startswith("rules.toml:12: check `first`: ")
    assert told[1] == (
        "rules.toml:19: check `fraud`: no check `no-such-check` is installed;"
        " nothing is, among the entry points `clearance.checks`"
    )


def test_what_a_variable_holds_is_never_told(opened: Opened) -> None:
    told = [
        *opened.problems(HTTP % ("promo", "env:NO_URL")),
        *opened.problems(
            HTTP.replace("PROMO_AUTHORIZATION", "TWO_LINES") % ("promo", "https://promo.example")
        ),
    ]

    assert told == [
        "rules.toml:12: check `promo`: what NO_URL or PROMO_AUTHORIZATION holds:"
        " must be http(s)://host[:port][/path][?query]",
        "rules.toml:12: check `promo`: what TWO_LINES holds: a header must be printable ASCII",
    ]


def test_checks_of_one_system_share_its_breaker_and_its_cooldown_over_every_reload(opened: Opened) -> None:
    checks = (HTTP % ("one", "env:PROMO_URL"), HTTP % ("two", "https://promo.example/other"))
    opened.open(*checks)
    breakers = dict(opened.judges._breaker_by_destination)
    opened.open(*checks, HTTP % ("three", "https://else.example/"))

    assert opened.destinations == ["https://promo.example:443", "https://else.example:443"]
    assert opened.judges._breaker_by_destination["https://promo.example:443"] is breakers.popitem()[1]


def test_connections_stay_open_over_a_reload_for_a_check_that_stays_as_it_was(opened: Opened) -> None:
    same, other = HTTP % ("same", "https://promo.example/a"), HTTP % ("other", "https://promo.example/b")
    opened.open(same, other)
    (_, before_same), (_, before_other) = opened.judges._open

    opened.open(same, other.replace("/b", "/c"))

    (check, after_same), (_, after_other) = opened.judges._open
    assert check.header_by_name == {"Authorization": SECRET, "Plain": "text"}
    assert after_same is before_same
    assert after_other is not before_other


def test_a_file_that_is_refused_leaves_the_connections_of_the_good_one_alone(opened: Opened) -> None:
    opened.open(HTTP % ("same", "https://promo.example/a"))
    before = list(opened.judges._open)
    opened.problems(HTTP % ("same", "env:NO_SUCH"))

    assert opened.judges._open == before


def test_unset_variables_are_found_without_asking_anybody() -> None:
    text = FRAME % '"promo"' + HTTP % ("promo", "env:PROMO_URL")
    rules = load_rules(text, source="rules.toml")

    assert list(unset_variables(rules, {"PROMO_URL": "x"}.get)) == [
        (rules.check_by_id["promo"], "PROMO_AUTHORIZATION")
    ]


def test_the_rules_that_ship_are_right_and_warn_of_nothing() -> None:
    rules = read_rules(str(ROOT / "config" / "rules.toml"))

    assert rules.warnings == ()
    assert rules.no_policy == "reject"
    assert rules.record_inputs is False
