from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import httpx
import pytest
from conftest import Keyed

STATIC = Path(__file__).parents[1] / "gateway" / "static"
VENDOR = STATIC / "vendor"
LINKS = re.compile(r'(?:src|href)="([^"]+)"')
IMPORTS = re.compile(r'^import .*?from "([^"]+)";', re.MULTILINE)


async def _files(gateway: httpx.AsyncClient) -> list[str]:
    return [path for path in LINKS.findall((await gateway.get("/")).text) if "/static/" in path]


async def test_the_page_loads_only_what_this_server_has(gateway: httpx.AsyncClient) -> None:
    page = (await gateway.get("/")).text
    files = await _files(gateway)
    assert len(files) > 20
    for path in files:
        assert path.startswith("/static/")
        assert (await gateway.get(path)).status_code == 200
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)


async def test_every_module_that_is_imported_is_loaded_at_once(gateway: httpx.AsyncClient) -> None:
    root = "/static/" + (await _files(gateway))[0].split("/")[2]
    loaded = {path.removeprefix(f"{root}/") for path in await _files(gateway)}
    for path in STATIC.rglob("*.js"):
        for name in IMPORTS.findall(path.read_text()):
            found = (path.parent / name).resolve().relative_to(STATIC).as_posix()
            assert found in loaded, f"{path.name} imports {name}"


async def test_the_policy_lets_nothing_run_that_is_not_a_file_of_ours(
    gateway: httpx.AsyncClient,
) -> None:
    page = await gateway.get("/")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert policy["frame-ancestors"] == "'self'"
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", page.text)


async def test_only_the_embedded_page_stands_in_pages_of_other_sites(
    gateway: httpx.AsyncClient,
) -> None:
    page = await gateway.get("/embed")
    assert page.headers["content-security-policy"].endswith("frame-ancestors *")


async def test_files_are_kept_for_a_year_and_the_page_is_asked_for(
    gateway: httpx.AsyncClient,
) -> None:
    [path] = [path for path in await _files(gateway) if path.endswith("/api.js")]
    found = await gateway.get(path)
    assert "immutable" in found.headers["cache-control"]
    again = await gateway.get(path, headers={"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")

    page = await gateway.get("/")
    assert page.headers["cache-control"] == "no-cache"
    again = await gateway.get("/", headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304


async def test_a_file_of_another_version_is_not_kept(gateway: httpx.AsyncClient) -> None:
    found = await gateway.get("/static/0000000000000000/main.js")
    assert found.status_code == 200
    assert found.headers["cache-control"] == "no-cache"


async def test_a_file_is_sent_packed_where_the_browser_unpacks_it(
    gateway: httpx.AsyncClient,
) -> None:
    [path] = [path for path in await _files(gateway) if path.endswith("/uplot.js")]
    plain = await gateway.get(path, headers={"accept-encoding": "identity"})
    async with gateway.stream("GET", path, headers={"accept-encoding": "gzip"}) as packed:
        raw = b"".join([piece async for piece in packed.aiter_raw()])
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 3


@pytest.mark.parametrize("path", ["nothing.js", "%2e%2e/dashboard.py", "vendor/fetch.sh", ""])
async def test_what_is_no_file_of_the_page_is_not_found(
    gateway: httpx.AsyncClient, path: str
) -> None:
    assert (await gateway.get(f"/static/0/{path}")).status_code == 404


async def test_the_page_knows_before_it_asks_whether_it_needs_a_key(
    gateway: httpx.AsyncClient, keyed: Keyed
) -> None:
    assert "data-keyed" not in (await gateway.get("/")).text
    assert "data-keyed" in (await keyed.ask("GET", "/")).text


def test_the_libraries_are_as_npm_has_them() -> None:
    listed = [
        line.split() for line in (VENDOR / "SOURCES.txt").read_text().splitlines() if line[0] != "#"
    ]
    assert {name for name, *_ in listed} == {
        path.name for path in VENDOR.iterdir() if path.suffix in {".js", ".css", ".woff2"}
    }
    for name, package, version, licence, _, digest in listed:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
        assert (
            f"==== {name}: {package} {version}, {licence}" in (VENDOR / "LICENSES.txt").read_text()
        )


def test_no_file_of_ours_is_longer_than_three_hundred_lines() -> None:
    ours = [path for path in STATIC.rglob("*.*") if VENDOR not in path.parents]
    assert [path.name for path in ours if path.read_text().count("\n") > 300] == []
