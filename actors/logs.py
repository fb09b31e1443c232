"""How raydo's processes write their logs: text for people, or one JSON object a line for machines.

A line says whose turn it was written in, by which epoch of it, and which request it belongs to, as
far as that is known where it is written.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal

Format = Literal["text", "json"]
TEXT: Final = "%(levelname)s %(name)s: %(message)s"

turn: Final[ContextVar[tuple[str, str, int] | None]] = ContextVar("raydo_turn", default=None)
"""Whose turn this thread runs: class, tenant and epoch."""
request_id: Final[ContextVar[str | None]] = ContextVar("raydo_request_id", default=None)
"""The id of the request that is being answered, if one is."""

_GIVEN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Write a record as one line: time, level, logger, message, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        if (whose := turn.get()) is not None:
            line["object"], line["tenant"], line["epoch"] = whose
        if (request := request_id.get()) is not None:
            line["request_id"] = request
        line |= {
            name: value
            for name, value in vars(record).items()
            if name not in _GIVEN and not name.startswith("_")  # Ray adds one of its own
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def use(form: Format) -> None:
    """Let this process's log go to stderr in this form; one that is set up already stays as it is."""
    if form == "text":
        logging.basicConfig(level=logging.WARNING, format=TEXT)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("raydo").setLevel(logging.INFO)
