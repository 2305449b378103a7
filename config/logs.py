"""How a process logs: one line an event, console on a terminal and JSON elsewhere, always on standard error.

In: `structlog.get_logger()` in every module of ours, and `logging` in the libraries (celery, kombu,
granian, alembic); both end in the same lines. Call `configure` once, first thing in a process. The
invariant: no personal data and no secrets, whoever logs. So an exception that is not ours is shown by type
and place, without its message; an object by its type; and a key that names something private is masked.
That is the last line of defence, not a licence to log them.

Granian and Celery set up logging by themselves: give granian `log_dictconfig=GRANIAN_LOG_CONFIG`, and connect
Celery's `setup_logging` signal to a function that calls `configure`.
"""

import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from pathlib import PurePath
from types import TracebackType
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import Processor

from config.setting_choices import LogFormat

# Granian's own handlers write plain text to standard output; with these its records reach ours.
GRANIAN_LOG_CONFIG: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {
        "_granian": {"handlers": [], "propagate": True},
        "granian.access": {"handlers": [], "propagate": True},
    },
}

# The domain is not imported from here, so our own errors are known by where they are declared.
_OUR_PACKAGES = frozenset({"clearance", "config", "tasks", "workers"})
# A line for every task, and one for every look at the schema: what they tell is in our own lines.
_QUIET_LOGGERS = ("celery.app.trace", "celery.worker.strategy", "alembic.runtime.migration")
_FRAMES_SHOWN = 3
_MASK = "***"
_PRIVATE_KEY = re.compile(
    r"(?:^|_)(?:pass(?:word|wd)?|secret|token|api_?key|authorization|credential|cookie|signature|body|payload"
    r"|e_?mail|phone|address|street|city|zip|post_?code|first_?name|last_?name|birth_?date"
    r"|attribute|personali[sz]ation|individuali[sz]ation\d?|kwargs|args)(?:s|es)?$"
)
_URL_CREDENTIALS = re.compile(r"://[^/\s@]*@")
_PLAIN = frozenset({int, float, bool, type(None)})

_Event = MutableMapping[str, Any]


def configure(log_format: LogFormat, level: str, process: str, *, stream: TextIO | None = None) -> None:
    """Send every log of this process to `stream` (standard error), each line with the name of the process.

    Libraries are never logged below INFO: their debug lines hold URLs, headers and SQL with its parameters.
    """
    out = stream or sys.stderr
    least = logging.getLevelNamesMapping()[level]
    as_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Named(process),
        _exceptions_without_messages,
        _redacted,
    ]
    colours = out.isatty()
    console = structlog.dev.ConsoleRenderer(colors=colours)
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(_json_bytes) if as_json else console],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.BytesLoggerFactory(out.buffer)
        if as_json
        else structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    _route_libraries(out, max(least, logging.INFO), shared, _json_text if as_json else console)
    _log_crashes()


def _route_libraries(out: TextIO, least: int, shared: list[Processor], render: Processor) -> None:
    handler = logging.StreamHandler(out)
    handler.addFilter(_without_values)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(least)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
    logging.captureWarnings(True)


def _log_crashes() -> None:
    """What nobody caught is logged like any exception; Python's own report would print its message."""
    log = structlog.get_logger()

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("process.crashed", exc_info=(kind, error, trace))

    def thread_crashed(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            log.critical("thread.crashed", exc_info=args.exc_value, thread=args.thread and args.thread.name)

    sys.excepthook = crashed
    threading.excepthook = thread_crashed


class _Named:
    """Adds the name of the process to each line."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: object, _method: str, event: _Event) -> _Event:
        event["process"] = self._process
        return event


def _exceptions_without_messages(_logger: object, _method: str, event: _Event) -> _Event:
    """Show an exception by type and place.

    The messages of other libraries may hold SQL parameters, addresses, or URLs with a password. Our own
    errors carry facts only (`clearance/errors.py` says so), and their text is shown.
    """
    exc_info = event.pop("exc_info", None)
    if not exc_info:
        return event
    error = sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = _shown(error)
        event["error_at"] = _places(error)
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is not None:
            event["error_from"] = _shown(cause)
    return event


def _redacted(_logger: object, _method: str, event: _Event) -> _Event:
    """Mask what is private by its key and show only plain values: a mistake must not become a leak."""
    for key, value in event.items():
        if _is_private(key):
            event[key] = _MASK
        elif type(value) is str:
            if "://" in value:
                event[key] = _URL_CREDENTIALS.sub(f"://{_MASK}@", value)
        elif type(value) not in _PLAIN:
            event[key] = _plain(value)
    return event


@lru_cache(maxsize=2048)
def _is_private(key: str) -> bool:
    return _PRIVATE_KEY.search(key.lower().replace("-", "_")) is not None


def _plain(value: object) -> object:
    if isinstance(value, BaseException):
        return _shown(value)
    if isinstance(value, (str, PurePath)):
        return _URL_CREDENTIALS.sub(f"://{_MASK}@", str(value))
    if isinstance(value, Mapping):
        return {str(k): _MASK if _is_private(str(k)) else _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if type(value) in _PLAIN:
        return value
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else f"<{type(value).__name__}>"


def _shown(error: BaseException) -> str:
    kind = type(error)
    is_ours = kind.__module__.partition(".")[0] in _OUR_PACKAGES
    return f"{kind.__name__}: {error}" if is_ours else kind.__name__


def _places(error: BaseException) -> list[str]:
    """The last frames as `file:line function`, nearest the error last."""
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES_SHOWN)
    return [f"{'/'.join(PurePath(f.filename).parts[-3:])}:{f.lineno} {f.name}" for f in frames]


def _without_values(record: logging.LogRecord) -> bool:
    """Take exceptions and Celery's task arguments out of a library's message before it is put together."""
    if isinstance(record.args, Mapping):
        hidden = {"exc", "traceback", "args", "kwargs", "return_value"}
        record.args = {key: _MASK if key in hidden else value for key, value in record.args.items()}
    elif record.args:
        record.args = tuple(_shown(arg) if isinstance(arg, BaseException) else arg for arg in record.args)
    if isinstance(record.msg, BaseException):
        record.msg = _shown(record.msg)
    return True


def _json_bytes(event: _Event, **_options: object) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:  # half a surrogate pair or a number beyond 64 bits
        return json.dumps(dict(event), default=repr).encode()


def _json_text(_logger: object, _method: str, event: _Event) -> str:
    return _json_bytes(event).decode()
