"""Every limit and timing of raydo, by name, with the reason for its default.

One place, so that an operator can read what bounds the program and a reviewer can see that
nothing grows without a name. Units stand last in each name.
"""

from typing import Final

# Identity
TENANT_BYTES_MAX: Final = (
    256  # of UTF-8; room for any account id or host name, small in every log line
)

# Frames and envelopes
FRAME_BYTES_MAX: Final = 32 * 1024 * 1024  # one message; what Durable Objects allow an RPC message
FRAME_OPS_MAX: Final = 20_000  # instructions in one program: 10,000 events and their reads
FRAME_DEPTH_MAX: Final = 64  # nesting of a value; Python's own recursion stays far away
MAP_ITEMS_MAX: Final = 10_000  # elements that one `.map` runs over
CAST_LINGER_S: Final = (
    0.005  # how long casts wait for company: a thousand tracks then cost a handful of frames
)
CASTS_PER_FRAME_MAX: Final = 500  # casts that leave at once without waiting for the linger
OUTBOX_CASTS_MAX: Final = 100_000  # casts that wait in this process before the next is refused
OUTBOX_BYTES_MAX: Final = 64 * 1024 * 1024  # the same bound in bytes
SESSION_REPLIES_MAX: Final = (
    1_024  # frames a session may have unacknowledged, so what a receiver remembers
)
SESSIONS_MAX: Final = (
    4_096  # sessions a tenant remembers; the one unused for longest is forgotten first
)
REPLY_KEPT_BYTES_MAX: Final = (
    16 * 1024
)  # a larger reply of a program with effects is not kept for a retry
CALL_TIMEOUT_S: Final = 30.0  # a pull without a timeout of its own
RETRY_FIRST_S: Final = 0.05  # before a frame whose outcome is unknown goes out again; doubles
RETRY_MAX_S: Final = 2.0
FLUSH_ON_EXIT_S: Final = 10.0  # how long leaving `connect()` waits for queued casts

# Turns
TURN_S_MAX: Final = 30.0  # one turn; a longer one breaks the activation (DESIGN section 4)
TURN_ENVELOPES_MAX: Final = 256  # envelopes that share one turn and one commit
QUEUE_ENVELOPES_MAX: Final = 4_096  # envelopes that wait for one tenant before the next gets 503
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024  # the same bound in bytes
HOST_THREADS: Final = (
    8  # turns that one host runs at once; a turn is mostly SQLite, which drops the GIL
)

# Events
EVENT_BYTES_MAX: Final = 32 * 1024  # Segment's limit
EVENT_NAME_BYTES_MAX: Final = 200
EVENT_ID_BYTES_MAX: Final = 256
BATCH_EVENTS_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 16 * 1024 * 1024  # after decompression: a gzip bomb ends here
FUTURE_S_MAX: Final = 24 * 3600  # a timestamp further ahead is clamped to its receipt and marked
DEDUPE_DAYS: Final = 7  # a message id counts once within this many days of its receipt

# Counters
COUNTER_KEYS_MAX: Final = 200_000  # of one object; keys carry user ids
EVENT_NAMES_MAX: Final = 10_000  # distinct event names counted apart; the rest count as "(other)"
STATS_EVENTS_MAX: Final = 100  # event names that /stats lists
PRESENCE_S: Final = (
    1_800  # how long a user stays in the presence index: the longest window asked for
)

# Queries
QUERY_S_MAX: Final = 5.0
QUERY_ROWS_MAX: Final = 10_000
QUERY_BYTES_MAX: Final = 16 * 1024 * 1024
QUERY_SQL_BYTES_MAX: Final = 100_000
DAYS_MAX: Final = 3_660  # ten years of calendar days in one /dau

# Life of a host
IDLE_S: Final = 600.0  # an object unused for this long hibernates
MAX_ACTORS: Final = 64
SHUTDOWN_S: Final = 30.0  # from SIGTERM to the last activation closed
STARTUP_RETRY_AFTER_S: Final = 2.0  # what a gateway that still starts tells its callers to wait
