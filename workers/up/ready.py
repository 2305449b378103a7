"""Whether a process can be used: the questions that the supervisor asks, each answered within half a second."""

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any

_TIMEOUT_S = 0.5
# Heads-ups of send groups (V2), campaigns that want clearance, and campaigns that are cancelled (V1).
_LISTENERS = ((18, "send-groups"), (5, "events"), (4, "events"))


def answers_http(host: str, port: int, path: str) -> Callable[[], bool]:
    """Whether `GET path` is answered with 200."""

    def is_ready() -> bool:
        return _status(host, port, "GET", path) == http.HTTPStatus.OK

    return is_ready


def answers_ping(host: str, port: int) -> Callable[[], bool]:
    """Whether a Redis has loaded its data and answers PONG."""

    def is_ready() -> bool:
        try:
            with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    return is_ready


def register(host: str, port: int, api_key: str, ingest_url: str, token: str) -> Callable[[], None]:
    """Tells the sandbox where to send notifications to; it forgets that when it ends."""
    webhooks = f"{ingest_url}/webhooks/optimove"
    calls: list[tuple[str, dict[str, object]]] = [
        ("/conditional-execution/v2/triggered/webhooks", {"url": f"{webhooks}/triggered"})
    ]
    for event, route in _LISTENERS:
        listener = {"EventTypeID": event, "ListenerURL": f"{webhooks}/{route}?token={token}"}
        calls.append(("/current/general/RegisterEventListener", listener))
    headers = {"X-API-KEY": api_key, "Content-Type": "application/json"}

    def call_all() -> None:
        for path, body in calls:
            _status(host, port, "POST", path, body=json.dumps(body), headers=headers)

    return call_all


def _status(host: str, port: int, method: str, path: str, **more: Any) -> int | None:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, **more)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
