"""A made-up product's data: 20 tenants, 90 days, and three stories that a chart must show.

* `rocket` launches on day 60: ten times the sign-ups for three days, and more from then on.
* `harbor` breaks something on day 40: for twelve days few come back, and most who join are lost.
* `pulse` is live: its events go up to this minute.

One day gives one data set, ids included, so a second import on that day counts nothing twice and
adds only what the live tenant has done since.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

DAYS: Final = 90
LAUNCH_DAY: Final = 60
DIP_DAYS: Final = range(40, 52)
LIVE_MINUTES: Final = 30
LIVE_TICK_MS: Final = 6_000

_PAGES: Final = ("/", "/pricing", "/docs", "/blog", "/features", "/changelog", "/about")
_REFERRERS: Final = ("google", "news.ycombinator.com", "github.com", "newsletter", "")
_COUNTRIES: Final = ("DE", "US", "IN", "BR", "GB", "FR", "JP", "NG")
_PLANS: Final = ("free", "free", "free", "team", "business")
_HOURS: Final = (1, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 9, 10, 11, 11, 10, 8, 7, 6, 5, 4, 3, 2)
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Shop:
    """One tenant of the demo: how many join a day, how many of them stay, and its story."""

    id: str
    joins_a_day: float
    loyal: float = 0.25
    story: str = ""

    def joins_on(self, day: int) -> float:
        """Expected sign-ups of a day: slow growth, quiet weekends, and the launch."""
        expected = self.joins_a_day * (0.7 + 0.6 * day / DAYS)
        if day % 7 in {5, 6}:
            expected *= 0.55
        if self.story == "launch" and day >= LAUNCH_DAY:
            expected *= 10 if day < LAUNCH_DAY + 3 else 2
        return expected

    def loyal_share(self, day: int) -> float:
        """Share of those who join on a day that will keep coming back."""
        return 0.01 if self.is_broken(day) else self.loyal

    def is_broken(self, day: int) -> bool:
        return self.story == "dip" and day in DIP_DAYS


_QUIET: Final = (
    "acme anvil birch/eu birch/us cobalt delta ember fjord glacier indigo juniper kite lumen "
    "meadow nimbus onyx quartz"
)

SHOPS: Final = (
    Shop("rocket", 9, story="launch"),
    Shop("harbor", 14, loyal=0.3, story="dip"),
    *(Shop(name, 1.5 + 0.55 * rank) for rank, name in enumerate(_QUIET.split())),
    Shop("pulse", 10, story="live"),  # the last one made, so that "now" is now
)


@dataclass(slots=True)
class _Person:
    id: str
    joined: int
    loyal: bool
    country: str
    plan: str
    referrer: str

    def visits(self, day: int, rng: random.Random, *, broken: bool) -> bool:
        age = day - self.joined
        chance = 0.3 if self.loyal else 0.35 * 0.6**age
        return age == 0 or rng.random() < chance * (0.25 if broken else 1)


@dataclass(slots=True)
class _Diary:
    """Write one tenant's events, numbering them as it goes."""

    prefix: str
    rng: random.Random
    events: list[tuple[int, bytes]] = field(default_factory=list)

    def write(
        self, at_ms: int, event: str, person: _Person, *, tag: str = "", **properties: Any
    ) -> None:
        moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        record = {
            "event": event,
            "userId": person.id,
            "timestamp": moment,
            "receivedAt": moment,
            "messageId": f"{self.prefix}-{tag or len(self.events)}",
            "properties": {"country": person.country, "plan": person.plan, **properties},
        }
        self.events.append((at_ms, _encode(record)))

    def visit(self, at_ms: int, person: _Person, *, first: bool) -> None:
        """Write one visit: some pages, perhaps a sign-up, a feature used, a purchase."""
        rng = self.rng
        arrival = {"referrer": person.referrer} if first and person.referrer else {}
        for _ in range(rng.randint(1, 4)):
            self.write(at_ms, "PageView", person, page=rng.choice(_PAGES), **arrival)
            at_ms += rng.randint(4_000, 90_000)
        if first and rng.random() < 0.6:
            self.write(at_ms, "SignUp", person)
            at_ms += 20_000
        if rng.random() < 0.5:
            self.write(at_ms, "FeatureUsed", person, feature=rng.choice(("export", "share", "ask")))
            at_ms += 15_000
        if rng.random() < 0.06:
            self.write(at_ms, "Purchase", person, amount=rng.choice((9, 29, 99)))


def events(shop: Shop, until: datetime) -> Iterator[bytes]:
    """Yield a tenant's events of the 90 days that end with `until`, oldest first."""
    rng = random.Random(f"{shop.id}/{until:%Y%m%d}")  # noqa: S311 (a story, not a secret)
    diary = _Diary(id_prefix(until), rng)
    people: list[_Person] = []
    for day in range(DAYS):
        start = _midnight(until) - timedelta(days=DAYS - 1 - day)
        people += _joiners(shop, day, len(people), rng)
        for person in people:
            if person.visits(day, rng, broken=shop.is_broken(day)):
                at_ms = int(start.timestamp() * 1000) + _moment_ms(rng)
                diary.visit(at_ms, person, first=day == person.joined)
    last_ms = int(until.timestamp() * 1000)
    if shop.story == "live":
        _live(diary, people, last_ms)
    past = sorted(record for record in diary.events if record[0] <= last_ms)
    yield from (raw for _, raw in past)


def id_prefix(until: datetime) -> str:
    """Begin the ids of one day's data set; within a tenant they are unique."""
    return f"demo-{until:%Y%m%d}"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _joiners(shop: Shop, day: int, known: int, rng: random.Random) -> list[_Person]:
    expected = shop.joins_on(day)
    count = max(0, round(rng.gauss(expected, expected**0.5 / 2)))
    return [
        _Person(
            id=f"{shop.id.replace('/', '-')}-u{known + index:04d}",
            joined=day,
            loyal=rng.random() < shop.loyal_share(day),
            country=rng.choice(_COUNTRIES),
            plan=rng.choice(_PLANS),
            referrer=rng.choice(_REFERRERS),
        )
        for index in range(count)
    ]


def _moment_ms(rng: random.Random) -> int:
    """Pick a moment of a day, most of them in working hours."""
    hour = rng.choices(range(24), _HOURS)[0]
    return hour * 3_600_000 + rng.randrange(3_600_000)


def _live(diary: _Diary, people: list[_Person], last_ms: int) -> None:
    """Fill the last half hour up to the very end, so that "active now" shows someone.

    Its moments lie on a grid and are named by it: a later run repeats none and adds the new ones.
    """
    last_tick = last_ms // LIVE_TICK_MS
    for tick in range(last_tick - LIVE_MINUTES * 60_000 // LIVE_TICK_MS, last_tick + 1):
        rng = random.Random(tick)  # noqa: S311 (a story, not a secret)
        person = rng.choice(people[-200:])
        page = rng.choice(_PAGES)
        diary.write(tick * LIVE_TICK_MS, "PageView", person, tag=f"live-{tick}", page=page)
