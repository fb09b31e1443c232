"""What the commands print: results on stdout, for programs too; remarks on stderr."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from raydo.gateway.importer import Report
from raydo.gateway.target import Target
from raydo.pipelining.limits import IMPORT_REASONS_MAX

if TYPE_CHECKING:
    from raydo.gateway.repairing import Repaired

_out: Final = Console(highlight=False)
_err: Final = Console(stderr=True, highlight=False)


def show_report(report: Report) -> None:
    """Print what an import did, tenant by tenant."""
    table = Table("tenant")
    for heading in ("accepted", "duplicates", "rejected"):
        table.add_column(heading, justify="right")
    for tenant, tally in sorted(report.tenants.items()):
        _count_row(table, tenant, tally.accepted, tally.duplicates, tally.rejected)
    total = report.total()
    if len(report.tenants) > 1:
        table.add_section()
        _count_row(table, "all", total.accepted, total.duplicates, total.rejected)
    _out.print(table)
    if total.rejected > IMPORT_REASONS_MAX:
        _err.print(f"The first {IMPORT_REASONS_MAX} of {total.rejected:,} rejected lines:")
    for reason in report.reasons:
        _err.print(Text(f"line {reason.line} ({reason.tenant}): {reason.error}"))


def _count_row(table: Table, name: str, *counts: int) -> None:
    table.add_row(Text(name), *(f"{count:,}" for count in counts))


def show_table(reply: dict[str, Any]) -> None:
    """Print a query's rows for a person."""
    table = Table(*(Column(Text(column["name"])) for column in reply["columns"]))
    for row in reply["rows"]:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row.values()))
    _out.print(table)
    rows = len(reply["rows"])
    kind = "row" if rows == 1 else "rows"
    _err.print(
        f"{rows:,} {kind} from {' and '.join(reply['layers'])}, {reply['elapsed_ms']:.1f} ms"
    )
    _remark_truncated(reply)


def show_columns(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows of texts and numbers; a short row ends early."""
    table = Table(headings[0])
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    _out.print(table)


def show_csv(reply: dict[str, Any]) -> None:
    """Print a query's rows as CSV with a header."""
    writer = csv.writer(sys.stdout)
    writer.writerow(column["name"] for column in reply["columns"])
    writer.writerows(row.values() for row in reply["rows"])
    _remark_truncated(reply)


def show_json(value: Any) -> None:
    """Print any reply as JSON."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def show_tenants(found: list[dict[str, Any]]) -> None:
    """Print one tenant a line: class, tenant, state, next timer, process, its memory, actor, node."""
    for one in found:
        due_ms = one["next_timer_ms"]
        cells = [
            one["object"],
            one["tenant"],
            one["state"],
            "-" if due_ms is None else _minute(due_ms),
        ]
        if "pid" in one:
            cells += [f"pid {one['pid']}", f"{one['host_bytes'] / 2**20:,.0f} MB"]
            cells += [one["actor"] or "-", one["node"] or "-"]
        sys.stdout.write("\t".join(cells) + "\n")  # rich would expand the tab
    _err.print(f"{len(found):,} in all")


def show_keys(found: list[dict[str, Any]]) -> None:
    """Print one key a line: id, kind, name, made, and until when it is good."""
    for one in found:
        cells = [one["id"], one["kind"], one["name"] or "-", _day(one["created_ms"]), "good"]
        if one["revoked_ms"] is not None:
            cells[-1] = f"revoked {_day(one['revoked_ms'])}"
        elif one["expires_ms"] is not None:
            cells[-1] = f"until {_day(one['expires_ms'])}"
        sys.stdout.write("\t".join(cells) + "\n")
    _err.print(f"{len(found):,} in all")


def show_audit(rows: list[dict[str, Any]]) -> None:
    """Print the rows of an audit log, one a line."""
    for row in rows:
        cells = [_minute(row["at_ms"]), row["by"], row["action"], json.dumps(row["detail"])]
        sys.stdout.write("\t".join(cells) + "\n")
    _err.print(f"{len(rows):,} rows")


def show_erased(done: dict[str, Any]) -> None:
    """Print the receipt of an erasure."""
    table = Table("changed", Column("count", justify="right"))
    for name, count in done["receipt"].items():
        table.add_row(name.replace("_", " in the "), f"{count:,}")
    _out.print(table)
    _err.print(f"Erasure {done['n']} is done; the audit log keeps its receipt.")


def _minute(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d")


def show_archived(done: dict[str, Any]) -> None:
    """Print what an archive run did."""
    if done["run"] is None:
        _out.print("There was nothing to archive.")
    else:
        _out.print(f"{done['rows']:,} events archived, in snapshot {done['snapshot_id']}.")


def show_repair(done: Repaired) -> None:
    """Print what a log has lost, and where the receipts are."""
    report = done.report
    for hurt in report.hurt:
        damage = hurt.damage
        last = "?" if damage.last_seq is None else damage.last_seq
        _out.print(
            f"{damage.segment}: {damage.bytes:,} bytes at {damage.offset:,} are damaged;"
            f" seq {damage.first_seq} to {last}, received {hurt.first_day or '?'} to"
            f" {hurt.last_day or '?'}, at most {_many(damage.lost_max)}",
            soft_wrap=True,
        )
    if report.ahead is not None:
        first, last = report.ahead
        _out.print(f"The log ends early: seq {first} to {last} are in the database only.")
    for path in done.receipts:
        _out.print(f"Accepted; the receipt is {path}", soft_wrap=True)
    if not (report.hurt or report.ahead):
        _out.print("Nothing is damaged.")
    elif not done.receipts:
        _err.print("Restore the disk's files, or accept the loss with --accept-loss.")


def _many(count: int | None) -> str:
    return "an unknown number of records" if count is None else f"{count:,} records"


def show_where_to_look(target: Target) -> None:
    """Say what to do with the demo's data."""
    url = target.url or "http://127.0.0.1:8000"
    if target.data is not None:
        _out.print(f"Now start the server:  raydo serve --data {target.data}", soft_wrap=True)
    for line in (
        "The stories:",
        f"  a launch        curl '{url}/dau?tenant=rocket&days=40'",
        f"  a bad fortnight curl '{url}/dau?tenant=harbor&days=60'",
        f"  someone is here curl '{url}/stats?tenant=pulse'",
        f"Dashboard {url}/?tenant=rocket  API {url}/docs",
    ):
        _out.print(line, soft_wrap=True)


def _remark_truncated(reply: dict[str, Any]) -> None:
    if reply["truncated"]:
        _err.print("More rows were cut off; ask for fewer, or see --limit.")
