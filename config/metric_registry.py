"""What is measured: each metric declared once, with its type, labels and meaning.

Units are seconds, bytes and items; labels have few values, never ids. `docs/metrics.md` is generated from `METRICS`;
`config/metrics.py` moves them. Alerts and dashboards in `deploy` may use these and nothing else.
"""

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "clearance_"

# The targets are p50 10 ms, p99 50 ms and p99.9 150 ms, inside 5 s: each is the bound of a bucket.
_ANSWER_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 1.5, 2.5, 4.0, 5.0)
_MARGIN_S = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 4.8, 5.0, 10.0, 60.0, 600.0)
_CALL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    `name` is what `/metrics` shows, without `clearance_`; `buckets` are a histogram's upper bounds.
    """

    kind: Kind
    name: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


def _counter(name: str, *labels: str, meaning: str) -> Metric:
    return Metric(Kind.COUNTER, name, labels, meaning)


def _gauge(name: str, *labels: str, meaning: str) -> Metric:
    return Metric(Kind.GAUGE, name, labels, meaning)


def _histogram(name: str, *labels: str, buckets: tuple[float, ...], meaning: str) -> Metric:
    return Metric(Kind.HISTOGRAM, name, labels, meaning, buckets)


METRICS: tuple[Metric, ...] = (
    # Ingest
    _counter("requests_accepted_total", "route", meaning="Requests acknowledged; duplicates included."),
    _counter("requests_duplicate_total", "route", meaning="Accepted requests that had been accepted before."),
    _counter(
        "requests_refused_total", "route", "reason", meaning="Requests refused; none of them is queued."
    ),
    _counter(
        "mail_recipients_received_total",
        "outcome",
        meaning="Recipients handed to the relay: `queued`, `duplicate`, `suppressed` or `refused`.",
    ),
    _counter(
        "mail_recipients_without_id_total",
        meaning="Recipients handed to the relay without a usable customer id: nobody is told of them.",
    ),
    _counter(
        "notifications_expired_total",
        "route",
        meaning="Notifications with no time left when they came: missed.",
    ),
    _histogram(
        "http_request_seconds",
        "route",
        "status",
        buckets=_CALL_S,
        meaning="From a request's head to its answer.",
    ),
    _histogram("commit_items", buckets=_ITEMS, meaning="Notifications in one group commit."),
    _histogram("commit_seconds", buckets=_CALL_S, meaning="One group commit: transaction begun to durable."),
    # Publishing
    _counter(
        "publish_batches_total",
        "publisher",
        "outcome",
        meaning="Batches given to the broker by `ingest` or `guardian`: `published` or `failed`.",
    ),
    _counter(
        "publish_failed_total",
        "publisher",
        meaning="Messages of failed batches; the guardian publishes them when the broker is back.",
    ),
    _histogram("publish_seconds", "publisher", buckets=_CALL_S, meaning="One batch given to the broker."),
    # Obligations
    _counter(
        "obligation_outcomes_total",
        "lane",
        "outcome",
        meaning="How runs of obligations ended: `done`, `missed`, `parked` or `retry`.",
    ),
    _counter(
        "obligations_missed_total", "lane", "reason", meaning="Obligations past their deadline, by reason."
    ),
    _counter(
        "obligations_parked_total", "lane", "reason", meaning="Obligations left to a person, by reason."
    ),
    _counter("obligation_retries_total", "lane", "reason", meaning="Obligations opened again, by reason."),
    _counter("leases_lost_total", "lane", meaning="Runs that found their obligation taken over or finished."),
    # The answer
    _histogram(
        "notification_to_approval_seconds",
        "lane",
        buckets=_ANSWER_S,
        meaning="From a notification's receipt to the vendor's answer to its approval.",
    ),
    _histogram(
        "submission_margin_seconds",
        "lane",
        buckets=_MARGIN_S,
        meaning="What was left before the deadline when a submission left.",
    ),
    _counter(
        "notifications_ignored_total",
        "route",
        meaning="Events that ask nothing of us: acknowledged and recorded.",
    ),
    # Groups: V2 send groups and V1 campaigns
    _counter(
        "groups_ended_total",
        "api",
        "outcome",
        meaning="Revisions of groups that ended: `submitted`, or `missed` for some customers.",
    ),
    _histogram(
        "group_margin_seconds",
        "api",
        buckets=_MARGIN_S,
        meaning="What was left before the deadline when a group's last call was answered.",
    ),
    _counter(
        "group_customers_missed_total",
        "api",
        "reason",
        meaning="Customers of groups who were not answered in time, by what was missing.",
    ),
    _counter("group_rows_malformed_total", meaning="Rows of customers that could not be read: not approved."),
    _counter(
        "group_counts_differ_total",
        "api",
        meaning="Groups that had another number of customers than was told.",
    ),
    # Rules
    _counter("decisions_total", "lane", "answer", meaning="Decisions made: `approved` or `rejected`."),
    _counter(
        "decision_reasons_total",
        "lane",
        "reason",
        meaning="Reasons noted by decisions, without what follows a colon.",
    ),
    _histogram(
        "check_call_seconds",
        "check",
        "outcome",
        buckets=_CALL_S,
        meaning="One call of an `http` check: `answered`, `throttled`, `failed` or `malformed`.",
    ),
    _counter(
        "check_failures_total",
        "check",
        "why",
        meaning="Questions, one a batch, that an outside check could not answer: its `on_error` counted.",
    ),
    _counter(
        "check_answers_ignored_total", "check", meaning="Answers about customers that nobody asked about."
    ),
    _counter("check_breaker_opened_total", "check", meaning="Circuit breakers that opened, by check."),
    _counter(
        "check_cooldowns_total",
        "check",
        meaning="Cool-downs of the whole fleet that a checked system asked for.",
    ),
    _counter(
        "rules_reloads_total",
        "outcome",
        meaning="Reloads of the rules: `loaded`, `unchanged` or `refused` (the last good ones stay).",
    ),
    # Vendors
    _histogram(
        "vendor_call_seconds",
        "vendor",
        "call",
        "outcome",
        "status",
        buckets=_CALL_S,
        meaning="One attempt to call a vendor; `status` is of HTTP, `none` without an answer.",
    ),
    _histogram(
        "turn_wait_seconds",
        "limit",
        buckets=_CALL_S,
        meaning="How long a caller waited for the fleet's rate limit and cool-down, by whose limit it is.",
    ),
    _counter(
        "vendor_cooldowns_total", "vendor", meaning="Cool-downs of the whole fleet that a vendor asked for."
    ),
    _gauge("clock_skew_seconds", meaning="Optimove's clock less ours, measured from signed timestamps."),
    # The fleet: levels that every guardian sees. Take the greatest: all see the same.
    _gauge("ledger_up", meaning="1 when the last look at the ledger succeeded, else 0."),
    _gauge("broker_up", meaning="1 when the last look at the broker succeeded, else 0."),
    _gauge("queue_messages", "lane", meaning="Messages that wait on a lane's queue."),
    _gauge(
        "lane_obligations",
        "lane",
        "state",
        meaning="Obligations that are `due`, for `later`, `running`, or `parked` until a person acts.",
    ),
    _gauge("overdue_obligations", "lane", meaning="Unfinished obligations past their deadline."),
    _gauge(
        "obligations_oldest_due_seconds",
        "lane",
        meaning="For how long the oldest that is due could have been begun; 0 when none is due.",
    ),
    _gauge("lane_paused", "lane", meaning="1 while a lane is paused, else 0."),
    _gauge(
        "lane_heartbeat_seconds",
        "lane",
        meaning="Since when no heartbeat came out of a lane's queue; unknown before the first.",
    ),
    _gauge("open_groups", "api", meaning="Groups that are not ended."),
    _gauge(
        "late_groups",
        "api",
        meaning="Open groups whose approvals should leave, but not all customers are fetched and decided.",
    ),
    _gauge(
        "group_next_submission_seconds",
        "api",
        meaning="Until the approvals of the next open group should begin to leave; negative once they should.",
    ),
    _gauge(
        "group_next_deadline_seconds",
        "api",
        meaning="Until the next deadline of an open group; unknown when none is open.",
    ),
    _gauge("rules_versions", meaning="Versions of the rules by which living processes decide: 1 is right."),
    _gauge(
        "rules_refused_processes", meaning="Processes that refused the newest rules and decide by the former."
    ),
    # Mail and track: the same
    _counter(
        "mail_slots_total",
        "outcome",
        meaning="Looks for a slot: `taken`, `busy`, `quiet` (the vendor cools down), `unavailable`, or `lost` later.",
    ),
    _counter(
        "mail_posts_total",
        "outcome",
        meaning="Batches begun, by end: `answered`, `rehearsed`, `notsent`, `held`, `split` or `refusedsingle`.",
    ),
    _counter(
        "mail_letters_total",
        "outcome",
        meaning="Letters that Optilyz answered: `posted` or `failed`; or that were not posted after all because their"
        " address was suppressed while they waited: `suppressed`.",
    ),
    _counter(
        "mail_held_total",
        "reason",
        meaning="Batches that a worker left to a person, by reason: alert on any.",
    ),
    _gauge("mail_waiting_letters", meaning="Letters that are not posted yet; rehearsals do not count."),
    _gauge("mail_oldest_waiting_seconds", meaning="Age of the oldest letter that is not posted yet."),
    _gauge("mail_held_batches", meaning="Batches that wait for a person: nobody knows if they were posted."),
    _gauge("mail_held_letters", meaning="Letters in held batches."),
    _gauge("mail_busy_slots", meaning="Requests to Optilyz that the fleet may have under way at the moment."),
    _gauge("track_open_commands", meaning="Commands that Bloomreach is still to be told."),
    _gauge("track_parked_commands", meaning="Commands that Bloomreach did not take."),
    # Track
    _counter(
        "track_commands_total",
        "outcome",
        meaning="What became of commands for Bloomreach: `sent`, or `parked` for a person.",
    ),
    _counter(
        "mailing_recipients_total",
        "outcome",
        meaning="Recipients in accepted mailing states: `told`, `without_id`, or `untold` as no Bloomreach is set.",
    ),
    _counter(
        "lane_pauses_total",
        "lane",
        meaning="Lanes that a worker paused: nothing is sent until a person resumes.",
    ),
    # Guardian
    _counter(
        "guardian_published_total",
        "lane",
        "why",
        meaning="Obligations published by the guardian: `due`, `hedge` or `abandoned`.",
    ),
    _counter(
        "guardian_missed_total", "lane", meaning="Obligations that the guardian found past their deadline."
    ),
    _histogram("guardian_tick_seconds", buckets=_CALL_S, meaning="One look of the guardian at the ledger."),
    _gauge("guardian_lag_seconds", meaning="How late the guardian's last look began."),
)
METRIC_BY_NAME = {metric.name: metric for metric in METRICS}
