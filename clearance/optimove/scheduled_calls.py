"""How are a group's customers fetched, and its answers given? The four calls of the scheduled APIs, V2 and V1.

In: ids as the vendor told them. Out: rows as they arrive, with flat memory; or that a submission was taken. Anything
else raises: `clearance.http.exchange` and `json_rows` say what. A call is sent once; repeating is the caller's. An
approval may be repeated (it states an answer), and so may a fetch: the caller knows the customers that it has.

V1 is read page by page, V2 as one reply, or by the page where a page size is set. The end of the pages: an empty one,
one that is shorter than one before it, or one that is longer than was asked for (whoever sends it knows no pages).
Shorter than was asked for alone is no end: the vendor's cap may be lower than we think. A server that knows no `$skip`
repeats its page; that ends it too, as a refusal if the page was full, since nobody can tell what is behind it.

Sources: D is the vendor's page ("Conditional Execution V2", steps 2 and 3), S the facts sheet ("Calls").
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from time import monotonic
from typing import Protocol

import orjson

from clearance.clock import Clock, utc_now
from clearance.decisions.decision import Customer
from clearance.errors import VendorRefused
from clearance.optimove.client import SubmissionAnswer
from clearance.optimove.customer_stream import (
    CampaignFields,
    MalformedRow,
    load_campaign_customers,
    load_send_group_customers,
)
from clearance.optimove.http import VENDOR, open_http, open_streamed_http
from clearance.optimove.replies import refuse_error_text
from clearance.optimove.scheduled_paths import ScheduledPaths
from clearance.optimove.site_time import SiteTime

MAX_APPROVALS = 10_000  # S: at most 10,000 customers a call (V1); the same is assumed for V2
PAGE_CAP = 10_000  # S: whatever is asked for, a page holds no more
MAX_PAGES = 5_000  # 50 million customers; past that, somebody makes them up


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledOptions:
    """What may differ between two sites.

    Attributes:
        timeout_s: For one submission.
        silence_s: The longest wait for the next bytes of customers; also for the first.
        fetch_s: The longest that one group's customers may take, all pages together.
        send_group_page_size: Customers a page, V2; 0 for one reply without paging.
        campaign_page_size: The same for V1, where there is always paging.
    """

    timeout_s: float
    silence_s: float
    fetch_s: float
    pool_size: int
    send_group_page_size: int = 0
    campaign_page_size: int = PAGE_CAP


class _LoadsRows(Protocol):
    def __call__(
        self, pieces: Iterable[bytes], *, status: int, start: int
    ) -> Iterator[Customer | MalformedRow]: ...


class ScheduledCalls:
    """Threads share it; `pool_size` of them call at once.

    Raises:
        ValueError: The base URL or the key cannot be used. The text holds neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        options: ScheduledOptions,
        site_time: SiteTime,
        paths: ScheduledPaths | None = None,
        fields: CampaignFields | None = None,
        now: Clock = utc_now,
    ) -> None:
        self._http = open_http(base_url, api_key, pool_size=options.pool_size, now=now)
        self._streams = open_streamed_http(
            base_url, api_key, pool_size=options.pool_size, silence_s=options.silence_s, now=now
        )
        self._options = options
        self._site_time = site_time
        self._paths = paths or ScheduledPaths()
        self._fields = fields or CampaignFields()

    def fetch_customers_v2(
        self, group_id: str, attributes: Sequence[str], *, before_call: Callable[[], None] | None = None
    ) -> Iterator[Customer | MalformedRow]:
        """Get Customers in Send Group, as they arrive. Source: D, step 2; paging, I.

        `before_call` is called before every call, to wait for a turn within the rate limit.

        Raises:
            RetryLater: From the iterator; what it gave before holds.
            Park: The vendor will not give them.
        """

        def path(top: int | None, skip: int) -> str:
            return self._paths.ask_send_group(group_id, attributes, top=top, skip=skip)

        return self._fetch(
            path, load_send_group_customers, self._options.send_group_page_size, before_call or _at_once
        )

    def fetch_customers_v1(
        self,
        campaign_id: str,
        attributes: Sequence[str],
        *,
        start: int = 0,
        before_call: Callable[[], None] | None = None,
    ) -> Iterator[Customer | MalformedRow]:
        """GetProcessedCampaignCustomers, page by page. Source: S.

        `start` is the position of the first row that is wanted: for who has those before it. `before_call` is called
        before every page, to wait for a turn within the rate limit.

        Raises:
            RetryLater: From the iterator; what it gave before holds.
            Park: The vendor will not give them.
        """

        def path(top: int | None, skip: int) -> str:
            return self._paths.ask_campaign(campaign_id, attributes, top=top or PAGE_CAP, skip=skip)

        def load(pieces: Iterable[bytes], *, status: int, start: int) -> Iterator[Customer | MalformedRow]:
            return load_campaign_customers(pieces, attributes, self._fields, status=status, start=start)

        page_size = self._options.campaign_page_size or PAGE_CAP
        return self._fetch(path, load, page_size, before_call or _at_once, start=start)

    def submit_v2(
        self, group_id: str, answers: Sequence[tuple[str, bool]], *, timeout_s: float | None = None
    ) -> SubmissionAnswer:
        """Update Customer Status in Send Group: customers' ids, and whether each is approved. Source: D, step 3.

        Raises:
            RetryLater: Send it again while the deadline allows.
            Park: Optimove will not take it.
            ValueError: None, or more than one call may hold. A bug of the caller.
        """
        _check_count(answers)
        sent = [
            {"customer_id": customer_id, "is_approved": is_approved} for customer_id, is_approved in answers
        ]
        return self._submit(self._paths.approve_send_group(group_id), sent, timeout_s)

    def submit_v1(
        self,
        campaign_id: str,
        approved: Sequence[str],
        at: datetime,
        *,
        withdrawn: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> SubmissionAnswer:
        """UpdateCustomerPromotionStatus, given `at`: the ids of approved customers. Source: S.

        A customer who is never sent counts as not approved: `withdrawn` are those only who were approved in an earlier
        call. Source: S; that `Status: false` takes an approval back, I.

        Raises:
            RetryLater: Send it again while the deadline allows.
            Park: Optimove will not take it.
            ValueError: None, or more than one call may hold. A bug of the caller.
        """
        _check_count([*approved, *withdrawn])
        sent = {
            "TimeStamp": self._site_time.dump(at),
            "CampaignID": _as_told(campaign_id),
            "PromosUpdated": [
                {"CustomerID": customer_id, "Status": status}
                for status, customer_ids in ((True, approved), (False, withdrawn))
                for customer_id in customer_ids
            ],
        }
        return self._submit(self._paths.promotion_status, sent, timeout_s)

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()
        self._streams.close()

    def _fetch(
        self,
        path: Callable[[int | None, int], str],
        load: _LoadsRows,
        page_size: int,
        before_call: Callable[[], None],
        *,
        start: int = 0,
    ) -> Iterator[Customer | MalformedRow]:
        ends_at_s = monotonic() + self._options.fetch_s
        top = min(page_size, PAGE_CAP) or None
        longest = 0
        seen: set[bytes] = set()
        for _ in range(MAX_PAGES):
            before_call()
            page, count = blake2b(digest_size=16), 0
            with self._streams.stream("GET", path(top, start), total_s=ends_at_s - monotonic()) as reply:
                status = reply.status
                for row in load(_digested(reply.pieces, page.update), status=status, start=start):
                    count += 1
                    yield row
            if top is None or not count or count < longest or count > top:
                return
            if page.digest() in seen:
                if count < top:
                    return
                raise VendorRefused(VENDOR, status, "a page of customers that repeats an earlier one")
            seen.add(page.digest())
            start, longest = start + count, count
        raise VendorRefused(VENDOR, status, f"more than {MAX_PAGES} pages of customers")

    def _submit(self, path: str, sent: object, timeout_s: float | None) -> SubmissionAnswer:
        reply = self._http.exchange(
            "POST",
            path,
            orjson.dumps(sent),
            timeout_s=self._options.timeout_s if timeout_s is None else timeout_s,
        )
        refuse_error_text(reply)
        return SubmissionAnswer(status=reply.status, latency_s=reply.latency_s)


def _at_once() -> None:
    """No limit to wait for."""


def _digested(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _check_count(customers: Sequence[object]) -> None:
    if not 0 < len(customers) <= MAX_APPROVALS:
        raise ValueError(f"1 to {MAX_APPROVALS} customers a call, not {len(customers)}")


def _as_told(campaign_id: str) -> int | str:
    """A campaign's id is a number (D, step 2), which we keep as text; what is none goes back as it came."""
    is_number = campaign_id.isascii() and campaign_id.isdigit() and len(campaign_id) < 19
    return int(campaign_id) if is_number and str(int(campaign_id)) == campaign_id else campaign_id
