"""Which campaign a notification is about is kept beside it: its body is dropped once it is answered."""

import orjson
import pytest

from clearance.ledger import tables
from tests.fakes.clock import START
from tests.fakes.payloads import triggered_payload
from tests.unit.ingest.conftest import Door


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"series_id": 7, "occurrence_id": "o-1"}, ("7", "o-1")),
        ({"series_id": "0007", "occurrence_id": 0}, ("0007", "0")),
        ({"series_id": None}, (None, None)),
        ({"series_id": "", "occurrence_id": "o" * 5000}, (None, "o" * 5000)),
    ],
)
def test_the_series_and_the_occurrence_are_kept_as_text_and_nothing_for_nothing(
    door: Door, sent: dict[str, object], kept: tuple[str | None, str | None]
) -> None:
    payload = triggered_payload(START)
    del payload["occurrence"]["series_id"], payload["occurrence"]["occurrence_id"]
    payload["occurrence"] |= sent

    assert door.post(orjson.dumps(payload)).status == 202

    (row,) = door.rows(tables.notifications)
    assert (row.series_id, row.occurrence_id) == kept
