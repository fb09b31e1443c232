"""Export by command: a tenant's events into a file, with a person watching."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from raydo.actors.analytics import Analytics
from raydo.gateway.auditing import CLI
from raydo.gateway.exporting import format_of, stretches
from raydo.gateway.loading import Bar
from raydo.gateway.target import Target
from raydo.pipelining.errors import InvalidArgument

_PARTIAL: Final = ".part"


async def save_events(
    target: Target, tenant: str, file: Path, days: tuple[str | None, str | None, str | None]
) -> int:
    """Write the events of some days (first, last, zone) into a file; return how many there are.

    The file is there when it is whole: until then it has another name.

    Raises:
        InvalidArgument: no such days, or the file cannot be written.
        RaydoError: the target refuses.
    """
    made = format_of("parquet" if file.suffix == ".parquet" else "ndjson")
    partial = file.with_name(file.name + _PARTIAL)
    saved = 0
    async with target.connect() as connection:
        stub = connection.acting(CLI if target.url is None else "").stub(Analytics, tenant)
        plan = await stub.export_plan(*days)
        try:
            with partial.open("wb") as out, Bar(file.name, plan["cut_seq"]) as bar:
                async for rows in stretches(stub, plan):
                    out.write(made.add(rows))
                    saved += len(rows)
                    bar.show(len(rows), rows[-1]["seq"])
                out.write(made.end())
                bar.show(0, plan["cut_seq"])
            partial.replace(file)
        except OSError as error:
            raise InvalidArgument(f"{file} cannot be written: {error.strerror}.") from None
    return saved
