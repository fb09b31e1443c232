"""Rules of the source broken on purpose, one at a time: `make mutants` runs them (`sim.mutate`)."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One rule broken: `old` stands once in `file`, and `new` in its place."""

    name: str
    file: str
    old: str
    new: str
    log_alone: bool = False  # whether tests/test_log_crashes.py must catch it, too


MUTANTS = (
    Mutant(
        "ack before sync",
        "actors/writer.py",
        """        self.disk.sync(self._handle)
        self.disk.step("writer.write.before_mark")
""",
        """        self.disk.step("writer.write.before_mark")
""",
        log_alone=True,
    ),
    Mutant(
        "skipped directory fsync",
        "actors/writer.py",
        """            disk.step("writer.create.before_sync_folder")
            disk.sync_folder(folder)
""",
        """            disk.step("writer.create.before_sync_folder")
""",
        log_alone=True,
    ),
    Mutant(
        "segment named before it is synced",
        "actors/writer.py",
        """            disk.sync(handle)
            disk.step("writer.create.before_rename")
""",
        """            disk.step("writer.create.before_rename")
""",
        log_alone=True,
    ),
    Mutant(
        "what a killed process wrote is not settled",
        "actors/writer.py",
        "    if start < stop:\n",
        "    if start < stop < 0:\n",
        log_alone=True,
    ),
    Mutant(
        "a new name found is not settled",
        "actors/writer.py",
        "    if found.names_unsynced:\n",
        "    if found.names_unsynced and not found.segments:\n",
        log_alone=True,
    ),
    Mutant(
        "epoch taken without a sync",
        "actors/epoch.py",
        """        disk.sync(handle)
        disk.step("epoch.take.after_sync")
""",
        """        disk.step("epoch.take.after_sync")
""",
        log_alone=True,
    ),
    Mutant(
        "void segments count",
        "actors/recovery.py",
        "        rest = [older for older in rest if older <= before]\n",
        "        rest = [older for older in rest if older < key]\n",
        log_alone=True,
    ),
    Mutant(
        "lease not checked after the sync",
        "actors/log.py",
        "            self._check()  # a reply of an activation that lost its tenant must not leave\n",
        "",
        log_alone=True,
    ),
    Mutant(
        "a sync that failed is only a full disk",
        "actors/failure.py",
        "FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})\n",
        "FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})\n",
    ),
    Mutant(
        "records given up count",
        "actors/log.py",
        "            self._spoilt = self._writer is not None\n",
        "            self._spoilt = False\n",
    ),
    Mutant(
        "nothing given up on a full disk",
        "actors/storage.py",
        """        except StorageFull:
            log.give_up()
            raise
""",
        """        except StorageFull:
            raise
""",
    ),
    Mutant(
        "drain past synced",
        "actors/storage.py",
        """            log.append(EFFECTS, effects.seq, payload)
            log.sync()
""",
        """            log.append(EFFECTS, effects.seq, payload)
            self.transaction.hold(effects, len(payload))
            log.sync()
            self.transaction.tail.turns.pop()
""",
    ),
    Mutant(
        "watermark in another transaction",
        "actors/transaction.py",
        """        self.database.run(
            "UPDATE _raydo_log SET drained_seq = ?, last_seq = ?", (drained_seq, last_seq)
        )
        if self._lease is not None:
            self._lease.check()
        self._disk.step("storage.commit.before")
        self.database.commit()
        self._disk.step("storage.commit.after")
""",
        """        if self._lease is not None:
            self._lease.check()
        self._disk.step("storage.commit.before")
        self.database.commit()
        self._disk.step("storage.commit.after")
        self.database.begin()
        self.database.run(
            "UPDATE _raydo_log SET drained_seq = ?, last_seq = ?", (drained_seq, last_seq)
        )
        self.database.commit()
""",
    ),
    Mutant(
        "replay without dedupe",
        "actors/storage.py",
        "            transaction.ids.fresh(effects.seen, effects.day)\n",
        "",
    ),
    Mutant(
        "forget before it is drained",
        "actors/storage.py",
        """        self._disk.step("storage.log.after_sync")
""",
        """        self._disk.step("storage.log.after_sync")
        log.forget(effects.seq)
""",
    ),
    Mutant(
        "no claim before a SQLite commit",
        "actors/storage.py",
        """            if self._log is not None:
                self._log.claim()
            self.transaction.commit(effects.seq)
""",
        """            self.transaction.commit(effects.seq)
""",
    ),
    Mutant(
        "lease not checked in transactions",
        "actors/transaction.py",
        """        if self._lease is not None:
            self._lease.check()
        self._disk.step("storage.commit.before")
""",
        """        self._disk.step("storage.commit.before")
""",
    ),
    Mutant(
        "stale reads are answered",
        "actors/transaction.py",
        """            self._lease.check()  # nor may a reader hear of what has been since a takeover
""",
        """            pass
""",
    ),
    Mutant(
        "what SQLite recovered is not settled",
        "actors/storage.py",
        "            if database.wal_bytes():\n",
        "            if False:\n",
    ),
    Mutant(
        "seqs of the log are given again",
        "actors/storage.py",
        "            self.transaction.last_seq = max(self.transaction.last_seq, self._log.last_seq)\n",
        "            pass\n",
    ),
    Mutant(
        "synchronous=NORMAL for SQL turns",
        "actors/database.py",
        '    "PRAGMA synchronous=FULL",\n',
        '    "PRAGMA synchronous=NORMAL",\n',
    ),
    Mutant(
        "rollups outside the transaction",
        "actors/drain.py",
        """    _roll_up(ground.rollups, [each for effects in turns for each in effects.events])
""",
        """    for effects in turns:
        if effects.events and ground.database.run("SELECT count(*) FROM _raydo_log")[0][0]:
            _roll_up(ground.rollups, effects.events)
            break
""",
    ),
    Mutant(
        "ids not drained with their events",
        "actors/drain.py",
        "        ground.ids.drain([key for effects in same_day for key in effects.seen], day)\n",
        "        ground.ids.drain([], day)\n",
    ),
    Mutant(
        "sessions not logged with effects",
        "actors/state.py",
        """            sessions=sessions.changed(),
            replies=sessions.replies(),
""",
        """            sessions=[],
            replies=[],
""",
    ),
    Mutant(
        "counters not restored",
        "actors/state.py",
        '        self.counters.load(database.run("SELECT * FROM _raydo_counters"))\n',
        "",
    ),
    Mutant(
        "ids of a call that raised stay",
        "actors/state.py",
        "        self.transaction.ids.rollback(self._seen + mark.ids)\n",
        "",
    ),
    Mutant(
        "replies in the log are not found",
        "actors/sessions.py",
        "            self._undrained.update(self._replies)\n",
        "",
    ),
    Mutant(
        "a refused turn stays in the sessions",
        "actors/activation.py",
        """        state.undo(before)
        self._sessions.rollback()
""",
        """        state.undo(before)
""",
    ),
    Mutant(
        "id file listed before it is synced",
        "actors/idrun.py",
        "        disk.sync(handle)\n",
        "",
    ),
    Mutant(
        "id file's name not synced",
        "actors/idrun.py",
        "    disk.sync_folder(path.parent)\n",
        "",
    ),
    Mutant(
        "tenant named before its folders are",
        "actors/tenant.py",
        """    for path in dict.fromkeys([folder.parent, folder.parent.parent, *made]):
        disk.sync_folder(path)
""",
        "",
    ),
    Mutant(
        "a call that raised has linked ids",
        "actors/pipeline.py",
        "        self.identities.rollback(mark)\n",
        "",
    ),
    Mutant(
        "who is who is not drained with the events",
        "actors/drain.py",
        "            links_of(event for event, _ in events),\n",
        "            (),\n",
    ),
    Mutant(
        "what waits in the tail is taken for stored",
        "actors/state.py",
        "settle(stored=self.storage.drained)",
        "_new.clear()",
    ),
    Mutant(
        "a merge leaves the earlier buckets as they were",
        "actors/rollups.py",
        "        self._sets.move(seen, numbers)\n",
        "",
    ),
)
