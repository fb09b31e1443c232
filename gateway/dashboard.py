"""The dashboard: the page at `/`, the same to be framed at `/embed`, and what both load.

Everything is in the package, as plain files that a browser runs as they are. A page names its files
by a digest of them all, `/static/{digest}/…`, so a browser keeps them for a year and has new ones at
once when there are any. The policy lets a page load from this server alone and run nothing that is
not a file of it; only `/embed` may stand in a page of another site, and it takes tokens, never keys.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.headers import header
from raydo.pipelining.limits import STATIC_CACHE_S

HOME: Final = "/"
EMBED: Final = "/embed"
STATIC: Final = "/static/{digest}/{name:path}"

_PAGE: Final = "index.html"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors "
)
_MEDIA: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
    "woff2": "font/woff2",
}
_PACKED: Final = frozenset({"woff2"})  # compressed in itself


class _File(NamedTuple):
    plain: bytes
    packed: bytes | None
    media: str
    etag: str

    def answer(self, scope: Scope, headers: Mapping[str, str]) -> Response:
        """Answer the file, smaller where the browser unpacks it, or that the browser has it."""
        headers = {
            **headers,
            "etag": self.etag,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if header(scope, b"if-none-match") == self.etag.encode():
            return Response(status_code=304, headers=headers)
        if self.packed is None or b"gzip" not in (header(scope, b"accept-encoding") or b""):
            return Response(self.plain, headers=headers, media_type=self.media)
        headers = {**headers, "content-encoding": "gzip"}
        return Response(self.packed, headers=headers, media_type=self.media)


class _Site(NamedTuple):
    page: str
    files: Mapping[str, _File]
    digest: str


class Dashboard:
    """Answer the page; it is told whether it has to ask for a key."""

    def __init__(self, *, keyed: bool) -> None:
        self._keyed = keyed

    async def home(self, scope: Scope, _receive: Receive) -> Response:
        """Answer the dashboard."""
        return self._answer(scope, "'self'")

    async def embedded(self, scope: Scope, _receive: Receive) -> Response:
        """Answer the dashboard for a page of another site."""
        return self._answer(scope, "*")

    def _answer(self, scope: Scope, ancestors: str) -> Response:
        headers = {
            "cache-control": "no-cache",
            "content-security-policy": _POLICY + ancestors,
            "referrer-policy": "no-referrer",  # its address names a tenant
        }
        return _page(keyed=self._keyed).answer(scope, headers)


async def static(scope: Scope, _receive: Receive) -> Response:
    """Answer one of its files."""
    site = _site()
    asked: dict[str, str] = scope["path_params"]
    found = site.files.get(asked["name"])
    if found is None:
        return Response("There is no such file.", 404, media_type="text/plain")
    # Another digest: of a page from before an upgrade, or from another gateway in the middle of it.
    kept = f"public, max-age={STATIC_CACHE_S}, immutable"
    return found.answer(
        scope, {"cache-control": kept if asked["digest"] == site.digest else "no-cache"}
    )


@cache
def _page(*, keyed: bool) -> _File:
    text = _site().page.replace("$KEYED", "data-keyed" if keyed else "")
    return _file(text.encode(), "text/html", packed=True)


@cache
def _site() -> _Site:
    folder = files("raydo.gateway") / "static"
    found = {
        name: one.read_bytes()
        for name, one in sorted(_walk(folder))
        if name.rpartition(".")[2] in _MEDIA
    }
    whole = hashlib.sha256()
    for name, data in found.items():
        whole.update(f"{name}\0{len(data)}\0".encode() + data)
    digest = whole.hexdigest()[:16]
    modules = [name for name in found if name.endswith(".js") and name != "theme.js"]
    # All at once, or the browser would learn of each only from the one that imports it.
    links = "\n".join(
        f'<link rel="modulepreload" href="/static/{digest}/{name}">' for name in modules
    )
    text = (folder / _PAGE).read_text("utf-8")
    page = text.replace("$STATIC", f"/static/{digest}").replace("<!-- $MODULES -->", links)
    return _Site(
        page,
        {
            name: _file(data, _MEDIA[kind], packed=kind not in _PACKED)
            for name, data in found.items()
            for kind in [name.rpartition(".")[2]]
        },
        digest,
    )


def _walk(folder: Traversable, at: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for one in folder.iterdir():
        if one.is_dir():
            found += _walk(one, f"{at}{one.name}/")
        else:
            found.append((at + one.name, one))
    return found


def _file(data: bytes, media: str, *, packed: bool) -> _File:
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return _File(data, gzip.compress(data, mtime=0) if packed else None, media, etag)
