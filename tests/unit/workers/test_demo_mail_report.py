"""A demo's letters are judged by what three sides know: the relay's answers, the vendors and the ledger."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.workers.demo_letters import (
    BLOOMREACH,
    CUT,
    GOOD_MAIL,
    GOOD_MAIL_LEDGER,
    KILLED,
    OPTILYZ,
    REFUSED,
)
from workers.demo.letters import AUTOMATIONS, RECIPIENTS, customer_id, is_invalid, is_undeliverable, requests
from workers.demo.mail import PlayedMail
from workers.demo.mail_ledger import MailFacts
from workers.demo.mail_report import judge_mail, mail_figures


def _broken(played: PlayedMail, ledger: MailFacts) -> list[str]:
    return [promise.name for promise in judge_mail(played, ledger) if not promise.held]


def _mail(**changed: Any) -> tuple[PlayedMail, MailFacts]:
    return replace(GOOD_MAIL, **changed), GOOD_MAIL_LEDGER


def _ledger(**changed: Any) -> tuple[PlayedMail, MailFacts]:
    return GOOD_MAIL, replace(GOOD_MAIL_LEDGER, **changed)


def _states(**counts: int) -> tuple[PlayedMail, MailFacts]:
    return _ledger(by_state=GOOD_MAIL_LEDGER.by_state | counts)


def test_when_everything_went_well_every_promise_held() -> None:
    assert _broken(GOOD_MAIL, GOOD_MAIL_LEDGER) == []


def test_what_a_killed_worker_had_in_hand_may_be_held_though_its_answer_was_whole() -> None:
    assert _broken(*_mail(cut=CUT.customers)) == []


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (_mail(answered=GOOD_MAIL.answered | {"queued": 1019}), "the relay took"),
        (_mail(answered=GOOD_MAIL.answered | {"duplicate": 96}), "the relay took"),
        (_mail(answered=GOOD_MAIL.answered | {"refused": 34}), "the relay took"),
        (_mail(unanswered=1), "the relay took"),
        (_states(queued=1), "every recipient"),
        (_ledger(unexplained=1), "every recipient"),
        (_ledger(by_state={}), "every recipient"),
        (_mail(optilyz=OPTILYZ | {"printed_twice": 1}), "no letter"),
        (_mail(optilyz=OPTILYZ | {"printed": 0}), "no letter"),
        (_mail(optilyz=OPTILYZ | {"most_in_flight": 3}), "never a third"),
        (_mail(optilyz=OPTILYZ | {"most_in_flight": 0}), "never a third"),
        (_mail(cut=GOOD_MAIL.cut | {customer_id(1049)}), "held are those"),
        (_mail(cut=KILLED.customers), "held are those"),
        (_ledger(held=(CUT,)), "held are those"),
        (_mail(flagged=REFUSED - {min(REFUSED)}), "Bloomreach heard"),
        (_mail(flagged=REFUSED | {customer_id(1)}), "Bloomreach heard"),
        (_ledger(refused_addresses=REFUSED - {min(REFUSED)}), "Bloomreach heard"),
        (_mail(bloomreach=BLOOMREACH | {"campaign_events_by_status": {}}), "Bloomreach heard"),
        (_states(posted=1), "Bloomreach heard"),
    ],
)
def test_a_fact_that_breaks_a_promise_is_seen(facts: tuple[PlayedMail, MailFacts], name: str) -> None:
    broken = _broken(*facts)

    assert any(found.startswith(name) for found in broken), broken


def test_the_figures_name_what_is_held_and_nobody() -> None:
    figures = mail_figures(GOOD_MAIL, GOOD_MAIL_LEDGER)

    assert figures["held_for_a_person"] == {"b1 WORKER_LOST": 100, "b2 MAY_HAVE_ARRIVED": 100}
    assert figures["acknowledge_ms_for_100"] == {"p50": 31.0, "max": 80.0}
    assert "@" not in str(figures)


def test_the_letters_are_1050_on_two_automations_some_single_one_request_twice() -> None:
    sent = list(requests())
    times = Counter(number for letters in sent for number in letters.numbers)

    assert sorted(times) == list(range(RECIPIENTS))
    assert {letters.automation_id for letters in sent} == set(AUTOMATIONS)
    assert sum(letters.is_single for letters in sent) == 50
    assert sum(times.values()) == RECIPIENTS + 100
    assert sum(map(is_invalid, times)) == 30
    assert sum(map(is_undeliverable, times)) == 40
    for letters in sent:
        body = letters.body()
        addresses = [body] if letters.is_single else body["addresses"]
        for number, wrapped in zip(letters.numbers, addresses, strict=True):
            assert wrapped["address"]["zipCode"].startswith("00") is is_undeliverable(number)
