"""What is kept of a request before it is answered: each recipient once, in a batch that will be posted.

A letter is recognised by its dedupe key: of the same one sent n times, even at once, the first is kept and the others
are told its id. One whose address is suppressed for its customer, and one that validation refused, is a row as well,
but in no batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from operator import itemgetter

import orjson
from sqlalchemy import Connection

from clearance.bloomreach.feedback import Fate, Feedback, LetterOutcome
from clearance.ledger import address_suppressions, mail_gathering, mail_keys, track_outbox
from clearance.ledger.insert_new import insert_new
from clearance.ledger.mail_gathering import Arrivals, Place, Seated
from clearance.ledger.mail_tables import mail_recipients
from clearance.mail_states import LetterReason, RecipientState
from clearance.obligations import Obligation


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLetter:
    """A recipient that may be posted to. `payload` is what Optilyz gets."""

    recipient_id: str
    payload: bytes
    dedupe_key: str
    address_key: str
    customer_ids: Mapping[str, str]
    campaign: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLetter:
    """A recipient that our validation refused. `error` holds no personal data."""

    recipient_id: str
    reason: str
    error: str
    customer_ids: Mapping[str, str]
    campaign: str | None
    is_address_wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """How letters are brought together, and how long the same letter is recognised."""

    batch_size: int
    max_wait: timedelta
    dedupe_window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """One request to the relay. `feedback`: what Bloomreach is told of who gets no letter; None to tell nothing."""

    request_id: str
    automation_id: str
    letters: tuple[NewLetter | RefusedLetter, ...]
    is_dry_run: bool
    received_at: datetime
    plan: BatchPlan
    feedback: Feedback | None
    trace_id: str


_Letters = Sequence[tuple[NewRequest, NewLetter | RefusedLetter]]


class TakenAs(StrEnum):
    """What became of one recipient of a request."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenLetter:
    """What the caller is told of one recipient; of a duplicate, the first one's id."""

    taken_as: TakenAs
    recipient_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenRequest:
    """What became of a request: its letters by position, and what is to be published now."""

    letters: tuple[TakenLetter, ...]
    due: tuple[Obligation, ...]


def take_many(connection: Connection, items: Sequence[NewRequest]) -> list[TakenRequest]:
    """Keep what is new, recognise what is not, and fill the batches."""
    letters = [(item, letter) for item in items for letter in item.letters]
    taken = _recognised(connection, letters)
    seated = _seated(connection, letters, taken)
    _keep(connection, letters, taken, seated)
    requests, first = [], 0
    for item in items:
        of_item = taken[first : first + len(item.letters)]
        first += len(item.letters)
        filled = [seated.filled[each.recipient_id] for each in of_item if _has_filled(each, seated)]
        due = (*filled, *_told(connection, item, of_item))
        requests.append(TakenRequest(letters=tuple(of_item), due=due))
    return requests


def _recognised(connection: Connection, letters: _Letters) -> list[TakenLetter]:
    """What becomes of each; of the same one several times among them, the first is kept."""
    suppressed = _suppressed(connection, letters)
    wanted: dict[str, mail_keys.WantedKey] = {}
    for item, letter in letters:
        if isinstance(letter, NewLetter) and letter.recipient_id not in suppressed:
            key = mail_keys.WantedKey(
                recipient_id=letter.recipient_id,
                now=item.received_at,
                until=item.received_at + item.plan.dedupe_window,
            )
            wanted.setdefault(letter.dedupe_key, key)
    others = mail_keys.claim(connection, wanted)
    taken = []
    for _, letter in letters:
        taken_as, recipient_id = TakenAs.QUEUED, letter.recipient_id
        if isinstance(letter, RefusedLetter):
            taken_as = TakenAs.REFUSED
        elif recipient_id in suppressed:
            taken_as = TakenAs.SUPPRESSED
        elif letter.dedupe_key in others:
            taken_as, recipient_id = TakenAs.DUPLICATE, others[letter.dedupe_key]
        elif wanted[letter.dedupe_key].recipient_id != recipient_id:
            taken_as, recipient_id = TakenAs.DUPLICATE, wanted[letter.dedupe_key].recipient_id
        taken.append(TakenLetter(taken_as=taken_as, recipient_id=recipient_id))
    return taken


def _suppressed(connection: Connection, letters: _Letters) -> set[str]:
    """Who is not posted to. Not among them: whose letter is accepted already; it is answered as before."""
    valid = [letter for _, letter in letters if isinstance(letter, NewLetter)]
    suppressed = address_suppressions.suppressed(connection, valid)
    if not suppressed:
        return set()
    keys = {each.recipient_id: each.dedupe_key for each in valid if each.recipient_id in suppressed}
    now = min(item.received_at for item, _ in letters)
    accepted = mail_keys.standing(connection, list(keys.values()), now)
    return {recipient_id for recipient_id, key in keys.items() if key not in accepted}


def _seated(connection: Connection, letters: _Letters, taken: Sequence[TakenLetter]) -> Seated:
    """Where the letters that are queued stand, automation by automation, in one order everywhere."""
    first: dict[tuple[str, bool], NewRequest] = {}
    ids: dict[tuple[str, bool], list[str]] = {}
    for (item, letter), each in zip(letters, taken, strict=True):
        if each.taken_as is TakenAs.QUEUED:
            key = (item.automation_id, item.is_dry_run)
            first.setdefault(key, item)
            ids.setdefault(key, []).append(letter.recipient_id)
    all_seated = Seated()
    for key, item in sorted(first.items(), key=itemgetter(0)):
        arrivals = Arrivals(
            automation_id=key[0],
            is_dry_run=key[1],
            recipient_ids=ids[key],
            batch_size=item.plan.batch_size,
            max_wait=item.plan.max_wait,
            now=item.received_at,
            trace_id=item.trace_id,
        )
        seated = mail_gathering.seat(connection, arrivals)
        all_seated.places.update(seated.places)
        all_seated.filled.update(seated.filled)
    return all_seated


def _keep(connection: Connection, letters: _Letters, taken: Sequence[TakenLetter], seated: Seated) -> None:
    rows = [
        _row(item, letter, each.taken_as, seated.places.get(letter.recipient_id))
        for (item, letter), each in zip(letters, taken, strict=True)
        if each.taken_as is not TakenAs.DUPLICATE
    ]
    if rows:
        connection.execute(_INSERT, rows)


def _row(
    item: NewRequest, letter: NewLetter | RefusedLetter, taken_as: TakenAs, place: Place | None
) -> dict[str, object]:
    is_queued = taken_as is TakenAs.QUEUED
    row: dict[str, object] = {
        "id": letter.recipient_id,
        "automation_id": item.automation_id,
        "state": RecipientState(taken_as.value),
        "is_dry_run": item.is_dry_run,
        "batch_id": place.batch_id if place else None,
        "position": place.position if place else None,
        "received_at": item.received_at,
        "finished_at": None if is_queued else item.received_at,
        "dedupe_key": None,
        "address_key": None,
        "customer_ids": orjson.dumps(dict(letter.customer_ids)).decode(),
        "campaign": letter.campaign,
        "vendor_id": None,
        "reason": None if is_queued else LetterReason.ADDRESS_SUPPRESSED,
        "error": None,
        "trace_id": item.trace_id,
        "payload": None,
    }
    if isinstance(letter, RefusedLetter):
        return row | {"reason": letter.reason, "error": letter.error}
    return row | {
        "dedupe_key": letter.dedupe_key,
        "address_key": letter.address_key,
        "payload": letter.payload,
    }


def _has_filled(taken: TakenLetter, seated: Seated) -> bool:
    return taken.taken_as is TakenAs.QUEUED and taken.recipient_id in seated.filled


def _told(connection: Connection, item: NewRequest, taken: Sequence[TakenLetter]) -> tuple[Obligation, ...]:
    """What Bloomreach is told of who gets no letter; of a dry run, nothing."""
    if item.feedback is None or item.is_dry_run:
        return ()
    commands = [
        command
        for letter, each in zip(item.letters, taken, strict=True)
        if each.taken_as in {TakenAs.REFUSED, TakenAs.SUPPRESSED}
        for command in item.feedback.commands(_outcome(item, letter))
    ]
    if not commands:
        return ()
    return track_outbox.add(connection, commands, now=item.received_at, trace_id=item.trace_id)


def _outcome(item: NewRequest, letter: NewLetter | RefusedLetter) -> LetterOutcome:
    outcome = LetterOutcome(
        recipient_id=letter.recipient_id,
        automation_id=item.automation_id,
        customer_ids=letter.customer_ids,
        campaign=letter.campaign,
        what=Fate.SUPPRESSED,
        message=None,
        at=item.received_at,
        reason=LetterReason.ADDRESS_SUPPRESSED,
    )
    if isinstance(letter, NewLetter):
        return outcome
    return replace(
        outcome,
        what=Fate.REFUSED,
        message=letter.error,
        reason=letter.reason,
        is_address_wrong=letter.is_address_wrong,
    )


_INSERT = insert_new(mail_recipients)
