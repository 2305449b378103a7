"""Which requests `clearance.optimove.scheduled_calls` makes, page after page, and what it makes of the replies."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from clearance.decisions.decision import Customer
from clearance.errors import ClearanceError, VendorRefused, VendorThrottled, VendorUnavailable
from clearance.optimove import scheduled_calls
from clearance.optimove.customer_stream import CampaignFields, MalformedRow
from clearance.optimove.scheduled_calls import MAX_APPROVALS, ScheduledCalls, ScheduledOptions
from clearance.optimove.scheduled_paths import ScheduledPaths
from clearance.optimove.site_time import SiteTime
from tests.fakes.peer import Answer, Peer, Request, hang, raw, reply, trickle

pytestmark = pytest.mark.loopback

Row = Customer | MalformedRow
MakeCalls = Callable[..., ScheduledCalls]
AT = datetime(2026, 7, 28, 12, 0, 5, 999_000, tzinfo=UTC)
V2_PATH = "/v2/conditional-execution/scheduled/send-groups/123/customers"
V1_PATH = "/current/customers/GetProcessedCampaignCustomers?CampaignID=1359"


@pytest.fixture
def make(peer: Peer) -> Iterator[MakeCalls]:
    """Calls to the peer, with these options."""
    made = []

    def make(
        fields: CampaignFields | None = None, paths: ScheduledPaths | None = None, **options: Any
    ) -> ScheduledCalls:
        defaults = {"timeout_s": 2.0, "silence_s": 2.0, "fetch_s": 5.0, "pool_size": 2}
        calls = ScheduledCalls(
            peer.url,
            "the-key",
            options=ScheduledOptions(**(defaults | options)),
            site_time=SiteTime(ZoneInfo("Europe/Berlin")),
            fields=fields,
            paths=paths,
        )
        made.append(calls)
        return calls

    yield make
    for calls in made:
        calls.close()


def v2(*numbers: int) -> Answer:
    return reply(200, json.dumps([{"customer_id": f"C{number}"} for number in numbers]).encode())


def v1(*numbers: int) -> Answer:
    return reply(200, json.dumps([{"CustomerID": f"C{number}"} for number in numbers]).encode())


def ids(rows: Iterator[Row]) -> list[str | None]:
    return [row.customer_id for row in rows]


def named(*numbers: int) -> list[str]:
    return [f"C{number}" for number in numbers]


def only(peer: Peer) -> Request:
    (request,) = peer.requests
    return request


def paths(peer: Peer) -> list[str]:
    return [request.path for request in peer.requests]


def test_a_send_groups_customers_are_asked_for_in_one_call(make: MakeCalls, peer: Peer) -> None:
    row = {
        "customer_id": "C12345",
        "promo_codes": ["PROMO2026", "PROMO2"],
        "attributes": {"firstName": "John"},
    }
    peer.answers(reply(200, json.dumps([row]).encode()))
    assert list(make().fetch_customers_v2("123", ["firstName", "loyaltyTier"])) == [
        Customer(customer_id="C12345", attributes={"firstName": "John"}, promo_codes=("PROMO2026", "PROMO2"))
    ]
    request = only(peer)
    assert (request.method, request.path) == ("GET", f"{V2_PATH}?attributes=firstName,loyaltyTier")
    assert request.headers["x-api-key"] == "the-key"


def test_without_attributes_none_are_asked_for(make: MakeCalls, peer: Peer) -> None:
    peer.answers(v2(1), v1(1), v1())
    assert ids(make().fetch_customers_v2("123", [])) == named(1)
    assert ids(make().fetch_customers_v1("1359", [])) == named(1)
    assert paths(peer)[:2] == [V2_PATH, f"{V1_PATH}&$top=10000&$skip=0"]


def test_names_and_ids_go_into_a_path_whatever_they_hold(make: MakeCalls, peer: Peer) -> None:
    peer.answers(v2(), v1())
    list(make().fetch_customers_v2("a/b?c", ["first name", "a,b&c"]))
    list(make().fetch_customers_v1("a&b", ["x;y", "z"]))
    assert paths(peer) == [
        "/v2/conditional-execution/scheduled/send-groups/a%2Fb%3Fc/customers?attributes=first%20name,a%2Cb%26c",
        "/current/customers/GetProcessedCampaignCustomers?CampaignID=a%26b&CustomerAttributes=x%3By;z&$top=10000&$skip=0",
    ]


def test_paths_are_settings(make: MakeCalls, peer: Peer) -> None:
    peer.answers(v2(), v1(), reply(202), reply(200))
    calls = make(
        paths=ScheduledPaths(
            send_group_customers="/a/{id}",
            send_group_approvals="/b/{id}/x",
            campaign_customers="/c",
            promotion_status="/d",
        )
    )
    list(calls.fetch_customers_v2("7", []))
    list(calls.fetch_customers_v1("8", []))
    calls.submit_v2("7", [("C1", True)])
    calls.submit_v1("8", ["C1"], AT)
    assert paths(peer) == ["/a/7", "/c?CampaignID=8&$top=10000&$skip=0", "/b/7/x", "/d"]


def test_a_campaigns_customers_come_by_the_page_with_attributes_by_their_order(
    make: MakeCalls, peer: Peer
) -> None:
    row = {"CustomerID": "231342", "ActionID": "4", "PromoCode": "A7Bonus,B", "Other": ["Jo", "DE"]}
    peer.answers(reply(200, json.dumps([row]).encode()), v1())
    calls = make(fields=CampaignFields(attributes="Other"))
    assert list(calls.fetch_customers_v1("1359", ["Alias", "Country"])) == [
        Customer(
            customer_id="231342", attributes={"Alias": "Jo", "Country": "DE"}, promo_codes=("A7Bonus", "B")
        )
    ]
    assert paths(peer) == [
        f"{V1_PATH}&CustomerAttributes=Alias;Country&$top=10000&$skip=0",
        f"{V1_PATH}&CustomerAttributes=Alias;Country&$top=10000&$skip=1",
    ]


PAGED = [
    ("an empty page", 2, [(1, 2), (3, 4), ()], [0, 2, 4]),
    ("a page shorter than the one before", 2, [(1, 2), (3,)], [0, 2]),
    ("nobody", 2, [()], [0]),
    ("a lower cap than was asked for", 10, [(1, 2), (3, 4), (5,)], [0, 2, 4]),
    ("one short page", 10, [(1, 2), ()], [0, 2]),
    ("everybody at once, more than was asked for", 2, [(1, 2, 3)], [0]),
    ("a short page that comes again", 10, [(1, 2), (1, 2)], [0, 2]),
]


@pytest.mark.parametrize("case", [case[1:] for case in PAGED], ids=[case[0] for case in PAGED])
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_pages_are_asked_for_until_the_last_one(
    make: MakeCalls, peer: Peer, api: str, case: tuple[int, Sequence[tuple[int, ...]], list[int]]
) -> None:
    size, pages, skips = case
    peer.answers(*((v1 if api == "v1" else v2)(*page) for page in pages))
    calls = make(campaign_page_size=size, send_group_page_size=size)
    fetch = calls.fetch_customers_v1 if api == "v1" else calls.fetch_customers_v2
    assert ids(fetch("123", [])) == [customer for page in pages for customer in named(*page)]
    asked = [path.partition("$top=")[2] for path in paths(peer)]
    assert asked == [f"{size}&$skip={skip}" for skip in skips]


@pytest.mark.parametrize("between", [(), ((3, 4),)], ids=["at once", "later"])
def test_a_full_page_that_comes_again_ends_the_pages_as_a_refusal(
    make: MakeCalls, peer: Peer, between: Sequence[tuple[int, ...]]
) -> None:
    peer.answers(v1(1, 2), *(v1(*page) for page in between), v1(1, 2), v1(5, 6))
    with pytest.raises(VendorRefused, match="repeats"):
        list(make(campaign_page_size=2).fetch_customers_v1("1359", []))
    assert len(peer.requests) == 2 + len(between)


def test_pages_without_end_are_a_refusal(
    make: MakeCalls, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduled_calls, "MAX_PAGES", 5)
    peer.answers(*(v1(number) for number in range(9)))
    with pytest.raises(VendorRefused, match="more than 5 pages"):
        list(make(campaign_page_size=1).fetch_customers_v1("1359", []))
    assert len(peer.requests) == 5


@pytest.mark.parametrize(("size", "top"), [(20_000, 10_000), (0, 10_000), (500, 500)])
def test_no_page_is_asked_for_that_is_larger_than_the_vendors_cap(
    make: MakeCalls, peer: Peer, size: int, top: int
) -> None:
    peer.answers(v1())
    list(make(campaign_page_size=size).fetch_customers_v1("1359", []))
    assert paths(peer) == [f"{V1_PATH}&$top={top}&$skip=0"]


def test_positions_of_malformed_rows_count_over_all_pages(make: MakeCalls, peer: Peer) -> None:
    bad = reply(200, b'[{"CustomerID": "C3"}, {"CustomerID": 4}]')
    peer.answers(v1(1, 2), bad, v1())
    *_, wrong = make(campaign_page_size=2).fetch_customers_v1("1359", [])
    assert isinstance(wrong, MalformedRow)
    assert wrong.position == 3


def test_pages_begin_at_the_row_that_is_wanted(make: MakeCalls, peer: Peer) -> None:
    bad = reply(200, b'[{"CustomerID": "C4"}, {"CustomerID": 5}]')
    peer.answers(bad, v1(6))
    rows = list(make(campaign_page_size=2).fetch_customers_v1("1359", [], start=3))
    assert [each.customer_id for each in rows] == ["C4", None, "C6"]
    assert [each.position for each in rows if isinstance(each, MalformedRow)] == [4]
    assert paths(peer) == [f"{V1_PATH}&$top=2&$skip={skip}" for skip in (3, 5)]


def test_a_turn_is_waited_for_before_every_call(make: MakeCalls, peer: Peer) -> None:
    peer.answers(v1(1, 2), v1(3), v2(1))
    turns: list[int] = []
    calls = make(campaign_page_size=2)
    list(calls.fetch_customers_v1("1359", [], before_call=lambda: turns.append(len(peer.requests))))
    assert turns == [0, 1]
    list(calls.fetch_customers_v2("123", [], before_call=lambda: turns.append(len(peer.requests))))
    assert turns == [0, 1, 2]


def test_customers_come_while_the_reply_is_still_being_sent(make: MakeCalls, peer: Peer) -> None:
    head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n[{"customer_id":"C1"},\r\n'
    peer.answers(trickle(head, b"1\r\n \r\n", every_s=0.02))
    assert ids(islice(make().fetch_customers_v2("123", []), 1)) == named(1)


def test_a_reply_that_breaks_off_is_unavailable_after_its_whole_rows(make: MakeCalls, peer: Peer) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    peer.answers(raw(head + b'[{"customer_id":"C1"},{"customer_id":"C2"},{"customer_id":"C'))
    got: list[Row] = []
    with pytest.raises(VendorUnavailable):
        got.extend(make().fetch_customers_v2("123", []))
    assert got == [Customer(customer_id=name, attributes={}) for name in named(1, 2)]


def test_a_reply_without_a_length_that_is_cut_is_noticed_by_its_form(make: MakeCalls, peer: Peer) -> None:
    peer.answers(raw(b'HTTP/1.1 200 OK\r\n\r\n[{"customer_id":"C1"}'))
    with pytest.raises(VendorUnavailable, match="too early"):
        list(make().fetch_customers_v2("123", []))


@pytest.mark.parametrize("answer", [hang, trickle(b"HTTP/1.1 200 OK\r\n\r\n[", b" ", every_s=0.01)])
def test_a_fetch_ends_by_silence_or_by_its_total(make: MakeCalls, peer: Peer, answer: Answer) -> None:
    peer.answers(answer)
    with pytest.raises(VendorUnavailable, match="in time"):
        list(make(silence_s=0.1, fetch_s=0.3).fetch_customers_v2("123", []))


def test_the_total_is_that_of_all_pages(make: MakeCalls, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = iter([0.0, 1.0, 6.0])
    monkeypatch.setattr(scheduled_calls, "monotonic", lambda: next(now_s))
    peer.answers(v1(1), v1(2))
    with pytest.raises(VendorUnavailable, match="no time left"):
        list(make(fetch_s=5.0, campaign_page_size=1).fetch_customers_v1("1359", []))
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(429), VendorThrottled),
        (reply(404, b"canary"), VendorRefused),
        (reply(500, b"canary"), VendorUnavailable),
        (reply(200, b'"canary C234638 is unknown"'), VendorRefused),
    ],
)
def test_an_error_means_in_every_call_what_it_means_elsewhere(
    make: MakeCalls, peer: Peer, answer: Answer, expected: type[ClearanceError]
) -> None:
    calls = make()
    attempts: list[Callable[[], object]] = [
        lambda: list(calls.fetch_customers_v2("123", [])),
        lambda: list(calls.fetch_customers_v1("1359", [])),
        lambda: calls.submit_v2("123", [("C1", True)]),
        lambda: calls.submit_v1("1359", ["C1"], AT),
    ]
    for attempt in attempts:
        peer.answers(answer)
        with pytest.raises(expected) as caught:
            attempt()
        assert "canary" not in str(caught.value)


def test_answers_of_a_send_group_have_the_vendors_form(make: MakeCalls, peer: Peer) -> None:
    peer.answers(reply(202))
    taken = make().submit_v2("123", [("C12345", True), ("C12346", False)])
    assert taken.status == 202
    assert 0 < taken.latency_s < 2
    request = only(peer)
    assert (request.method, request.path) == (
        "POST",
        "/v2/conditional-execution/scheduled/send-groups/123/approvals",
    )
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == [
        {"customer_id": "C12345", "is_approved": True},
        {"customer_id": "C12346", "is_approved": False},
    ]


def test_answers_of_a_campaign_are_its_approved_in_the_sites_time(make: MakeCalls, peer: Peer) -> None:
    assert make().submit_v1("1359", ["C1", "C2"], AT).status == 200
    request = only(peer)
    assert (request.method, request.path) == ("POST", "/current/integrations/UpdateCustomerPromotionStatus")
    assert json.loads(request.body) == {
        "TimeStamp": "2026-07-28 14:00:05",
        "CampaignID": 1359,
        "PromosUpdated": [{"CustomerID": "C1", "Status": True}, {"CustomerID": "C2", "Status": True}],
    }


def test_an_approval_that_is_taken_back_is_told_as_false(make: MakeCalls, peer: Peer) -> None:
    peer.answers(reply(200))
    make().submit_v1("1359", ["C1"], AT, withdrawn=["C2"])
    assert json.loads(only(peer).body)["PromosUpdated"] == [
        {"CustomerID": "C1", "Status": True},
        {"CustomerID": "C2", "Status": False},
    ]


@pytest.mark.parametrize("campaign_id", ["C-7", "007", "٣", "9" * 30])
def test_a_campaigns_id_that_is_no_plain_number_goes_back_as_it_came(
    make: MakeCalls, peer: Peer, campaign_id: str
) -> None:
    make().submit_v1(campaign_id, ["C1"], AT)
    assert json.loads(only(peer).body)["CampaignID"] == campaign_id


@pytest.mark.parametrize("count", [0, MAX_APPROVALS + 1])
def test_a_call_holds_one_to_ten_thousand_customers(make: MakeCalls, peer: Peer, count: int) -> None:
    with pytest.raises(ValueError, match="10000"):
        make().submit_v2("123", [("C1", True)] * count)
    with pytest.raises(ValueError, match="10000"):
        make().submit_v1("1359", ["C1"] * count, AT)
    assert peer.requests == []


def test_a_call_of_ten_thousand_goes_through(make: MakeCalls, peer: Peer) -> None:
    make().submit_v2("123", [(f"C{number}", True) for number in range(MAX_APPROVALS)])
    assert len(json.loads(only(peer).body)) == 10_000


@pytest.mark.parametrize("body", [b"", b'{"ResponseCode":200}', b"fine", b'""'])
def test_any_other_2xx_takes_a_submission(make: MakeCalls, peer: Peer, body: bytes) -> None:
    peer.answers(reply(200, body))
    assert make().submit_v2("123", [("C1", True)]).status == 200


def test_a_submission_may_be_silent_for_longer_than_a_fetch(make: MakeCalls, peer: Peer) -> None:
    def later(connection: socket.socket, stopped: threading.Event) -> bool:
        stopped.wait(0.1)
        return reply(202)(connection, stopped)

    peer.answers(later)
    assert make(silence_s=0.02).submit_v2("123", [("C1", True)]).status == 202


def test_a_submission_keeps_to_its_own_timeout(make: MakeCalls, peer: Peer) -> None:
    peer.answers(hang)
    with pytest.raises(VendorUnavailable, match="in time") as caught:
        make(timeout_s=30.0).submit_v2("123", [("C1", True)], timeout_s=0.1)
    assert caught.value.may_have_arrived
