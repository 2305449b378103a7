"""`clearance doctor`: each trouble is found by name, says what to do, and has a runbook; nothing secret is printed."""

import ast
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from clearance.errors import BrokerUnavailable, LedgerUnavailable
from clearance.ledger import heartbeats, lane_pauses, rule_sets
from clearance.ledger.engine import Ledger
from clearance.ledger.heartbeats import GUARDIAN, Heard
from clearance.ledger.lane_pauses import LanePause
from clearance.ledger.rule_sets import InForce
from clearance.obligations import Lane, Missed, MissedReason, Parked
from config.setting_choices import OptilyzAuth
from config.settings import Settings
from tests.fakes.clock import ManualClock
from tests.fakes.ledgers import new_ledger
from tests.fakes.owed import accept, claimed, finish, notification, obligation, owe
from tests.fakes.peer import Peer, hang, reply
from tests.unit.workers.letters import Mail, people
from workers import wiring
from workers.cli import main
from workers.commands import doctor as command
from workers.doctor import clocks, lanes, parts, vendors, work
from workers.doctor.examination import examine
from workers.doctor.findings import Finding, Level, Runbook, fail, ok, warn
from workers.doctor.means import Means

ROOT = Path(__file__).resolve().parents[3]
LANES = [lane.value for lane in Lane]
Look = Callable[[Means], Iterable[Finding]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = new_ledger(tmp_path)
    yield made
    made.close()


@pytest.fixture
def means(ledger: Ledger, tmp_path: Path, clock: ManualClock) -> Means:
    settings = Settings(ledger_url=f"sqlite:///{tmp_path / 'ledger.db'}", broker_url="memory://")
    return Means(
        settings=settings,
        ledger=ledger,
        app=wiring.celery_app(settings),
        clock=clock,
        timeout_s=5.0,
        asks_vendors=True,
    )


def found(look: Look, means: Means) -> dict[str, Finding]:
    return {each.check: each for each in look(means)}


def only(look: Look, means: Means) -> Finding:
    (finding,) = look(means)
    return finding


def hear(ledger: Ledger, clock: ManualClock, *lanes: str, took_s: float = 0, process: str = "w@host") -> None:
    with ledger.write() as connection:
        for lane in lanes:
            sent_at = clock() - timedelta(seconds=took_s)
            heard = Heard(lane=lane, process=process, sent_at=sent_at, received_at=clock())
            heartbeats.note(connection, heard)


# Lanes and guardians


def test_a_lane_is_worked_on_while_its_last_heartbeat_is_young(
    means: Means, ledger: Ledger, clock: ManualClock
) -> None:
    hear(ledger, clock, GUARDIAN, *LANES)
    clock.advance(31)
    assert {each.level for each in lanes.look_at_lanes(means)} == {Level.OK}

    clock.advance(2)
    hear(ledger, clock, GUARDIAN, "review")
    silent = found(lanes.look_at_lanes, means)

    assert (silent["lane review"].level, silent["lane triggered"].level) == (Level.OK, Level.WARN)
    means = replace(
        means, settings=replace(means.settings, optimove_base_url="http://o", optimove_api_key="k")
    )
    dead = found(lanes.look_at_lanes, means)["lane triggered"]
    assert (dead.level, dead.runbook) == (Level.FAIL, Runbook.WORKERS_UP_NOTHING_MOVES)
    assert "last heard 33.0 s ago" in dead.told


def test_a_lane_that_nobody_ever_answered_on_is_a_failure_only_where_its_vendor_is_set(
    means: Means, ledger: Ledger, clock: ManualClock
) -> None:
    hear(ledger, clock, GUARDIAN)
    means = replace(means, settings=replace(means.settings, optimove_listener_token="token"))
    here = found(lanes.look_at_lanes, means)

    assert here["lane review"].level is Level.FAIL
    assert here["lane track"].level is Level.WARN
    assert "CLEARANCE_BLOOMREACH_API_SECRET" in here["lane track"].told


def test_a_lane_that_nobody_ever_answered_on_is_no_failure_where_no_work_for_it_is_let_in(
    means: Means, ledger: Ledger, clock: ManualClock
) -> None:
    hear(ledger, clock, GUARDIAN)
    review = found(lanes.look_at_lanes, means)["lane review"]

    assert review.level is Level.WARN
    assert "CLEARANCE_OPTIMOVE_LISTENER_TOKEN" in review.told


def test_nobody_blames_lanes_while_no_guardian_asks_or_the_broker_is_away(
    means: Means, ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {each.level for each in lanes.look_at_lanes(means)} == {Level.WARN}
    assert only(lanes.look_at_guardian, means).level is Level.FAIL

    hear(ledger, clock, GUARDIAN)
    monkeypatch.setattr(lanes, "depths_if_known", lambda _: None)
    assert {each.told for each in lanes.look_at_lanes(means)} == {"not known while the broker is away"}
    assert only(lanes.look_at_guardian, means).level is Level.OK

    clock.advance(60)
    assert "last heard 1 min 0 s ago" in only(lanes.look_at_guardian, means).told


# Rules


def in_force(clock: ManualClock, process: str, version: str = "v1", problem: str | None = None) -> InForce:
    now = clock()
    return InForce(
        process=process, lane="triggered", version=version, loaded_at=now, seen_at=now, problem=problem
    )


def test_rules_that_differ_or_were_refused_are_found_and_processes_that_are_gone_do_not_count(
    means: Means, ledger: Ledger, clock: ManualClock
) -> None:
    def report(*items: InForce) -> Finding:
        with ledger.write() as connection:
            rule_sets.report_many(connection, items)
        return only(lanes.look_at_rules_in_force, means)

    assert report(in_force(clock, "gone@h:1", "old", "line 3")).level is Level.FAIL
    clock.advance(31)
    assert report(in_force(clock, "a@h:1")).level is Level.OK
    assert report(in_force(clock, "b@h:1", "v2")).level is Level.WARN

    refused = report(in_force(clock, "c@h:1", problem="refused: Anna's secret line"))
    assert (refused.level, refused.runbook) == (Level.FAIL, Runbook.RULES_REFUSED)
    assert "1 of 3" in refused.told
    assert "c@h:1" in refused.told
    assert "Anna" not in refused.told


def test_a_rules_file_with_mistakes_is_found(means: Means, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[[polcy]]\n")
    broken = replace(means, settings=replace(means.settings, rules_path=str(path)))

    finding = only(lanes.look_at_rules_file, broken)

    assert (finding.level, finding.runbook) == (Level.FAIL, Runbook.RULES_REFUSED)
    path.write_bytes((ROOT / "tests" / "system" / "rules.toml").read_bytes())
    assert only(lanes.look_at_rules_file, broken).level is Level.OK


# Work


def test_what_is_overdue_is_a_failure_and_what_was_missed_in_the_last_hour_a_warning(
    means: Means, ledger: Ledger, clock: ManualClock
) -> None:
    owe(ledger, obligation("a"), obligation("b"))
    assert only(work.look_at_deadlines, means).level is Level.OK
    clock.advance(5 + 16)

    overdue = only(work.look_at_deadlines, means)
    assert (overdue.check, overdue.level) == ("deadlines triggered", Level.FAIL)
    assert overdue.runbook is Runbook.APPROVALS_LATE
    assert "2 overdue, the oldest by 16.0 s" in overdue.told

    for name in "ab":
        missed = Missed(reason=MissedReason.RETRIES_RAN_OUT, margin_s=-1.0, error="no")
        assert finish(ledger, claimed(ledger, name, now=clock()), missed, now=clock())
    assert only(work.look_at_deadlines, means).told == "2 missed in the last hour"
    assert only(work.look_at_deadlines, means).level is Level.WARN
    clock.advance(3600)
    assert only(work.look_at_deadlines, means).level is Level.OK


def test_paused_lanes_parked_obligations_and_held_letters_each_have_a_line(
    means: Means, ledger: Ledger, clock: ManualClock
) -> None:
    assert only(work.look_at_what_waits, means).level is Level.OK
    owe(ledger, obligation("a"))
    assert finish(ledger, claimed(ledger, "a"), Parked(reason="BUG", error="Anna Smith"))
    mail = Mail(ledger, clock)
    mail.take(*people("Anna", "Ben", "Cleo"))
    mail.held()
    with ledger.write() as connection:
        for lane, who in ((Lane.SUBMIT, "ada"), (Lane.TRACK, "worker")):
            pause = LanePause(lane=lane, paused_at=clock(), paused_by=who, reason="call Anna Smith")
            lane_pauses.pause(connection, pause)
    clock.advance(60)

    here = found(work.look_at_what_waits, means)

    assert {name: (each.level, each.runbook) for name, each in here.items()} == {
        "lane submit paused": (Level.WARN, Runbook.LANE_PAUSED),
        # Paused by itself: nobody meant it, and nothing moves before somebody has mended the key.
        "lane track paused": (Level.FAIL, Runbook.VENDOR_401),
        "parked triggered": (Level.WARN, Runbook.APPROVALS_LATE),
        "mail held": (Level.WARN, Runbook.MAIL_HELD),
    }
    assert "by ada" in here["lane submit paused"].told
    assert "3 letters in 1 batches" in here["mail held"].told
    assert "Anna" not in str(here)


# Ledger and broker


def test_a_ledger_that_is_not_there_is_not_made_and_one_that_is_old_or_new_is_told_apart(
    means: Means, ledger: Ledger, tmp_path: Path
) -> None:
    def at(revision: str) -> Finding:
        with ledger.write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (revision,))
        return only(parts.look_at_ledger, means)

    assert only(parts.look_at_ledger, means).level is Level.OK
    old, newer = at("0001"), at("9999")
    assert (old.level, old.runbook) == (Level.FAIL, Runbook.LEDGER_DOWN)
    assert "clearance db upgrade" in old.do
    assert newer.level is Level.WARN

    (tmp_path / "ledger.db").unlink()
    gone = only(parts.look_at_ledger, means)
    assert (gone.level, gone.runbook) == (Level.FAIL, Runbook.LEDGER_DOWN)
    assert not (tmp_path / "ledger.db").exists()


class InfoOnly:
    """A Redis that is asked for nothing else."""

    def __init__(self, **info: object) -> None:
        self._info = {"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory_policy": "noeviction"} | info

    def info(self) -> dict[str, object]:
        return self._info


@pytest.mark.parametrize(
    ("info", "level", "told"),
    [
        ({}, Level.OK, "Redis 7.2.4, appendonly, noeviction"),
        ({"valkey_version": "9.1.0"}, Level.OK, "Valkey 9.1.0"),
        ({"redis_version": "6.2.7"}, Level.FAIL, "too old"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 1 << 30}, Level.FAIL, "evicts keys"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}, Level.WARN, "evicts keys"),
        ({"aof_enabled": 0}, Level.WARN, "does not write every message"),
        ({"aof_last_write_status": "err"}, Level.WARN, "could not write"),
    ],
)
def test_a_redis_is_judged_by_what_it_says_of_itself(
    info: dict[str, object], level: Level, told: str
) -> None:
    redis: Any = InfoOnly(**info)

    finding = parts.redis_finding("broker", redis)

    assert (finding.level, told in finding.told) == (level, True)


# Clocks


def test_workers_whose_clock_is_wrong_are_found(means: Means, ledger: Ledger, clock: ManualClock) -> None:
    assert list(clocks.look_at_workers_clocks(means)) == []
    hear(ledger, clock, "triggered")
    assert only(clocks.look_at_workers_clocks, means).level is Level.OK

    hear(ledger, clock, "review", took_s=-2)
    behind = only(clocks.look_at_workers_clocks, means)
    assert (behind.level, behind.runbook) == (Level.FAIL, Runbook.CLOCKS_APART)
    assert "behind the guardian's: 1" in behind.told
    clock.advance(-2)
    assert "ahead of this host: 2" in only(clocks.look_at_workers_clocks, means).told
    clock.advance(3_600 + 5)
    assert list(clocks.look_at_workers_clocks(means)) == []


def test_optimoves_clock_is_measured_by_what_it_signed(
    means: Means, ledger: Ledger, clock: ManualClock
) -> None:
    assert list(clocks.look_at_optimove_clock(means)) == []
    for number, travel_s in enumerate((0.4, 0.01, 3)):
        signed_at = clock() - timedelta(seconds=travel_s)
        accept(ledger, replace(notification(f"n{number}"), signed_at=signed_at))
    assert only(clocks.look_at_optimove_clock, means).told == "0.010 s behind this host's"

    accept(ledger, replace(notification("ahead"), signed_at=clock() + timedelta(seconds=1.5)))
    ahead = only(clocks.look_at_optimove_clock, means)
    assert (ahead.level, ahead.told) == (Level.FAIL, "1.500 s ahead of this host's")
    clock.advance(3601)
    assert list(clocks.look_at_optimove_clock(means)) == []


# Vendors


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.stop()


def vendor_settings(url: str) -> Settings:
    return Settings(
        broker_url="memory://",
        optimove_base_url=url,
        optimove_api_key="secret-key",
        optilyz_base_url=f"{url}/api",
        optilyz_api_key="secret-key",
        bloomreach_base_url=url,
        bloomreach_project_token="project",
        bloomreach_api_key_id="id",
        bloomreach_api_secret="secret-key",
    )


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("status", "judged"),
    [
        (200, (Level.OK, None)),
        (401, (Level.FAIL, Runbook.VENDOR_401)),
        (403, (Level.FAIL, Runbook.VENDOR_401)),
        (404, (Level.WARN, None)),
        (429, (Level.WARN, Runbook.VENDOR_FAILING)),
        (503, (Level.FAIL, Runbook.VENDOR_FAILING)),
    ],
)
@pytest.mark.parametrize(
    "asked",
    [
        (vendors.look_at_optimove, "/conditional-execution/v2/triggered/webhooks/"),
        (vendors.look_at_optilyz, "/api/v2/automations"),
        (vendors.look_at_bloomreach, "/track/v2/projects/project/system/time"),
    ],
)
def test_a_vendor_is_asked_for_something_harmless_and_judged_by_the_status(
    means: Means, peer: Peer, asked: tuple[Look, str], status: int, judged: tuple[Level, Runbook | None]
) -> None:
    look, path = asked
    peer.answers(reply(status, b'{"name": "Anna"}'))

    finding = next(iter(look(replace(means, settings=vendor_settings(peer.url)))))

    assert (finding.level, finding.runbook) == judged
    (request,) = peer.requests
    assert (request.method, request.path) == ("GET", path)
    assert "secret-key" not in str(finding)
    assert "Anna" not in str(finding)


@pytest.mark.loopback
def test_with_token_auth_optilyz_is_asked_for_a_token(means: Means, peer: Peer) -> None:
    peer.answers(reply(200, b'{"token": "t"}'))
    settings = replace(vendor_settings(peer.url), optilyz_auth=OptilyzAuth.TOKEN)

    assert only(vendors.look_at_optilyz, replace(means, settings=settings)).level is Level.OK

    (request,) = peer.requests
    assert (request.path, json.loads(request.body)) == ("/api/v1/authenticate", {"key": "secret-key"})


@pytest.mark.loopback
def test_a_vendor_that_hangs_or_cannot_be_asked_is_told_and_without_calls_none_is_made(
    means: Means, peer: Peer
) -> None:
    settings = vendor_settings(peer.url)
    offline = replace(means, settings=settings, asks_vendors=False)
    assert only(vendors.look_at_bloomreach, offline).level is Level.OK
    assert peer.requests == []

    peer.answers(hang)
    hasty = replace(means, settings=settings, timeout_s=0.1)
    finding = only(vendors.look_at_bloomreach, hasty)
    assert (finding.level, finding.runbook) == (Level.FAIL, Runbook.VENDOR_FAILING)

    bad = replace(means, settings=replace(settings, bloomreach_base_url="http://user:pass@host"))
    assert only(vendors.look_at_bloomreach, bad).level is Level.FAIL
    assert "pass@" not in str(only(vendors.look_at_bloomreach, bad))
    assert list(vendors.look_at_optilyz(means)) == []


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("ahead_s", "level"), [(0, Level.OK), (1, Level.OK), (3, Level.FAIL), (-4, Level.FAIL)]
)
def test_the_date_of_optimoves_answer_is_believed_to_a_second(
    means: Means, peer: Peer, clock: ManualClock, ahead_s: float, level: Level
) -> None:
    date = format_datetime(clock() + timedelta(seconds=ahead_s), usegmt=True)
    peer.answers(reply(200, b"[]", {"Date": date}))

    here = found(vendors.look_at_optimove, replace(means, settings=vendor_settings(peer.url)))

    assert here["clock optimove api"].level is level


# All at once


def test_a_check_that_hangs_fails_and_keeps_nobody_waiting() -> None:
    never = threading.Event()

    def hangs() -> Iterable[Finding]:
        never.wait(60)
        return []

    findings = examine(
        {
            "first": lambda: [ok("first", "fine")],
            "hangs": hangs,
            "silent": list,
            "last": lambda: [ok("last", "")],
        },
        timeout_s=0.3,
    )

    never.set()
    assert [(each.check, each.level) for each in findings] == [
        ("first", Level.OK),
        ("hangs", Level.FAIL),
        ("last", Level.OK),
    ]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (LedgerUnavailable("ledger: gone"), Level.WARN),
        (BrokerUnavailable("broker: gone"), Level.WARN),
        (ValueError("Anna's address"), Level.FAIL),
    ],
)
def test_a_check_that_cannot_look_says_so_without_the_words_of_the_error(
    error: Exception, level: Level
) -> None:
    def broken() -> Iterable[Finding]:
        raise error

    (finding,) = examine({"broken": broken}, timeout_s=5)

    assert finding.level is level
    assert "Anna" not in finding.told


# The command


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["doctor", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def saying(monkeypatch: pytest.MonkeyPatch, *looks: list[Finding]) -> list[float]:
    """Each look finds the next of these; the pauses between them."""
    left, pauses = list(looks), []
    now = [0.0]

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(command, "examine", lambda *_, **__: left.pop(0) if len(left) > 1 else left[0])
    monkeypatch.setattr(command, "sleep", pause)
    monkeypatch.setattr(command, "monotonic", lambda: now[0])
    return pauses


BROKEN = fail("broker", "does not answer", "start it", Runbook.BROKER_GONE)
UNEASY = warn("lane mail", "not set")


@pytest.mark.parametrize(
    ("findings", "options", "exit_code"),
    [
        ([ok("ledger", "there")], ("--strict",), 0),
        ([UNEASY], (), 0),
        ([UNEASY], ("--strict",), 1),
        ([UNEASY, BROKEN], (), 1),
    ],
)
def test_the_exit_code_is_for_scripts(
    monkeypatch: pytest.MonkeyPatch, findings: list[Finding], options: tuple[str, ...], exit_code: int
) -> None:
    saying(monkeypatch, findings)

    assert run(*options).exit_code == exit_code
    assert run("--json", *options).exit_code == exit_code


def test_each_finding_is_one_line_with_what_to_do_and_the_runbook(monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, [BROKEN])

    lines = run().stdout.splitlines()

    assert re.split(" {2,}", lines[1]) == [
        "fail",
        "broker",
        "does not answer; start it (docs/runbooks/broker-gone.md)",
    ]
    assert lines[-1] == "1 failed, 0 to know of, 1 ok"
    told = json.loads(run("--json").stdout)
    assert (told["failed"], told["checks"][1]["runbook"]) == (1, "docs/runbooks/broker-gone.md")


def test_it_looks_again_until_nothing_fails_or_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = saying(monkeypatch, [BROKEN], [BROKEN], [UNEASY])
    assert run("--wait-s", "10").exit_code == 0
    assert len(pauses) == 2

    pauses = saying(monkeypatch, [BROKEN])
    assert run("--wait-s", "3").exit_code == 1
    assert len(pauses) == 3


def test_settings_that_cannot_be_used_are_all_told_and_exit_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARANCE_INGEST_PORT", "secret-port")
    monkeypatch.setenv("CLEARANCE_BROKER_URL", "http://user:secret@host")

    result = run()

    assert result.exit_code == 2
    assert "CLEARANCE_INGEST_PORT" in result.stdout
    assert "CLEARANCE_BROKER_URL" in result.stdout
    assert "secret" not in result.stdout
    assert json.loads(run("--json").stdout)["failed"] == 2


def test_a_misspelt_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, [])
    monkeypatch.setenv("CLEARANCE_LEDGER_UR", "x")

    (finding,) = json.loads(run("--json").stdout)["checks"]

    assert (finding["check"], finding["level"]) == ("settings", "warn")
    assert "CLEARANCE_LEDGER_UR" in finding["told"]


def test_every_runbook_that_is_named_is_there() -> None:
    assert {page.page for page in Runbook if not (ROOT / page.page).is_file()} == set()


def test_every_command_that_is_advised_is_there() -> None:
    advised = set()
    for path in sorted((ROOT / "workers" / "doctor").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                advised |= set(re.findall(r"`clearance ([a-z ]+[a-z])", node.value))

    assert len(advised) > 8
    assert {words for words in advised if not _is_command(words.split())} == set()


def _is_command(words: list[str]) -> bool:
    here: click.Command | None = main
    for word in words:
        if not isinstance(here, click.Group):
            return True  # an argument
        here = here.get_command(click.Context(here), word)
    return here is not None
