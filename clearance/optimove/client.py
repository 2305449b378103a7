"""Which calls do we make to Optimove, and in which form?

In: values. Out: values, or an error of `clearance.errors`: see `clearance.http.exchange` for which, and what bounds a
call.
Every call is sent once; whether it may be repeated is the caller's to say. For an approval it may: Optimove takes
the first answer for a customer and action.

Sources: D is the vendor's page, S the facts sheet ("Calls"); I is inferred there, so the path is a setting.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import orjson

from clearance.clock import Clock, utc_now
from clearance.http.exchange import Reply
from clearance.optimove import replies
from clearance.optimove.http import open_http
from clearance.optimove.replies import Listener, Webhook, WebhookSettings

REGISTER_LISTENER = "/current/general/RegisterEventListener"
UNREGISTER_LISTENER = "/current/general/UnregisterEventListener"
LIST_LISTENERS = "/current/general/GetRegisteredEventListeners"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimovePaths:
    """Where the calls are whose place is inferred or may differ: each is a setting."""

    triggered_approval: str
    webhooks: str
    webhook_settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionAnswer:
    """The vendor has taken a submission: its 2xx status, and how long the call took."""

    status: int
    latency_s: float


class OptimoveClient:
    """Threads share one client; `pool_size` is how many of them call at once.

    Raises:
        ValueError: The base URL or the key cannot be used. The text holds neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        paths: OptimovePaths,
        timeout_s: float,
        pool_size: int,
        now: Clock = utc_now,
    ) -> None:
        self._http = open_http(base_url, api_key, pool_size=pool_size, now=now)
        self._paths = paths
        self._timeout_s = timeout_s

    def submit_triggered_approval(
        self, *, request_uid: str, approved: bool, at: datetime, timeout_s: float | None = None
    ) -> SubmissionAnswer:
        """SendWebhookApproval: the answer to one notification, given `at`. Source: D, step 6; the path, I.

        What a success looks like is not known, so any 2xx is one, unless it is a JSON string (S, "error in a
        success reply").

        Raises:
            RetryLater: Send it again while the deadline allows.
            Park: Optimove will not take it.
        """
        sent = {
            "timestamp": int(at.timestamp() * 1000),
            "request_uid": request_uid,
            "approved": approved,
            "additional_data": {},
        }
        reply = self._exchange("POST", self._paths.triggered_approval, sent, timeout_s)
        return SubmissionAnswer(status=reply.status, latency_s=reply.latency_s)

    def create_webhook(self, url: str) -> Webhook:
        """CreateWebhook: from now on every triggered notification also goes to `url`. Source: D, step 1; S."""
        return replies.load_webhook(self._exchange("POST", self._paths.webhooks, {"url": url}))

    def list_webhooks(self) -> tuple[Webhook, ...]:
        """GetWebhooks. Source: D names it; path and shape, I."""
        return replies.load_webhooks(self._exchange("GET", self._paths.webhooks))

    def get_webhook(self, webhook_id: str) -> Webhook:
        """GetWebhookById. Source: D names it; path and shape, I."""
        return replies.load_webhook(self._exchange("GET", self._webhook_path(webhook_id)))

    def delete_webhook(self, webhook_id: str) -> None:
        """DeleteWebhook. Source: D names it; path, I."""
        self._exchange("DELETE", self._webhook_path(webhook_id))

    def get_settings(self) -> WebhookSettings:
        """The tenant's settings, at the place where they are updated. Source: I."""
        return replies.load_settings(self._exchange("GET", self._paths.webhook_settings))

    def update_settings(self, *, timeout_ms: int | None = None, secret: str | None = None) -> WebhookSettings:
        """UpdateWebhookSettings, with only what is given: what the vendor answers is what holds then.

        Source: D, step 2; path and method, I. Whether an absent field keeps its value is not known.
        """
        given = {"timeout": timeout_ms, "secret": secret}
        sent = {name: value for name, value in given.items() if value is not None}
        return replies.load_settings(self._exchange("PUT", self._paths.webhook_settings, sent))

    def register_listener(self, event_type_id: int, url: str) -> None:
        """RegisterEventListener: event 5 (V1) or 18 (V2) goes to `url`. Source: D, step 1; S."""
        self._exchange("POST", REGISTER_LISTENER, {"EventTypeID": event_type_id, "ListenerURL": url})

    def unregister_listener(self, event_type_id: int) -> None:
        """UnregisterEventListener. Source: S."""
        self._exchange("POST", UNREGISTER_LISTENER, {"EventTypeID": event_type_id})

    def list_listeners(self) -> tuple[Listener, ...]:
        """GetRegisteredEventListeners. Source: S; the shape of the reply, I."""
        return replies.load_listeners(self._exchange("GET", LIST_LISTENERS))

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def _webhook_path(self, webhook_id: str) -> str:
        return f"{self._paths.webhooks.rstrip('/')}/{quote(webhook_id, safe='')}"

    def _exchange(self, method: str, path: str, sent: object = None, timeout_s: float | None = None) -> Reply:
        body = None if sent is None else orjson.dumps(sent)
        reply = self._http.exchange(
            method, path, body, timeout_s=self._timeout_s if timeout_s is None else timeout_s
        )
        replies.refuse_error_text(reply)
        return reply
