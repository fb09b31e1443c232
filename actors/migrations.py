"""An object's own migrations: each is run once for each tenant, in the order of its declaration.

```python
class Cart(DurableObject):
    @migration("2026-03 prices in cents")
    def cents(self) -> None:
        self.sql("UPDATE items SET price = price * 100")
```

Those that a tenant has not had yet run when it wakes, before `on_start`, all in one transaction: one
that raises takes all of them back, the object does not start, and its data is as it was. A new
tenant has them too, so the first one makes the tables. Names are for good; a migration that was
released is never changed, only followed by another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from raydo.pipelining.errors import ActivationBroken, BadDeclaration, ObjectFailed, StorageFull

if TYPE_CHECKING:
    from raydo.actors.state import State

F = TypeVar("F", bound=Callable[[Any], None])

TABLE: Final = (
    "CREATE TABLE _raydo_migrations (name TEXT PRIMARY KEY, run_ms INTEGER NOT NULL) WITHOUT ROWID"
)
_MARK: Final = "_raydo_migration"


class Migration(NamedTuple):
    """One step from the data as it was to the data as it is."""

    name: str
    run: Callable[[Any], None]


def migration(name: str) -> Callable[[F], F]:
    """Let a method be a migration of this name."""
    if not isinstance(name, str) or not name:
        raise BadDeclaration("A migration has a name: @migration('2026-03 prices in cents').")

    def declare(method: F) -> F:
        setattr(method, _MARK, name)
        return method

    return declare


def declared(cls: type) -> list[Migration]:
    """List a class's migrations in order, those of its bases first.

    Raises:
        BadDeclaration: two have one name.
    """
    found: dict[str, Migration] = {}
    for base in reversed(cls.__mro__):
        for method in vars(base).values():
            name = getattr(method, _MARK, None)
            if name is None:
                continue
            if name in found and found[name].run is not method:
                raise BadDeclaration(f"{cls.__name__} has two migrations named {name!r}.")
            found[name] = Migration(name, method)
    return list(found.values())


def migrate(state: State, owner: object) -> None:
    """Run the migrations that this tenant has not had, in one call."""
    every = declared(type(owner))
    if not every:
        return
    had = {name for (name,) in state.database.run("SELECT name FROM _raydo_migrations")}
    missing = [each for each in every if each.name not in had]
    if missing:
        state.call(lambda: _run(state, owner, missing))


def _run(state: State, owner: object, missing: list[Migration]) -> None:
    state.before_statement()
    state.transaction.touch()  # they were run, even if they changed nothing
    for each in missing:
        try:
            each.run(owner)
        except (ActivationBroken, StorageFull):
            raise
        except Exception as error:
            kind = type(error).__name__
            raise ObjectFailed(
                f"migration {each.name!r}: {kind}: {error}; nothing of it was kept",
                detail={"type": kind, "migration": each.name},
            ) from error
        state.database.run("INSERT INTO _raydo_migrations VALUES (?, ?)", (each.name, state.now_ms))
