"""Metrics over HTTP and by names of JavaScript: what is asked, refused, and told beside the answer."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from raydo.actors.analytics import Analytics
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import BREAKDOWN_VALUES_MAX, FILTERS_MAX, FUNNEL_STEPS_MAX
from raydo.pipelining.method import methods_of


@pytest.fixture
def acme(live: Any) -> Any:
    return live(Analytics)


async def visit(gateway: httpx.AsyncClient, event: str, user: str, **more: Any) -> None:
    response = await gateway.post("/track", json={"event": event, "userId": user, **more})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("/stats", "L0"),
        ("/dau?bots=false", "L2"),
        ("/retention?week_start=sunday&bots=0", "L2"),
        ("/timeseries", "L2"),
        ("/timeseries?event=View&breakdown=page&metric=users&compare=previous&bots=false", "L2"),
        ("/active?window=month", "L2"),
        ("/top?by=page&limit=3", "L2"),
        ("/users/u1", "L2"),
        ("/events/m1", "L1"),
    ],
)
async def test_each_read_says_which_layer_answered_and_how_long_it_took(
    gateway: httpx.AsyncClient, path: str, layer: str
) -> None:
    await visit(gateway, "View", "u1", messageId="m1", properties={"page": "/"})

    response = await gateway.get(path)

    assert response.status_code == 200
    assert response.headers["x-raydo-layer"] == layer
    assert re.fullmatch(r"raydo;dur=\d+\.\d+", response.headers["server-timing"])
    if isinstance(response.json(), dict) and path != "/stats":
        assert response.json()["layer"] == layer


async def test_a_query_and_a_funnel_do_so_too(gateway: httpx.AsyncClient) -> None:
    for event in ("View", "Buy"):
        await visit(gateway, event, "u1")
    for path, body in (
        ("/query", {"sql": "SELECT 1 AS one"}),
        ("/funnel", {"steps": ["View", {"event": "Buy", "filters": []}], "window_s": 60}),
    ):
        response = await gateway.post(path, json=body)
        assert response.headers["x-raydo-layer"] == "L2"
        assert "server-timing" in response.headers
    assert [step["persons"] for step in response.json()["steps"]] == [1, 1]
    assert response.json()["conversion"] == 1.0


async def test_filters_may_be_repeated(gateway: httpx.AsyncClient) -> None:
    for plan, page in (("pro", "/a"), ("free", "/a"), ("free", "/b"), ("team", "/a")):
        await visit(gateway, "View", "u1", properties={"plan": plan, "page": page})

    path = "/timeseries?filter=plan:pro&filter=plan:free&filter=page!:/b"
    assert (await gateway.get(path)).json()["total"] == 2
    assert (await gateway.get("/timeseries?filter=nothing!:x")).json()["total"] == 4


async def test_an_unfinished_period_is_partial(gateway: httpx.AsyncClient) -> None:
    for interval in ("hour", "day", "week", "month"):
        points = (await gateway.get(f"/timeseries?interval={interval}")).json()["points"]
        partial = [point["partial"] for point in points]
        assert partial == sorted(partial)
        if interval != "hour":
            assert partial.count(True) == 1


@pytest.mark.parametrize("name", ["a/b", "ä ö", "..", "100%"])
async def test_ids_may_hold_anything(gateway: httpx.AsyncClient, name: str) -> None:
    await visit(gateway, "View", f"u{name}", messageId=f"m{name}")
    quoted = httpx.URL("http://x", params={"q": name}).query.decode()[2:].replace("+", "%20")
    assert len((await gateway.get(f"/users/u{quoted}")).json()["events"]) == 1
    assert (await gateway.get(f"/events/m{quoted}")).json()["found"] is True


@pytest.mark.parametrize(
    "path",
    [
        "/timeseries?interval=year",
        "/timeseries?metric=money",
        "/timeseries?compare=next",
        "/timeseries?from=2025-02-01&to=2025-01-01",
        "/timeseries?from=1970-01-01&interval=hour",
        "/timeseries?filter=plan",
        "/timeseries?filter=:x",
        '/timeseries?breakdown=a"b',
        "/timeseries?breakdown=",
        f"/timeseries?breakdown=a&values={BREAKDOWN_VALUES_MAX + 1}",
        "/timeseries?breakdown=a&values=100&from=2024-01-01&to=2024-12-31&interval=day",
        "/timeseries?week_start=friday",
        "/timeseries?tz=Mars",
        "/timeseries?bots=maybe",
        "/timeseries?" + "&".join(f"filter=a:{n}" for n in range(FILTERS_MAX + 1)),
        "/active?window=year",
        "/top?limit=0",
        "/top?by=" + "x" * 300,
        "/users/u?limit=x",
        "/retention?week_start=friday",
        "/dau?bots=2",
    ],
)
async def test_what_cannot_be_asked_is_refused(gateway: httpx.AsyncClient, path: str) -> None:
    response = await gateway.get(path)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize(
    "body",
    [
        {"steps": ["View"]},
        {"steps": ["View"] * (FUNNEL_STEPS_MAX + 1)},
        {"steps": ["View", ""]},
        {"steps": ["View", {"name": "Buy"}]},
        {"steps": ["View", {"event": "Buy", "filter": "x:y"}]},
        {"steps": ["View", "Buy"], "window_s": 0},
        {"steps": ["View", "Buy"], "window_s": 1e12},
        {"steps": ["View", "Buy"], "filters": ["x"]},
        {"steps": ["View", "Buy"], "until": "2025-01-01"},
        {"steps": "View"},
        [],
    ],
)
async def test_a_funnel_that_cannot_be_is_refused(gateway: httpx.AsyncClient, body: Any) -> None:
    response = await gateway.post("/funnel", json=body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_argument")


async def test_asking_for_metrics_makes_no_tenant(gateway: httpx.AsyncClient) -> None:
    for path in ("timeseries", "active", "top", "users/u", "events/m", "timeseries?breakdown=a"):
        mark = "&" if "?" in path else "?"
        assert (await gateway.get(f"/{path}{mark}tenant=ghost")).status_code == 200
    assert (await gateway.get("/admin/tenants")).json() == {"tenants": []}


def test_javascript_has_names_of_its_own_and_options_in_one_object(acme: Any) -> None:
    for name in (
        "getTimeseries", "getActive", "getRetention", "getFunnel", "getTop", "getTimeline",
        "getEvent",
    ):  # fmt: skip
        assert methods_of(Analytics)[name].needs == "read"
    acme.call("track", "View", {"userId": "u", "plan": "pro"})
    options = {"event": "View", "interval": "week", "filters": ["plan:pro"], "from": "2025-01-01"}
    assert acme.call("getTimeseries", options)["total"] == 1
    assert acme.call("getTop", {"by": "plan"})["rows"] == [{"value": "pro", "count": 1}]
    assert acme.call("getRetention", {"period": "day"})[-1]["size"] == 1
    with pytest.raises(InvalidArgument):
        acme.call("getActive", {"windows": "day"})


@pytest.mark.parametrize(
    "name", ["a'b", "a;b", "$a", "a.b", "a b", "[0]", "é", "a%b", "properties.a", "#", "$"]
)
def test_any_property_can_be_asked_for(acme: Any, name: str) -> None:
    held = name.removeprefix("properties.")
    acme.call("track", "View", {"userId": "u", held: "' OR 1=1 --"})
    acme.call("track", "View", {"userId": "u", held: "x"})
    rows = acme.call("top", name)["rows"]
    assert rows == [{"value": "' OR 1=1 --", "count": 1}, {"value": "x", "count": 1}]
    assert acme.call("timeseries", filters=[f"{name}:' OR 1=1 --"])["total"] == 1


def test_pages_and_sources_are_the_first_that_an_event_has(acme: Any) -> None:
    acme.call("track", "View", {"path": "/p", "url": "https://x/p", "referrer": "r"})
    acme.call("track", "View", {"page": "/p", "utm_source": "ads", "referrer": "r"})
    assert acme.call("top", "page")["rows"] == [{"value": "/p", "count": 2}]
    assert acme.call("top", "source")["rows"] == [
        {"value": "ads", "count": 1},
        {"value": "r", "count": 1},
    ]


def test_an_answer_that_would_be_too_many_numbers_says_so(acme: Any) -> None:
    with pytest.raises((InvalidArgument, TooLarge), match="fewer"):
        acme.call("timeseries", None, "2024-01-01", "2024-12-31", breakdown="a", values=50)
