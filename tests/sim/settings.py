"""Small limits, so that a short life meets all of them: full segments, sealed ids, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sim.sqlite import Watched

from raydo.actors import database, idset, storage, transaction, usersets
from raydo.actors.log import Log

SEGMENT_BYTES = (4_096, 16_384)
SMALL: tuple[tuple[Any, str, Any], ...] = (
    (storage, "CHECKPOINT_BYTES", 128 * 1024),
    (transaction, "SESSIONS_PER_TIDY", 8),
    (idset, "IDS_TAIL_MAX", 12),
    (idset, "ID_RUNS_PER_LEVEL", 2),
    (usersets, "USER_SET_REWRITE_BYTES", 40),
    (usersets, "USER_SET_PARTS_MAX", 3),
    (database, "Connection", Watched),
    (logging.getLogger("raydo"), "disabled", True),
)


@contextmanager
def small() -> Iterator[None]:
    """Let everything inside run with the small limits, on connections that are watched."""
    before = [getattr(owner, name) for owner, name, _ in SMALL]
    defaults = Log.open.__func__.__kwdefaults__  # type: ignore[attr-defined]
    segment_bytes = defaults["segment_bytes"]
    try:
        for owner, name, value in SMALL:
            setattr(owner, name, value)
        defaults["segment_bytes"] = SEGMENT_BYTES
        yield
    finally:
        defaults["segment_bytes"] = segment_bytes
        for (owner, name, _), value in zip(SMALL, before, strict=True):
            setattr(owner, name, value)
