"""The verdict on letters: was each printed once at most, and does the ledger know of each what became of it?

`judge_mail` waits until everything has ended, and then holds against each other what callers were answered, what the
vendor printed, and what the ledger says. It fails with everything that is wrong at once. What is claimed:

- Every request whose answer was cut, as the vendor saw it, is held, with the letters that were in it and no other.
- A held batch has a reason that is true. Held as lost by its worker: a worker was killed while the ledger had the batch
  as being posted, and no more batches than one worker can have under way are blamed on one kill. Held as doubtful: the
  vendor saw its request cut; or it was cut on this side of the vendor, whose answer was on its way: the line was taken
  away while it was under way, or its worker had waited for as long as it may.
- What was printed is posted or held, and once. What is posted was printed, under the id that the ledger has.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.system.mail_fleet import BATCH_SIZE, MOST_IN_FLIGHT, TIMEOUT_S, Answered, MailFleet
from tests.system.mail_ledger import BatchRow, LetterRow
from tests.system.mail_letters import Flaw, Recipient
from tests.system.processes import NotInTimeError

_PAGE = 10_000
_SHOWN_PROBLEMS = 12
_LOST = "WORKER_LOST"
# With each slot one whose end was not written yet, and the next, which was about to leave.
_MOST_LOST_BY_A_KILL = 2 * MOST_IN_FLIGHT
_DOUBT = ("MAY_HAVE_ARRIVED", "AMBIGUOUS_REPLY")
# What a process writes down it has read off its clock before.
_CLOCK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MailVerdict:
    """What came of a test's letters.

    Attributes:
        states: Recipients by their state in the ledger.
        held: Held batches by their reason.
        held_printed: Of the letters in them, how many were printed.
        cut: Requests whose answer was cut, as the vendor saw it.
        most_in_flight: Requests at the vendor at once, those of dead workers included.
    """

    recipients: int
    states: Counter[str]
    held: Counter[str]
    held_printed: int
    requests: int
    printed: int
    cut: int
    kills: int
    most_in_flight: int
    took_s: float


def judge_mail(here: MailFleet, answered: Sequence[Answered], *, settle_s: float = 60.0) -> MailVerdict:
    """The verdict on all that was handed over since the test began.

    Raises:
        AssertionError: With everything that does not hold, and the ends of all logs.
    """
    # First, because whatever else is wrong may follow from it.
    problems, took_s = here.fleet.lost(), settle_s
    try:
        took_s = here.wait_ended(timeout_s=settle_s)
    except NotInTimeError as error:
        problems.append(f"{error}: {here.mail.unfinished(here.automations)}")
    found = _Found.read(here)
    problems += [*_of_answers(answered, found), *_of_vendor(found), *_of_letters(answered, found)]
    problems += [*_of_cut(found), *_of_held(found, here)]
    verdict = _summed(found, len(here.kills), took_s)
    here.fleet.note(f"verdict: {verdict}, seed {here.fleet.seed}")
    if problems:
        shown = "\n".join(problems[:_SHOWN_PROBLEMS])
        raise AssertionError(
            f"{len(problems)} problems (seed {here.fleet.seed}):\n{shown}\n{verdict}\n{here.fleet.tails()}"
        )
    return verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the vendor has, and what the ledger has."""

    seen: Mapping[str, Any]
    requests: Sequence[Mapping[str, Any]]
    printed: Mapping[str, list[Mapping[str, Any]]]
    letters: Sequence[LetterRow]
    batches: Mapping[str, BatchRow]

    @classmethod
    def read(cls, here: MailFleet) -> "_Found":
        printed: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for letter in _paged(here, "letters"):
            printed[letter["reference"]].append(letter)
        return cls(
            seen=here.seen(),
            requests=list(_paged(here, "requests")),
            printed=printed,
            letters=here.mail.letters(here.automations),
            batches={row.batch_id: row for row in here.mail.batches(here.automations)},
        )

    def members(self) -> dict[str, set[str]]:
        """Who is in which batch."""
        found: dict[str, set[str]] = defaultdict(set)
        for row in self.letters:
            if row.batch_id is not None:
                found[row.batch_id].add(row.reference)
        return found

    def held(self) -> list[BatchRow]:
        """The held batches."""
        return [batch for batch in self.batches.values() if batch.state == "held"]

    def cut(self) -> list[Mapping[str, Any]]:
        """Requests whose sender cannot know what was printed."""
        return [request for request in self.requests if request["is_cut"]]


def _paged(here: MailFleet, what: str) -> Iterable[Mapping[str, Any]]:
    """Of this test's automations: what another has left is not its business."""
    offset, count = 0, 1
    while offset < count:
        page = here.fleet.call("GET", f"/sandbox/optilyz/{what}?limit={_PAGE}&offset={offset}")
        yield from (each for each in page[what] if each["automation"] in here.automations)
        count, offset = page["count"], offset + _PAGE


def _of_answers(answered: Sequence[Answered], found: _Found) -> Iterable[str]:
    """What a caller was told and is not so: an id is this recipient's, and of the same one always the same."""
    row_by_id = {row.recipient_id: row for row in found.letters}
    ids_by_reference: dict[str, set[str]] = defaultdict(set)
    for each in answered:
        for recipient, result in zip(each.order.recipients, each.results, strict=True):
            row = row_by_id.get(result.get("id", ""))
            if "id" in result and (row is None or row.reference != recipient.reference):
                yield f"{recipient.reference} was answered with the id of {row}"
            if "id" not in result and recipient.flaw is Flaw.NONE:
                yield f"{recipient.reference} was refused: {result}"
            if "id" in result and recipient.flaw is Flaw.INVALID:
                yield f"{recipient.reference} was taken, and breaks a rule"
            if "id" in result:
                ids_by_reference[recipient.reference].add(result["id"])
    failed = {row.reference for row in found.letters if row.state == "failed"}
    for reference, ids in ids_by_reference.items():
        # What failed is forgotten, so that the same one is another letter.
        if len(ids) > 1 and reference not in failed:
            yield f"{reference} has {len(ids)} ids"


def _of_vendor(found: _Found) -> Iterable[str]:
    seen = found.seen
    if seen["most_in_flight"] > MOST_IN_FLIGHT:
        yield f"{seen['most_in_flight']} requests in flight at once"
    if seen["printed_twice"]:
        yield f"{seen['printed_twice']} letters printed twice"
    yield from (
        f"{name} was printed {len(all_)} times" for name, all_ in found.printed.items() if len(all_) > 1
    )
    if any(seen["forgotten"].values()):
        yield f"the vendor has forgotten some: {seen['forgotten']}"
    yield from (f"a request with {size} recipients" for size in seen["batch_sizes"] if int(size) > BATCH_SIZE)


def _of_letters(answered: Sequence[Answered], found: _Found) -> Iterable[str]:
    """Each recipient has an end, and the one that the vendor's record says."""
    rows_by_reference: dict[str, list[LetterRow]] = defaultdict(list)
    for row in found.letters:
        rows_by_reference[row.reference].append(row)
    handed = {each.reference: each for one in answered for each in one.order.recipients}
    for reference in handed.keys() | found.printed.keys() | rows_by_reference.keys():
        recipient = handed.get(reference)
        if recipient is None:
            yield f"{reference or 'somebody'} was never handed over"
            continue
        rows, printed = rows_by_reference[reference], found.printed.get(reference, [])
        yield from (f"{reference}: {problem}" for problem in _of_one(recipient, rows, printed))


def _of_one(
    recipient: Recipient, rows: Sequence[LetterRow], printed: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    states = Counter(row.state for row in rows)
    may_be = _STATES_BY_FLAW[recipient.flaw]
    if not rows or states.keys() - may_be:
        yield f"{dict(states)}, with {recipient.flaw} wrong"
    if states["posted"] + states["held"] > 1:
        yield f"more than one letter: {dict(states)}"
    if recipient.flaw is not Flaw.NONE and printed:
        yield "printed, though it is wrong"
    if printed and not (states["posted"] or states["held"]):
        yield f"printed, and {dict(states)}"
    for row in rows:
        if row.state == "posted" and [letter["id"] for letter in printed] != [row.vendor_id]:
            yield f"posted as {row.vendor_id}, printed as {[letter['id'] for letter in printed]}"


_STATES_BY_FLAW = {
    Flaw.NONE: {"posted", "held"},
    Flaw.INVALID: {"refused"},
    # Suppressed: it came again after it was refused.
    Flaw.UNDELIVERABLE: {"failed", "suppressed", "held"},
    Flaw.REFUSES_ALL: {"failed", "held"},
}


def _of_cut(found: _Found) -> Iterable[str]:
    """Every cut request is held, with who was in it and nobody else, and was not made again."""
    members, held = found.members(), {batch.batch_id for batch in found.held()}
    batch_by_reference = {
        reference: batch_id for batch_id, all_ in members.items() if batch_id in held for reference in all_
    }
    seen: set[str] = set()
    for request in found.cut():
        references = set(request["references"])
        if not references:
            continue  # cut before all of it had come: `_of_held` finds its batch
        batches = {batch_by_reference.get(each) for each in references}
        batch_id = batches.pop()
        if batches or batch_id is None:
            yield f"request {request['number']} was cut, and not all of it is held: {batch_id}, {batches}"
        elif members[batch_id] != references:
            yield f"request {request['number']} was cut with {len(references)}, held are {len(members[batch_id])}"
        elif batch_id in seen:
            yield f"batch {batch_id} was cut twice: it was sent again"
        else:
            seen.add(batch_id)


def _of_held(found: _Found, here: MailFleet) -> Iterable[str]:
    """Every held batch has a reason that is true."""
    members = found.members()
    cut = {frozenset(request["references"]) for request in found.cut()}
    blamed: Counter[float] = Counter()
    for batch in sorted(found.held(), key=lambda row: _s(row.answered_at)):
        told = f"batch {batch.batch_id} is held as {batch.reason}"
        began_s, ended_s = _s(batch.sent_at) - _CLOCK_S, _s(batch.answered_at) + _CLOCK_S
        if batch.reason == _LOST:
            kills = [
                at for at in here.kills if began_s <= at <= ended_s and blamed[at] < _MOST_LOST_BY_A_KILL
            ]
            if kills:
                # The first that it can have been leaves the later ones to those that were begun later.
                blamed[min(kills)] += 1
            else:
                yield f"{told}, and no worker was killed between {batch.sent_at} and {batch.answered_at}"
        elif batch.reason in _DOUBT:
            is_line_cut = any(began_s <= at <= ended_s for at in here.cuts)
            is_over = "no answer in time" in str(batch.error) and ended_s - began_s >= TIMEOUT_S
            if frozenset(members[batch.batch_id]) not in cut and not is_line_cut and not is_over:
                yield f"{told}, and the vendor has answered it"
        else:
            yield told


def _s(at: datetime | None) -> float:
    assert at is not None, "a held batch that was never sent"
    return at.timestamp()


def _summed(found: _Found, kills: int, took_s: float) -> MailVerdict:
    held = found.held()
    members = found.members()
    return MailVerdict(
        recipients=len({row.reference for row in found.letters}),
        states=Counter(row.state for row in found.letters),
        held=Counter(str(batch.reason) for batch in held),
        held_printed=sum(name in found.printed for batch in held for name in members[batch.batch_id]),
        requests=found.seen["requests"],
        printed=found.seen["printed"],
        cut=len(found.cut()),
        kills=kills,
        most_in_flight=found.seen["most_in_flight"],
        took_s=round(took_s, 1),
    )
