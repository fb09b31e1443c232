"""Decompression of request bodies that a hostile sender cannot turn into memory or time.

The output stops at `BODY_BYTES_MAX` while it is made, so a bomb costs no more than an honest body
of the largest size.
"""

from __future__ import annotations

import zlib
from typing import Final

from raydo.pipelining.errors import InvalidArgument, TooLarge, UnsupportedMedia
from raydo.pipelining.limits import BODY_BYTES_MAX, BODY_CODINGS_MAX, GZIP_MEMBERS_MAX

GZIP_MAGIC: Final = b"\x1f\x8b"

_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS
_RAW_WBITS: Final = -zlib.MAX_WBITS


def decompress(body: bytes, encoding: bytes | None) -> bytes:
    """Undo the content encodings named, or the one that the first bytes show if none is named.

    Raises:
        UnsupportedMedia: an unknown encoding. InvalidArgument: damaged or cut off.
        TooLarge: more than `BODY_BYTES_MAX` come out.
    """
    for coding in reversed(_codings(body, encoding)):
        body = _undo(body, coding)
    return body


def _codings(body: bytes, encoding: bytes | None) -> list[str]:
    if encoding is None:
        return ["gzip"] if body.startswith(GZIP_MAGIC) else []
    names = [name.strip().lower() for name in encoding.decode("latin-1").split(",")]
    codings = [name for name in names if name not in {"", "identity"}]
    if len(codings) > BODY_CODINGS_MAX:
        raise UnsupportedMedia(f"A body has at most {BODY_CODINGS_MAX} content encodings.")
    return codings


def _undo(body: bytes, coding: str) -> bytes:
    match coding:
        case "gzip" | "x-gzip":
            return _inflate(body, _GZIP_WBITS, coding)
        case "deflate":
            return _inflate(body, _deflate_wbits(body), coding)
    raise UnsupportedMedia(
        f"The content encoding {coding!r} is unknown here; gzip and deflate are understood."
    )


def _deflate_wbits(body: bytes) -> int:
    """Tell zlib's wrapping from a bare stream: HTTP means the former, some clients send the latter."""
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return zlib.MAX_WBITS if wrapped else _RAW_WBITS


def _inflate(body: bytes, wbits: int, coding: str) -> bytes:
    out = bytearray()
    for _ in range(GZIP_MEMBERS_MAX):
        stream = zlib.decompressobj(wbits)
        try:
            out += stream.decompress(body, BODY_BYTES_MAX + 1 - len(out))
        except zlib.error as error:
            raise InvalidArgument(f"The body is not valid {coding}: {error}.") from None
        _check_size(len(out))
        if not stream.eof:
            raise InvalidArgument(f"The body's {coding} stream is cut off.")
        body = stream.unused_data
        if not body.strip(b"\0"):
            return bytes(out)
    raise InvalidArgument(f"A gzip body has at most {GZIP_MEMBERS_MAX} members.")


def _check_size(size: int) -> None:
    if size > BODY_BYTES_MAX:
        raise TooLarge(f"A body has at most {BODY_BYTES_MAX:,} bytes after decompression.")
