"""Spans by OpenTelemetry, when its own variables name an exporter and its packages are there.

Nothing is loaded otherwise. `OTEL_TRACES_EXPORTER` chooses (`otlp`, `console`, `none`), and
`OTEL_EXPORTER_OTLP_ENDPOINT` alone means `otlp`, by HTTP; sampling, headers and the service's name
are the SDK's business (`OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from starlette.types import Scope

NONE: Final = "none"
_SERVER_ERROR: Final = 500
_log = logging.getLogger("raydo.gateway")


class Span:
    """One request's span."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def end(self, route: str, status: int) -> None:
        """Say what became of the request."""
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= _SERVER_ERROR:
            codes: Any = import_module("opentelemetry.trace")
            self._span.set_status(codes.Status(codes.StatusCode.ERROR))


class Tracing:
    """Make the spans of requests, each a child of its caller's when that sent `traceparent`."""

    def __init__(self, exporter: Any) -> None:
        sdk: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
        self._propagate: Any = import_module("opentelemetry.propagate")
        self._kind: Any = import_module("opentelemetry.trace").SpanKind.SERVER
        about = {"service.version": version("raydo")}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            about["service.name"] = "raydo"
        provider = sdk.TracerProvider(resource=resources.Resource.create(about))
        provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._provider = provider
        self._tracer = provider.get_tracer("raydo")

    @contextmanager
    def span(self, scope: Scope, request_id: str) -> Iterator[Span]:
        """Trace one request while the context lasts."""
        carrier = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        attributes = {
            "http.request.method": scope.get("method", "SOCKET"),
            "url.path": scope["path"],
            "raydo.request_id": request_id,
        }
        with self._tracer.start_as_current_span(
            f"{attributes['http.request.method']} {scope['path']}",
            context=self._propagate.extract(carrier),
            kind=self._kind,
            attributes=attributes,
        ) as span:
            yield Span(span)

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


def tracing_from(environ: Mapping[str, str] | None = None) -> Tracing | None:
    """Make what traces, or None when nobody asked for it or its packages are not there."""
    environ = os.environ if environ is None else environ
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    wanted = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not wanted:
        endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        wanted = "otlp" if any(environ.get(name) for name in endpoints) else NONE
    if wanted == NONE:
        return None
    try:
        return Tracing(_exporter(wanted))
    except ImportError as error:
        _log.warning("No traces: %s. Install raydo[otel].", error)
        return None


def _exporter(name: str) -> Any:
    if name == "console":
        export: Any = import_module("opentelemetry.sdk.trace.export")
        return export.ConsoleSpanExporter()
    if name != "otlp":
        raise ImportError(f"OTEL_TRACES_EXPORTER={name!r} is none that raydo knows")
    otlp: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    return otlp.OTLPSpanExporter()
