from __future__ import annotations

from datetime import date, timedelta

import httpx
import pytest

QUICK_START = b'{"sql":"SELECT date, dau FROM daily_metrics ORDER BY date DESC LIMIT 7"}'
AS_CURL_D = {"content-type": "application/x-www-form-urlencoded"}


async def test_stats_tell_who_is_here_and_what_happens(gateway: httpx.AsyncClient) -> None:
    for user in ("u1", "u2", "u2"):
        await gateway.post("/track", json={"event": "PageView", "userId": user})
    await gateway.post("/track", json={"event": "SignUp", "userId": "u1"})

    stats = (await gateway.get("/stats")).json()
    assert stats["active"] == {"1m": 2, "5m": 2, "30m": 2}
    assert stats["events"] == {"PageView": 3, "SignUp": 1}
    assert stats["counters"]["pageviews_1m"] == 3
    assert stats["counters"]["active_users_1m"] == 2


async def test_days_come_newest_first_with_the_empty_ones(gateway: httpx.AsyncClient) -> None:
    await gateway.post("/track", json={"event": "a", "userId": "u"})

    days = (await gateway.get("/dau?days=3")).json()
    newest = date.fromisoformat(days[0]["date"])
    assert [day["date"] for day in days] == [str(newest - timedelta(days=n)) for n in range(3)]
    assert [day["dau"] for day in days] == [1, 0, 0]
    assert [day["events"] for day in days] == [1, 0, 0]
    assert [day["partial"] for day in days] == [True, False, False]
    assert len((await gateway.get("/dau")).json()) == 7


async def test_days_may_end_in_the_past_and_follow_another_zone(gateway: httpx.AsyncClient) -> None:
    await gateway.post(
        "/track", json={"event": "a", "userId": "u", "timestamp": "2025-03-09T23:30:00Z"}
    )
    for zone, expected in (("UTC", "2025-03-09"), ("Asia/Kolkata", "2025-03-10")):
        days = (await gateway.get(f"/dau?days=2&to=2025-03-10&tz={zone}")).json()
        assert {day["date"]: day["dau"] for day in days if day["dau"]} == {expected: 1}


async def test_who_comes_again_counts_for_the_week_of_the_first_visit_ever(
    gateway: httpx.AsyncClient,
) -> None:
    for user, days in (("a", (3, 11)), ("b", (12,)), ("old", (3, 12))):
        for day in days:
            event = {"event": "Visit", "userId": user, "timestamp": f"2025-03-{day:02}T12:00:00Z"}
            await gateway.post("/track", json=event)
    await gateway.post(
        "/track", json={"event": "Visit", "userId": "old", "timestamp": "2024-01-01T12:00:00Z"}
    )

    reply = await gateway.get("/retention?from=2025-03-03&to=2025-03-16&tz=UTC")

    assert reply.json() == [
        {"cohort": "2025-03-03", "size": 1, "retained": [1, 1]},
        {"cohort": "2025-03-10", "size": 1, "retained": [1]},
    ]


@pytest.mark.parametrize(
    "query", ["period=year", "from=x", "to=x", "tz=Mars", "from=1999-01-01&period=day"]
)
async def test_a_retention_that_cannot_be_is_refused(
    gateway: httpx.AsyncClient, query: str
) -> None:
    response = await gateway.get(f"/retention?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize(
    "query", ["days=x", "days=0", "days=99999", "tz=Mars", "to=tomorrow", "days=1&days=2"]
)
async def test_a_day_that_cannot_be_is_refused(gateway: httpx.AsyncClient, query: str) -> None:
    response = await gateway.get(f"/dau?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_argument")


async def test_the_quick_starts_query_answers_as_curl_sends_it(gateway: httpx.AsyncClient) -> None:
    await gateway.post("/track", json={"event": "a", "userId": "u"})

    response = await gateway.post("/query", content=QUICK_START, headers=AS_CURL_D)
    assert response.status_code == 200
    reply = response.json()
    assert [column["name"] for column in reply["columns"]] == ["date", "dau"]
    assert [row["dau"] for row in reply["rows"]] == [1]
    assert reply["truncated"] is False
    assert reply["layer"] == "L2"
    assert reply["elapsed_ms"] > 0


async def test_a_query_takes_parameters_and_a_limit(gateway: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await gateway.post("/track", json={"event": name})

    async def rows(**question: object) -> dict[str, object]:
        response = await gateway.post("/query", json=question)
        assert response.status_code == 200, response.text
        reply: dict[str, object] = response.json()
        return reply

    sql = "SELECT event FROM events WHERE event <> ? ORDER BY event"
    assert (await rows(sql=sql, params=["b"]))["rows"] == [{"event": "a"}, {"event": "c"}]
    named = "SELECT event FROM events WHERE event = :name"
    assert (await rows(sql=named, params={"name": "c"}))["rows"] == [{"event": "c"}]
    cut = await rows(sql="SELECT event FROM events ORDER BY event", limit=2)
    assert cut["rows"] == [{"event": "a"}, {"event": "b"}]
    assert cut["truncated"] is True


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"sql":"SELEC 1"}', 400, "query_error"),
        (b'{"sql":"DELETE FROM raw_events"}', 403, "query_forbidden"),
        (b'{"sql":"SELECT 1; SELECT 2"}', None, None),
        (b'{"sql":7}', 400, "invalid_argument"),
        (b'{"sequel":"SELECT 1"}', 400, "invalid_argument"),
        (b"SELECT 1", 400, "invalid_argument"),
        (b"", 400, "invalid_argument"),
    ],
)
async def test_a_query_can_only_read(
    gateway: httpx.AsyncClient, body: bytes, status: int | None, code: str | None
) -> None:
    await gateway.post("/track", json={"event": "a"})
    response = await gateway.post("/query", content=body)
    assert 400 <= response.status_code < 500
    if status is not None:
        assert (response.status_code, response.json()["code"]) == (status, code)
    kept = await gateway.post("/query", json={"sql": "SELECT count(*) AS n FROM raw_events"})
    assert kept.json()["rows"] == [{"n": 1}]


async def test_asking_about_nobody_makes_nobody(gateway: httpx.AsyncClient) -> None:
    for path in ("/stats?tenant=ghost", "/dau?tenant=ghost"):
        assert (await gateway.get(path)).status_code == 200
    response = await gateway.post("/query?tenant=ghost", content=QUICK_START)
    assert response.json()["rows"] == []
    assert (await gateway.get("/admin/tenants")).json() == {"tenants": []}
