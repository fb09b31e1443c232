"""Functions that an object gives away: slow, foreign, or broken."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def add(one: int, two: int) -> int:
    return one + two


def write_down(folder: str, word: str) -> int:
    """Note in a file that this ran, and in which process."""
    with (Path(folder) / "ran").open("a") as file:
        file.write(f"{word}\n")
    return os.getpid()


def fail(folder: str) -> None:
    write_down(folder, "failed")
    raise ValueError("not today")


def give_an_object() -> object:
    return object()


def leave() -> None:
    sys.exit(3)
