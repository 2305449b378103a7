"""Spans as OpenTelemetry sees them: one trace by our own id, nothing private, and nothing at all when it is off."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from clearance import tracing
from clearance.http.exchange import BoundedHttp
from config.settings import Settings
from workers import otel, wiring

_TRACE_ID = "01a200eabab69771d6c32352fad4cbbd"


@pytest.fixture(autouse=True)
def _off_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "clearance-test")  # otherwise `begin` would leave its own behind
    yield
    tracing.use(None)
    otel.end()


@pytest.fixture
def kept() -> InMemorySpanExporter:
    """Spans that have ended."""
    return _recording()


def test_the_first_span_has_our_id_and_whoever_knows_the_id_hangs_from_it(kept: InMemorySpanExporter) -> None:
    with tracing.span("notification.accept", _TRACE_ID, is_first=True):
        pass
    with tracing.span("obligation.work", _TRACE_ID, lane="triggered", attempt=1):
        pass

    first, second = kept.get_finished_spans()
    assert f"{first.context.trace_id:032x}" == f"{second.context.trace_id:032x}" == _TRACE_ID
    assert first.parent is None
    assert second.parent.span_id == first.context.span_id
    assert dict(second.attributes) == {"lane": "triggered", "attempt": 1}


def test_a_call_is_part_of_what_it_is_made_for_and_of_nothing_else(kept: InMemorySpanExporter) -> None:
    with tracing.span("vendor.call", vendor="optimove"):
        pass
    assert kept.get_finished_spans() == ()

    with tracing.span("obligation.work", _TRACE_ID), tracing.span("vendor.call", vendor="optimove"):
        pass

    call, work = kept.get_finished_spans()
    assert call.parent.span_id == work.context.span_id
    assert call.context.trace_id == work.context.trace_id


def test_in_a_message_about_several_each_stays_in_its_own_trace(kept: InMemorySpanExporter) -> None:
    other = f"{11:032x}"
    with tracing.span("message.take", _TRACE_ID), tracing.span("obligation.work", other):
        pass

    work, message = kept.get_finished_spans()
    assert f"{message.context.trace_id:032x}" == _TRACE_ID
    assert (work.context.trace_id, work.parent.span_id) == (11, 11)


def test_an_id_of_a_vendors_makes_a_trace_too(kept: InMemorySpanExporter) -> None:
    for _ in range(2):
        with tracing.span("obligation.work", "delivery 7"):
            pass

    first, second = kept.get_finished_spans()
    assert first.context.trace_id == second.context.trace_id != 0


def test_of_an_error_the_type_is_recorded_and_not_what_it_says(kept: InMemorySpanExporter) -> None:
    http = BoundedHttp("optimove", "http://127.0.0.1:1/", {}, pool_size=1)
    with suppress(Exception), tracing.span("obligation.work", _TRACE_ID):
        with suppress(Exception):
            http.exchange("POST", "/customers/anna@example.com", b"{}", timeout_s=-1)
        with suppress(Exception):
            http.exchange("POST", "/customers/anna@example.com", b"{}", timeout_s=0.01)
        raise ValueError("anna@example.com")

    spans = kept.get_finished_spans()
    assert [(span.name, span.status.description) for span in spans][-1] == ("obligation.work", "ValueError")
    assert "anna" not in "".join(span.to_json() for span in spans)
    assert all(not span.events for span in spans)


def test_a_trace_is_sampled_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    kept = _recording()

    for number in range(100):
        trace_id = f"{number:012x}{number * 7_919_000_000_000_000_000 % (1 << 80):020x}"
        with tracing.span("notification.accept", trace_id, is_first=True):
            pass
        with tracing.span("obligation.work", trace_id):
            pass

    trace_ids = [span.context.trace_id for span in kept.get_finished_spans()]
    assert 0 < len(set(trace_ids)) < 100
    assert all(trace_ids.count(each) == 2 for each in trace_ids)


def test_it_is_off_unless_the_environment_names_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}

    assert otel.is_wanted(endpoint)
    assert not otel.is_wanted({})
    assert not otel.is_wanted(endpoint | {"OTEL_SDK_DISABLED": "true"})
    assert not otel.is_wanted(endpoint | {"OTEL_TRACES_EXPORTER": "none"})
    for name in endpoint:
        monkeypatch.delenv(name, raising=False)
    otel.begin("ingest")
    assert tracing.span("a") is tracing.span("b", _TRACE_ID, lane="triggered")


class _Hanging(InMemorySpanExporter):
    """Sends nothing before it is let go, or has hung for long."""

    def __init__(self) -> None:
        super().__init__()
        self.is_let_go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.is_let_go.wait(10)
        return super().export(spans)


def _begun(monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter) -> None:
    """One span was recorded, and goes to this exporter sooner or later."""
    monkeypatch.setattr(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter", lambda: exporter
    )
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    otel.begin("worker-review")
    with tracing.span("notification.accept", _TRACE_ID, is_first=True):
        pass
    assert exporter.get_finished_spans() == ()


def test_what_is_left_at_the_end_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    _begun(monkeypatch, exporter)

    otel.end()

    assert [span.name for span in exporter.get_finished_spans()] == ["notification.accept"]


def test_ingest_sends_what_is_left_when_it_is_shut_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exporter = InMemorySpanExporter()
    parts = wiring.ingest_parts(Settings(ledger_url=f"sqlite:///{tmp_path}/ledger.db"))
    _begun(monkeypatch, exporter)

    for close in parts.on_shutdown:
        close()

    assert exporter.get_finished_spans()


def test_a_collector_that_hangs_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_LAST_SPANS_S", 0.01)
    exporter = _Hanging()
    _begun(monkeypatch, exporter)

    otel.end()

    assert exporter.get_finished_spans() == (), "it was waited for"
    exporter.is_let_go.set()


def test_without_the_extra_it_is_told_and_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with capture_logs() as logs:
        otel.begin("ingest")

    assert [line["event"] for line in logs] == ["traces.not_sent"]
    assert tracing.span("a") is tracing.span("b", _TRACE_ID)


def _recording() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = otel.new_provider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(otel.OtelSpans(provider))
    return exporter
