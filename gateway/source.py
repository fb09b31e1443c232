"""Files of events: CSV or newline-delimited JSON, gzip or plain, read line by line, or Parquet.

A reader turns a file into `(line, tenant, event)` with the event as the JSON bytes that the HTTP
API takes, and knows how much of the file it has read. What a file is follows from its first bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self, cast

import msgspec

from raydo.gateway.columns import Columns
from raydo.gateway.compression import GZIP_MAGIC
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import IMPORT_LINE_BYTES_MAX, IMPORT_SAMPLE_ROWS

if TYPE_CHECKING:
    from _csv import Reader

PARQUET_MAGIC: Final = b"PAR1"
_PEEK_BYTES: Final = 4096
_BUFFER_BYTES: Final = 256 * 1024
_BOM: Final = b"\xef\xbb\xbf"


UNKNOWN_TENANT: Final = "(unknown)"  # of a line that cannot even be read; no object has it


class Line(NamedTuple):
    """One event of a file: the line it ends on, its tenant, and its JSON bytes.

    `error` says what makes the line unreadable; `raw` is empty then.
    """

    number: int
    tenant: str
    raw: bytes
    error: str | None = None


class Source:
    """Read the events of one file; a context manager.

    `tenant` is everyone's tenant, or `tenant_column` names the column (CSV) or field (JSON) that
    holds it. `mapping` renames CSV columns: field of an event -> column of the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        tenant: str | None = None,
        tenant_column: str | None = None,
        mapping: Mapping[str, str] | None = None,
    ) -> None:
        if (tenant is None) == (tenant_column is None):
            raise InvalidArgument(
                "Say whose events these are: --tenant T for all of them, or --tenant-column C."
            )
        self.path = path
        self.size_bytes = 0
        self._tenant = tenant
        self._tenant_column = tenant_column
        self._mapping = dict(mapping or {})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._file = self._stack.enter_context(self.path.open("rb", buffering=0))
        except OSError as error:
            raise InvalidArgument(f"{self.path} cannot be read: {error.strerror}.") from None
        self.size_bytes = self.path.stat().st_size
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def read_bytes(self) -> int:
        """How far the file itself has been read, compressed or not."""
        return self._file.tell()

    def lines(self) -> Iterator[Line]:
        """Yield each event in the file's order, unreadable lines too.

        Raises:
            InvalidArgument: not a file of events at all, or damaged from some line on.
        """
        if self._file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC:
            yield from self._parquet_lines()
            return
        self._file.seek(0)
        text = self._plain()
        try:
            if _first_byte(text) == b"{":
                yield from self._json_lines(text)
            else:
                yield from self._csv_lines(text)
        except (gzip.BadGzipFile, EOFError) as error:
            raise InvalidArgument(f"{self.path} is damaged gzip: {error}.") from None

    def _parquet_lines(self) -> Iterator[Line]:
        if self._tenant is None:
            raise InvalidArgument("A Parquet file is one tenant's export: say whose, --tenant T.")
        from raydo.gateway.parquet import lines

        for number, raw in enumerate(lines(self._file), 1):
            yield Line(number, self._tenant, raw)

    def _plain(self) -> io.BufferedReader:
        magic = self._file.read(len(GZIP_MAGIC))
        self._file.seek(0)
        if magic != GZIP_MAGIC:
            return self._stack.enter_context(io.BufferedReader(self._file, _BUFFER_BYTES))
        plain = self._stack.enter_context(gzip.GzipFile(fileobj=self._file))
        raw = cast("io.RawIOBase", plain)  # all that BufferedReader asks of it, it has
        return self._stack.enter_context(io.BufferedReader(raw, _BUFFER_BYTES))

    def _json_lines(self, text: io.BufferedReader) -> Iterator[Line]:
        number = 0
        while line := text.readline(IMPORT_LINE_BYTES_MAX + 1):
            number += 1
            if len(line) > IMPORT_LINE_BYTES_MAX:
                raise InvalidArgument(f"Line {number} is over {IMPORT_LINE_BYTES_MAX:,} bytes.")
            raw = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
            if raw:
                yield self._json_line(number, raw)

    def _json_line(self, number: int, raw: bytes) -> Line:
        if self._tenant is not None:
            return Line(number, self._tenant, raw)
        assert self._tenant_column is not None
        try:
            fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            return Line(number, msgspec.json.decode(fields[self._tenant_column], type=str), raw)
        except (msgspec.DecodeError, KeyError, RecursionError):
            reason = f"no text field {self._tenant_column!r} to name its tenant"
            return Line(number, UNKNOWN_TENANT, b"", reason)

    def _csv_lines(self, text: io.BufferedReader) -> Iterator[Line]:
        decoded = io.TextIOWrapper(text, "utf-8-sig", newline="")
        reader = csv.reader(self._stack.enter_context(decoded), strict=True)
        try:
            yield from self._rows(reader)
        except csv.Error as error:
            raise InvalidArgument(f"Line {reader.line_num} is not CSV: {error}.") from None
        except UnicodeDecodeError:
            raise InvalidArgument(f"Line {reader.line_num + 1} is not UTF-8.") from None

    def _rows(self, reader: Reader) -> Iterator[Line]:
        header = next(reader, None)
        if not header:
            raise InvalidArgument(f"{self.path} is empty.")
        columns = Columns(header, self._mapping, self._tenant_column)
        sample: list[tuple[int, list[str]]] = []
        for row in reader:
            sample.append((reader.line_num, row))
            if len(sample) == IMPORT_SAMPLE_ROWS:
                break
        columns.learn([row for _, row in sample])
        for number, row in sample:
            yield self._line(columns, number, row)
        for row in reader:
            yield self._line(columns, reader.line_num, row)

    def _line(self, columns: Columns, number: int, row: list[str]) -> Line:
        if len(row) != columns.width:
            reason = f"{len(row)} columns where the header has {columns.width}"
            return Line(number, self._tenant or UNKNOWN_TENANT, b"", reason)
        return Line(number, self._tenant or columns.tenant(row), columns.event(row))


def _first_byte(text: io.BufferedReader) -> bytes:
    start = text.peek(_PEEK_BYTES).removeprefix(_BOM).lstrip()
    if start.startswith(b"["):
        raise InvalidArgument(
            "The file is one JSON array; give one object a line, as `jq -c '.[]'` writes it."
        )
    return start[:1]
