"""Which paths take events, and whose clients send them there."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway import mixpanel, page_script, posthog, segment, tracking
from raydo.gateway.endpoint import Endpoint
from raydo.gateway.intake import Intake, Way
from raydo.gateway.replies import counted, judged

Routes = dict[tuple[str, str], Endpoint]


def _with_slash(path: str, way: Way) -> Iterator[tuple[str, Way]]:
    yield path, way
    yield f"{path}/", way


def ways() -> Iterator[tuple[str, Way]]:
    """List every path that takes events."""
    yield "/track", tracking.ONE
    yield "/track/batch", tracking.MANY
    yield page_script.EVENTS, Way(page_script.read, counted)
    for path, kind in segment.PATHS.items():
        yield path, Way(segment.reader(kind), counted if kind is None else judged)
    for path in posthog.BATCH:
        yield from _with_slash(path, Way(posthog.read_batch, counted))
    for path in posthog.EVENTS:
        yield from _with_slash(path, Way(posthog.read_events, posthog.reply_events))
    for name in mixpanel.PATHS:
        reply = mixpanel.reply_import if name == "import" else mixpanel.reply_track
        yield from _with_slash(f"/mixpanel/{name}", Way(mixpanel.reader(name), reply))


def routes(intake: Intake) -> Routes:
    """Make the routes, and for each what a browser asks before it sends from another site."""
    preflight = Endpoint(intake.origins.preflight)
    found: Routes = {}
    for path, way in ways():
        found["POST", path] = Endpoint(intake.handler(way))
        found["OPTIONS", path] = preflight
    flags = Endpoint(_flags)
    for path in posthog.FLAGS:
        found["POST", path] = found["POST", f"{path}/"] = flags
    found["GET", page_script.PATH] = Endpoint(page_script.script)
    return found


async def _flags(_scope: Scope, _receive: Receive) -> Response:
    return posthog.flags()
