"""Mailing states at the door: who may tell them, what is taken, and what Bloomreach comes to be owed."""

import base64
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import orjson
import pytest

from clearance.bloomreach.feedback import Feedback
from clearance.errors import Reject
from clearance.ingest.mailings import ROUTE
from clearance.ledger.mail_tables import mail_recipients, track_commands
from clearance.ledger.tables import obligations, rejections
from clearance.optilyz.mailing_states import MOST_RECIPIENTS, load_delivery
from tests.fakes.asgi import Answer
from tests.fakes.clock import START
from tests.unit.ingest.conftest import RELAY_KEYS, Door

_SAMPLE: dict[str, Any] = {
    "automation_id": "5fc6ca6a89b5e200e0de42e0",
    "mailing": {"id": "m-2026-11-20", "name": "Abandoned cart", "state": "live"},
    "recipients": [
        {"id": "rcp_01", "individualisation1": "anna@example.com", "individualisation2": "5f2c0f0a-cookie"},
        {"id": "rcp_02", "individualisation1": "firma@example.com", "individualisation2": ""},
    ],
}
_RECIPIENTS = "mailing_recipients_total"


@pytest.fixture
def door(door: Door) -> Door:
    """One behind which there is a Bloomreach."""
    door.change(mailings=door.mailings(feedback=Feedback()))
    return door


def _basic(user: str, rest: str = "-") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{rest}".encode()).decode()}


def _post(door: Door, sent: object = _SAMPLE, *, query: bytes = b"", **given: Any) -> Answer:
    body = sent if isinstance(sent, bytes) else orjson.dumps(sent)
    headers = given.get("headers", _basic(RELAY_KEYS[0]))
    return door.request("POST", ROUTE, chunks=[body], headers=headers, query=query)


def _with(*recipients: object, **mailing: object) -> dict[str, Any]:
    return _SAMPLE | {"mailing": _SAMPLE["mailing"] | mailing, "recipients": list(recipients)}


def _data(door: Door) -> list[dict[str, Any]]:
    rows = sorted(door.rows(track_commands), key=lambda row: (row.created_at, row.position))
    return [orjson.loads(row.data) for row in rows]


def test_a_state_is_owed_to_bloomreach_as_an_event_of_each_recipient(door: Door) -> None:
    answer = _post(door)

    assert answer.status == 202
    (obligation,) = door.rows(obligations)
    delivery_id = answer.json["id"]
    assert answer.json == {"accepted": True, "id": delivery_id, "duplicate": False}
    assert (obligation.lane, obligation.task, obligation.trace_id) == (
        "track",
        "clearance.track.send",
        delivery_id,
    )
    first, second = _data(door)
    assert first == {
        "customer_ids": {"registered": "anna@example.com", "cookie": "5f2c0f0a-cookie"},
        "event_type": "campaign",
        "timestamp": START.timestamp(),
        "properties": {
            "action_type": "direct mail",
            "status": "live",
            "mailing_id": "m-2026-11-20",
            "mailing_name": "Abandoned cart",
            "automation_id": "5fc6ca6a89b5e200e0de42e0",
            "optilyz_recipient_id": "rcp_01",
        },
    }
    assert second["customer_ids"] == {"registered": "firma@example.com"}
    assert door.metrics.counted(_RECIPIENTS, outcome="told") == 2


@pytest.mark.parametrize("key", RELAY_KEYS)
def test_each_key_lets_in_as_the_name_of_basic_auth_or_in_the_query(door: Door, key: str) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in key.encode())

    assert _post(door, headers=_basic(key)).status == 202
    assert _post(door, headers={}, query=f"token={escaped}".encode()).status == 202


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, b""),
        (_basic("wrong"), b""),
        (_basic("wrong", RELAY_KEYS[0]), b""),
        (_basic(""), b"token="),
        ({}, b"token=wrong"),
        ({}, b"other=relay-key"),
    ],
)
def test_nobody_else_is_let_in_nothing_is_read_and_nothing_is_kept(
    door: Door, headers: dict[str, str], query: bytes
) -> None:
    answer = _post(door, headers=headers, query=query)

    assert (answer.status, answer.json["error"], answer.read) == (401, "credentials", 0)
    assert "www-authenticate" in answer.headers
    assert door.rows(track_commands) == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"mailing": "\xff"}', 400),
        ({}, 422),
        (_SAMPLE | {"mailing": {"id": "m"}}, 422),
        (_SAMPLE | {"mailing": {"id": " \x00", "state": "live"}}, 422),
        (_SAMPLE | {"recipients": {}}, 422),
        (_SAMPLE | {"recipients": ["rcp_01"]}, 422),
        (_SAMPLE | {"recipients": None}, 422),
        (b" " * 10_001, 413),
    ],
)
def test_what_cannot_be_an_event_is_refused_and_nothing_of_it_is_kept(
    door: Door, sent: object, status: int
) -> None:
    answer = _post(door, sent)

    assert answer.status == status
    assert door.rows(track_commands) == []
    (rejection,) = door.rows(rejections)
    assert (rejection.route, rejection.status) == (ROUTE, status)


def test_a_refusal_names_fields_and_no_values(door: Door) -> None:
    answer = _post(door, _with("anna@example.com", state=""))

    assert set(answer.json["errors"]) == {"mailing.state", "recipients.0"}
    assert b"anna" not in answer.body


def test_more_recipients_than_a_delivery_may_have_are_refused() -> None:
    def body(count: int) -> bytes:
        return orjson.dumps(_with(*({"id": f"r{number}"} for number in range(count))))

    assert len(load_delivery(body(MOST_RECIPIENTS)).recipients) == MOST_RECIPIENTS
    with pytest.raises(Reject, match="recipients"):
        load_delivery(body(MOST_RECIPIENTS + 1))


def test_the_same_delivery_is_a_duplicate_with_the_same_id_and_owes_nothing(door: Door) -> None:
    first = _post(door)
    door.clock.advance(60)

    again = _post(door)

    assert again.json == first.json | {"duplicate": True}
    assert len(door.rows(track_commands)) == 2
    assert len(door.rows(obligations)) == 1
    assert door.metrics.counted(_RECIPIENTS, outcome="told") == 2
    assert door.metrics.counted("requests_duplicate_total", route=ROUTE) == 1


def test_of_a_delivery_that_overlaps_another_only_what_is_new_is_owed(door: Door) -> None:
    _post(door)

    answer = _post(
        door, _with(*_SAMPLE["recipients"], {"id": "rcp_03", "individualisation1": "c@example.com"})
    )

    assert answer.json["duplicate"] is False
    assert len(door.rows(track_commands)) == 3


def test_another_state_of_the_same_mailing_is_told(door: Door) -> None:
    _post(door)
    door.clock.advance(60)
    _post(door, _with(*_SAMPLE["recipients"], state="printed"))

    assert [each["properties"]["status"] for each in _data(door)] == ["live", "live", "printed", "printed"]


@pytest.mark.parametrize(
    "recipient",
    [
        {},
        {"id": "rcp_09"},
        {"id": "rcp_09", "individualisation1": "", "individualisation2": None},
        {"id": "rcp_09", "individualisation1": " null ", "individualisation2": "-"},
        {"id": "rcp_09", "individualisation1": ["a"], "individualisation3": "c@example.com"},
        {"id": "rcp\x00", "individualisation1": "a\x00", "individualisation2": "x" * 257},
    ],
)
def test_without_a_usable_id_nothing_is_told_and_the_others_are(door: Door, recipient: object) -> None:
    assert _post(door, _with(recipient, _SAMPLE["recipients"][0])).status == 202

    assert len(door.rows(track_commands)) == 1
    assert door.metrics.counted(_RECIPIENTS, outcome="without_id") == 1


def test_individualisations_are_read_in_either_spelling_and_numbers_are_ids(door: Door) -> None:
    _post(door, _with({"individualization1": 4711}))

    (event,) = _data(door)
    assert event["customer_ids"] == {"registered": "4711"}


def test_without_optilyz_id_of_the_recipient_the_customers_ids_tell_repeats(door: Door) -> None:
    nameless = {"individualisation1": "a@example.com"}

    _post(door, _with(nameless))
    _post(door, _with(nameless, {"individualisation1": "b@example.com"}))

    assert len(door.rows(track_commands)) == 2


def test_a_recipient_that_we_posted_has_the_ids_and_the_campaign_that_it_came_with(door: Door) -> None:
    _keep_letter(door, vendor_id="rcp_77")

    _post(door, _with({"id": "rcp_77"}))

    (event,), (row,) = _data(door), door.rows(track_commands)
    assert event["customer_ids"] == {"registered": "kept@example.com"}
    assert event["properties"]["recipient_id"] == row.about == "r-kept"
    assert event["properties"]["campaign_name"] == "cart"


def test_the_campaign_may_come_with_the_delivery(door: Door) -> None:
    door.change(mailings=door.mailings(feedback=Feedback(), campaign_field="individualisation3"))

    _post(door, _with(_SAMPLE["recipients"][0] | {"individualisation3": "spring"}))

    assert _data(door)[0]["properties"]["campaign_name"] == "spring"


def test_without_bloomreach_a_delivery_is_accepted_and_nothing_comes_of_it(
    door: Door, log_events: list[Any]
) -> None:
    door.change(mailings=door.mailings(feedback=None))

    answer = _post(door)

    assert (answer.status, answer.json["duplicate"]) == (202, False)
    assert door.rows(track_commands) == []
    assert door.metrics.counted(_RECIPIENTS, outcome="untold") == 2
    assert "mailing.not_told_on" in [each["event"] for each in log_events]


def test_a_large_delivery_is_kept_in_parts_and_told_of_in_batches(door: Door) -> None:
    recipients = [{"id": f"r{n}", "individualisation1": f"c{n}@example.com"} for n in range(1_120)]
    door.change(relay=_roomier(door))

    assert _post(door, _with(*recipients)).status == 202

    assert [name for name, _ in door.commits.submitted] == ["hear_many"] * 5
    assert len(door.rows(track_commands)) == 1_120
    assert len(door.rows(obligations)) == 10 + 10 + 3


def test_a_ledger_that_fails_half_way_is_told_and_the_repeat_owes_the_rest(door: Door) -> None:
    recipients = [{"id": f"r{n}", "individualisation1": f"c{n}@example.com"} for n in range(600)]
    door.change(relay=_roomier(door))
    submit = door.commits.submit

    def failing(operation: Any, item: Any) -> Any:
        door.commits.away = 1 if len(door.commits.submitted) == 1 else 0
        return submit(operation, item)

    door.commits.submit = failing  # type: ignore[method-assign]  # the ledger fails meanwhile
    answer = _post(door, _with(*recipients))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")

    assert _post(door, _with(*recipients)).json["duplicate"] is False
    assert len(door.rows(track_commands)) == 600


def test_a_commit_that_takes_too_long_is_not_acknowledged(door: Door) -> None:
    door.change(mailings=door.mailings(feedback=Feedback(), timeout_s=0.01))
    door.commits.submit = lambda *_: Future()  # type: ignore[method-assign]  # never done

    assert _post(door).status == 503


def test_what_is_logged_holds_nothing_of_a_customer(door: Door, log_events: list[Any]) -> None:
    _post(door)

    (event,) = [each for each in log_events if each["event"] == "mailing.heard"]
    assert (event["recipients"], event["with_id"], event["duplicate"]) == (2, 2, False)
    assert "example.com" not in str(log_events)


def test_a_letter_without_a_usable_id_is_counted_when_it_comes(door: Door) -> None:
    address = {"lastName": "Muster", "street": "Weg", "zipCode": "10115", "city": "Berlin"}
    ids: list[dict[str, str]] = [
        {},
        {"individualisation1": "undefined"},
        {"individualisation1": "a@example.com"},
    ]
    sent = orjson.dumps({"addresses": [{"address": address | each} for each in ids]})

    path = "/api/v2/automations/5fc6ca6a89b5e200e0de42e0/recipients"
    assert door.request("POST", path, chunks=[sent], headers=_basic(RELAY_KEYS[0])).status == 200

    assert door.metrics.counted("mail_recipients_without_id_total") == 2


def _roomier(door: Door) -> Any:
    return replace(door.parts.relay, max_body_bytes=1_000_000)


def _keep_letter(door: Door, *, vendor_id: str) -> None:
    row = dict.fromkeys(column.name for column in mail_recipients.columns) | {
        "id": "r-kept",
        "automation_id": "a-kept",
        "state": "posted",
        "is_dry_run": False,
        "received_at": START,
        "customer_ids": '{"registered":"kept@example.com"}',
        "campaign": "cart",
        "vendor_id": vendor_id,
        "trace_id": "t",
    }
    with door.ledger.write() as connection:
        connection.execute(mail_recipients.insert(), row)
