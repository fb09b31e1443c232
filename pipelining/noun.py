"""Who is called: a durable object's class and its tenant id."""

from typing import NamedTuple

from raydo.pipelining.errors import InvalidTenant
from raydo.pipelining.limits import TENANT_BYTES_MAX


class Noun(NamedTuple):
    """Name one durable object: its class's name and its exact tenant id."""

    cls: str
    id: str

    def __str__(self) -> str:
        return f"{self.cls}({self.id!r})"


def noun(cls: str, tenant: object) -> Noun:
    """Check a tenant id and name the object: any UTF-8 text of 1 to 256 bytes without NUL.

    No Unicode normalisation: two spellings are two tenants.

    Raises:
        InvalidTenant: not text, empty, too long, with a NUL or a lone surrogate.
    """
    if not isinstance(tenant, str):
        raise InvalidTenant(f"A tenant id is text, not {type(tenant).__name__}.")
    try:
        size = len(tenant.encode())
    except UnicodeEncodeError:
        raise InvalidTenant(
            "A tenant id must be valid Unicode; this one holds a lone surrogate."
        ) from None
    if not 0 < size <= TENANT_BYTES_MAX:
        raise InvalidTenant(
            f"A tenant id has 1 to {TENANT_BYTES_MAX} bytes of UTF-8; this one has {size}."
        )
    if "\0" in tenant:
        raise InvalidTenant("A tenant id must not hold a NUL character.")
    return Noun(cls, tenant)
