"""Who may operate what: the checks before the routes under /admin."""

from __future__ import annotations

from starlette.requests import Request

from raydo.gateway.access import Access
from raydo.gateway.caller import Caller
from raydo.gateway.keys import SERVER_KINDS
from raydo.gateway.tenancy import named_tenant, parameters
from raydo.pipelining.errors import Forbidden, InvalidArgument, InvalidTenant
from raydo.pipelining.method import Needs


class Gate:
    """Let administrators operate what is theirs."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def server(self, request: Request) -> Caller:
        """Let the server's administrator pass.

        Raises:
            Unauthorized, Forbidden: it is somebody else.
        """
        caller = await self._access.caller(request.scope)
        if not caller.rules:
            raise Forbidden("This needs the server's key; yours is a tenant's.")
        return caller

    async def tenant(
        self, request: Request, named: str | None, needs: Needs = "admin"
    ) -> tuple[Caller, str]:
        """Let whoever may administer a tenant pass, and say whose data is meant.

        The tenant is named in the body, or as on every other route.

        Raises:
            Unauthorized, Forbidden: it is somebody else, or of another tenant.
            InvalidTenant: two different ones are named.
        """
        caller = await self._access.caller(request.scope)
        caller.check(needs)
        beside = named_tenant(request.scope, parameters(request.scope), self._access.domain)
        if named is not None and beside not in {None, named}:
            raise InvalidTenant("The body and the request name different tenants.")
        return caller, caller.enter(beside if named is None else named)

    async def keys_of(
        self, request: Request, kind: str | None, named: str | None
    ) -> tuple[Caller, str | None]:
        """Let somebody at a tenant's keys, or at the server's, for which None stands.

        Raises:
            InvalidArgument: the server's keys are of no tenant.
        """
        if kind in SERVER_KINDS:
            if named is not None:
                raise InvalidArgument(f"A {kind} key is of no tenant: leave the tenant out.")
            return await self.server(request), None
        return await self.tenant(request, named)
