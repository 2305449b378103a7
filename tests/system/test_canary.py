"""Personal data and secrets go through every lane, with vendors whose errors quote all they are sent: none comes out.

Looked through are the output of every process at its most talkative, all metrics, Flower with what it has kept, every
command that the broker was given, every answer of ingest, and the texts of errors in the ledger.
"""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import urllib3
from sqlalchemy import create_engine, select

from clearance.ledger.tables import approvals, dead_letters, obligations, rejections
from tests.system.echoing_vendor import EchoingVendor, vendor_serving
from tests.system.fleet import SECRET, Fleet, FleetPlan, running
from tests.system.groups_fleet import RULES
from tests.system.processes import free_port, until
from tests.system.signed import as_json, notification, signed
from tests.system.told import EVENTS, SEND_GROUPS, send_group

pytestmark = pytest.mark.timeout(180)

_WAIT_S = 60.0
_CUSTOMER, _GROUPED, _MAILED = "kanari-customer", "kanari-grouped", "kanari.mailed@example.com"
_SECRET_BY_SETTING = {
    "OPTIMOVE_API_KEY": "kanari-optimove-key-1",
    "OPTILYZ_API_KEY": "kanari-optilyz-key-1",
    "BLOOMREACH_API_SECRET": "kanari-bloomreach-secret",
    "BLOOMREACH_API_KEY_ID": "kanari-bloomreach-key",
    "BLOOMREACH_PROJECT_TOKEN": "kanari-project-token",
    "RELAY_API_KEYS": "kanari-relay-key-1",
    "OPTIMOVE_LISTENER_TOKEN": "kanari-listener-token",
    "OPTIMOVE_WEBHOOK_SECRETS": f"{SECRET},kanari-webhook-secret",
    "FLOWER_PASSWORD": "kanari-flower-password-7Hq2",
}
_ADDRESS = {
    "firstName": "Kanarina",
    "lastName": "Kanarimann",
    "street": "Kanariweg",
    "houseNumber": "4711",
    "zipCode": "10115",
    "city": "Kanaristadt",
    "country": "DE",
    "individualisation1": _MAILED,
    "individualisation2": "kanari-cookie",
    "individualisation3": "KANARI-VOUCHER",
}
_PERSONAL = {
    "country": "DE",
    "first_name": "Kanarina",
    "email": "kanari@example.com",
    "age": "kanari-no-number",
}


@dataclass
class _Canary:
    """The fleet, and everything that came out of ingest and went into the broker."""

    fleet: Fleet
    vendor: EchoingVendor
    flower_url: str
    answers: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def send(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> int:
        """One request to ingest; its status."""
        answer = urllib3.request(
            "POST", self.fleet.ingest_url + path, body=body, headers=headers, retries=False, timeout=10
        )
        self.answers.append(f"{path.partition('?')[0]} {answer.headers} {answer.data.decode()}")
        return answer.status

    def flower(self, path: str) -> str:
        password = _SECRET_BY_SETTING["FLOWER_PASSWORD"]
        headers = urllib3.make_headers(basic_auth=f"clearance:{password}")
        return urllib3.request("GET", self.flower_url + path, headers=headers, timeout=10).data.decode()

    def states(self) -> dict[str, set[str]]:
        """The states of what is owed, by lane."""
        found: dict[str, set[str]] = {}
        for row in self.rows(obligations):
            found.setdefault(row.lane, set()).add(row.state)
        return found

    def rows(self, table: Any) -> list[Any]:
        engine = create_engine(self.fleet.ledger_url)
        try:
            with engine.connect() as connection:
                return list(connection.execute(select(table)))
        finally:
            engine.dispose()


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Canary]:
    attributes = _PERSONAL | {"total_deposits": "kanari-deposit", "self_excluded": False}
    rows = [
        {"customer_id": f"{_GROUPED}-{number}", "promo_codes": ["KANARI-PROMO"], "attributes": attributes}
        for number in range(20)
    ]
    rows.append({"customer_id": "", "promo_codes": "KANARI-PROMO", "attributes": attributes})
    vendor = EchoingVendor(rows)
    with vendor_serving(vendor) as url:
        settings = {f"CLEARANCE_{name}": value for name, value in _SECRET_BY_SETTING.items()} | {
            "CLEARANCE_OPTIMOVE_BASE_URL": url,
            "CLEARANCE_OPTILYZ_BASE_URL": url,
            "CLEARANCE_BLOOMREACH_BASE_URL": url,
            "CLEARANCE_OPTILYZ_MAX_WAIT_S": "0.5",
            "CLEARANCE_SUBMIT_MIN_MARGIN_S": "8",
            "CLEARANCE_LOG_LEVEL": "DEBUG",
        }
        plan = FleetPlan(workers=1, guardians=1, reviewers=1, submitters=1, rules=RULES, settings=settings)
        with running(tmp_path_factory.mktemp("canary"), plan) as fleet:
            port = free_port()
            fleet.add_clearance("mail1", "worker", "mail")
            fleet.add_clearance("track1", "worker", "track")
            fleet.start_dead()
            fleet.add_clearance("flower", "flower", settings={"CLEARANCE_FLOWER_PORT": str(port)}).start()
            made = _Canary(fleet, vendor, f"http://127.0.0.1:{port}")
            until(lambda: _is_up(made.flower_url), "Flower answers", timeout_s=_WAIT_S)
            _listen_to_the_broker(made)
            _sing(made)
            yield made


def _is_up(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/healthcheck", retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _listen_to_the_broker(canary: _Canary) -> None:
    """From now on every command that it is given is kept."""

    def listen() -> None:
        try:
            with redis.Redis.from_url(canary.fleet.broker_url) as client, client.monitor() as told:
                for command in told.listen():
                    canary.commands.append(_laid_open(str(command["command"])))
        except (redis.RedisError, ValueError):
            return  # the broker is gone: the test is over

    threading.Thread(target=listen, daemon=True).start()


def _laid_open(command: str) -> str:
    """With what messages hold in base64."""
    laid = [command]
    for part in command.replace("\\", "").split('"'):
        if len(part) > 20 and part.isascii():
            try:
                laid.append(base64.b64decode(part, validate=True).decode(errors="replace"))
            except ValueError:
                continue
    return " ".join(laid)


def _sing(canary: _Canary) -> None:
    """Every lane gets its share, and everything that a sender can do wrong."""
    for number in range(6):
        payload = notification(window_ms=10_000, request_uid=f"R{number}")
        payload["user"] = {
            "user_id": f"{_CUSTOMER}-{number}",
            "is_visitor": False,
            "personalization": _PERSONAL,
        }
        body = as_json(payload)
        assert canary.send("/webhooks/optimove/triggered", body, signed(body, SECRET)) == 202
        assert canary.send("/webhooks/optimove/triggered", body, signed(body, "kanari-wrong-secret")) == 401
    wrong = as_json(
        payload | {"user": {"user_id": ["kanari-list"]}, "request_uid": {"kanari": "kanari-value"}}
    )
    assert canary.send("/webhooks/optimove/triggered", wrong, signed(wrong, SECRET)) == 422
    broken = b'{"user":{"email":"kanari@example.com"'
    assert canary.send("/webhooks/optimove/triggered", broken, signed(broken, SECRET)) == 400
    token = _SECRET_BY_SETTING["OPTIMOVE_LISTENER_TOKEN"]
    group = json.dumps(send_group(deadline_in_s=14, customers=21)).encode()
    assert canary.send(f"{SEND_GROUPS}?token={token}", group) == 202
    assert canary.send(f"{SEND_GROUPS}?token=kanari-wrong-token", group) == 401
    assert canary.send(f"{EVENTS}?token={token}", b'{"EventTypeID": 5, "CampaignID": "kanari-id"}') in (
        409,
        422,
    )
    key = urllib3.make_headers(basic_auth=f"{_SECRET_BY_SETTING['RELAY_API_KEYS']}: ")
    letters = [{"address": _ADDRESS | {"lastName": f"Kanarimann{number}"}} for number in range(3)]
    letters.append({"address": {"lastName": "Kanarimann", "city": ["kanari-city"]}})
    many = json.dumps({"addresses": letters}).encode()
    relay = "/api/v2/automations/5fc6ca6a89b5e200e0de42e0/recipients"
    assert canary.send(relay, many, key) == 200
    assert canary.send(relay, many[:-20], key) == 200
    assert canary.send(relay, many, urllib3.make_headers(basic_auth="kanari-wrong-key: ")) == 401
    mailing = {
        "automation_id": "5fc6ca6a89b5e200e0de42e0",
        "mailing": {"id": "m1", "name": "Cart", "state": "live"},
        "recipients": [{"id": "x1"} | _ADDRESS],
    }
    assert canary.send("/webhooks/optilyz/mailings", json.dumps(mailing).encode(), key) == 202
    until(lambda: _is_over(canary), "every lane has ended its work", timeout_s=_WAIT_S, every_s=0.2)


def _is_over(canary: _Canary) -> bool:
    states = canary.states()
    lanes = {"triggered", "review", "submit", "mail", "track"}
    is_still = set().union(*states.values()).isdisjoint({"open", "running"})
    return set(states) >= lanes and is_still and "letter-4" in repr(canary.rows(_letters()))


def _letters() -> Any:
    from clearance.ledger.mail_tables import mail_recipients

    return mail_recipients


def _sung(text: str) -> list[str]:
    """Where a canary is, with what stands around it."""
    lower = text.lower()
    found, at = [], lower.find("kanari")
    while at >= 0 and len(found) < 5:
        found.append(text[max(0, at - 100) : at + 60])
        at = lower.find("kanari", at + 60)
    return found


def test_every_lane_has_carried_what_must_not_be_seen(canary: _Canary) -> None:
    """Otherwise the others would find nothing for want of something to find."""
    paths = " ".join(canary.vendor.calls)

    for part in ("triggered/approval", "/customers", "/approvals", "/recipients", "/track/"):
        assert part in paths, canary.vendor.calls
    assert len(canary.commands) > 100
    assert "clearance.triggered" in " ".join(canary.commands)


def test_no_process_writes_it(canary: _Canary) -> None:
    written = {name: _sung(child.all_output()) for name, child in canary.fleet.children.items()}

    assert {name: found for name, found in written.items() if found} == {}
    assert "request.refused" in canary.fleet["ingest"].all_output()


def test_no_metric_names_it(canary: _Canary) -> None:
    for name in canary.fleet.children:
        if name not in ("broker", "sandbox", "flower"):
            shown = urllib3.request("GET", canary.fleet.metrics_url(name), timeout=10).data.decode()
            assert "clearance_" in shown, name
            assert _sung(shown) == [], name


def test_flower_does_not_know_it(canary: _Canary) -> None:
    tasks = canary.flower("/api/tasks")
    shown = [tasks, canary.flower("/api/workers"), canary.flower("/metrics"), canary.flower("/tasks")]
    shown += [canary.flower(f"/task/{task}") for task in list(json.loads(tasks))[:5]]

    def saved() -> bytes:
        files = canary.fleet.directory.glob("flower.db*")
        return b"".join(path.read_bytes() for path in files)

    assert len(json.loads(tasks)) > 3
    until(lambda: b"triggered.approve" in saved(), "Flower has saved", timeout_s=20)
    shown.append(saved().decode("latin-1"))
    assert [found for text in shown for found in _sung(text)] == []


def test_the_broker_is_never_told_it(canary: _Canary) -> None:
    assert [found for command in list(canary.commands) for found in _sung(command)] == []


def test_no_answer_repeats_it(canary: _Canary) -> None:
    assert [found for answer in canary.answers for found in _sung(answer)] == []


def test_no_error_in_the_ledger_quotes_it(canary: _Canary) -> None:
    texts = [f"{row.last_error} {row.reason}" for row in canary.rows(obligations)]
    texts += [f"{row.error}" for row in canary.rows(approvals)]
    texts += [row.detail for table in (dead_letters, rejections) for row in canary.rows(table)]

    assert any("500" in text or "429" in text for text in texts)
    assert [found for text in texts for found in _sung(text)] == []
