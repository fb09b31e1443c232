"""One DuckDB that reads a few files and can do nothing else, for one statement.

It lives in memory, may open the listed files and no other, has no temporary folder, loads no
extension, and its settings are locked before the statement comes near it. It is made in a thread
that the kernel lets write nowhere, and thrown away afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from raydo.pipelining.errors import QueryForbidden
from raydo.pipelining.limits import QUERY_ENGINE_BYTES, QUERY_THREADS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyiceberg.io import FileIO

_NAME: Final = re.compile(r"_raydo_\w+")
_MB: Final = 1024 * 1024
_AT_START: Final[dict[str, str | bool | int | float | list[str]]] = {
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "default_null_order": "nulls_first_on_asc_last_on_desc",  # as in SQLite
    "error_on_division_by_zero": "false",
    "ieee_floating_point_ops": "false",
    "integer_division": "true",
    "max_expression_depth": "250",
    "memory_limit": f"{QUERY_ENGINE_BYTES // _MB}MB",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
    "threads": str(QUERY_THREADS),
}
# The order matters: the first two cannot be set once the third is.
_AT_LAST: Final = (
    "SET temp_directory = ''",
    "SET allowed_paths = {paths}",
    "SET enable_external_access = false",
    "SET errors_as_json = true",
    "SET enable_profiling = 'no_output'",
    "SET lock_configuration = true",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer took to find."""

    bytes: int | None  # None when it is not known: of files on other machines
    row_groups: int


class Sandbox:
    """Hold a DuckDB until its one statement has run."""

    def __init__(self) -> None:
        import duckdb

        self.engine: duckdb.DuckDBPyConnection = duckdb.connect(":memory:", config=dict(_AT_START))
        self._paths = "[]"
        self._elsewhere = False

    def add(self, name: str, table: pa.Table) -> None:
        """Let statements read an Arrow table."""
        self.engine.register(name, table)

    def add_files(self, locations: Sequence[str], io: FileIO) -> str:
        """Let the files be read; return what stands for them in a FROM."""
        paths = [local_path(location) for location in locations]
        if all(path is not None and not set(path) & set("*?[]{}'\\") for path in paths):
            listed = ", ".join(f"'{path}'" for path in paths)
            self._paths = f"[{listed}]"
            return f"read_parquet([{listed}], hive_partitioning = false)"
        return self._add_dataset(locations, io)

    def define(self, *statements: str) -> None:
        """Run statements of raydo's own."""
        for statement in statements:
            self.engine.execute(statement)

    def define_for(self, known: Sequence[str], *texts: str) -> None:
        """Define, of what is `known`, what the texts name and what that needs in turn.

        Each of `known` begins with `CREATE`, a kind and a name, and comes after what it needs.
        """
        wanted = set(_NAME.findall(" ".join(texts)))
        needed = []
        for statement in reversed(known):
            name, *others = _NAME.findall(statement)
            if name in wanted:
                needed.append(statement)
                wanted.update(others)
        self.define(*reversed(needed))

    def lock(self) -> None:
        """Let nothing be opened but the files, and no setting be changed, from here on."""
        for statement in _AT_LAST:
            self.engine.execute(statement.format(paths=self._paths))

    def run(self, sql: str, parameters: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
        """Begin the one statement.

        Raises:
            QueryForbidden: it is not one SELECT.
        """
        import duckdb

        statements = self.engine.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryForbidden("A query is one SELECT.")
        return self.engine.execute(statements[0], parameters or None)

    def reading(self) -> Reading:
        """Tell what the statement has read."""
        profile = json.loads(self.engine.get_profiling_information() or "{}")
        read = int(profile.get("io", {}).get("total_bytes_read", 0))
        groups = sum(int(each.get("row_groups_scanned", 0)) for each in _operators(profile))
        return Reading(None if self._elsewhere else read, groups)

    def close(self) -> None:
        """Throw it away."""
        self.engine.close()

    def _add_dataset(self, locations: Sequence[str], io: FileIO) -> str:
        """Read files elsewhere by Arrow, which takes filters and columns from DuckDB too."""
        from pyarrow.dataset import dataset
        from pyiceberg.io.pyarrow import PyArrowFileIO

        assert isinstance(io, PyArrowFileIO), "the archive needs pyiceberg's Arrow IO"
        parsed = [io.parse_location(location, io.properties) for location in locations]
        scheme, netloc, _ = parsed[0]
        files = dataset(
            [path for _, _, path in parsed],
            format="parquet",
            filesystem=io.fs_by_scheme(scheme, netloc),
        )
        self.engine.register(_ARCHIVE, files)
        self._elsewhere = True
        return _ARCHIVE


_ARCHIVE: Final = "_raydo_archive"


def local_path(location: str) -> str | None:
    """Return the path of a file on this machine, or None when it is elsewhere."""
    if location.startswith("/"):
        return location
    return location.removeprefix("file://") if location.startswith("file:///") else None


def _operators(profile: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = list(profile.get("operator", ()))
    for each in found:
        found.extend(each.get("children", ()))
    return found
