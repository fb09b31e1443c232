"""What a gateway has of a tenant's events, as a test wants to compare it."""

from __future__ import annotations

import json
from typing import Any

import httpx

SQL = "SELECT id, event, user_id, anonymous_id, timestamp, properties, context FROM raw_events ORDER BY seq"


async def rows(client: httpx.AsyncClient, tenant: str = "default") -> list[dict[str, Any]]:
    """Read all events in the order of their receipt; JSON is decoded, times are milliseconds."""
    reply = await client.post("/query", json={"sql": SQL}, params={"tenant": tenant})
    assert reply.status_code == 200, reply.text
    return decoded(reply.json()["rows"])


def decoded(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Decode what is JSON in rows of SQL."""
    for row in found:
        row["properties"] = json.loads(row["properties"])
        row["context"] = json.loads(row["context"]) if row["context"] else None
    return found


def taken(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Show some columns of each."""
    return [tuple(row[name] for name in names) for row in found]
