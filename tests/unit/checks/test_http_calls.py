"""How long a check keeps asking: pauses, cool-downs, the breaker, and the end of the time, by a clock of the test's."""

from collections import deque
from collections.abc import Callable, Mapping

import pytest
from structlog.typing import EventDict

from clearance.checks.breaker import Breaker
from clearance.decisions.decision import APPROVED, Verdict
from clearance.decisions.rules import HttpCheck, Otherwise
from clearance.errors import VendorRefused, VendorThrottled, VendorUnavailable
from clearance.http.exchange import Reply, ReplyTooLong
from tests.fakes.clock import ManualClock
from tests.unit.checks.asking import CHECK, FAILED, FAILED_AND_APPROVED, Asking, customers, results

YES = Reply(status=200, body=results({"customer_id": "C1", "approved": True}), latency_s=0.01)
DOWN = VendorUnavailable("c", "503 from the vendor", status=503)
SILENT = VendorUnavailable("c", "no answer in time")


class FakeExchange:
    """Gives `answers` in turn, then YES; each takes as long as `takes_s` says, though never longer than its timeout."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.answers: deque[object] = deque()
        self.takes_s = 0.0
        self.timeouts_s: list[float] = []

    def exchange(
        self, method: str, path: str, body: bytes | None, *, timeout_s: float, headers: Mapping[str, str]
    ) -> Reply:
        self.timeouts_s.append(timeout_s)
        self._clock.advance(self.takes_s)
        answer = self.answers.popleft() if self.answers else YES
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Reply)
        return answer


@pytest.fixture
def asking(clock: ManualClock) -> Asking:
    return Asking(clock)


@pytest.fixture
def http(clock: ManualClock) -> FakeExchange:
    return FakeExchange(clock)


@pytest.fixture
def ask(asking: Asking, http: FakeExchange) -> Callable[..., Verdict]:
    """What the check says of one customer, with so many seconds left."""

    def ask(left_s: float = 10.0) -> Verdict:
        (verdict,) = asking.check(CHECK, http).ask(asking.question(customers("C1"), left_s=left_s))
        return verdict

    return ask


Ask = Callable[..., Verdict]


def test_a_call_may_take_what_the_check_says_or_what_is_left(ask: Ask, http: FakeExchange) -> None:
    ask(left_s=10.0)
    ask(left_s=1.5)
    assert http.timeouts_s == [2.0, 1.5]


def test_pauses_double_up_to_a_limit_and_half_of_each_is_chance(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    asking.breaker = Breaker(failures=100, rest_s=10, time=asking.seconds)
    http.answers.extend([DOWN] * 8)
    assert ask(left_s=60.0) == APPROVED
    assert asking.paused_s == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    asking.jitter = 0.0
    http.answers.extend([DOWN] * 3)
    ask()
    assert asking.paused_s[8:] == [0.025, 0.05, 0.1]


def test_near_the_end_pauses_grow_shorter_and_nobody_waits_beyond_it(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    asking.breaker = Breaker(failures=100, rest_s=10, time=asking.seconds)
    http.answers.extend([DOWN] * 50)
    before = asking.clock()
    assert ask(left_s=1.0) == FAILED
    assert (asking.clock() - before).total_seconds() < 1.0
    assert len(http.timeouts_s) > 6
    assert sum(asking.paused_s) > 0.9
    assert asking.failures("server_error") == 1


def test_a_5xx_that_asks_for_a_pause_gets_it_if_there_is_time(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    asked = VendorUnavailable("c", "503 from the vendor", status=503)
    asked.retry_after_s = 4.0
    http.answers.extend([asked])
    assert ask(left_s=5.0) == APPROVED
    assert asking.paused_s == [4.0]
    http.answers.extend([asked])
    assert ask(left_s=4.0) == FAILED
    assert asking.paused_s == [4.0]
    assert asking.cooldown.started == []


def test_without_time_nobody_is_asked(ask: Ask, asking: Asking, http: FakeExchange) -> None:
    assert ask(left_s=0.0) == FAILED
    assert ask(left_s=-5.0) == FAILED
    assert http.timeouts_s == []
    assert asking.failures("no_time") == 2


def test_an_answer_after_the_end_is_none(ask: Ask, asking: Asking, http: FakeExchange) -> None:
    http.takes_s = 1.1
    assert ask(left_s=1.0) == FAILED
    assert asking.failures("late") == 1
    assert asking.calls("failed") == 1


def test_an_answer_at_the_end_counts(ask: Ask, http: FakeExchange) -> None:
    http.takes_s = 1.0
    assert ask(left_s=1.0) == APPROVED


def test_a_cool_down_of_anybodys_is_waited_for_before_the_call(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    asking.cooldown.start(3.0)
    assert ask(left_s=5.0) == APPROVED
    assert asking.paused_s == [pytest.approx(3.05)]
    assert len(http.timeouts_s) == 1


def test_a_cool_down_that_ends_too_late_fails_at_once_without_a_call(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    asking.cooldown.start(5.0)
    assert ask(left_s=5.0) == FAILED
    assert (asking.paused_s, http.timeouts_s) == ([], [])
    assert asking.failures("throttled") == 1


def test_a_429_that_says_no_time_cools_down_all_the_same_and_longer_each_time(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    http.answers.extend(VendorThrottled("c") for _ in range(6))
    assert ask() == APPROVED
    assert asking.cooldown.started == [0.5, 0.5, 0.5, 0.5, 0.8, 1.6]


def test_a_429_that_wants_no_pause_is_not_hammered(ask: Ask, asking: Asking, http: FakeExchange) -> None:
    http.answers.extend(VendorThrottled("c", retry_after_s=0.0) for _ in range(3))
    assert ask() == APPROVED
    assert asking.cooldown.started == [0.05, 0.1, 0.2]


def test_a_429_that_wants_more_than_there_is_fails_and_the_fleet_still_hears_of_it(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    http.answers.append(VendorThrottled("c", retry_after_s=30.0))
    assert ask() == FAILED
    assert asking.cooldown.started == [30.0]
    assert asking.failures("throttled") == 1


def test_the_breaker_opens_in_the_middle_of_a_question_and_ends_it(
    ask: Ask, asking: Asking, http: FakeExchange, log_events: list[EventDict]
) -> None:
    http.answers.extend([DOWN] * 9)
    assert ask() == FAILED
    assert len(http.timeouts_s) == 3
    assert asking.failures("server_error") == 1
    assert asking.metrics.counted("check_breaker_opened_total", check=CHECK.id) == 1
    assert [event["event"] for event in log_events] == ["check.breaker_opened", "check.failed"]


def test_while_the_breaker_is_open_every_question_fails_at_once_and_quietly(
    ask: Ask, asking: Asking, http: FakeExchange, log_events: list[EventDict]
) -> None:
    http.answers.extend([DOWN] * 3)
    ask()
    del log_events[:], asking.paused_s[:]
    assert [ask(), ask()] == [FAILED, FAILED]
    assert len(http.timeouts_s) == 3
    assert asking.paused_s == log_events == []
    assert asking.failures("breaker_open") == 2


def test_after_the_rest_a_question_is_the_probe_and_closes_the_breaker(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    http.answers.extend([DOWN] * 3)
    ask()
    asking.clock.advance(10)
    assert [ask(), ask()] == [APPROVED, APPROVED]


@pytest.mark.parametrize(
    "answer",
    [
        VendorThrottled("c", retry_after_s=30.0),
        ReplyTooLong("c", "too long a reply"),
        VendorRefused("c", 404),
        Reply(status=200, body=b"<", latency_s=0),
    ],
    ids=["429", "too long", "404", "html"],
)
def test_who_answers_anything_is_there_to_the_breaker(
    ask: Ask, asking: Asking, http: FakeExchange, answer: object
) -> None:
    http.answers.extend([DOWN, DOWN, answer])
    ask()
    assert asking.breaker.admits()
    assert [asking.breaker.failed(), asking.breaker.failed()] == [False, False]


def test_silence_opens_the_breaker_unless_there_was_hardly_time_to_answer(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    for _ in range(5):
        http.answers.append(SILENT)
        ask(left_s=0.04)
    assert asking.breaker.admits()
    http.answers.extend([SILENT] * 3)
    ask(left_s=5.0)
    assert not asking.breaker.admits()


def test_a_5xx_opens_the_breaker_however_little_time_there_was(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    for _ in range(3):
        http.answers.append(DOWN)
        ask(left_s=0.04)
    assert not asking.breaker.admits()


def test_when_a_pause_outlasts_the_time_the_last_failure_is_told(
    ask: Ask, asking: Asking, http: FakeExchange
) -> None:
    asking.overslept_s = 20.0
    http.answers.append(DOWN)
    assert ask() == FAILED
    assert asking.failures("server_error") == 1
    assert len(http.timeouts_s) == 1


def test_a_bug_in_an_exchange_fails_its_batch_only_and_is_logged_by_type(
    asking: Asking, http: FakeExchange, log_events: list[EventDict]
) -> None:
    check = HttpCheck(id=CHECK.id, reason=CHECK.reason, url=CHECK.url, batch=1)
    http.answers.append(ZeroDivisionError("canary"))
    body = results({"customer_id": "C2", "approved": True})
    http.answers.append(Reply(status=200, body=body, latency_s=0.0))
    question = asking.question(customers("C1", "C2"))
    assert asking.check(check, http).ask(question) == [FAILED, APPROVED]
    assert asking.failures("bug") == 1
    (event,) = log_events
    assert (event["event"], event["log_level"], event["exc_info"]) == (
        "check.failed_on_a_bug",
        "error",
        True,
    )


@pytest.mark.parametrize(
    ("on_error", "verdict"), [(Otherwise.REJECT, FAILED), (Otherwise.APPROVE, FAILED_AND_APPROVED)]
)
def test_whatever_breaks_nothing_is_raised_and_on_error_decides(
    asking: Asking, http: FakeExchange, on_error: Otherwise, verdict: Verdict
) -> None:
    check = HttpCheck(id=CHECK.id, reason=CHECK.reason, url=CHECK.url, batch=1, on_error=on_error)

    def broken(*_: object) -> list[object]:
        raise RuntimeError("the pool is closed")

    asked = asking.check(check, http, at_once=broken)
    assert asked.ask(asking.question(customers("C1", "C2"))) == [verdict, verdict]


def test_a_customer_who_cannot_be_written_down_fails_with_his_batch(
    asking: Asking, http: FakeExchange
) -> None:
    assert asking.check(CHECK, http).ask(asking.question(customers("C1", "\ud800"))) == [FAILED, FAILED]
    assert http.timeouts_s == []
