"""Statements that mean the same in both engines, with their parameters."""

from __future__ import annotations

from typing import Any

SAME: list[tuple[str, Any]] = [
    ("SELECT * FROM events ORDER BY seq", None),
    ("SELECT count(*) FROM events", None),
    ("SELECT count(*), count(user_id), count(DISTINCT user_id) FROM events", None),
    ("SELECT event, count(*) AS n FROM events GROUP BY event ORDER BY n DESC, event", None),
    ("SELECT date, count(DISTINCT user_id) AS dau FROM events GROUP BY date ORDER BY date", None),
    ("SELECT min(timestamp), max(timestamp), sum(seq), avg(seq), total(seq) FROM events", None),
    (
        "SELECT seq, timestamp / 1000, timestamp % 7, -seq / 2, seq * 1.5, seq + 1 FROM events ORDER BY seq",
        None,
    ),
    ("SELECT seq / 0, seq % 0, 1.0 / 0 FROM events LIMIT 1", None),
    ("SELECT json_extract(properties, '$.n') FROM events ORDER BY seq", None),
    (
        "SELECT properties ->> '$.n', properties ->> 'plan', properties -> 'plan', properties -> '$.deep', properties ->> 'deep' FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT properties ->> '$.deep.list[0]', properties -> 'deep' -> 'list' ->> 0, properties -> 'deep' ->> '$.list[1]' FROM events ORDER BY seq",
        None,
    ),
    ("SELECT typeof(properties ->> 'n') FROM events", None),
    ("SELECT seq FROM events WHERE json_extract(properties, '$.plan') = 'pro' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.plan' = 'pro' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE 'pro' = properties ->> '$.plan' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.plan' <> 'pro' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE NOT properties ->> '$.plan' = 'pro' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.plan' IN ('pro', 'Pro') ORDER BY seq", None),
    (
        "SELECT seq FROM events WHERE properties ->> '$.plan' NOT IN ('pro', 'Pro') ORDER BY seq",
        None,
    ),
    ("SELECT seq FROM events WHERE properties ->> '$.n' > 30 ORDER BY seq", None),
    (
        "SELECT seq FROM events WHERE properties ->> '$.n' >= 30 AND properties ->> 'n' < 40.5 ORDER BY seq",
        None,
    ),
    ("SELECT seq FROM events WHERE properties ->> '$.n' BETWEEN 5 AND 10 ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.n' NOT BETWEEN 5 AND 10 ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.paid' = 1 ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.paid' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.none' IS NULL ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.plan' IS NOT NULL ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.plan' LIKE 'P%' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.plan' GLOB 'p*' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.n' = 'text' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> '$.n' = '5' ORDER BY seq", None),
    (
        "SELECT properties ->> '$.plan' AS plan, count(*) AS n FROM events GROUP BY plan ORDER BY n, plan",
        None,
    ),
    (
        "SELECT properties ->> '$.plan' AS plan, count(*) AS n FROM events GROUP BY 1 HAVING n > 1 ORDER BY plan DESC",
        None,
    ),
    ("SELECT count(DISTINCT properties ->> '$.plan') FROM events", None),
    ("SELECT sum(properties ->> '$.n') FROM events WHERE seq <= 60", None),
    (
        "SELECT sum(properties ->> '$.n'), total(properties ->> '$.n'), avg(properties ->> '$.n') FROM events WHERE seq <= 60",
        None,
    ),
    ("SELECT sum(properties ->> '$.half') FROM events", None),
    ("SELECT min(properties ->> '$.n'), max(properties ->> '$.n') FROM events", None),
    (
        "SELECT properties ->> '$.n' + 1, properties ->> 'n' * 2, - (properties ->> 'n') FROM events WHERE seq <= 60 ORDER BY seq",
        None,
    ),
    ("SELECT seq FROM events ORDER BY properties ->> '$.n', seq", None),
    ("SELECT seq FROM events ORDER BY properties ->> '$.n' DESC, seq LIMIT 10", None),
    ("SELECT seq FROM events ORDER BY properties ->> '$.plan', seq", None),
    (
        "SELECT coalesce(properties ->> '$.plan', 'none'), ifnull(properties ->> 'n', 0), nullif(properties ->> 'plan', 'pro') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT upper(properties ->> '$.plan'), length(properties ->> 'plan'), substr(properties ->> 'plan', 1, 2), properties ->> 'plan' || '!' FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT CAST(properties ->> '$.n' AS INTEGER), CAST(properties ->> 'n' AS TEXT), CAST(properties ->> 'half' AS INTEGER) FROM events WHERE seq <= 60 ORDER BY seq",
        None,
    ),
    ("SELECT CAST(properties ->> '$.half' AS REAL) FROM events ORDER BY seq", None),
    (
        "SELECT CASE WHEN properties ->> '$.n' > 10 THEN 'big' ELSE properties ->> 'n' END FROM events ORDER BY seq",
        None,
    ),
    ("SELECT iif(seq > 10, 'a', 'b') FROM events ORDER BY seq", None),
    ("SELECT max(seq, 10), min(seq, 10, 5), max(seq, NULL) FROM events ORDER BY seq", None),
    (
        "SELECT strftime('%Y-%m-%d', timestamp / 1000, 'unixepoch') AS d, count(*) FROM events GROUP BY d ORDER BY d",
        None,
    ),
    (
        "SELECT date(timestamp / 1000, 'unixepoch'), time(timestamp / 1000, 'unixepoch'), datetime(timestamp / 1000, 'unixepoch') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT strftime('%H:%M:%S %j %w %W %Y %m %d %%', timestamp / 1000, 'unixepoch') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT strftime('%s', timestamp / 1000, 'unixepoch'), unixepoch(timestamp / 1000, 'unixepoch'), julianday(timestamp / 1000, 'unixepoch') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT date(timestamp / 1000, 'unixepoch', 'start of month'), date(timestamp / 1000, 'unixepoch', 'weekday 0', '-6 days'), datetime(timestamp / 1000, 'unixepoch', '+90 minutes') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT date(timestamp / 1000, 'unixepoch', 'start of month', '+1 month', '-1 day'), strftime('%Y', timestamp / 1000, 'unixepoch', 'start of year', '-1 year') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT date(date, '+1 day'), strftime('%w', date), date(date, 'weekday 1') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT local_date(timestamp), local_hour(timestamp), local_date(received_at) FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT event LIKE 'page%', event LIKE '%!_x' ESCAPE '!', event NOT LIKE 'odd%', event GLOB 'P*' FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT event || '-' || seq, lower(event), upper(event), length(event), replace(event, 'a', 'b'), trim('  x '), instr(event, 'e'), hex(event), unicode(event) FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT substr(event, 2), substr(event, -3), substr(event, 2, 3), substr(event, -3, 2), substr(event, 0, 2) FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT round(seq / 3.0, 2), round(2.5), abs(-seq), sign(seq), ceil(1.2), floor(-1.2), mod(seq, 3), pow(2, 3), sqrt(9) FROM events ORDER BY seq",
        None,
    ),
    ("SELECT group_concat(event) FROM (SELECT event FROM events ORDER BY seq LIMIT 3)", None),
    ("SELECT group_concat(seq, ';') FROM (SELECT seq FROM events ORDER BY seq LIMIT 3)", None),
    (
        "SELECT rank() OVER (ORDER BY event), row_number() OVER (PARTITION BY event ORDER BY seq), lag(seq) OVER (ORDER BY seq), sum(seq) OVER (ORDER BY seq) FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT lag(properties ->> 'n', 1, 0) OVER (ORDER BY seq), first_value(properties ->> 'plan') OVER (ORDER BY seq) FROM events ORDER BY seq",
        None,
    ),
    (
        "WITH d AS (SELECT date, count(*) AS n FROM events GROUP BY date) SELECT sum(n), avg(n), max(n) FROM d",
        None,
    ),
    (
        "WITH d AS (SELECT user_id, properties ->> 'n' AS v FROM events WHERE seq <= 60) SELECT user_id, sum(v), max(v) FROM d GROUP BY user_id ORDER BY user_id",
        None,
    ),
    (
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i, (SELECT count(*) FROM events WHERE seq <= i) AS c FROM n ORDER BY i",
        None,
    ),
    (
        "SELECT a.user_id, count(*) FROM events a JOIN events b ON a.user_id = b.user_id AND b.seq = a.seq + 3 GROUP BY a.user_id ORDER BY a.user_id",
        None,
    ),
    ("SELECT user_id FROM events UNION SELECT event FROM events ORDER BY 1", None),
    ("SELECT user_id FROM events EXCEPT SELECT 'u1' ORDER BY 1", None),
    (
        "SELECT seq IN (SELECT seq FROM events WHERE event = 'Odd'), EXISTS (SELECT 1 FROM events) FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT event = 'Odd', seq > 5 AND seq < 9, NOT seq = 3, user_id IS NULL, event = 'Odd' OR user_id = 'u1' FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT sum(event = 'PageView'), avg(event = 'PageView'), count(*) FILTER (WHERE event LIKE 'odd%'), sum(event LIKE 'odd%') FROM events",
        None,
    ),
    ("SELECT DISTINCT user_id FROM events ORDER BY user_id", None),
    ("SELECT DISTINCT user_id FROM events ORDER BY user_id DESC", None),
    ("SELECT user_id FROM events ORDER BY user_id NULLS LAST, seq LIMIT 3", None),
    (
        "SELECT 1 AS a, 2 AS a, 1.5 AS b, 'x' AS c, NULL AS d, x'00ff' AS e, 0x10 AS f, 1e3 AS g, -5 AS h FROM events LIMIT 1",
        None,
    ),
    (
        "SELECT CAST('12abc' AS INTEGER), CAST('3.7' AS INTEGER), CAST(3.7 AS INTEGER), CAST(-3.7 AS INTEGER), CAST('x' AS REAL), CAST(5 AS TEXT), CAST(5 AS REAL) FROM events LIMIT 1",
        None,
    ),
    (
        "SELECT json_object('a', seq, 'b', event), json_array(seq, event, NULL), json_array_length('[1,2]'), json_valid('x'), json_valid('{}'), json_quote('a') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT json_type(properties, '$.n'), json_type(properties, '$.plan'), json_type(properties, '$.paid'), json_type(properties, '$.deep'), json_type(properties, '$.none'), json_type(properties, '$.x'), json_type(properties) FROM events ORDER BY seq",
        None,
    ),
    ("SELECT json_group_array(seq) FROM (SELECT seq FROM events ORDER BY seq LIMIT 3)", None),
    (
        "SELECT json_array(properties ->> 'n', properties ->> 'plan') FROM events WHERE seq < 10 ORDER BY seq",
        None,
    ),
    ("SELECT printf('%d-%s-%.2f', seq, event, seq / 4.0) FROM events ORDER BY seq", None),
    ("SELECT seq FROM events WHERE date = '2026-01-01' ORDER BY seq", None),
    (
        "SELECT seq FROM events WHERE date BETWEEN '2025-12-31' AND '2026-01-01' AND event = 'Odd' ORDER BY seq",
        None,
    ),
    (
        "SELECT seq FROM events WHERE timestamp >= 1767225600000 AND timestamp < 1767225600000 + 10 * 3600000 ORDER BY seq",
        None,
    ),
    (
        "SELECT seq FROM events WHERE timestamp >= strftime('%s', '2026-01-01') * 1000 AND date < '2026-01-02' ORDER BY seq",
        None,
    ),
    (
        "SELECT seq FROM events WHERE timestamp < ? AND event = ? ORDER BY seq",
        [1767300000000, "PageView"],
    ),
    (
        "SELECT seq, :x AS x, $y AS y, @z AS z FROM events WHERE event = :e ORDER BY seq",
        {"x": 1, "y": None, "z": 1.5, "e": "Odd"},
    ),
    ("SELECT ?1, ?2, ?1 FROM events LIMIT 1", ["a", 2]),
    ("SELECT seq FROM events WHERE properties ->> ? = ? ORDER BY seq", ["plan", "pro"]),
    ("SELECT seq FROM events WHERE user_id IN (?, ?) ORDER BY seq LIMIT ?", ["u1", "u9", 4]),
    ("SELECT events.seq FROM events WHERE events.user_id = 'u1' ORDER BY events.seq", None),
    ("SELECT `seq` FROM events ORDER BY `seq` LIMIT 1", None),
    (
        "SELECT e.date, d.dau FROM events e JOIN daily_metrics d ON d.date = e.date ORDER BY e.seq",
        None,
    ),
    (
        "SELECT h.hour, h.count, (SELECT count(*) FROM events WHERE local_hour(timestamp) = h.hour AND event = h.event) FROM hourly_events h ORDER BY h.hour, h.event",
        None,
    ),
    ("SELECT count(*) FROM events, (SELECT 1 UNION ALL SELECT 2)", None),
    ("SELECT seq FROM events LIMIT 0", None),
    ("SELECT seq FROM events ORDER BY seq LIMIT 3 OFFSET 2", None),
    (
        "SELECT total(properties ->> 'x'), sum(properties ->> 'x'), avg(properties ->> 'x'), max(properties ->> 'x') FROM events",
        None,
    ),
    (
        "SELECT abs(properties ->> 'n'), round(properties ->> 'half', 1) FROM events WHERE seq <= 60 ORDER BY seq",
        None,
    ),
    ("SELECT user_id = 'U1' COLLATE NOCASE FROM events ORDER BY seq", None),
    ("SELECT count(*) FROM events WHERE user_id COLLATE NOCASE = 'U1'", None),
    (
        "SELECT a.properties ->> 'plan' AS p, count(*) FROM events a GROUP BY p HAVING count(*) > 2 ORDER BY 2",
        None,
    ),
    ("SELECT date('now') = date('now'), current_date = date('now') FROM events LIMIT 1", None),
    ("SELECT max(date), min(date) FROM events WHERE properties ->> 'plan' = 'pro'", None),
    ("SELECT seq + properties ->> 'n' FROM events WHERE seq <= 60 ORDER BY seq", None),
    ("SELECT seq & 1, seq | 8, seq << 1, seq >> 1, ~seq FROM events ORDER BY seq", None),
    ("SELECT user_id || NULL, NULL = NULL, NULL IS NULL FROM events LIMIT 1", None),
    ("SELECT count(*) FROM events WHERE user_id = NULL", None),
    ("SELECT json_extract(properties, '$.deep.list[#-1]') FROM events ORDER BY seq", None),
    ("SELECT random() > 0 OR 1 FROM events LIMIT 1", None),
    ("SELECT log(100), log(2, 8), ln(2), exp(1), pi() FROM events LIMIT 1", None),
    (
        "SELECT 1.0 * (properties ->> 'n') / 2, (properties ->> 'n') / 2.0 FROM events WHERE seq <= 60 ORDER BY seq",
        None,
    ),
    (
        "SELECT seq FROM events WHERE properties ->> 'paid' AND seq > 3 OR NOT properties ->> 'n' ORDER BY seq",
        None,
    ),
    (
        "SELECT count(*) FILTER (WHERE properties ->> 'paid'), sum(CASE WHEN properties ->> 'paid' THEN 1 ELSE 0 END) FROM events",
        None,
    ),
    (
        "SELECT seq FROM events WHERE properties ->> 'n' > 5 AND properties ->> 'n' <= 10 ORDER BY seq",
        None,
    ),
    (
        "SELECT seq FROM (SELECT seq, properties ->> 'n' AS v FROM events) WHERE v > 5 AND v <= 10 ORDER BY seq",
        None,
    ),
    (
        "SELECT typeof(properties ->> 'n'), typeof(seq), typeof(event), typeof(1.5), typeof(NULL), typeof(seq = 1), typeof(x'00') FROM events ORDER BY seq",
        None,
    ),
    (
        "SELECT 1767225600 * 1000, ? * 1000, 3000000000 + 1, 1 << 40 FROM events LIMIT 1",
        [1767225600],
    ),
    (
        "SELECT CAST(properties ->> 'n' AS REAL) / 2, CAST(properties ->> 'n' AS INTEGER) / 2 FROM events WHERE seq <= 60 ORDER BY seq",
        None,
    ),
    (
        "SELECT seq FROM events WHERE properties ->> 'n' > 'a' OR properties ->> 'plan' < 'pro' ORDER BY seq",
        None,
    ),
    ("SELECT seq FROM events WHERE properties ->> 'n' < 'a' ORDER BY seq", None),
    (
        "SELECT seq FROM events WHERE 30 < properties ->> 'n' AND 40 >= properties ->> 'n' ORDER BY seq",
        None,
    ),
    (
        "SELECT seq FROM events WHERE properties ->> 'n' <> 5 AND properties ->> 'n' < 9 ORDER BY seq",
        None,
    ),
    ("SELECT seq FROM events WHERE properties ->> 'plan' > ? ORDER BY seq", ["free"]),
    ("SELECT seq FROM events WHERE properties ->> 'n' IN (1, 'text', 3.5) ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> 'n' IN ('1', 'text') ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> 'n' = properties ->> 'half' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> 'n' > properties ->> 'half' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE properties ->> 'n' > seq ORDER BY seq", None),
    ("SELECT seq FROM events WHERE seq = properties ->> 'n' ORDER BY seq", None),
    (
        "SELECT seq FROM events WHERE properties ->> 'n' IN (SELECT seq FROM events) ORDER BY seq",
        None,
    ),
    (
        "SELECT CASE properties ->> 'plan' WHEN 'pro' THEN 1 WHEN 'free' THEN 2 END FROM events ORDER BY seq",
        None,
    ),
    ("SELECT seq FROM events WHERE event LIKE 'zo%' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE event LIKE 'ZOË' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE event LIKE 'ZOë' ORDER BY seq", None),
    ("SELECT seq FROM events WHERE event LIKE user_id OR 'Signup' LIKE event ORDER BY seq", None),
    ("SELECT seq FROM events WHERE event LIKE 'ZO!ë' ESCAPE '!' ORDER BY seq", None),
]
