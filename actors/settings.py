"""What an operator decides about one server, and the one place that reads the environment.

Limits are constants (`raydo.pipelining.limits`); these are the few values that differ between
machines. A host gets them as an argument, so that every process of one server agrees.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from raydo.actors.logs import Format
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import (
    HOST_BYTES,
    HOST_BYTES_MAX,
    HOSTS_MEMORY_SHARE,
    HOSTS_PER_CORE,
    IDLE_S,
    LAKE_AGE_S,
    TURN_S_MAX,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Say where the data is and what one server may use."""

    data: Path = Path("data")
    max_actors: int | None = None  # None: by the machine's cores and memory
    idle_s: float = IDLE_S
    turn_s: float = TURN_S_MAX  # a turn that takes longer is ended
    host_bytes: int | None = None  # of memory, before a turn has run away; None: by the machine
    objects: tuple[str, ...] = ()  # modules that declare durable objects
    lake: Mapping[str, str] = field(default_factory=dict)  # pyiceberg's; empty: in the folders
    archive_age_s: float = LAKE_AGE_S  # how old an event is before the weekly run takes it
    ray: str | None = None  # an existing cluster's address or "auto"; None starts one here
    log_format: Format = "text"  # of every process's log
    cluster: str | None = None  # what several machines that serve together call themselves

    def hosts_max(self) -> int:
        """Return how many hosts there may be."""
        if self.max_actors is not None:
            return self.max_actors
        by_memory = int(_memory_bytes() * HOSTS_MEMORY_SHARE) // HOST_BYTES
        return max(1, min(HOSTS_PER_CORE * (os.cpu_count() or 1), by_memory))

    def host_bytes_max(self) -> int:
        """Return how much memory a host may use before its turn is taken for a runaway."""
        if self.host_bytes is not None:
            return self.host_bytes
        return max(2 * HOST_BYTES, min(HOST_BYTES_MAX, _memory_bytes() // 2))


def settings_from(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings that `RAYDO_…` variables give, the rest as they are by default.

    Raises:
        InvalidArgument: a variable's value cannot be read; the sentence names it.
    """
    environ = os.environ if environ is None else environ
    given = {
        field: _read(variable, parse, text)
        for variable, (field, parse) in _VARIABLES.items()
        if (text := environ.get(variable))
    }
    return Settings(**given)


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _modules(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise ValueError("at least 1")
    return count


def _seconds(text: str) -> float:
    if not 0 < (seconds := float(text)) < float("inf"):
        raise ValueError("over 0")
    return seconds


def lake_properties(text: str) -> dict[str, str]:
    """Read the properties of an Iceberg catalog: a JSON object of texts, or the file that has one.

    Raises:
        ValueError: it is neither.
        OSError: there is no such file.
    """
    if not text.lstrip().startswith("{"):
        text = Path(text).read_text(encoding="utf-8")
    properties = json.loads(text)
    if not isinstance(properties, dict) or not all(
        isinstance(value, str) for value in properties.values()
    ):
        raise ValueError("not an object of texts")
    return properties


_VARIABLES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "RAYDO_DATA": ("data", Path),
    "RAYDO_MAX_ACTORS": ("max_actors", _count),
    "RAYDO_IDLE_SECONDS": ("idle_s", _seconds),
    "RAYDO_TURN_SECONDS": ("turn_s", _seconds),
    "RAYDO_HOST_BYTES": ("host_bytes", _count),
    "RAYDO_OBJECTS": ("objects", _modules),
    "RAYDO_LAKE": ("lake", lake_properties),
    "RAYDO_ARCHIVE_AGE_SECONDS": ("archive_age_s", _seconds),
    "RAYDO_RAY": ("ray", str),
    "RAYDO_CLUSTER": ("cluster", str),
}


def _read(variable: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except (ValueError, OSError):
        raise InvalidArgument(f"{variable}={text!r} cannot be read.") from None
