"""Where an event is, by its message id: in the log, in SQLite and its rollups, in the archive.

An answer leaves when its turn is on disk, so whatever it tells of is logged. A repetition of an id
within seven days is not kept and not counted; `remembered` says that another one would be one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.effects import DAY_MS
from raydo.actors.idset import id_hash
from raydo.actors.lake_runs import PLANNED
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import EVENT_ID_BYTES_MAX

if TYPE_CHECKING:
    from raydo.actors.event import Event
    from raydo.actors.state import State

COPIES_MAX: Final = 100  # events of one id, more than a week apart from each other

SELECT: Final = f"""SELECT seq, event, user_id, timestamp, received_at FROM events WHERE id = :id
    ORDER BY seq DESC LIMIT {COPIES_MAX}"""  # noqa: S608 - a number


def check_id(message_id: object) -> str:
    """Refuse what no event can have as its id.

    Raises:
        InvalidArgument: it is no text, or too long.
    """
    if not isinstance(message_id, str) or not message_id:
        raise InvalidArgument(f"A message id is a text, not {message_id!r:.80}.")
    if len(message_id.encode(errors="replace")) > EVENT_ID_BYTES_MAX:
        raise InvalidArgument(f"A message id has at most {EVENT_ID_BYTES_MAX} bytes.")
    return message_id


def undrained(state: State, message_id: str) -> dict[str, Any] | None:
    """Tell of an event that is in the log and nowhere else yet; None when there is none."""
    turns = [(turn.first_seq, turn.events) for turn in state.transaction.tail.turns]
    last_seq = state.transaction.last_seq
    turns.append((last_seq + 1, state.pipeline.since(0)))
    for first_seq, events in reversed(turns):
        for seq, (event, _) in enumerate(events, first_seq):
            if event.id == message_id:
                return _reply("L1", _plan(state, message_id), [_logged(seq, event)])
    return None


def plan_of(state: State, message_id: str) -> dict[str, Any]:
    """Gather, as plain data, what `shape` needs beside the rows."""
    runs = [
        [run.run, run.cut_seq, run.before_ms, str(run.snapshot_id), run.committed_ms]
        for run in state.runs.list()
        if run.state != PLANNED and run.rows
    ]
    return {**_plan(state, message_id), "runs": runs}


def shape(plan: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """Make the reply of `event` of its rows."""
    return _reply(reply["layer"], plan, [_stored(row, plan["runs"]) for row in reply["rows"]])


def _plan(state: State, message_id: str) -> dict[str, Any]:
    ids = state.transaction.ids
    mark = ids.mark()
    [new] = ids.fresh([id_hash(message_id.encode(errors="replace"))], state.now_ms // DAY_MS)
    ids.rollback(mark)
    return {"message_id": message_id, "remembered": not new}


def _reply(layer: str, plan: Mapping[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "layer": layer,
        "message_id": plan["message_id"],
        "found": bool(events),
        "remembered": plan["remembered"],
        "events": events,
    }


def _logged(seq: int, event: Event) -> dict[str, Any]:
    return {
        "seq": seq,
        "event": event.event,
        "user_id": event.user_id,
        "timestamp": event.timestamp_ms,
        "received_at": event.received_ms,
        "logged": True,
        "drained": False,
        "rolled_up": False,
        "archived": None,
    }


def _stored(row: Mapping[str, Any], runs: Sequence[Sequence[Any]]) -> dict[str, Any]:
    # The runs are in order, and a row is of the first one that takes it in.
    taken = (run for run in runs if row["seq"] <= run[1] and row["timestamp"] < run[2])
    run = next(taken, None)
    archived = run and {"run": run[0], "snapshot_id": run[3], "committed_ms": run[4]}
    return {**row, "logged": True, "drained": True, "rolled_up": True, "archived": archived}
