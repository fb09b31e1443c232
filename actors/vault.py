"""Where backups are kept: a folder, or a bucket, of files that are written once.

    lock                                    of the one process that writes there
    raydo-backup.json                       says that it is one, and in which form
    blobs/ab/ab12…                          pieces of files, named after what is in them, deflated
    tenants/<class>/<slug>/<moment>.json    one tenant as it was at one moment: a `Point`
    runs/<moment>.json                      which points make up all of a folder at one moment

A piece is there before a point names it, and a point before a run does, so whatever is cut off
leaves nothing behind that is not whole.
"""

from __future__ import annotations

import fcntl
import json
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol

from raydo.actors.disk import OsDisk, write_file
from raydo.pipelining.errors import DataInUse, DataUnreadable, InvalidArgument

FORM: Final = 1
_MARK: Final = "raydo-backup.json"
_LOCK: Final = "lock"
_HASH_BYTES: Final = 32
_QUICKLY: Final = 1  # zlib's level: a backup a minute should cost the disk, not the processor


class Shelf(Protocol):
    """Keep bytes by name; `write` is on disk at return, and whole or not there at all."""

    def read(self, name: str) -> bytes:
        """Return what stands there; FileNotFoundError when nothing does."""
        ...

    def write(self, name: str, data: bytes) -> None: ...

    def has(self, name: str) -> bool: ...

    def names(self, folder: str) -> list[str]:
        """List what stands right below a folder, sorted; nothing when there is none."""
        ...

    def delete(self, name: str) -> None: ...

    def held(self) -> AbstractContextManager[None]:
        """Let no other process write there meanwhile, where that can be had.

        Raises:
            DataInUse: another one does.
        """
        ...


class FolderShelf:
    """Keep them in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._disk = OsDisk()

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(self._disk, path, data)

    def has(self, name: str) -> bool:
        return (self._root / name).exists()

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(each.name for each in (self._root / folder).iterdir())
        except FileNotFoundError:
            return []

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            (self._root / name).unlink()

    @contextmanager
    def held(self) -> Iterator[None]:
        with (self._root / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataInUse(
                    f"Another `raydo backup` writes to {self._root}: stop it, or name another place."
                ) from None
            yield


class BucketShelf:
    """Keep them wherever pyarrow finds a file system: `s3://…`, `gs://…`."""

    def __init__(self, uri: str) -> None:
        import pyarrow as pa
        from pyarrow import fs

        self._fs = fs
        try:
            self._files, self._root = fs.FileSystem.from_uri(uri)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise InvalidArgument(f"{uri} is no place for backups: {error}") from None

    def read(self, name: str) -> bytes:
        with self._files.open_input_stream(f"{self._root}/{name}") as stream:
            data: bytes = stream.read()
        return data

    def write(self, name: str, data: bytes) -> None:
        path = f"{self._root}/{name}"
        if self._files.type_name == "local":
            self._files.create_dir(path.rpartition("/")[0], recursive=True)
        with self._files.open_output_stream(path) as stream:
            stream.write(data)

    def has(self, name: str) -> bool:
        [info] = self._files.get_file_info([f"{self._root}/{name}"])
        return bool(info.type == self._fs.FileType.File)

    def names(self, folder: str) -> list[str]:
        path = f"{self._root}/{folder}".rstrip("/")
        selector = self._fs.FileSelector(path, allow_not_found=True)
        return sorted(info.base_name for info in self._files.get_file_info(selector))

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._files.delete_file(f"{self._root}/{name}")

    def held(self) -> AbstractContextManager[None]:
        """Buckets have no locks: that nobody else writes there is the operator's to see to."""
        return nullcontext()


class Vault:
    """Put pieces and documents on a shelf, and take them out, checked."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._known: set[str] = set()  # pieces that are there

    @classmethod
    def open(cls, where: str, *, make: bool = False) -> Vault:
        """Open the backups at a folder or an address; `make` begins them where nothing is.

        Raises:
            InvalidArgument: there are none, or something else is there.
        """
        shelf = BucketShelf(where) if "://" in where else FolderShelf(Path(where))
        vault = cls(shelf)
        try:
            form = vault.document(_MARK)["form"]
        except FileNotFoundError:
            if not make:
                raise InvalidArgument(f"There are no backups of raydo's at {where}.") from None
            if shelf.names(""):
                raise InvalidArgument(
                    f"{where} holds something else; name an empty place."
                ) from None
            shelf.write(_MARK, json.dumps({"form": FORM}).encode())
            return vault
        if form != FORM:
            raise InvalidArgument(f"The backups at {where} are of form {form}; this reads {FORM}.")
        return vault

    def held(self) -> AbstractContextManager[None]:
        """Let no other process write there meanwhile: what one sweeps away another may count on.

        Raises:
            DataInUse: another one does.
        """
        return self._shelf.held()

    def keep(self, piece: bytes) -> tuple[str, bool]:
        """Put a piece there unless it is; return its name, and whether it was new."""
        name = blake2b(piece, digest_size=_HASH_BYTES).hexdigest()
        if name in self._known:
            return name, False
        new = not self._shelf.has(_blob(name))
        if new:
            self._shelf.write(_blob(name), zlib.compress(piece, _QUICKLY))
        self._known.add(name)
        return name, new

    def trust(self, names: list[str]) -> None:
        """Take it as given that pieces are there: a point names them."""
        self._known.update(names)

    def piece(self, name: str) -> bytes:
        """Take a piece out.

        Raises:
            DataUnreadable: it is gone, or not what it was.
        """
        try:
            data = zlib.decompress(self._shelf.read(_blob(name)))
        except (FileNotFoundError, zlib.error) as error:
            raise DataUnreadable(
                f"The piece {name} of the backup cannot be read: {error}"
            ) from None
        if blake2b(data, digest_size=_HASH_BYTES).hexdigest() != name:
            raise DataUnreadable(f"The piece {name} of the backup is damaged.")
        return data

    def document(self, name: str) -> dict[str, Any]:
        """Read a document; FileNotFoundError when there is none."""
        found: dict[str, Any] = json.loads(self._shelf.read(name))
        return found

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Write a document."""
        self._shelf.write(name, json.dumps(document, separators=(",", ":")).encode())

    def names(self, folder: str) -> list[str]:
        """List what stands in a folder."""
        return self._shelf.names(folder)

    def moments(self, folder: str) -> list[int]:
        """List the moments of which there are documents in a folder, in order."""
        names = (name.removesuffix(".json") for name in self._shelf.names(folder))
        return sorted(int(name) for name in names if name.isdigit())

    def delete(self, name: str) -> None:
        """Delete a document."""
        self._shelf.delete(name)

    def sweep(self, named: set[str]) -> int:
        """Delete the pieces that nothing names; return how many there were."""
        gone = 0
        for name in self._pieces():
            if name not in named:
                self._shelf.delete(_blob(name))
                self._known.discard(name)
                gone += 1
        return gone

    def _pieces(self) -> Iterator[str]:
        for start in self._shelf.names("blobs"):
            yield from self._shelf.names(f"blobs/{start}")


def _blob(name: str) -> str:
    return f"blobs/{name[:2]}/{name}"
