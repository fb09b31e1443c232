"""`raydo serve`: what the command line says, as settings of a server."""

from __future__ import annotations

from pathlib import Path

from raydo.actors.logs import Format
from raydo.actors.settings import Settings, lake_properties
from raydo.gateway import options, serve_options
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import IDLE_S, LAKE_AGE_S


def serve(
    *,
    host: serve_options.Host = "127.0.0.1",
    port: serve_options.Port = 8000,
    data: options.DataFolder = Path("data"),
    embedded: serve_options.Embedded = False,
    max_actors: serve_options.MaxActors = None,
    idle_seconds: serve_options.IdleSeconds = IDLE_S,
    objects: serve_options.Objects = None,
    ray_address: serve_options.RayAddress = None,
    cluster: serve_options.Cluster = None,
    lake: options.Lake = None,
    archive_age_seconds: serve_options.ArchiveAge = LAKE_AGE_S,
    domain: serve_options.Domain = None,
    keys: serve_options.Keys = False,
    log_format: serve_options.LogFormat = "text",
    prices: serve_options.PricesFile = None,
) -> None:
    """Run the gateway and its objects until Ctrl-C."""
    from raydo.actors.costs import read_prices
    from raydo.gateway.serve import Plan
    from raydo.gateway.serve import serve as run

    settings = Settings(
        data=data,
        max_actors=max_actors,
        idle_s=idle_seconds,
        objects=tuple(name for given in objects or () for name in given.split(",")),
        ray=ray_address,
        cluster=cluster,
        lake={} if lake is None else _properties(lake),
        archive_age_s=archive_age_seconds,
        log_format=_log_format(log_format),
    )
    run(
        Plan(
            settings,
            host=host,
            port=port,
            embedded=embedded,
            domain=domain,
            keyed=keys,
            prices=read_prices(prices),
        )
    )


def _log_format(text: str) -> Format:
    if text in {"text", "json"}:
        return "json" if text == "json" else "text"
    raise InvalidArgument(f"--log-format is text or json, not {text!r}.")


def _properties(text: str) -> dict[str, str]:
    try:
        return lake_properties(text)
    except (ValueError, OSError):
        raise InvalidArgument(
            "--lake takes a JSON object of texts, or a file that has one."
        ) from None
