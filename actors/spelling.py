"""A statement as SQLite reads it, spelled as the historical engine reads it.

Both engines speak nearly the same SQL. What differs in the very letters is mended here, before any
parser sees it: how parameters are written, how tightly JSON arrows bind, and three functions whose
names the other one keeps for types. Every mended place remembers where it stood.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from raydo.pipelining.errors import QueryError

RENAMED: Final = "_raydo_"  # what comes before the name of a function that is a type elsewhere
ARROW: Final = "@>"  # what stands for `->`, which elsewhere begins a lambda


def words(text: str) -> frozenset[str]:
    """Make a set of the words of a text."""
    return frozenset(text.split())


_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<text>'(?:[^']|'')*')
    |(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\])
    |(?P<hex>0[xX][0-9a-fA-F]+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<parameter>[:@$][A-Za-z_]\w*|\?\d*)
    |(?P<word>[^\W\d]\w*)
    |(?P<arrow>->>?)
    |(?P<sign>::|.)""",
    re.VERBOSE | re.DOTALL,
)
_TYPES: Final = frozenset({"char", "date", "time"})
_BEFORE_BRACKET: Final = words("""all and as between by case cross distinct else except exists filter from glob group having in
    intersect is join left like limit not offset on or order over partition right select then
    union using values when where with""")


class Token(NamedTuple):
    """One word of a statement and where it stands."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Edit(NamedTuple):
    """Put `text` where `start` to `end` was."""

    start: int
    end: int
    text: str


class Spelling(NamedTuple):
    """A mended statement, and the way back from its places to those of the original."""

    text: str
    original: str
    places: Sequence[tuple[int, int]]  # from here on, a mended place is this far from the original

    def origin(self, byte: int) -> int:
        """Return where in the original the mended statement's byte `byte` comes from."""
        place = len(self.text.encode()[:byte].decode(errors="ignore"))
        _, shift = self.places[bisect_right(self.places, place, key=itemgetter(0)) - 1]
        return max(0, min(place - shift, len(self.original)))


def tokens(sql: str) -> list[Token]:
    """Split a statement into sequence, without the space and comments between them."""
    return [
        Token(str(found.lastgroup), found[0], found.start())
        for found in _TOKEN.finditer(sql)
        if found.lastgroup != "space"
    ]


def spell(sql: str) -> Spelling:
    """Mend a statement.

    Raises:
        QueryError: it holds a NUL.
    """
    if "\0" in sql:
        raise QueryError("A query holds no NUL character.")
    sequence = tokens(sql)
    edits = [*_words(sequence), *_arrows(sequence)]
    return _apply(sql, sorted(edits, key=lambda edit: edit.start))


def _words(sequence: Sequence[Token]) -> list[Edit]:
    edits = []
    for at, word in enumerate(sequence):
        if word.kind == "parameter" and len(word.text) > 1:
            edits.append(Edit(word.start, word.start + 1, "$"))
        elif word.text.startswith("["):
            edits += (Edit(word.start, word.start + 1, '"'), Edit(word.end - 1, word.end, '"'))
        elif word.kind == "hex":
            edits.append(Edit(word.start, word.end, str(int(word.text, 16))))
        elif word.text.lower() in _TYPES and _opens(sequence, at + 1) and word.kind == "word":
            edits.append(Edit(word.start, word.start, RENAMED))
    return edits


def _arrows(sequence: Sequence[Token]) -> list[Edit]:
    """Put brackets around each chain of arrows: they bind tighter than anything in SQLite."""
    edits = []
    end = -1
    for at, word in enumerate(sequence):
        if word.kind != "arrow" or at == 0 or at + 1 >= len(sequence):
            continue
        if word.text == "->":
            edits.append(Edit(word.start, word.end, ARROW))
        if at < end:
            continue  # in a chain that has its brackets
        end = _right(sequence, at)
        first, last = sequence[_left(sequence, at - 1)].start, sequence[end - 1].end
        edits += (Edit(first, first, "("), Edit(last, last, ")"))
    return edits


def _left(sequence: Sequence[Token], at: int) -> int:
    """Return where the operand begins whose last word is `at`."""
    if sequence[at].text == ")":
        depth = 0
        while at >= 0:
            depth += (sequence[at].text == ")") - (sequence[at].text == "(")
            if depth == 0:
                break
            at -= 1
        at = max(at, 0)
        if at and sequence[at - 1].kind == "word" and not _keyword(sequence[at - 1]):
            at -= 1
    while at >= 2 and sequence[at - 1].text == "." and sequence[at].kind in ("word", "name"):
        at -= 2
    return at


def _right(sequence: Sequence[Token], at: int) -> int:
    """Return where the chain ends that the arrow `at` begins."""
    while at < len(sequence) and sequence[at].kind == "arrow":
        at += 1
        if at < len(sequence) and sequence[at].text in ("-", "+"):
            at += 1
        while at + 2 < len(sequence) and sequence[at + 1].text == ".":
            at += 2
        if at + 1 < len(sequence) and sequence[at].kind == "word" and sequence[at + 1].text == "(":
            at += 1
        if _opens(sequence, at):
            at = _closing(sequence, at)
        at += 1
    return min(at, len(sequence))


def _closing(sequence: Sequence[Token], at: int) -> int:
    depth = 0
    for place in range(at, len(sequence)):
        depth += (sequence[place].text == "(") - (sequence[place].text == ")")
        if depth == 0:
            return place
    return len(sequence) - 1


def _opens(sequence: Sequence[Token], at: int) -> bool:
    return at < len(sequence) and sequence[at].text == "("


def _keyword(word: Token) -> bool:
    return word.text.lower() in _BEFORE_BRACKET


def _apply(sql: str, edits: Sequence[Edit]) -> Spelling:
    parts: list[str] = []
    places = [(0, 0)]
    done = length = 0
    for edit in edits:
        kept = sql[done : edit.start]
        parts += (kept, edit.text)
        length += len(kept) + len(edit.text)
        done = edit.end
        places.append((length, length - done))
    parts.append(sql[done:])
    return Spelling("".join(parts), sql, places)
