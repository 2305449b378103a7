"""What happened to one customer, and why: every question about him, what was decided, sent and answered.

Out: stories, newest first, from the ledger alone. A story is there as soon as the question is acknowledged, also when
nothing was ever decided: it was missed before, it is parked, or there is still time. Of a group, which is asked about
thousands at once, it is there as soon as he is decided about, or given up. What it costs grows with what is told, and
with the chunks of groups that there ever were (`decisions_in_groups`), not with what else the ledger holds.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, exists, or_, select

from clearance.ledger import decisions_in_groups
from clearance.ledger.decisions import decision_of
from clearance.ledger.tables import approvals, decisions, notifications, obligations
from clearance.ledger.why_facts import Asked, Decided, InGroup, Owed, Sent, Story, owed_of, sent_of
from clearance.ledger.why_groups import calls_in_groups, groups_of, owed_in_groups

# Decisions in groups that are looked through for those of a campaign.
_MOST_LOOKED_THROUGH = 10_000


def stories(
    connection: Connection, customer_id: str, *, campaign_id: str | None = None, last: int
) -> list[Story]:
    """The newest `last` stories about a customer, newest first.

    Args:
        campaign_id: Only those of this series or occurrence, or of the group that the vendor calls so.
    """
    asked = connection.execute(
        _of_campaign(_ASKED, campaign_id), {"customer_id": customer_id, "last": last}
    ).all()
    alone, in_groups = _decided_alone(connection, customer_id, campaign_id, last)
    subjects = [row.id for row in asked]
    decided = {row.subject: row for row in alone}
    if subjects:
        found = connection.execute(_DECIDED, {"customer_id": customer_id, "subjects": subjects})
        decided |= {row.subject: row for row in found}
    began = {row.id: row.received_at for row in asked} | {row.subject: row.decided_at for row in alone}
    newest = sorted(began, key=lambda subject: (began[subject], subject), reverse=True)[:last]
    asked_by_subject = {row.id: _asked(row) for row in asked}
    told_in_groups = {subject: in_groups[subject] for subject in newest if subject in in_groups}
    others = [subject for subject in newest if subject not in in_groups]
    sent = _sent(connection, others) | calls_in_groups(connection, told_in_groups, decided)
    owed = _owed(connection, others) | owed_in_groups(connection, told_in_groups)
    return [
        Story(
            subject=subject,
            asked=asked_by_subject.get(subject),
            decided=_decided(decided[subject]) if subject in decided else None,
            sent=tuple(sent.get(subject, ())),
            owed=tuple(owed.get(subject, ())),
            group=in_groups.get(subject),
        )
        for subject in newest
    ]


def _of_campaign(statement: Select[Any], campaign_id: str | None) -> Select[Any]:
    if campaign_id is None:
        return statement
    columns = (notifications.c.series_id, notifications.c.occurrence_id)
    return statement.where(or_(*(column == campaign_id for column in columns)))


def _decided_alone(
    connection: Connection, customer_id: str, campaign_id: str | None, last: int
) -> tuple[Sequence[Row[Any]], Mapping[str, InGroup]]:
    """Decisions that no notification about him alone led to, and for those of groups, by subject, which."""
    most = last if campaign_id is None else _MOST_LOOKED_THROUGH
    unasked = connection.execute(_DECIDED_UNASKED, {"customer_id": customer_id, "last": most}).all()
    grouped = decisions_in_groups.about(connection, customer_id, most=most)
    rows = sorted([*unasked, *grouped], key=lambda row: (row.decided_at, row.subject), reverse=True)[:most]
    in_groups = groups_of(connection, rows)
    if campaign_id is None:
        return rows, in_groups
    named = {subject for subject, each in in_groups.items() if _is_called(each, campaign_id)}
    return [row for row in rows if row.subject in named][:last], in_groups


def _is_called(in_group: InGroup, campaign_id: str) -> bool:
    campaign = in_group.group.campaign
    return campaign_id in (campaign.series_id, campaign.occurrence_id, in_group.group.vendor_id)


def _sent(connection: Connection, subjects: Sequence[str]) -> dict[str, list[Sent]]:
    by_subject: defaultdict[str, list[Sent]] = defaultdict(list)
    for row in connection.execute(_SENT, {"subjects": list(subjects)}) if subjects else ():
        by_subject[row.subject].append(sent_of(row))
    return by_subject


def _owed(connection: Connection, subjects: Sequence[str]) -> dict[str, list[Owed]]:
    by_subject: defaultdict[str, list[Owed]] = defaultdict(list)
    for row in connection.execute(_OWED, {"subjects": list(subjects)}) if subjects else ():
        by_subject[row.subject].append(owed_of(row))
    return by_subject


def _asked(row: Row[Any]) -> Asked:
    return Asked(
        kind=row.kind,
        vendor_id=row.vendor_id,
        series_id=row.series_id,
        occurrence_id=row.occurrence_id,
        received_at=row.received_at,
        deadline_at=row.deadline_at,
    )


def _decided(row: Row[Any]) -> Decided:
    return Decided(decision=decision_of(row), inputs_digest=row.inputs_digest, decided_at=row.decided_at)


_ASKED = (
    select(*(column for column in notifications.c if column.name != "body"))
    .where(notifications.c.customer_id == bindparam("customer_id"))
    .order_by(notifications.c.id.desc())
    .limit(bindparam("last"))
)
_DECIDED = select(decisions).where(
    and_(
        decisions.c.customer_id == bindparam("customer_id"),
        decisions.c.subject.in_(bindparam("subjects", expanding=True)),
        decisions.c.chunk.is_(None),
    )
)
_DECIDED_UNASKED = (
    select(decisions)
    .where(
        decisions.c.customer_id == bindparam("customer_id"),
        decisions.c.chunk.is_(None),
        ~exists().where(notifications.c.id == decisions.c.subject),
    )
    .order_by(decisions.c.decided_at.desc(), decisions.c.subject.desc())
    .limit(bindparam("last"))
)
_SENT = (
    select(approvals)
    .where(approvals.c.subject.in_(bindparam("subjects", expanding=True)))
    .order_by(approvals.c.sent_at, approvals.c.id)
)
_OWED = (
    select(obligations)
    .where(obligations.c.subject.in_(bindparam("subjects", expanding=True)))
    .order_by(obligations.c.created_at, obligations.c.id)
)
