"""Logs: one line an event, the same from every library, and nothing private in any of them."""

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import celery.app.trace
import granian.log
import pytest
import structlog

from clearance.errors import VendorRefused
from config import logs
from config.setting_choices import LogFormat
from config.settings import Settings

SECRET = "hunter2"


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    kept = structlog.get_config(), root.handlers[:], root.level, sys.excepthook, threading.excepthook
    names = ("celery.app.trace", "celery.worker.strategy", "_granian")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    structlog.configure(**kept[0])
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level, sys.excepthook, threading.excepthook = kept[1:]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def lines(_logging_restored: None) -> Callable[[], list[dict[str, object]]]:
    stream = io.TextIOWrapper(io.BytesIO(), write_through=True)
    logs.configure(LogFormat.AUTO, "INFO", "worker-triggered", stream=stream)
    return lambda: [json.loads(line) for line in stream.buffer.getvalue().splitlines()]


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    def fail() -> None:
        raise error from cause

    with pytest.raises(type(error)):
        fail()
    return error


def test_a_line_is_json_with_its_event_level_process_and_time_in_utc(lines) -> None:
    structlog.get_logger().info("approval.submitted", attempt=1, margin_s=4.2)

    (line,) = lines()
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "approval.submitted",
        "level": "info",
        "process": "worker-triggered",
        "attempt": 1,
        "margin_s": 4.2,
    }


def test_bound_context_is_on_our_lines_and_on_those_of_libraries(lines) -> None:
    structlog.contextvars.bind_contextvars(trace_id="t-1")

    structlog.get_logger().info("approval.submitted")
    logging.getLogger("kombu").info("connected")

    assert [line["trace_id"] for line in lines()] == ["t-1", "t-1"]


def test_a_library_logs_through_the_same_renderer(lines) -> None:
    logging.getLogger("kombu.connection").info("Running upgrade %s", "0001")

    (line,) = lines()
    assert line["event"] == "Running upgrade 0001"
    assert line["logger"] == "kombu.connection"
    assert line["process"] == "worker-triggered"


def test_an_exception_of_a_library_is_shown_by_type_and_place_without_its_message(lines) -> None:
    error = _raised(ValueError(f"parameters: {SECRET}"))

    structlog.get_logger().error("task.failed", exc_info=error)
    logging.getLogger("celery").error("failed", exc_info=error)

    for line in lines():
        assert line["error"] == "ValueError"
        assert line["error_at"][-1].startswith("unit/config/test_logs.py:")
        assert SECRET not in json.dumps(line)


def test_our_own_errors_are_shown_with_their_facts_and_their_cause_by_type(lines) -> None:
    error = _raised(VendorRefused("optimove", 422), cause=OSError(SECRET))

    structlog.get_logger().error("approval.refused", exc_info=error)

    (line,) = lines()
    assert line["error"] == "VendorRefused: optimove: 422 request refused"
    assert line["error_from"] == "OSError"
    assert SECRET not in json.dumps(line)


def test_the_current_exception_is_found_by_log_exception(lines) -> None:
    try:
        {}[SECRET]
    except KeyError:
        structlog.get_logger().exception("task.failed")

    (line,) = lines()
    assert line["error"] == "KeyError"
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize(
    "key",
    [
        *(
            "password",
            "flower_password",
            "secret",
            "webhook_secrets",
            "api_key",
            "X-API-KEY",
            "apikey",
            "token",
        ),
        *(
            "signature",
            "authorization",
            "cookie",
            "body",
            "payload",
            "email",
            "e_mail",
            "address",
            "addresses",
        ),
        *("attributes", "personalization", "individualisation1", "first_name", "args", "kwargs", "phone"),
    ],
)
def test_a_key_that_names_something_private_is_masked(lines, key: str) -> None:
    structlog.get_logger().info("request.refused", **{key: SECRET})

    assert lines()[0][key] == "***"


@pytest.mark.parametrize("key", ["body_bytes", "signature_mode", "customer_id", "status", "secrets_count"])
def test_a_key_that_only_measures_something_private_is_shown(lines, key: str) -> None:
    structlog.get_logger().info("request.refused", **{key: 7})

    assert lines()[0][key] == 7


def test_private_keys_are_masked_inside_mappings_and_lists(lines) -> None:
    structlog.get_logger().info("request.refused", context=[{"password": SECRET, "route": "triggered"}])

    assert lines()[0]["context"] == [{"password": "***", "route": "triggered"}]


def test_the_password_of_a_url_is_masked_wherever_it_stands(lines) -> None:
    structlog.get_logger().info("broker.connected", broker=f"redis://user:{SECRET}@host/0")
    logging.getLogger("kombu").info(
        "connected to %s", f"amqp://user:{SECRET}@host and redis://:{SECRET}@other"
    )

    assert lines()[0]["broker"] == "redis://***@host/0"
    assert lines()[1]["event"] == "connected to amqp://***@host and redis://***@other"


def test_an_object_is_shown_by_its_type_and_a_path_or_an_exception_by_what_is_safe(lines) -> None:
    structlog.get_logger().info(
        "process.started",
        settings=Settings(optimove_api_key=SECRET),
        error=OSError(SECRET),
        state=Path("var/x"),
        format=LogFormat.JSON,
        lanes={"triggered"},
    )

    (line,) = lines()
    assert line["settings"] == "<Settings>"
    assert line["error"] == "OSError"
    assert (line["state"], line["format"], line["lanes"]) == ("var/x", "json", ["triggered"])


def test_an_exception_inside_a_library_s_message_is_shown_by_its_type(lines) -> None:
    logging.getLogger("kombu").warning("lost %s: %s", "connection", OSError(SECRET))
    logging.getLogger("kombu").warning(OSError(SECRET))

    assert [line["event"] for line in lines()] == ["lost connection: OSError", "OSError"]


def test_celery_s_report_of_a_failed_task_shows_neither_its_arguments_nor_its_error(lines) -> None:
    context = {"name": "triggered.decide", "id": "1", "description": "raised", "exc": SECRET, "args": SECRET}

    logging.getLogger("celery.app.trace").error(celery.app.trace.LOG_FAILURE, context)

    assert lines()[0]["event"] == "Task triggered.decide[1] raised: ***"


@pytest.mark.parametrize("name", ["celery.app.trace", "celery.worker.strategy"])
def test_celery_logs_no_line_for_each_task_but_its_warnings(lines, name: str) -> None:
    logging.getLogger(name).info("Task received")
    logging.getLogger(name).warning("Task rejected")

    assert [line["event"] for line in lines()] == ["Task rejected"]


@pytest.mark.usefixtures("_logging_restored")
def test_at_debug_our_lines_are_logged_and_those_of_libraries_are_not() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), write_through=True)
    logs.configure(LogFormat.JSON, "DEBUG", "ingest", stream=stream)

    structlog.get_logger().debug("approval.prepared")
    logging.getLogger("urllib3.connectionpool").debug("GET /?token=%s", SECRET)

    assert [json.loads(line)["event"] for line in stream.buffer.getvalue().splitlines()] == [
        "approval.prepared"
    ]


@pytest.mark.usefixtures("_logging_restored")
def test_a_level_below_the_set_one_is_not_logged() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), write_through=True)
    logs.configure(LogFormat.JSON, "ERROR", "ingest", stream=stream)

    structlog.get_logger().warning("approval.delayed")
    logging.getLogger("kombu").warning("slow")
    logging.getLogger("celery.app.trace").warning("slow")

    assert stream.buffer.getvalue() == b""


@pytest.mark.usefixtures("_logging_restored")
def test_a_terminal_gets_text_for_people_with_the_same_things_hidden() -> None:
    stream = _Terminal(io.BytesIO(), write_through=True)
    logs.configure(LogFormat.AUTO, "INFO", "ingest", stream=stream)

    structlog.get_logger().error("request.refused", password=SECRET, exc_info=_raised(OSError(SECRET)))
    logging.getLogger("kombu").info("connected")

    text = stream.buffer.getvalue().decode()
    assert "request.refused" in text
    assert "connected" in text
    assert not text.startswith("{")
    assert SECRET not in text


@pytest.mark.parametrize("awkward", ["\ud800", 2**70])
def test_a_value_that_json_cannot_hold_does_not_lose_the_line(lines, awkward: object) -> None:
    structlog.get_logger().info("request.refused", customer_id=awkward)

    assert lines()[0]["customer_id"] == awkward


def test_a_thread_that_crashes_is_logged_without_the_message_of_its_error(lines) -> None:
    def crash() -> None:
        raise ValueError(SECRET)

    thread = threading.Thread(target=crash, name="sender")
    thread.start()
    thread.join()

    (line,) = lines()
    assert (line["event"], line["error"], line["thread"]) == ("thread.crashed", "ValueError", "sender")


def test_a_process_that_crashes_logs_the_type_and_place_of_its_error(lines) -> None:
    error = _raised(ValueError(SECRET))

    sys.excepthook(ValueError, error, error.__traceback__)

    (line,) = lines()
    assert (line["event"], line["level"], line["error"]) == ("process.crashed", "critical", "ValueError")
    assert line["error_at"]


def test_granian_logs_through_us_with_the_configuration_that_we_give_it(lines, capsys) -> None:
    granian.log.configure_logging(granian.log.LogLevels.info, logs.GRANIAN_LOG_CONFIG)

    granian.log.logger.info("Listening")

    assert [line["event"] for line in lines()] == ["Listening"]
    assert capsys.readouterr().out == ""
