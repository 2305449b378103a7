"""The relay over HTTP: a caller of Optilyz that has changed its base URL, and what is in the ledger afterwards."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import requests
from sqlalchemy import Row, create_engine, select

from clearance.ledger.mail_tables import mail_batches, mail_recipients
from tests.system.fleet import Fleet, FleetPlan, running

pytestmark = pytest.mark.timeout(90)

_KEY = "relay-key"
_AUTOMATION = "5fc6ca6a89b5e200e0de42e0"
_GROWTH_BYTES = 48 * 1024 * 1024
_SAMPLE: dict[str, Any] = {
    "addresses": [
        {
            "address": {
                "title": "Frau",
                "firstName": "Anna",
                "lastName": "Muster",
                "street": "Hauptstr.",
                "houseNumber": "5",
                "zipCode": "10115",
                "city": "Berlin",
                "country": "DE",
                "individualisation1": "anna@example.com",
                "individualisation2": "5f2c0f0a-cookie",
                "individualisation3": "voucher123",
            },
            "variation": 1,
        },
        {
            "address": {
                "fullName": "Ben Beispiel",
                "lastName": "Beispiel",
                "address1": "Ringweg 7",
                "zipCode": "20095",
                "city": "Hamburg",
            }
        },
        {
            "address": {
                "companyName1": "Muster GmbH",
                "address1": "Am Markt 1",
                "zipCode": "50667",
                "city": "Köln",
                "individualization1": "firma@example.com",
            }
        },
    ]
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """An ingest with a broker and a ledger; nobody works what is owed."""
    plan = FleetPlan(workers=0, guardians=0, settings={"CLEARANCE_RELAY_API_KEYS": _KEY})
    with running(tmp_path_factory.mktemp("relay"), plan) as fleet:
        yield fleet


def _post(
    fleet: Fleet, path: str, *, automation: str = _AUTOMATION, key: str = _KEY, **given: Any
) -> requests.Response:
    url = f"{fleet.ingest_url}/api/v2/automations/{automation}/{path}"
    return requests.post(url, auth=(key, " "), timeout=10, **given)


def _rows(fleet: Fleet, automation: str) -> tuple[list[Row[Any]], list[Row[Any]]]:
    """The recipients of an automation, and its batches."""
    engine = create_engine(fleet.ledger_url)
    try:
        with engine.connect() as connection:
            recipients = select(mail_recipients).where(mail_recipients.c.automation_id == automation)
            batches = select(mail_batches).where(mail_batches.c.automation_id == automation)
            return (
                list(connection.execute(recipients.order_by(mail_recipients.c.id))),
                list(connection.execute(batches)),
            )
    finally:
        engine.dispose()


@contextmanager
def _ledger_away(fleet: Fleet) -> Iterator[None]:
    """Nobody else can write inside the block."""
    path = fleet.ledger_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def test_the_sample_is_answered_like_the_sample_and_kept(fleet: Fleet) -> None:
    answer = _post(fleet, "recipients", json=_SAMPLE)

    assert answer.status_code == 200
    told = answer.json()
    recipients, (batch,) = _rows(fleet, _AUTOMATION)
    by_state = {row.state: row for row in recipients if row.state != "queued"}
    queued = {row.id: row for row in recipients if row.state == "queued"}
    message = "not allowed together with lastName"
    assert {name: told[name] for name in ("success", "queued", "ignored")} == {
        "success": True,
        "queued": 2,
        "ignored": 1,
    }
    first, refused, second = told["results"]
    assert refused == {"error": {"message": f"fullName: {message}", "fields": {"fullName": [message]}}}
    assert {first["id"], second["id"]} == queued.keys()
    assert {row.trace_id for row in recipients} == {told["requestId"]}
    assert by_state["refused"].error == f"fullName: {message}"
    assert (batch.state, batch.recipients) == ("gathering", 2)
    assert b'"individualisation1":"firma@example.com"' in queued[second["id"]].payload

    again = _post(fleet, "recipients", json=_SAMPLE).json()

    assert [result.get("id") for result in again["results"]] == [first["id"], None, second["id"]]
    assert len([row for row in _rows(fleet, _AUTOMATION)[0] if row.state == "queued"]) == 2


def test_one_bare_address_is_answered_with_its_id(fleet: Fleet) -> None:
    address = _SAMPLE["addresses"][0]["address"]

    told = _post(fleet, "recipient", automation="one", json=address).json()

    ((row,), _) = _rows(fleet, "one")
    assert told == {"success": True, "requestId": row.trace_id, "id": row.id, "result": {"id": row.id}}


def test_a_full_batch_is_on_the_broker_at_once(fleet: Fleet) -> None:
    addresses = [
        {"address": _SAMPLE["addresses"][0]["address"] | {"houseNumber": number}} for number in range(1000)
    ]

    told = _post(fleet, "recipients", automation="full", json={"addresses": addresses}).json()

    assert told["queued"] == 1000
    assert [(batch.state, batch.recipients) for batch in _rows(fleet, "full")[1]] == [("ready", 100)] * 10


@pytest.mark.parametrize("key", ["", "another-key"])
def test_a_wrong_key_is_answered_with_401_and_a_challenge(fleet: Fleet, key: str) -> None:
    answer = _post(fleet, "recipients", automation="no-key", key=key, json=_SAMPLE)

    assert (answer.status_code, answer.json()["success"]) == (401, False)
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert _rows(fleet, "no-key") == ([], [])


_BAD: dict[str, tuple[bytes, str]] = {
    "10 MB": (b'{"addresses": ["' + b"x" * 10_000_000 + b'"]}', "too_large"),
    "1,001 addresses": (b'{"addresses": [' + b"{}," * 1000 + b"{}]}", "too_many"),
    "Latin-1": ('{"addresses": [{"city": "Köln"}]}'.encode("latin-1"), "malformed"),
    "half a body": (b'{"addresses": [{"city": "K', "malformed"),
}


@pytest.mark.parametrize("case", _BAD)
def test_a_body_that_cannot_be_read_is_answered_with_200_and_listed(fleet: Fleet, case: str) -> None:
    body, reason = _BAD[case]
    before = fleet["ingest"].resident_bytes

    for _ in range(3):
        answer = _post(fleet, "recipients", automation="bad", data=body)
        assert (answer.status_code, answer.json()["success"]) == (200, False)

    assert fleet["ingest"].resident_bytes - before < _GROWTH_BYTES
    assert _rows(fleet, "bad") == ([], [])
    assert reason in fleet.command("rejected", "list")


@pytest.mark.parametrize("automation", ["", "%20", "a%0A", "a/b", "x" * 100])
def test_whatever_stands_in_place_of_an_automation_does_not_stop_the_webhook(
    fleet: Fleet, automation: str
) -> None:
    answer = _post(fleet, "recipient", automation=automation, json=_SAMPLE["addresses"][0])

    assert (answer.status_code, answer.json()["success"]) == (200, False)


@pytest.mark.parametrize("below", ["recipient", "recipients/", "%FF/recipient", f"{_AUTOMATION}/recipientz"])
def test_nor_does_a_path_that_is_none_of_ours(fleet: Fleet, below: str) -> None:
    url = f"{fleet.ingest_url}/api/v2/automations/{below}"

    answer = requests.post(url, auth=(_KEY, " "), timeout=10, json=_SAMPLE["addresses"][0])

    assert (answer.status_code, answer.history, answer.json()["success"]) == (200, [], False)


def test_while_the_ledger_is_away_the_caller_is_told_to_come_again_and_loses_nothing(fleet: Fleet) -> None:
    with _ledger_away(fleet):
        away = _post(fleet, "recipients", automation="away", json=_SAMPLE)
    back = _post(fleet, "recipients", automation="away", json=_SAMPLE)

    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert (back.status_code, back.json()["queued"]) == (200, 2)
    assert [row.state for row in _rows(fleet, "away")[0]].count("queued") == 2
