"""What a run prints: a line a round, and a table at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from crash.ledger import Account
from crash.server import Process
from crash.traffic import Traffic


class Kill(NamedTuple):
    """One SIGKILL, the writes that waited for an answer then, and those that it cut off."""

    what: str
    process: Process
    under_way: int
    cut: int


class Round(NamedTuple):
    number: int
    kind: str
    target: str
    kills: list[Kill]
    recovery_s: float  # from the first kill to everybody's answer
    events: int  # acknowledged so far


def line(one: Round, differences: int) -> str:
    """Say in one line what a round did."""
    pids = " ".join(str(kill.process.pid) for kill in one.kills)
    under_way = "+".join(str(kill.under_way) for kill in one.kills)
    cut = "+".join(str(kill.cut) for kill in one.kills)
    verdict = f"{differences} DIFFER" if differences else "ok"
    return (
        f"{one.number:4} {one.kind:8} {one.target:12} pid {pids:22} under way {under_way:8}"
        f" cut {cut:8} {one.recovery_s:6.2f} s {one.events:9,} events  {verdict}"
    )


def summary(
    rounds: Sequence[Round], accounts: Iterable[Account], traffic: Traffic
) -> Iterator[str]:
    """Yield the lines of the table."""
    accounts = list(accounts)
    kills = [kill for each in rounds for kill in each.kills]
    met = sum(kill.under_way > 0 for kill in kills)
    cut = sum(kill.cut > 0 for kill in kills)
    answers = ", ".join(f"{count:,} {what}" for what, count in traffic.answers.most_common())
    yield ""
    yield _row("rounds", f"{len(rounds)}")
    yield _row("kills", f"{len(kills)}: {_counted(kill.what for kill in kills)}")
    yield _row("with requests under way", f"{met}, {met / max(1, len(kills)):.1%}")
    yield _row("that cut requests off", f"{cut}, {cut / max(1, len(kills)):.1%}")
    yield _row("events acknowledged", f"{sum(account.acked for account in accounts):,}")
    yield _row("sent again on purpose", f"{traffic.repeated:,}")
    yield _row("retries", f"{traffic.retries:,}")
    yield _row("answers", answers)
    for kind, spent in _recoveries(rounds).items():
        yield _row(f"recovery, {kind}", f"median {median(spent):.2f} s, at most {max(spent):.2f} s")
    differences = [each for account in accounts for each in account.differences]
    yield _row("lost", f"{sum(each.kind == 'lost' for each in differences)}")
    yield _row("counted twice", f"{sum(each.kind == 'twice' for each in differences)}")
    yield _row("all differences", f"{len(differences)}")


def _row(name: str, value: str) -> str:
    return f"{name:26}{value}"


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())


def _recoveries(rounds: Iterable[Round]) -> dict[str, list[float]]:
    recoveries: defaultdict[str, list[float]] = defaultdict(list)
    for each in rounds:
        recoveries[each.kind].append(each.recovery_s)
    return recoveries
