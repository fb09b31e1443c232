"""Spans of requests, where OpenTelemetry's own variables ask for them, and no cost elsewhere."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest

from raydo.gateway import app as application
from raydo.gateway.traces import Tracing, tracing_from

memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")


async def test_a_request_is_a_span_of_its_callers_trace(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = memory.InMemorySpanExporter()
    tracing = Tracing(exporter)
    monkeypatch.setattr(application, "tracing_from", lambda: tracing)
    transport = httpx.ASGITransport(application.create_app(backend), raise_app_exceptions=False)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.get("/stats", headers={"traceparent": parent, "x-request-id": "r1"})
    tracing.close()
    [span] = exporter.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == parent.split("-")[1]
    assert span.attributes["http.route"] == "/stats"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["raydo.request_id"] == "r1"


def test_nothing_is_traced_unless_an_exporter_is_named() -> None:
    assert tracing_from({}) is None
    assert tracing_from({"OTEL_TRACES_EXPORTER": "none"}) is None
    console = {"OTEL_TRACES_EXPORTER": "console"}
    assert tracing_from({**console, "OTEL_SDK_DISABLED": "true"}) is None
    made = tracing_from(console)
    assert made is not None
    made.close()


def test_without_one_the_gateway_does_not_load_its_sdk() -> None:
    script = "import sys, raydo.gateway.app; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
