from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from raydo.actors.analytics import Analytics
from raydo.gateway.command import main
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import ORIGINS_MAX, RETENTION_MONTHS_MAX

UNSET = {
    "zone": "UTC",
    "week_start": "monday",
    "retention_months": None,
    "events_per_second": None,
    "events_per_month": None,
    "origins": [],
}
SET = {
    "zone": "Asia/Kolkata",
    "week_start": "sunday",
    "retention_months": 13,
    "events_per_second": 100,
    "events_per_month": 1_000_000,
    "origins": ["https://example.com", "http://localhost:3000"],
}


@pytest.fixture
def acme(live: Any) -> Any:
    return live(Analytics)


def test_settings_stay_after_a_crash_and_null_takes_one_back(acme: Any) -> None:
    assert acme.call("settings") == UNSET
    assert acme.call("set_settings", **SET) == SET
    acme.crash()
    assert acme.call("settings") == SET
    assert acme.call("set_settings", retention_months=None, zone=None) == {
        **SET,
        "retention_months": None,
        "zone": "UTC",
    }
    acme.crash()
    assert acme.call("set_settings", **dict.fromkeys(UNSET)) == UNSET


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("zone", "Mars/Olympus"),
        ("week_start", "friday"),
        ("retention_months", 0),
        ("retention_months", True),
        ("retention_months", RETENTION_MONTHS_MAX + 1),
        ("events_per_second", 1.5),
        ("events_per_month", "many"),
        ("origins", "https://example.com"),
        ("origins", ["example.com"]),
        ("origins", ["https://example.com/page"]),
        ("origins", ["https://user@example.com"]),
        ("origins", ["https://example.com:port"]),
        ("origins", ["https://example.com"] * (ORIGINS_MAX + 1)),
        ("colour", "red"),
    ],
)
def test_one_wrong_setting_leaves_all_as_they_were(acme: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument):
        acme.call("set_settings", **{"week_start": "sunday", name: value})
    assert acme.call("settings") == UNSET


def test_an_origin_is_kept_as_browsers_spell_it(acme: Any) -> None:
    given = [
        "HTTPS://Example.com/",
        "https://example.com:443",
        "http://[::1]:80",
        "http://a.b:8080",
    ]
    assert acme.call("set_settings", origins=given)["origins"] == [
        "https://example.com",
        "https://example.com",
        "http://[::1]",
        "http://a.b:8080",
    ]


async def test_settings_change_over_http(gateway: httpx.AsyncClient) -> None:
    changed = await gateway.patch("/settings?tenant=acme", json={"week_start": "sunday"})
    assert changed.json() == (await gateway.get("/settings?tenant=acme")).json()
    assert changed.json() == {**UNSET, "week_start": "sunday"}
    assert (await gateway.get("/settings?tenant=other")).json() == UNSET

    for wrong in ({"week_start": "friday"}, {"colour": "red"}, {"origins": "x"}):
        refused = await gateway.patch("/settings?tenant=acme", json=wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_argument")


def test_settings_change_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def settings(*changes: str) -> Any:
        with pytest.raises(SystemExit) as caught:
            main(["settings", "--data", str(tmp_path), "-t", "acme", *changes])
        assert not caught.value.code
        return json.loads(capsys.readouterr().out)

    settings("zone=Asia/Kolkata", "events_per_second=9", "origins=https://a.b, http://c.d")
    assert settings("events_per_second=") == {
        **UNSET,
        "zone": "Asia/Kolkata",
        "origins": ["https://a.b", "http://c.d"],
    }
