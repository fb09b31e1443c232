"""The plain page at `/`: what runs here and how to talk to it. It loads nothing from elsewhere."""

from __future__ import annotations

from typing import Final

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>raydo</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
pre { background: #8882; padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto; }
code { font: .9em ui-monospace, monospace; }
td { padding: .15rem 1.5rem .15rem 0; vertical-align: top; }
</style>
</head>
<body>
<h1>raydo</h1>
<p>An analytics backend of its own for every tenant. This server is running.</p>

<h2>Look around</h2>
<table>
<tr><td><a href="/docs">/docs</a></td><td>every endpoint, to try out</td></tr>
<tr><td><a href="/admin/tenants">/admin/tenants</a></td><td>the tenants with data here</td></tr>
<tr><td><a href="/stats">/stats</a></td><td>active users and event counts</td></tr>
<tr><td><a href="/dau">/dau</a></td><td>daily active users, newest day first</td></tr>
<tr><td><a href="/readyz">/readyz</a></td><td>whether it takes requests</td></tr>
</table>
<p>These show the tenant <code>default</code>; add <code>?tenant=acme</code> for another.</p>

<h2>Send an event</h2>
<pre><code>curl -X POST $URL/track \\
  -d '{"event":"PageView","properties":{"userId":"123","page":"/pricing"}}'</code></pre>

<h2>Send many, for one tenant</h2>
<pre><code>curl -X POST $URL/track/batch -H 'X-Tenant: acme' \\
  -d '[{"event":"SignUp","userId":"alice"},{"event":"PageView","userId":"bob"}]'</code></pre>

<h2>Ask</h2>
<pre><code>curl $URL/stats
curl '$URL/dau?days=7&amp;tenant=acme'
curl -X POST $URL/query \\
  -d '{"sql":"SELECT date, dau FROM daily_metrics ORDER BY date DESC LIMIT 7"}'</code></pre>

<h2>From Python</h2>
<pre><code>import raydo

async with raydo.connect("$URL") as connection:
    acme = connection.Analytics("acme")
    acme.track("PageView", {"userId": "alice", "page": "/pricing"})
    print(await acme.get_dau(7)[0]["dau"])</code></pre>
</body>
</html>
"""


def page(url: str) -> str:
    """Write the page with this server's own address, HTML-escaped already, in its examples."""
    return _PAGE.replace("$URL", url)
