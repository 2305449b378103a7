"""The usual worker: Celery with its defaults, one call of `requests.post` a task."""

import os
import time
from typing import Any

import requests
from celery import Celery

APPROVAL_URL = os.environ["USUAL_APPROVAL_URL"]
API_KEY = os.environ["USUAL_API_KEY"]

app = Celery("usual", broker=os.environ["USUAL_BROKER_URL"])


@app.task  # type: ignore[untyped-decorator]  # celery publishes no types
def approve(payload: dict[str, Any]) -> None:
    """Decide, and tell the vendor."""
    answer = requests.post(
        APPROVAL_URL,
        json={
            "timestamp": int(time.time() * 1000),
            "request_uid": payload["request_uid"],
            "approved": payload["user"]["personalization"].get("self_excluded") == "false",
            "additional_data": {},
        },
        headers={"X-API-KEY": API_KEY},
        timeout=10,
    )
    answer.raise_for_status()
