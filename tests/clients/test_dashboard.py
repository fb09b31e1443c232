"""The dashboard in a real browser, signed in by a read key, over real objects on disk."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.dashboard import READY, WAIT_S, Dashboard, dashboard, days
from support.npm import CLIENTS, node

if TYPE_CHECKING:
    from conftest import Keyed

pytestmark = pytest.mark.slow


async def test_numbers_follow_days_zone_and_clicks_and_all_is_in_the_address(
    keyed: Keyed, tmp_path: Path
) -> None:
    async with dashboard(keyed, tmp_path) as seen:
        await seen.open("/?range=90d&metric=events")
        await seen.sign_in(await keyed.key("read"))
        await seen.until(READY)
        counted = await seen.ask("POST", "/query", json={"sql": "SELECT count(*) AS n FROM events"})
        total = counted["rows"][0]["n"]
        assert f"{total:,}" in await seen.text("#overview .tiles")
        await seen.until("document.querySelector('.proof:not([hidden])')")
        assert (await seen.text(".proof")).split() == [
            "acknowledged", f"{total:,}", "=", f"{total:,}", "counted",
        ]  # fmt: skip
        assert (await seen.text("#overview .chip")).startswith("L2 · ")

        await seen.press("w")
        await seen.until(f"location.search.includes('range=7d') && {READY}")
        week = await seen.ask("GET", f"/timeseries?{days(7)}")
        assert f"{week['total']:,}" in await seen.text("#overview .tiles")

        await seen.choose(".zone select", "Asia/Tokyo")
        await seen.until(f"location.search.includes('tz=Asia/Tokyo') && {READY}")

        page = (await seen.texts("#pages .row-name"))[0]
        await seen.click("#pages .row")
        await seen.until(f"document.querySelector('.filter') && {READY}")
        assert f"filter=page:{page}" in await seen.search()
        assert await seen.texts("#pages .row-name") == [page]

        await seen.page.run("history.back()")
        await seen.until(f"!document.querySelector('.filter') && {READY}")
        assert len(await seen.texts("#pages .row-name")) > 1


async def test_a_funnel_is_built_and_agrees_with_the_endpoint(keyed: Keyed, tmp_path: Path) -> None:
    async with dashboard(keyed, tmp_path) as seen:
        await seen.open("/?range=90d&step=PageView&step=FeatureUsed")
        await seen.sign_in(await keyed.key("read"))
        await seen.until(f"{READY} && document.querySelectorAll('.step').length == 2")
        await seen.choose(".funnel li:nth-child(2) select", "SignUp")
        await seen.until(f"location.search.includes('step=SignUp') && {READY}")
        await seen.click(".funnel-foot .ghost")
        await seen.until(f"document.querySelectorAll('.step').length == 3 && {READY}")

        steps = await seen.page.run(
            "[...document.querySelectorAll('.step select')].map((each) => each.value)"
        )
        asked = {"steps": steps, **dict(each.split("=") for each in days(90).split("&"))}
        persons = [
            each["persons"] for each in (await seen.ask("POST", "/funnel", json=asked))["steps"]
        ]
        assert steps[:2] == ["PageView", "SignUp"]
        assert await seen.texts(".step-count") == [f"{count:,}" for count in persons]


async def test_sql_shows_a_table_or_a_chart_also_as_of_an_earlier_moment(
    keyed: Keyed, tmp_path: Path
) -> None:
    async with dashboard(keyed, tmp_path) as seen:
        await seen.open("/")
        await seen.sign_in(await keyed.key("read"))
        await seen.until(READY)
        await seen.write("SELECT date, count(*) AS n FROM events GROUP BY date ORDER BY date")
        await seen.until("document.querySelectorAll('#sql tbody tr').length > 80")
        await seen.click("#sql .segmented button:last-child")
        await seen.until("document.querySelector('#sql canvas')")
        await seen.click("#sql .segmented button:first-child")

        moment = datetime.now().astimezone() + timedelta(seconds=1)
        await asyncio.sleep(1)  # a field for a moment has whole seconds
        await keyed.ask("POST", "/track", await keyed.key("write"), json={"event": "Later"})
        await seen.write("SELECT count(*) AS n FROM events WHERE event = 'Later'")
        await seen.until("document.querySelector('#sql td.number')?.textContent == '1'")
        past = f"{moment:%Y-%m-%dT%H:%M:%S}"
        await seen.page.run(f"document.querySelector('#as-of').value = {past!r}")
        await seen.click("#sql .primary")
        await seen.until("document.querySelector('#sql td.number')?.textContent == '0'")
        assert "as_of=" in await seen.search()

        await seen.write("DROP TABLE raw_events")
        await seen.until("document.querySelector('#sql .refused')")
        seen.page.complaints.clear()  # the browser's own line on the refusal


async def test_an_event_shows_within_a_second_and_a_person_has_a_timeline(
    keyed: Keyed, tmp_path: Path
) -> None:
    async with dashboard(keyed, tmp_path) as seen:
        await seen.open("/")
        await seen.sign_in(await keyed.key("read"))
        await seen.until("document.querySelector('.status')?.textContent == 'live'")
        event = {"event": "Launched", "userId": "ada", "properties": {"page": "<b>moon</b>"}}
        await keyed.ask("POST", "/track", await keyed.key("write"), json=event)
        took_s = await seen.until("document.querySelector('.log b')?.textContent == 'Launched'")
        assert took_s < 1
        assert await seen.text(".log .said") == "<b>moon</b>"
        await seen.until("document.querySelector('.tile.now .tile-value').textContent == '1'")

        await seen.click(".log .link")
        await seen.until("document.querySelector('dialog.drawer[open] .timeline li')")
        assert "Launched" in await seen.text(".drawer")
        assert "user=ada" in await seen.search()
        await seen.page.run("history.back()")
        await seen.until("!document.querySelector('dialog[open]')")


async def test_a_panels_file_has_its_rows_and_runs_no_formula(keyed: Keyed, tmp_path: Path) -> None:
    async with dashboard(keyed, tmp_path, filled=False) as seen:
        for name in ("Launched", "Launched", '=HYPERLINK("x","y")'):
            await keyed.ask("POST", "/track", await keyed.key("write"), json={"event": name})
        await seen.page.call(
            "Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path)
        )
        await seen.open("/?metric=events")
        await seen.sign_in(await keyed.key("read"))
        await seen.until(READY)
        await seen.click("#events .panel-end button")
        saved = tmp_path / "raydo-events.csv"
        async with asyncio.timeout(WAIT_S):
            while not saved.exists() or not saved.stat().st_size:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert saved.read_bytes().decode() == (
            'event,events\r\nLaunched,2\r\n"\'=HYPERLINK(""x"",""y"")",1\r\n'
        )


async def test_a_tenant_without_events_is_told_how_the_first_one_comes(
    keyed: Keyed, tmp_path: Path
) -> None:
    async with dashboard(keyed, tmp_path, filled=False) as seen:
        await seen.open("/")
        await seen.sign_in(await keyed.key("read"))
        await seen.until("document.querySelector('.welcome')")
        assert f"curl -X POST {seen.url}/track" in await seen.text(".welcome")
        await asyncio.sleep(0.3)  # for the subscription
        await keyed.ask("POST", "/track", await keyed.key("write"), json={"event": "First"})
        await seen.until(f"document.querySelector('#events .row') && {READY}")


async def test_a_connection_that_breaks_comes_back_and_misses_nothing(
    keyed: Keyed, tmp_path: Path
) -> None:
    async with dashboard(keyed, tmp_path) as seen:
        await seen.open("/")
        await seen.sign_in(await keyed.key("read"))
        await seen.until("document.querySelector('.status')?.textContent == 'live'")
        await seen.page.run("window.was = document.querySelector('.status'); 0")
        for talk in list(keyed.app.socket.open):
            talk.session.abort(RuntimeError("as if the server went away"))
        await keyed.ask("POST", "/track", await keyed.key("write"), json={"event": "Meanwhile"})
        await seen.until("document.querySelector('.log b')?.textContent == 'Meanwhile'")
        await seen.until("window.was.textContent == 'live'")
        names = await seen.texts(".log b")
        assert names.count("Meanwhile") == 1
        seen.page.complaints.clear()


async def test_a_token_opens_the_embedded_page_and_leaves_the_address(
    keyed: Keyed, tmp_path: Path
) -> None:
    admin = await keyed.key("admin")
    made = (await keyed.ask("POST", "/admin/tokens", admin, json={})).json()
    async with dashboard(keyed, tmp_path) as seen:
        await seen.open(f"/embed?range=7d#token={made['token']}")
        await seen.until(READY)
        assert "token" not in await seen.page.run("location.href")
        assert await seen.page.run("Object.keys(sessionStorage).length") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_serious(keyed: Keyed, tmp_path: Path, theme: str) -> None:
    node()
    axe = (CLIENTS / "node_modules" / "axe-core" / "axe.min.js").read_text()
    async with dashboard(keyed, tmp_path) as seen:
        await seen.page.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}],
        )
        await seen.open("/?range=90d&sql=SELECT+date,+count(*)+AS+n+FROM+events+GROUP+BY+date")
        found = [await _axe(seen, axe)]
        await seen.sign_in(await keyed.key("read"))
        await seen.until(f"{READY} && document.querySelector('#sql tbody')")
        await seen.page.call("Page.setBypassCSP", enabled=True)
        found.append(await _axe(seen, axe))
    assert [each for one in found for each in one] == []


async def _axe(seen: Dashboard, axe: str) -> list[str]:
    await seen.page.run(f"{axe}; 0")
    report = await seen.page.run("axe.run().then((found) => JSON.stringify(found.violations))")
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in json.loads(report)
        if each["impact"] in {"serious", "critical"}
    ]
