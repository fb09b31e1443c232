"""The limits of the processes that answer queries, by name, with the reason for each."""

from __future__ import annotations

from typing import Final

QUERY_WORKERS: Final = 4  # processes that answer queries; each takes one at a time
QUERY_WAITING_MAX: Final = 64  # queries that wait for a process before the next gets 503
QUERY_WAIT_S_MAX: Final = 10.0  # how long one waits before it gets 503: callers give up at 30 s
QUERY_HISTORY_S_MAX: Final = 20.0  # of a query that may read the archive; QUERY_S_MAX is SQLite's
QUERY_GRACE_S: Final = 0.5  # from a query's deadline to the end of its process
QUERY_SPARE_S: Final = 0.25  # after which the kernel ends it, should nobody else have
QUERY_MEMORY_BYTES: Final = 1536 * 1024 * 1024  # that a query may add to its process
QUERY_SQLITE_BYTES: Final = 256 * 1024 * 1024  # of it, what SQLite may take
QUERY_ENGINE_BYTES: Final = 1024 * 1024 * 1024  # of it, what DuckDB may take before it says no
QUERY_THREADS: Final = 2  # of DuckDB in one process; ingestion needs the other cores
QUERY_NICENESS: Final = 5  # a process that answers queries yields to those that take events
QUERY_ANSWERS_MAX: Final = 1_000  # of one process: what it remembers and leaks ends with it
QUERY_START_S_MAX: Final = 30.0  # from the start of a process to its first word
QUERY_RECENT_ROWS_MAX: Final = 2_000_000  # not archived yet, in one query over the archive
QUERY_TABLE_ROWS_MAX: Final = 200_000  # of an object's own table, in a query over the archive
QUERY_PLANS_KEPT: Final = 16  # lists of an archive's files that a process remembers
QUERY_PINS_MAX: Final = 3  # runs that may end while a query looks for its snapshot
