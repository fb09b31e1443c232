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
ENVELOPE_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX  # an envelope or answer wraps several frames
ARGUMENTS_BYTES_MAX: Final = FRAME_BYTES_MAX - 64 * 1024  # of one call: it must fit into a frame
FRAME_OPS_MAX: Final = 20_000  # instructions in one program: 10,000 events and their reads
FRAME_DEPTH_MAX: Final = 64  # nesting of a value; Python's own recursion stays far away
FRAME_ITEMS_MAX: Final = 100_000  # items of one list or dict: a decoder reserves memory by the length that a header claims
PROGRAM_STEPS_MAX: Final = (
    1_000_000  # instructions of one program, those inside maps for each element: about a second
)
ERROR_TEXT_MAX: Final = 2_000  # characters of an error's sentence that travel
MAP_ITEMS_MAX: Final = 10_000  # elements that one `.map` runs over
MAP_NESTING_MAX: Final = 16  # maps inside maps
CAST_LINGER_S: Final = (
    0.005  # how long casts wait for company: a thousand tracks then cost a handful of frames
)
CASTS_PER_FRAME_MAX: Final = 500  # casts that leave at once without waiting for the linger
OUTBOX_CASTS_MAX: Final = 100_000  # casts that wait in this process before the next is refused
OUTBOX_BYTES_MAX: Final = 64 * 1024 * 1024  # the same bound in bytes
SESSION_REPLIES_MAX: Final = (
    1_024  # frames a session may have unacknowledged, so what a receiver remembers
)
# Sessions a tenant remembers, those of other objects' letters included; the one unused for longest is
# forgotten first, and a retry from it would then be applied anew. On disk each is about 100 bytes.
SESSIONS_MAX: Final = 50_000
SESSIONS_HELD_MAX: Final = 4_096  # of these in memory
REPLY_KEPT_BYTES_MAX: Final = (
    16 * 1024
)  # a larger reply of a program with effects is not kept for a retry
FRAME_FILL_BYTES: Final = 4 * 1024 * 1024  # a frame that is this full takes no more calls
NESTED_MAX: Final = 24  # objects in a row of which each needs a value of the next, in one message
CONVOY_FRAMES_MAX: Final = 64  # that a client lets travel in one message for values they share
CONVOY_MEMBERS_MAX: Final = 1_024  # envelopes in one message that a gateway takes
CONVOY_LINKS_MAX: Final = FRAME_OPS_MAX
# Of the answers to a convoy, and again of the values that it puts in: a link of a few bytes may
# bring as many as a frame has. Whoever is over it is told to come again alone, outside the convoy.
CONVOY_BYTES_MAX: Final = ENVELOPE_BYTES_MAX
FRAMES_IN_FLIGHT_MAX: Final = 64  # unanswered frames of one object; far below SESSION_REPLIES_MAX
ENVELOPES_IN_FLIGHT_MAX: Final = (
    4  # envelopes under way to one object: turns are serial there, so more would only wait
)
LETTERS_MAX: Final = 10_000  # casts of one object to others that have not arrived
LETTER_RETRY_FIRST_S: Final = 0.1  # before an object that did not answer is told again; doubles
LETTER_AWAY_S: Final = 5.0  # between two attempts: whoever waits so long for an answer may sleep
LETTER_RETRY_MAX_S: Final = 30.0  # which is how late it hears after a machine was away
OWED_S: Final = 60.0  # after which an object asleep is woken that has letters or jobs on disk
JOBS_MAX: Final = 1_000  # functions that one object has given away and that are not done
JOB_RETRIES_MAX: Final = 3  # of a function that raises
JOB_RETRY_FIRST_S: Final = 1.0  # before the first retry; doubles
BATCHES_MAX: Final = 1_024  # objects whose sending state one connection keeps while idle
CALL_TIMEOUT_S: Final = 30.0  # a pull without a timeout of its own
RETRY_FIRST_S: Final = 0.05  # before a frame whose outcome is unknown goes out again; doubles
RETRY_MAX_S: Final = 2.0
FLUSH_ON_EXIT_S: Final = 10.0  # how long leaving `connect()` waits for queued casts

# Turns
TURN_ENVELOPES_MAX: Final = 256  # envelopes that share one turn and one sync
TURN_BYTES_MAX: Final = 16 * 1024 * 1024  # the same bound in bytes; one record has to hold the turn
QUEUE_ENVELOPES_MAX: Final = 4_096  # envelopes that wait for one tenant before the next gets 503
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024  # the same bound in bytes
HOST_THREADS: Final = (
    8  # turns that one host runs at once; a turn is mostly SQLite, which drops the GIL
)

# Events
EVENT_BYTES_MAX: Final = 32 * 1024  # Segment's limit
EVENT_NAME_BYTES_MAX: Final = 200
EVENT_ID_BYTES_MAX: Final = 256
AGENT_CHARS_MAX: Final = 512  # of a user agent are looked at: more would only take longer
AGENTS_CACHED_MAX: Final = 4_096  # user agents known to be bots or not: 3 MB at most
EVENT_DEPTH_MAX: Final = 64  # nesting of properties; SQLite's JSON functions stop at 1,000
BATCH_EVENTS_MAX: Final = 10_000
BODY_BYTES_MAX: Final = 16 * 1024 * 1024  # after decompression: a gzip bomb ends here
BODY_VALUES_MAX: Final = 1_000_000  # commas in one body: 10,000 events of a hundred fields each
BODY_CODINGS_MAX: Final = 2  # content encodings around one body; no client is known to use more
GZIP_MEMBERS_MAX: Final = 64  # a body of a million empty members would take minutes to walk
BODY_INLINE_BYTES_MAX: Final = 256 * 1024  # a larger body is unpacked on a thread, not in the loop
BODIES_BYTES_MAX: Final = 256 * 1024 * 1024  # all bodies that a gateway holds at one time
REQUESTS_MAX: Final = 4_096  # requests that a gateway works on at one time; the next gets 503
SOCKET_FRAMES_MAX: Final = 256  # envelopes of one socket under way; then it is not read further
SOCKETS_MAX: Final = 4_096  # WebSockets that a gateway has open; the next gets 503
FUTURE_S_MAX: Final = 24 * 3600  # a timestamp further ahead is clamped to its receipt and marked
DEDUPE_DAYS: Final = 7  # a message id counts once within this many days of its receipt

# Keys
KEYS_MAX: Final = 1_000  # of one tenant, those that no longer open anything included
SESSION_KEYS_MAX: Final = 100  # that one session shows
KEY_NAME_BYTES_MAX: Final = 200
KEY_S_MAX: Final = 100 * 366 * 86_400.0  # a key that expires does so within a hundred years
# How long a gateway believes what it was told of a key: within this time it is revoked everywhere,
# and at once at the gateway that revoked it.
KEY_VERDICT_S: Final = 10.0
KEY_STALE_S: Final = 60.0  # a good verdict, while whoever could renew it has too much to do
KEY_REFUSAL_S: Final = 0.25  # from a wrong key to its refusal, so that its time tells nothing
KEY_VERDICTS_MAX: Final = 20_000  # keys of which a gateway remembers whether they are good
KEY_PATTERN_CHARS_MAX: Final = 200  # of the tenants that a service key is for
TOKEN_S: Final = 3_600.0  # how long a tenant's token is good unless it is said
TOKEN_S_MAX: Final = 86_400.0  # and at most: it can't be revoked but with all others
TOKEN_CHARS_MAX: Final = 4_096
BY_CHARS_MAX: Final = 80  # of who sent a program, as its gateway says
KEY_CHECKS_MAX: Final = 256  # keys that a gateway asks about at once; the next gets 503

# Subscriptions
CHANGES_EVENTS_MAX: Final = 500  # events in one push: 16 MB at most, and a turn of some ms
WATCH_LOOK_S: Final = (
    1.0  # how often a subscription looks for what did not pass through its gateway
)
WATCH_PAUSE_S: Final = 0.05  # between two looks at a busy tenant

# Imports
IMPORT_BATCH_EVENTS: Final = 2_000  # events in one call: few enough that progress moves
IMPORT_BATCH_BYTES: Final = 4 * 1024 * 1024  # the same bound in bytes
IMPORT_BUFFER_EVENTS_MAX: Final = 50_000  # events read ahead, over all tenants of a file
IMPORT_CALLS_MAX: Final = 4  # calls under way at once; one host gains nothing from more
IMPORT_LINE_BYTES_MAX: Final = 1024 * 1024  # one line of a file; far over EVENT_BYTES_MAX
IMPORT_SAMPLE_ROWS: Final = 1_000  # CSV rows that decide which columns are numbers
IMPORT_REASONS_MAX: Final = 10  # rejected lines that the report shows

# A tenant's preferences
RETENTION_MONTHS_MAX: Final = 1_200  # a century
QUOTA_EVENTS_MAX: Final = 10**12  # whoever wants more sets none
ORIGINS_MAX: Final = 100
ORIGINS_S: Final = 10.0  # how long a gateway believes a tenant's list of origins, as KEY_VERDICT_S
ORIGINS_KNOWN_MAX: Final = 20_000  # tenants whose list a gateway remembers
PREFLIGHT_S: Final = 600  # how long a browser need not ask again; it would believe up to two hours
QUOTA_BURST_S: Final = 10  # of a quota by the second that may come at once: a client's whole queue
QUOTA_MONTH_KEPT_S: Final = 62 * 86_400  # a month's count: for that month, and to look at after it

# What other vendors' clients send. An event of theirs has EVENT_BYTES_MAX as any other, and a body
# BODY_BYTES_MAX, which is below PostHog's 20 MB; its SDKs send 5 MB at most.
SEGMENT_BATCH_BYTES_MAX: Final = 500 * 1024  # Segment's limit, and RudderStack's SDKs keep to it
SCRIPT_CACHE_S: Final = 3_600  # a browser keeps /raydo.js so long: what is fixed is everywhere then
STATIC_CACHE_S: Final = 31_536_000  # the dashboard's files are named by what is in them
USER_AGENT_CHARS_MAX: Final = 1_000  # of a browser's name; real ones have some hundred
FORM_FIELDS_MAX: Final = 32  # of a form; Mixpanel's SDKs send five
MIXPANEL_SECONDS_MAX: Final = (
    1e11  # a larger time is in milliseconds: in seconds it is the year 5138
)

# Counters
COUNTER_KEYS_MAX: Final = 200_000  # of one object; keys carry user ids
COUNTER_KEY_BYTES_MAX: Final = 512  # a prefix of ours and an id of EVENT_ID_BYTES_MAX
COUNTER_TTL_S_MAX: Final = 100 * 366 * 86_400  # a century; times stay far within 64 bits
EVENT_NAMES_MAX: Final = 10_000  # distinct event names counted apart; the rest count as "(other)"
STATS_EVENTS_MAX: Final = 100  # event names that /stats lists
PRESENCE_S: Final = (
    1_800  # how long a user stays in the presence index: the longest window asked for
)
PRESENCE_USERS_MAX: Final = 180_000  # of COUNTER_KEYS_MAX; more at once count as one

# Schedules
INTERVAL_MINUTES_MAX: Final = 7 * 24 * 60  # of every(n): a week; clocks jump at most once in it

# Timers
TIMERS_PER_FIRE: Final = 16  # timers of one object that run before its callers have a turn again
TIMER_RETRY_FIRST_S: Final = 2.0  # before a timer that failed is tried again; doubles
TIMER_RETRY_MAX_S: Final = 1_024.0  # where that ends when it is the disk that fails
TIMER_RETRIES_MAX: Final = 6  # of one occurrence whose handler raises: two minutes in all
TIMER_ROUNDS_MAX: Final = 1_000  # of one object at one moment of a test's world; more never end
CLOCK_LOOK_S: Final = 30.0  # how often a host looks at the clock: somebody may set it

# Rollups
USERS_CACHED_MAX: Final = 50_000  # user ids of a tenant whose number is in memory: about 10 MB
USER_SETS_BYTES_MAX: Final = 16 * 1024 * 1024  # sets of users of a tenant's buckets in memory
USER_SET_REWRITE_BYTES: Final = 4_096  # a set up to one page of SQLite is simply written again
USER_SET_PARTS_MAX: Final = 32  # additions to a larger set before it is written again
USER_SETS_HELD_MAX: Final = 256  # sets that a merge or an erasure brings into memory at once
USER_SETS_READ_MAX: Final = 96  # sets that one SELECT brings into memory: a day of a busy tenant
ROLLUP_STRETCH_DAYS: Final = 100  # days that are computed in one pass; more go in several
DAYS_TOLD_MAX: Final = 32  # answers about days that a tenant remembers until something changes
LOOKUP_KEYS_MAX: Final = 512  # keys that one SELECT asks for

# Message ids received (dedupe)
IDS_TAIL_MAX: Final = 32_768  # ids in memory before they become a file: 4 MB, and a pause of 60 ms
ID_RUNS_PER_LEVEL: Final = 4  # files of one size and day that are merged into one of the next size

# Queries
QUERY_S_MAX: Final = 5.0
QUERY_ROWS_MAX: Final = 10_000
QUERY_BYTES_MAX: Final = 16 * 1024 * 1024
QUERY_SQL_BYTES_MAX: Final = 100_000
QUERY_TURN_S: Final = 0.05  # of CPU for a query inside a turn; then it goes beside the turns
QUERY_TURN_WALL_S: Final = 0.5  # the same bound on a machine that is busy, or has a slow disk
COHORTS_MAX: Final = 120  # of one /retention
DAYS_MAX: Final = 3_660  # ten years of calendar days in one /dau

# Metrics
POINTS_MAX: Final = 3_660  # periods of one series: ten years of days, or 146 days of hours
FILTERS_MAX: Final = 20  # of one metric; SQLite binds 100 values at most, and a filter takes two
FILTER_VALUE_BYTES_MAX: Final = 1_024
PROPERTY_NAME_BYTES_MAX: Final = 200  # as an event's name
BREAKDOWN_VALUES_MAX: Final = 100  # values of a property with a series each; the rest is one more
BREAKDOWN_VALUES: Final = 10  # of these by default: what a chart can show
TOP_VALUES_MAX: Final = 1_000  # values that one /top lists
TOP_VALUES: Final = 10
FUNNEL_STEPS_MAX: Final = 8  # each is two passes over the events of the steps
FUNNEL_WINDOW_S_MAX: Final = 366 * 86_400  # a year, as Mixpanel has it
FUNNEL_WINDOW_S: Final = 14 * 86_400  # PostHog's default
TIMELINE_EVENTS_MAX: Final = 1_000  # of one page of a person's events
TIMELINE_EVENTS: Final = 50

# The processes that answer queries
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
QUERY_MERGED_IDS_MAX: Final = 1_000_000  # that a query over the archive reads: about 80 MB
QUERY_TABLE_ROWS_MAX: Final = 200_000  # of an object's own table, in a query over the archive
QUERY_PLANS_KEPT: Final = 16  # lists of an archive's files that a process remembers
QUERY_PINS_MAX: Final = 3  # runs that may end while a query looks for its snapshot
QUERY_IDLE_S: Final = 60.0  # after its last answer a process ends: each holds 60 to 150 MB
QUERY_WORKERS_HOST: Final = 2  # of each Ray actor that holds objects; there are several of them

# Life of a host
IDLE_S: Final = 600.0  # an object unused for this long hibernates
UNBORN_IDLE_S: Final = 5.0  # the same, of an object whose tenant does not exist
ACTIVATIONS_OPEN_MAX: Final = 1_024  # objects awake in one process; half the open files at most
HOSTS_PER_CORE: Final = 4  # hosts at most, by default: more only wait for each other
HOST_BYTES: Final = 150 * 1024 * 1024  # of memory that one host is taken to need
HOST_BYTES_MAX: Final = 2 * 1024 * 1024 * 1024  # then a turn in it has run away
EVICT_ABOVE: Final = 0.7  # of a host's memory; then objects that nobody calls are put to sleep
EVICTED_SHARE: Final = 4  # one in so many of them at a time, those unused for longest
RELIEF_S: Final = 5.0  # how often a host looks at its memory
HOSTS_MEMORY_SHARE: Final = 0.4  # of the machine's memory that hosts may need, by default
STANDBY_HOSTS: Final = (
    2  # hosts that wait for an object of their own; a start takes 1 to 2 s of CPU
)
SHUTDOWN_S: Final = 30.0  # from SIGTERM to the last activation closed
STARTUP_RETRY_AFTER_S: Final = 2.0  # what a gateway that still starts tells its callers to wait
REQUESTS_END_S: Final = 5  # from SIGTERM to the last running request answered
STARTUP_WAIT_S: Final = 90.0  # how long a command waits for a gateway that still starts
COMMAND_TIMEOUT_S: Final = 120.0  # one call of a command; a large import may queue for long

VERIFY_ROWS: Final = 10_000  # rows that a verification reads at a time
DRIFTS_MAX: Final = 100  # figures that differ which it names; it counts them all
BACKUP_PIECE_BYTES: Final = 1024 * 1024  # what a changed page costs a backup, before deflation
BACKUP_TRIES_MAX: Final = 5  # to copy a tenant whose archive moves on meanwhile
RESTORED_SEQS: Final = 500_000  # events that may have come after a backup, and be lost, before a
# subscription's cursor from then could be taken for one of the restored tenant
SLOW_REQUEST_S: Final = 2.0  # a request that takes longer stands in the log
SCRAPE_S_MAX: Final = 5.0  # for the hosts' figures; Prometheus gives up after ten by default
METRICS_S: Final = 5.0  # how often a host sets its Ray metrics; Ray reports them every few seconds

# Turns that run away
TURN_S_MAX: Final = 30.0  # then a turn is ended, as Durable Objects' CPU limit does
TURN_GRACE_S: Final = 2.0  # for the turn to end after that; then the process ends
WATCH_S: Final = 0.2  # how often turns and memory are looked at
OFFENCES_MAX: Final = 3  # turns ended by force before an object rests
OFFENCES_WITHIN_S: Final = 3_600.0
CONFINED_S: Final = 600.0  # how long it rests

# Timers of objects asleep
WAKES_MAX: Final = 32  # objects that are being woken at once; a wake is a few milliseconds of CPU
WAKE_RETRY_S: Final = 1.0  # after a wake that failed
WAKER_LOOKS_S: Final = 5.0  # how long a clock that was set may go unnoticed

# Sockets between a client in the cluster and a host
WIRE_BYTES_MAX: Final = ENVELOPE_BYTES_MAX + 64 * 1024  # one message: an answer is the longest
WIRE_REQUESTS_MAX: Final = 1_024  # requests of one connection that run at once; then it isn't read
HOMES_MAX: Final = 100_000  # objects whose host one connection remembers
SOCKET_PATH_BYTES_MAX: Final = 103  # what macOS takes; Linux takes 107
PLACE_S_MAX: Final = 60.0  # from asking for a host to its socket; 20 at once start on two cores so
JOIN_S_MAX: Final = 90.0  # how long a second process waits for the first one's Ray to be there
JOIN_POLL_S: Final = 0.2  # how often it looks
REACH_S_MAX: Final = 2.0  # to connect to Ray's port or a host's, before it counts as gone
HELLO_S_MAX: Final = 5.0  # until a caller from another machine has shown its secret
HELLO_BYTES_MAX: Final = 64  # which is 32 long
NODE_RETRY_AFTER_S: Final = 5.0  # what callers of a machine that is down are told to wait
SILENCE_S: Final = 5  # after which the other machine is asked whether it is there
SILENCE_PROBES: Final = 3  # unanswered in a row, and it counts as gone
START_ATTEMPTS_MAX: Final = (
    2  # Ray gives up after 30 s; on a busy machine the second one gets there
)
OBJECT_STORE_BYTES: Final = 128 * 1024 * 1024  # frames don't use Ray's store; its default is 30%

# From the log to the database
DRAIN_EVENTS: Final = 5_000  # undrained events before turns wait for a drain: a pause of 0.1 s
DRAIN_BYTES: Final = 8 * 1024 * 1024  # the same bound in bytes, of memory and of what a start reads
DRAIN_AFTER_S: Final = 1.0  # after the last turn; then a later start or read finds nothing to do
CHECKPOINT_BYTES: Final = 4 * 1024 * 1024  # of SQLite's own log; its default bound, 1,000 pages
SESSIONS_PER_TIDY: Final = 256  # sessions written before the oldest are forgotten

# The pipeline's log
SEGMENT_BYTES_FIRST: Final = 16 * 1024  # 10,000 tenants that wrote a little hold 160 MB, not 160 GB
SEGMENT_BYTES_MAX: Final = 16 * 1024 * 1024  # segments double up to this; one is read whole at once
RECORD_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX  # effects of one frame: what it brought, and its rows
STORAGE_RETRY_AFTER_S: Final = 5.0  # what a caller is told to wait when the disk is full
FENCE_PAUSE_S: Final = 0.01  # between two looks at a lock that a dying process holds
FENCE_S_MAX: Final = 5.0  # how long a killed process may take to let go of a tenant's lock

# Archive
ARCHIVES_MAX: Final = 2  # archive runs that one host has under way: each takes a core
ARCHIVE_PAUSE_MS: Final = 60_000  # after a run that failed, before another one begins
ARCHIVE_RETRY_S: Final = 60.0  # after a run that failed for a reason that may pass
LAKE_AGE_S: Final = 7 * 86_400  # how old an event is before the weekly run takes it
LAKE_ROWS_MIN: Final = 1_000  # a run of fewer rows waits: files of a few rows help nobody
LAKE_SPREAD_QUARTERS: Final = 16  # of an hour, from 4 am on Sunday, over which tenants are spread
LAKE_LOOK_ROWS: Final = 50_000  # new rows between two looks whether there are too many
LAKE_RECENT_ROWS_MAX: Final = 1_000_000  # rows in SQLite before a run takes younger ones too
LAKE_BATCH_ROWS: Final = 8_192  # rows read from SQLite in one transaction: 30 ms, at most 256 MB
LAKE_DELETE_ROWS: Final = 5_000  # archived rows that one turn deletes: a pause of 50 ms
LAKE_GROUP_ROWS: Final = 122_880  # of one Parquet row group: what DuckDB gives one thread
LAKE_GROUP_BYTES: Final = 64 * 1024 * 1024  # the same bound in bytes of memory
LAKE_FILE_ROWS: Final = 8 * LAKE_GROUP_ROWS  # of one Parquet file: 30 to 200 MB
LAKE_FILE_BYTES: Final = 512 * 1024 * 1024  # the same bound in bytes of memory
LAKE_COMMITS_MAX: Final = 5  # a commit that meets others' is tried this often
LAKE_RUN_S_MAX: Final = 6 * 3_600.0  # a longer run stops: its first files would count as litter
LAKE_SMALL_FILE_BYTES: Final = 8 * 1024 * 1024  # a smaller file may be merged with its day's others
LAKE_SMALL_FILES_MIN: Final = 4  # small files of one day before they are merged
LAKE_MERGE_BYTES_MAX: Final = 32 * 1024 * 1024  # of one merge, which happens in memory
LAKE_MERGES_MAX: Final = 1_000  # merges of one compaction: years of days
LAKE_SNAPSHOTS_S: Final = 30 * 86_400  # how long a snapshot is kept that is no longer current
LAKE_GRACE_S: Final = 3_600  # how long files of a dropped snapshot stay: queries end well before
LAKE_LITTER_S: Final = 86_400  # age at which a file that no snapshot has is left over from a crash
LAKE_METADATA_KEPT: Final = 10  # earlier metadata files that the present one lists

# Erasures
ERASURES_WAITING_MAX: Final = 1_000  # of one tenant that are not done; each reads its archive

# Exports
EXPORT_STRETCH_SEQS: Final = 10_000  # of one query of an export
EXPORT_GROUP_ROWS: Final = 50_000  # of one row group of a Parquet export, which is in memory
EXPORT_TRIES_MAX: Final = 20  # of one stretch, while the object or the archive is busy
IMPORT_SLACK_BYTES: Final = 4_096  # what an export adds to an event that was as large as may be

# Audit log
AUDIT_ROWS_MAX: Final = 250_000  # of one tenant before queries are no longer recorded: 50 MB
AUDIT_REMARKS_MAX: Final = 1_000  # queries in memory before one of them makes its turn write
AUDIT_LIST_MAX: Final = 1_000  # rows of one answer
AUDIT_DETAIL_CHARS_MAX: Final = 2_000  # of a statement's shape, and of what others record

# Cap'n Web, spoken by the official JavaScript client
CAPNWEB_MESSAGE_CHARS_MAX: Final = BODY_BYTES_MAX  # one message, and all of a batch together
CAPNWEB_MESSAGE_VALUES_MAX: Final = 250_000  # commas in one message: read in the loop, in 0.2 s
CAPNWEB_ANSWER_VALUES_MAX: Final = 500_000  # values in one answer: written in the loop, in 0.5 s
CAPNWEB_ANSWER_CHARS_MAX: Final = FRAME_BYTES_MAX  # of its text; what the official client reads
CAPNWEB_DEPTH_MAX: Final = 128  # nesting of a message; an object's own bound is FRAME_DEPTH_MAX
CAPNWEB_PATH_MAX: Final = 64  # steps of one path; a value is not deeper than that
CAPNWEB_ARGUMENTS_MAX: Final = 1_000  # positional arguments of one call
CAPNWEB_BIGINT_DIGITS_MAX: Final = 4_000  # Python itself reads no more than 4,300
CAPNWEB_LINES_MAX: Final = 20_000  # messages in one batch: 10,000 calls and their pulls
CAPNWEB_LINES_AT_ONCE: Final = 256  # messages of a batch between two looks at other requests
CAPNWEB_BATCH_S_MAX: Final = (
    2 * CALL_TIMEOUT_S
)  # of a batch that has to ask one object after another
CAPNWEB_EXPORTS_MAX: Final = 100_000  # results a client holds on to: a day at one call a second
CAPNWEB_IMPORTS_MAX: Final = 10_000  # functions and promises of a client that are held here
CAPNWEB_PENDING_MAX: Final = 20_000  # unanswered calls of one session, those of its maps included
CAPNWEB_PENDING_BYTES_MAX: Final = 64 * 1024 * 1024  # the same bound in bytes
CAPNWEB_PENDING_PAUSE: Final = 2_000  # calls at objects at which a socket is not read further
CAPNWEB_STEPS_MAX: Final = 1_000_000  # values that one message, or one batch, may have copied here
CAPNWEB_UNSENT_CHARS_MAX: Final = 64 * 1024 * 1024  # answers that a client has not read yet
CAPNWEB_UNSENT_PAUSE: Final = 1024 * 1024  # answers at which its socket is not read further
CAPNWEB_PIPE_BYTES_MAX: Final = BODY_BYTES_MAX  # of one stream that is collected into an argument
