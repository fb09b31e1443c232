from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydo.actors.disk import OsDisk
from raydo.actors.tenant import create, exists, folder, read_id, slug, tenants
from raydo.pipelining.errors import DataUnreadable, InvalidArgument, InvalidTenant
from raydo.pipelining.noun import Noun

ODD = [
    "acme", "Acme", "ACME", "acme/eu", "../x", ".", "..", "...", "/", "~", "-rf", "CON", "nul", " ", "a ", "a",
    "日本", "e\u0301", "\u00e9", "\n", "*", "a" * 256, "a" * 255 + "b", "%2e%2e", "id", "\\", "😀" * 64, "İ", "ß", "SS",
]  # fmt: skip

ids = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
        lambda text: len(text.encode()) <= 256
    ),
)


def test_a_slug_can_be_read_and_holds_a_hash() -> None:
    assert slug("acme/eu") == "acme-eu-cf227b419eae78844ec3"
    assert slug("Acme Ltd.").startswith("acme-ltd-")
    assert slug("日本").startswith("tenant-")


@given(ids)
def test_any_id_becomes_one_harmless_name(tenant: str) -> None:
    name = slug(tenant)

    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,60}-[0-9a-f]{20}", name) or re.fullmatch(
        r"[a-z0-9]-[0-9a-f]{20}", name
    )
    assert len(name) <= 81
    assert folder(Path("data"), Noun("Cart", tenant)).parent == Path("data/Cart")


@given(ids, ids)
def test_two_ids_never_share_a_name_whatever_a_disk_folds_together(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)


def test_odd_ids_stay_apart() -> None:
    assert len({slug(tenant).casefold() for tenant in ODD}) == len(ODD)


@pytest.mark.parametrize("tenant", ["", "\0", "a\0b", "\ud800", "x" * 257, None, 5])
def test_what_is_no_tenant_has_no_folder(tenant: str) -> None:
    with pytest.raises(InvalidTenant):
        folder(Path("data"), Noun("Cart", tenant))


@pytest.mark.parametrize("cls", ["", "..", "a/b", "a.b", "Cart\n", "1", "-"])
def test_a_class_that_is_no_name_has_no_folder(cls: str) -> None:
    with pytest.raises(InvalidArgument):
        folder(Path("data"), Noun(cls, "acme"))


@pytest.mark.parametrize("tenant", ODD)
def test_a_created_tenant_is_known_by_its_exact_id(tmp_path: Path, tenant: str) -> None:
    noun = Noun("Cart", tenant)
    home = folder(tmp_path / "data", noun)
    assert not exists(home)

    create(home, noun)

    assert exists(home)
    assert read_id(home) == tenant
    assert list(tenants(tmp_path / "data")) == [noun]
    assert [path.name for path in home.iterdir()] == ["id"]


def test_asking_where_a_tenant_lives_makes_nothing(tmp_path: Path) -> None:
    home = folder(tmp_path, Noun("Cart", "acme"))

    assert not exists(home)
    assert list(tenants(tmp_path / "nowhere")) == []
    with pytest.raises(DataUnreadable, match="holds no tenant"):
        read_id(home)
    assert list(tmp_path.iterdir()) == []


def test_creating_again_changes_nothing(tmp_path: Path) -> None:
    noun = Noun("Cart", "acme")
    home = folder(tmp_path, noun)
    create(home, noun)
    (home / "tenant.db").write_bytes(b"rows")

    create(home, noun)

    assert sorted(path.name for path in home.iterdir()) == ["id", "tenant.db"]


def test_a_folder_that_a_crash_left_half_made_is_no_tenant_until_it_is_created(
    tmp_path: Path,
) -> None:
    noun = Noun("Cart", "acme")
    home = folder(tmp_path, noun)
    home.mkdir(parents=True)
    (home / "id.new").write_bytes(b"ac")
    assert list(tenants(tmp_path)) == []

    create(home, noun)

    assert list(tenants(tmp_path)) == [noun]


def test_a_folder_of_somebody_else_is_not_taken(tmp_path: Path) -> None:
    home = folder(tmp_path, Noun("Cart", "acme"))
    create(home, Noun("Cart", "acme"))

    with pytest.raises(DataUnreadable, match="belongs to 'acme'"):
        create(home, Noun("Cart", "globex"))


def test_tenants_lists_every_class_and_skips_what_is_none(tmp_path: Path) -> None:
    nouns = [Noun("Analytics", "acme"), Noun("Analytics", "日本"), Noun("Cart", "acme")]
    for noun in nouns:
        create(folder(tmp_path, noun), noun)
    (tmp_path / "directory.db").write_bytes(b"")
    (tmp_path / "not-a-class" / "x").mkdir(parents=True)
    (tmp_path / "Cart" / "notes.txt").write_text("hello")
    (tmp_path / "Cart" / ".cache").mkdir()
    copied = tmp_path / "Cart" / "copy-of-acme"
    copied.mkdir()
    (copied / "id").write_text("acme")
    unreadable = tmp_path / "Cart" / "unreadable"
    unreadable.mkdir()
    (unreadable / "id").write_bytes(b"\xff")
    (tmp_path / "Cart" / "folder" / "id").mkdir(parents=True)
    empty = tmp_path / "Cart" / "empty"
    empty.mkdir()
    (empty / "id").write_bytes(b"")
    piped = tmp_path / "Cart" / "piped"
    piped.mkdir()
    os.mkfifo(piped / "id")  # whoever opened it would wait for ever
    (tmp_path / "Cart" / "dangling").symlink_to(tmp_path / "nowhere")

    assert sorted(tenants(tmp_path)) == sorted(nouns)


def test_a_copied_data_folder_holds_the_same_tenants(tmp_path: Path) -> None:
    noun = Noun("Cart", "acme")
    create(folder(tmp_path / "one", noun), noun)

    (tmp_path / "one").rename(tmp_path / "two")

    assert list(tenants(tmp_path / "two")) == [noun]


class WatchedDisk(OsDisk):
    """Write down which folders are synced."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[Path] = []

    def sync_folder(self, folder: Path) -> None:
        self.synced.append(folder)
        super().sync_folder(folder)


@pytest.mark.parametrize("again", [False, True])
def test_every_folder_on_the_way_is_on_disk_at_return(tmp_path: Path, again: bool) -> None:
    noun, disk = Noun("Cart", "acme"), WatchedDisk()
    data = tmp_path / "deep" / "data"
    home = folder(data, noun)
    if again:  # by a process that may have stopped before it synced anything
        create(home, noun)

    create(home, noun, disk)

    assert {home, home.parent, data} <= set(disk.synced)
    if not again:
        assert {tmp_path / "deep", tmp_path} <= set(disk.synced)
