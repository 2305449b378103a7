"""How spans become OpenTelemetry's: on when its own variables name a place for them, and the extra `otel` is there.

Our trace ids have 32 hex digits, as OpenTelemetry's have, so they are the same: what is in a log line can be pasted
into a tracing system. A trace outlives messages, workers and restarts, because the id is in the ledger and in every
message's header `trace_id`; nothing else has to be carried. The first span's id is the second half of the trace's, so
that whoever knows the trace knows what to hang from (docs/adr/0014).

Names and facts are ours. Of an error only the type is recorded: a text may hold anything.
"""

import atexit
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import structlog

from clearance import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

# OpenTelemetry's own names; its SDK reads these and its others by itself.
# Source: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACE_ID_DIGITS = 32
_SPAN_ID_MASK = (1 << 64) - 1
# By itself the SDK would wait half a minute for a collector that hangs: longer than a worker has to stop.
_LAST_SPANS_S = 1.0

_first_trace_id: ContextVar[int] = ContextVar("first_trace_id", default=0)
# What this process has begun: how it ends.
_ends: list[Callable[[], None]] = []


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a place for traces, and does not turn them off."""
    is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return any(environ.get(name) for name in _ENDPOINTS) and not (
        is_off or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none"
    )


def begin(process: str) -> None:
    """Send this process' spans where the environment says; in a process that forks, in its children."""
    if not is_wanted(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        # Some platforms set these variables for everybody: no reason not to answer.
        log.warning("traces.not_sent", reason="the extra `otel` is not installed")
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", f"clearance-{process}")
    provider = new_provider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracing.use(OtelSpans(provider))
    _ends.append(_end_of(provider))
    atexit.register(end)


def end() -> None:
    """Send what is left, for a moment only. Children of a pool and of the HTTP server end without Python's own end."""
    for send_the_last in _ends:
        send_the_last()
    _ends.clear()


def _end_of(provider: "TracerProvider") -> Callable[[], None]:
    asked, done = threading.Event(), threading.Event()

    def send() -> None:
        asked.wait()
        provider.shutdown()
        done.set()

    def wait() -> None:
        asked.set()
        done.wait(_LAST_SPANS_S)

    # Begun now: at its end a process can begin no thread.
    threading.Thread(target=send, name="last-spans", daemon=True).start()
    return wait


def new_provider() -> "TracerProvider":
    """A provider that lets us say what a trace's id is; sampling and resource are the environment's."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _first_trace_id.get() or super().generate_trace_id()

        def generate_span_id(self) -> int:
            return _first_trace_id.get() & _SPAN_ID_MASK or super().generate_span_id()

    return TracerProvider(id_generator=Ids(), shutdown_on_exit=False)


class OtelSpans:
    """`clearance.tracing.Spans` over a provider of `new_provider`."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace

        self._trace = trace
        self._sampler = provider.sampler
        self._tracer = provider.get_tracer("clearance")

    def span(
        self, name: str, trace_id: str, *, is_first: bool, facts: dict[str, tracing.Fact]
    ) -> AbstractContextManager[None]:
        """See the port."""
        return self._recorded(name, _as_number(trace_id), is_first, facts)

    @contextmanager
    def _recorded(
        self, name: str, trace_id: int, is_first: bool, facts: dict[str, tracing.Fact]
    ) -> Iterator[None]:
        trace = self._trace
        current = trace.get_current_span()
        around = current.get_span_context().trace_id  # 0: there is none
        if not trace_id and not around:
            yield  # a call that belongs to no notification
            return
        # A message may carry obligations of several traces.
        parent = current if around and trace_id in (0, around) else self._first_span(trace_id)
        token = _first_trace_id.set(trace_id if is_first else 0)
        try:
            context = trace.set_span_in_context(trace.INVALID_SPAN if is_first else parent)
            span = self._tracer.start_span(name, context=context, attributes=dict(facts))
        finally:
            _first_trace_id.reset(token)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except Exception as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    def _first_span(self, trace_id: int) -> "object":
        """The trace's first span, as another process knows it: sampled there if it is here."""
        trace = self._trace
        is_sampled = self._sampler.should_sample(None, trace_id, "").decision.is_sampled()
        flags = trace.TraceFlags.SAMPLED if is_sampled else trace.TraceFlags.DEFAULT
        return trace.NonRecordingSpan(
            trace.SpanContext(
                trace_id, trace_id & _SPAN_ID_MASK, is_remote=True, trace_flags=trace.TraceFlags(flags)
            )
        )


def _as_number(trace_id: str) -> int:
    """Ours, or a digest of a vendor's that looks otherwise; 0 for none."""
    if len(trace_id) == _TRACE_ID_DIGITS:
        try:
            return int(trace_id, 16)
        except ValueError:
            pass
    return int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:16]) if trace_id else 0
