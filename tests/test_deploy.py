"""What `deploy/` promises: files that parse, name what exists, and alerts that fire for their faults."""

from __future__ import annotations

import asyncio
import json
import operator
import re
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from raydo.actors import turns
from raydo.actors.analytics import Analytics
from raydo.actors.backup_status import BackupStatus, write_status
from raydo.actors.figures import Fleet
from raydo.actors.placement import Placement
from raydo.actors.world import World
from raydo.gateway import exposition
from raydo.gateway.command import app
from raydo.gateway.exposition import Exposition
from raydo.pipelining.errors import ArchiveMismatch, Unavailable
from raydo.pipelining.noun import Noun

DEPLOY = Path(__file__).parent.parent / "deploy"
OPERATORS = {"<": operator.lt, ">": operator.gt, "==": operator.eq}
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
NAMES = re.compile(r"\b(?:raydo|process)_[a-z0-9_]+")


class Machine:
    """Whoever answers for the hosts: their figures, or a failure."""

    def __init__(self, fleet: Fleet | Exception) -> None:
        self.fleet = fleet

    async def figures(self) -> Fleet:
        if isinstance(self.fleet, Exception):
            raise self.fleet
        return self.fleet


def idle(tmp_path: Path) -> Fleet:
    with World(tmp_path / "idle") as world:
        return {"hosts": [host(world, "h")], "hosts_max": 4, "standbys": 1}


def host(world: World, name: str) -> dict[str, Any]:
    return {"host": name, **world.residents.figures()}


async def values(exposed: Exposition) -> dict[str, float]:
    text = (await exposed.scrape()).decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def fires(name: str, seen: dict[str, float]) -> bool:
    """Evaluate the last comparison of a rule that compares one metric to a number."""
    conditions = RULES[name]["expr"].split(" and ")
    found = [re.fullmatch(r"(\w+) (<|>|==) ([\d.e]+)", each) for each in conditions]
    assert all(found), conditions
    return all(OPERATORS[m[2]](seen[m[1]], float(m[3])) for m in found if m)


async def test_every_name_in_rules_and_panels_is_exposed(tmp_path: Path) -> None:
    (tmp_path / "data" / ".raydo").mkdir(parents=True)
    write_status(tmp_path / "data", BackupStatus(1, False, "here"))
    exposed = Exposition(Machine(idle(tmp_path)), tmp_path / "data")  # type: ignore[arg-type]
    exposed.requests.ended("/stats", "GET", 200, 0.01)
    seen = await values(exposed)
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    targets = [each["expr"] for panel in dashboard["panels"] for each in panel["targets"]]
    for expression in (*targets, *(rule["expr"] for rule in RULES.values())):
        for name in NAMES.findall(expression):
            assert name in seen, f"{name} of {expression} is not in /metrics"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_alert_has_its_paragraph() -> None:
    headings = re.findall(r"^## (.+)$", (DEPLOY / "runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", each.lower()).replace(" ", "-") for each in headings}
    linked = {rule["annotations"]["runbook"].partition("#")[2] for rule in RULES.values()}
    assert linked == anchors
    assert all(rule["labels"]["severity"] in {"page", "ticket"} for rule in RULES.values())


async def hosts_silent(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Exposition:
    return Exposition(Machine(Unavailable("gone")))  # type: ignore[arg-type]


async def disk_full(tmp_path: Path, patch: pytest.MonkeyPatch) -> Exposition:
    usage = shutil.disk_usage(tmp_path)._replace(free=5 * 10**8)
    patch.setattr(exposition.shutil, "disk_usage", lambda _path: usage)
    return Exposition(Machine(idle(tmp_path)), tmp_path)  # type: ignore[arg-type]


async def disk_filling(tmp_path: Path, patch: pytest.MonkeyPatch) -> Exposition:
    now_s, used = [0.0], [10 * 10**9]
    real = shutil.disk_usage(tmp_path)
    patch.setattr(
        exposition.shutil,
        "disk_usage",
        lambda _path: real._replace(used=used[0], free=20 * 10**9 - used[0]),
    )
    exposed = Exposition(Machine(idle(tmp_path)), tmp_path, now_s=lambda: now_s[0])  # type: ignore[arg-type]
    await values(exposed)
    now_s[0], used[0] = 43_200.0, 12 * 10**9  # 4 GB a day, and 8 are left
    return exposed


async def drains_lag(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Exposition:
    def lag() -> Fleet:
        with World(tmp_path / "lag") as world:
            world.wait(world.stub(Analytics, "acme").track("A"))
            world.clock.advance(milliseconds=61_000)
            return {"hosts": [host(world, "h")], "hosts_max": 4, "standbys": 1}

    return Exposition(Machine(await asyncio.to_thread(lag)))  # type: ignore[arg-type]


async def standbys_gone(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Exposition:
    placement = Placement(1, 2)
    placement.add("h")
    placement.place(Noun("Analytics", "acme"))
    fleet = idle(tmp_path)
    fleet["hosts_max"], fleet["standbys"] = 1, placement.free()
    return Exposition(Machine(fleet))  # type: ignore[arg-type]


async def backups_stale(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Exposition:
    (tmp_path / ".raydo").mkdir()
    write_status(tmp_path, BackupStatus(int((time.time() - 7_200) * 1_000), True, "there"))
    return Exposition(Machine(idle(tmp_path)), tmp_path)  # type: ignore[arg-type]


Fault = Callable[[Path, pytest.MonkeyPatch], Awaitable[Exposition]]
FAULTS: dict[str, Fault] = {
    "RaydoHostsSilent": hosts_silent,
    "RaydoDiskFull": disk_full,
    "RaydoDiskDaysLeft": disk_filling,
    "RaydoDrainLag": drains_lag,
    "RaydoStandbysExhausted": standbys_gone,
    "RaydoBackupStale": backups_stale,
}
BY_RATE = {"RaydoDown", "RaydoFsyncSlow", "RaydoArchiveFailing", "RaydoErrors"}


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_a_fault_crosses_the_threshold_of_its_alert_and_health_does_not(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = Exposition(Machine(idle(tmp_path)), tmp_path)  # type: ignore[arg-type]
    seen = {"raydo_backup_age_seconds": 0.0, **await values(healthy)}
    assert not fires(name, seen)
    assert fires(name, await values(await FAULTS[name](tmp_path, monkeypatch)))


def test_every_alert_is_tried() -> None:
    assert set(RULES) == set(FAULTS) | BY_RATE


def test_an_archive_run_that_fails_counts_for_its_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_job: object) -> None:
        raise ArchiveMismatch("other rows")

    monkeypatch.setattr(turns, "run_job", fail)
    with World(tmp_path) as world:
        acme = world.stub(Analytics, "acme")
        world.wait(acme.track("A"))
        world.wait(acme.archive(0))
        deadline = time.monotonic() + 30
        while not world.residents.figures()["archives_failed"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


async def test_slow_syncs_and_failures_are_in_the_series_that_their_alerts_rate(
    tmp_path: Path,
) -> None:
    fleet = idle(tmp_path)
    exposed = Exposition(Machine(fleet))  # type: ignore[arg-type]
    await values(exposed)
    counts = fleet["hosts"][0]["sync_counts"]
    fleet["hosts"][0] = {**fleet["hosts"][0], "sync_counts": [*counts[:-4], 100, *counts[-3:]]}
    exposed.requests.ended("/track", "POST", 507, 0.1)
    text = (await exposed.scrape()).decode()
    assert 'raydo_fsync_seconds_bucket{le="0.1"} 0' in text
    assert re.search(r'raydo_fsync_seconds_bucket\{le="\+Inf"\} 100', text)
    assert 'raydo_http_requests_total{method="POST",route="/track",status="507"} 1.0' in text


def options_of(command: str) -> set[str]:
    from typer.main import get_command

    found = get_command(app)
    each: Any = found.commands[command]  # type: ignore[attr-defined]
    return {option for parameter in each.params for option in parameter.opts}


@pytest.mark.parametrize("unit", ["raydo.service", "raydo-backup.service"])
def test_a_units_command_has_only_options_that_exist(unit: str) -> None:
    text = (DEPLOY / unit).read_text()
    [line] = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    _, command, *rest = line.split()
    assert {word for word in rest if word.startswith("--")} <= options_of(command)
    assert "\nUser=raydo\n" in text
    assert "\nNoNewPrivileges=yes\n" in text


def test_the_manifest_is_one_node_with_a_token_probes_and_its_data_on_a_volume() -> None:
    documents = list(yaml.safe_load_all((DEPLOY / "raycluster.yaml").read_text()))
    cluster, claim, service = documents
    assert [each["kind"] for each in documents] == [
        "RayCluster",
        "PersistentVolumeClaim",
        "Service",
    ]
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    pod = cluster["spec"]["headGroupSpec"]["template"]["spec"]
    head, raydo = pod["containers"]
    assert pod["shareProcessNamespace"] is True
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert raydo[probe]["httpGet"] == {"path": path, "port": "http"}
    assert {word for word in raydo["command"] if word.startswith("--")} <= options_of("serve")
    assert head["volumeMounts"] == raydo["volumeMounts"]
    volumes = {each["name"] for each in pod["volumes"]}
    assert {mount["name"] for mount in raydo["volumeMounts"]} <= volumes
    assert service["spec"]["ports"][0]["targetPort"] == raydo["ports"][0]["name"]
    [data] = [each for each in pod["volumes"] if each["name"] == "data"]
    assert data["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_the_image_copies_what_is_there_and_runs_as_nobody_special() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    assert "--require-hashes -r requirements.txt" in text
    assert (DEPLOY.parent / "requirements.txt").exists()
    assert text.index("USER raydo") < text.index("ENTRYPOINT")


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    for command in (["rules", "alerts.yml"], ["config", "--syntax-only", "prometheus.yml"]):
        done = subprocess.run(
            [promtool, "check", *command], cwd=DEPLOY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
