"""Every tenant of a data folder, and what is known of its object: for operators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raydo.actors import tenant
from raydo.actors.disk import OsDisk
from raydo.actors.due import read_due
from raydo.pipelining.noun import Noun


def roster(data: Path, hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List `{"object", "tenant", "state", "next_timer_ms", …}`; `hosts` is `Runtime.status()`.

    An object that a host has is `awake` or `idle` (placed, but not in memory); then `host`, `actor`,
    `node` and `pid` say where, and `host_bytes` and `host_objects` what its process holds.
    """
    placed = {
        Noun(*each["noun"]): _placed(host, each) for host in hosts for each in host["objects"]
    }
    disk = OsDisk()
    listed = []
    for noun in tenant.tenants(data):
        due_ms = read_due(disk, tenant.folder(data, noun))
        about = placed.get(noun, {"state": "asleep"})
        listed.append({"object": noun.cls, "tenant": noun.id, **about, "next_timer_ms": due_ms})
    return listed


def _placed(host: Mapping[str, Any], each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": "awake" if each["awake"] else "idle",
        "last_used_ms": each["used_ms"],
        "waiting": each["waiting"],
        "host": host["host"],
        "actor": host["actor"],
        "node": host["node"],
        "pid": host["pid"],
        "host_bytes": host["bytes"],
        "host_objects": len(host["objects"]),
    }
