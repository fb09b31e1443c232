"""How a user's own classes reach the processes that run them.

A module is named, and each host imports it. A class that no module gives (written in a script, a
notebook or a test) travels by value instead, so that `python shop.py` is enough to try one. A host
keeps the class that it was started with: to change it, stop the host.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from raydo.pipelining.errors import InvalidArgument, UnknownObject
from raydo.pipelining.method import forget, methods_of
from raydo.pipelining.stub import registered


@dataclass(frozen=True, slots=True)
class Parcel:
    """Carry what a host needs to know an object's class: where to import from, and the class."""

    paths: tuple[str, ...]
    pickled: bytes | None


def load(modules: Iterable[str]) -> None:
    """Import the modules that declare durable objects.

    Raises:
        InvalidArgument: a module cannot be imported; the sentence names it and the reason.
    """
    for name in modules:
        try:
            import_module(name)
        except Exception as error:
            raise InvalidArgument(
                f"The objects module {name!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error


def modules_of(objects: Iterable[str | ModuleType | type]) -> tuple[str, ...]:
    """Name the modules that hosts import; a class that travels by value needs none."""
    names = (_module_of(entry) for entry in objects)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def parcel(name: str) -> Parcel:
    """Pack the class of this name for a host, by value when no import would give it there.

    It may be unknown in this process; the host's own modules decide then.
    """
    try:
        cls = registered(name)
    except UnknownObject:
        return Parcel(search_paths(), None)
    with _by_value(cls.__module__) as cloudpickle:
        return Parcel(search_paths(), bytes(cloudpickle.dumps(cls)))


def search_paths() -> tuple[str, ...]:
    """List where this process finds modules."""
    return tuple(str(Path(path).resolve()) for path in sys.path if Path(path).is_dir())


def search_in(paths: Iterable[str]) -> None:
    """Find modules there too."""
    sys.path += [path for path in paths if path not in sys.path]


def wrap(parcel: Parcel) -> bytes:
    """Write a parcel for a line between processes of one user."""
    return pickle.dumps(parcel)


def unwrap(data: bytes) -> Parcel:
    """Read what `wrap` wrote."""
    parcel: Parcel = pickle.loads(data)  # noqa: S301 - only this user's processes reach the line
    return parcel


def unpack(parcel: Parcel) -> None:
    """Know here what `parcel` packed there."""
    search_in(parcel.paths)
    if parcel.pickled is None:
        return
    cls: type = import_module("ray.cloudpickle").loads(parcel.pickled)
    # A class that travels by value is declared empty and gets its attributes afterwards, so what
    # was found of it at its declaration is not what it has.
    forget(cls)
    methods_of(cls)


def _module_of(entry: str | ModuleType | type) -> str | None:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, ModuleType):
        return entry.__name__
    return entry.__module__ if _importable(entry.__module__) else None


@contextmanager
def _by_value(module: str) -> Iterator[Any]:
    """Give the pickler, told to send what no other process could import."""
    cloudpickle: Any = import_module("ray.cloudpickle")
    travels = module in sys.modules and module != "__main__" and not _importable(module)
    if travels:
        cloudpickle.register_pickle_by_value(sys.modules[module])
    try:
        yield cloudpickle
    finally:
        if travels:
            cloudpickle.unregister_pickle_by_value(sys.modules[module])


def _importable(module: str) -> bool:
    """Tell whether another process finds this module by its name."""
    try:
        return module != "__main__" and importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
