"""Vendors' Python clients, used as their documentation says. Runs in an environment of its own.

    python vendors.py CLIENT ADDRESS KEY

For each line on its standard input, a round's name, it sends that round's events, flushes, and
prints what went wrong, or `sent`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

ERRORS: list[str] = []
Send = Callable[[str], None]


def noted(error: Exception, _batch: object = None) -> None:
    ERRORS.append(repr(error))


def segment(address: str, key: str, *, gzip: bool) -> Send:
    from segment.analytics.client import Client

    client = Client(key, host=address, gzip=gzip, on_error=noted)

    def send(this: str) -> None:
        for number in range(20):
            client.track("alice", "Signup", {"n": f"{this}-{number}"})
        client.identify("alice", {"n": f"{this}-identify"}, anonymous_id="anon")
        client.page("alice", name="Docs", properties={"n": f"{this}-page"})
        client.screen("alice", name="Home", properties={"n": f"{this}-screen"})
        client.group("alice", "g1", {"n": f"{this}-group"})
        client.alias(f"{this}-old", "alice")
        client.flush()

    return send


def rudder(address: str, key: str) -> Send:
    from rudderstack.analytics.client import Client

    client = Client(key, host=address, on_error=noted)

    def send(this: str) -> None:
        for number in range(20):
            client.track("alice", "Signup", {"n": f"{this}-{number}"})
        client.identify("alice", {"n": f"{this}-identify"}, anonymous_id="anon")
        client.page("alice", name="Docs", properties={"n": f"{this}-page"})
        client.group("alice", "g1", {"n": f"{this}-group"})
        client.alias(f"{this}-old", "alice")
        client.flush()

    return send


def posthog(address: str, key: str, **settings: object) -> Send:
    from posthog import Posthog

    client = Posthog(key, host=address, on_error=noted, **settings)

    def send(this: str) -> None:
        for number in range(20):
            client.capture("Signup", distinct_id="alice", properties={"n": f"{this}-{number}"})
        client.set(distinct_id="alice", properties={"n": f"{this}-identify"})
        client.capture("$pageview", distinct_id="alice", properties={"n": f"{this}-page"})
        client.group_identify("company", "g1", {"n": f"{this}-group"}, distinct_id="alice")
        client.alias(previous_id=f"{this}-old", distinct_id="alice")
        client.evaluate_flags("alice")
        client.flush()

    return send


def mixpanel(address: str, key: str) -> Send:
    from mixpanel import BufferedConsumer, Consumer, Mixpanel

    urls = {
        f"{name}_url": f"{address}/mixpanel/{path}"
        for name, path in (
            ("events", "track"), ("people", "engage"), ("groups", "groups"), ("import", "import"),
        )
    }  # fmt: skip
    buffered = BufferedConsumer(**urls)
    later, now = Mixpanel(key, buffered), Mixpanel(key, Consumer(**urls))

    def send(this: str) -> None:
        for number in range(19):
            later.track("alice", "Signup", {"n": f"{this}-{number}"})
        now.import_data(key, "alice", "Signup", 1_600_000_000, {"n": f"{this}-19"})
        now.people_set("alice", {"n": f"{this}-identify"})
        now.group_set("company", "g1", {"n": f"{this}-group"})
        buffered.flush()

    return send


CLIENTS: dict[str, Callable[[str, str], Send]] = {
    "segment": lambda address, key: segment(address, key, gzip=False),
    "segment-gzip": lambda address, key: segment(address, key, gzip=True),
    "rudder": rudder,
    "posthog": posthog,
    "posthog-v1": lambda address, key: posthog(address, key, capture_mode="v1", gzip=True),
    "mixpanel": mixpanel,
}


def main() -> None:
    name, address, key = sys.argv[1:]
    send = CLIENTS[name](address, key)
    for line in sys.stdin:
        try:
            send(line.strip())
        except Exception as error:  # noqa: BLE001
            noted(error)
        print("; ".join(ERRORS) or "sent", flush=True)  # noqa: T201
        ERRORS.clear()


main()
