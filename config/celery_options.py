"""How Celery is set up, and why: every option that differs from its default has its reason here.

The ledger decides what is owed and who works on it; Celery moves ids. So nothing here may hold work that the ledger
does not know, and a lost or doubled message must cost seconds only.
"""

from typing import Any

from kombu.entity import Exchange, Queue

from config import sentinel
from config.queues import LANE_QUEUES, QUEUE_BY_LANE
from config.settings import Settings
from config.tls import amqp_tls, redis_tls


def celery_options(settings: Settings, lane: str | None = None) -> dict[str, Any]:
    """Celery's configuration for a worker of `lane`, or for a process that only publishes."""
    return {
        "broker_url": settings.broker_url,
        "broker_use_ssl": redis_tls(settings.broker_url, settings)
        or amqp_tls(settings.broker_url, settings)
        or None,
        "broker_transport_options": _transport_options(settings, lane),
        "broker_connection_timeout": settings.broker_socket_timeout_s,
        # A worker outlives its broker: it waits for it, however long, at its start too.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_heartbeat": 10,
        "task_queues": [_queue(settings, item.queue) for item in LANE_QUEUES],
        # Celery asks for one, though every message names its queue.
        "task_default_queue": LANE_QUEUES[0].queue,
        "task_create_missing_queues": False,
        # The guardian is the retry: a publisher that waits would hold up its caller.
        "task_publish_retry": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_protocol": 2,
        # The ledger has the results.
        "task_ignore_result": True,
        "result_backend": None,
        # A message is acknowledged when its outcome is in the ledger, and comes again when its worker dies before.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "worker_prefetch_multiplier": 1,
        # After a reconnect Celery would halve the prefetch count step by step: slow exactly when work has piled up.
        "worker_enable_prefetch_count_reduction": False,
        # A task whose message will come again is still right to finish: its claim is in the ledger.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Rates belong to the fleet (clearance/limits); Celery's are per process and hold prefetch slots.
        "worker_disable_rate_limits": True,
        # Flower lives on these.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "timezone": "UTC",
        "enable_utc": True,
    }


def _queue(settings: Settings, name: str) -> Queue:
    # The default exchange routes by queue name and needs no binding: after the broker was wiped there is none to miss.
    arguments = {"x-queue-type": "quorum"} if settings.broker_url.startswith("amqp") else None
    return Queue(name, Exchange(""), routing_key=name, durable=True, queue_arguments=arguments)


def _transport_options(settings: Settings, lane: str | None) -> dict[str, Any]:
    if settings.broker_url.startswith("amqp"):
        return {"confirm_publish": True}
    options: dict[str, Any] = {
        # Without these, a broker that hangs is waited for without end.
        "socket_timeout": settings.broker_socket_timeout_s,
        "socket_connect_timeout": settings.broker_socket_timeout_s,
        "health_check_interval": 10,
    }
    if settings.broker_url.startswith("sentinel"):
        options["master_name"] = settings.sentinel_master
        options["sentinel_kwargs"] = sentinel.asking(settings.broker_socket_timeout_s / 4)
    if lane is None:
        return options
    visibility_timeout_s = QUEUE_BY_LANE[lane].visibility_timeout_s
    if visibility_timeout_s is None:
        return options | {"ack_emulation": False}
    return options | {
        "visibility_timeout": visibility_timeout_s,
        # Keys of its own for each lane: the shortest visibility timeout in a shared index wins for all.
        "unacked_key": f"clearance.{lane}.unacked",
        "unacked_index_key": f"clearance.{lane}.unacked_index",
        "unacked_mutex_key": f"clearance.{lane}.unacked_mutex",
        # By default what a dead worker held comes back after 57-88 s; with these after the timeout and a second.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        # A worker killed inside a sweep would stop everybody's sweeps for 300 s.
        "unacked_mutex_expire": 5,
    }
