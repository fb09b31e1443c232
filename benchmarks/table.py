"""Rows of medians with minimum and maximum: a table on the screen and JSON beside it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return `{median, min, max}`."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def cell(value: Any) -> str:
    """Write a number with three significant digits, and a spread as `median (min to max)`."""
    if isinstance(value, dict):
        return f"{cell(value['median'])} ({cell(value['min'])} to {cell(value['max'])})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def report(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows as a Markdown table and write them to `results/NAME.json` with date and machine."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(c), *(len(line[i]) for line in lines)) for i, c in enumerate(columns)]
    out = sys.stdout
    out.write(f"\n## {name}\n")
    for line in [columns, ["-" * width for width in widths], *lines]:
        out.write("| " + " | ".join(v.ljust(w) for v, w in zip(line, widths, strict=True)) + " |\n")
    out.flush()
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps({**machine, "rows": rows}, indent=1))
