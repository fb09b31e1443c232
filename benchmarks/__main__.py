"""Run the benchmarks: `python -m benchmarks [--quick] [http] [chain] [peers]`."""

from __future__ import annotations

import argparse

from benchmarks import chain, http, peers
from benchmarks.server import serving
from benchmarks.table import report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="which: http, chain, peers (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="one short run each: to see that it works"
    )
    chosen = parser.parse_args()
    runs, seconds = (1, 0.5) if chosen.quick else (5, 3.0)
    names = set(chosen.names or ["http", "chain", "peers"])
    if "http" in names:
        # On Ray each tenant is an actor, which takes a second or two of CPU to start.
        for mode, options, tenants in (("ray", [], 8), ("embedded", ["--embedded"], 100)):
            with serving(*options) as url:
                rows = http.measure(url, runs=runs, seconds=seconds, tenants=tenants)
                report(f"http-{mode}", rows)
    if "chain" in names:
        report("chain", chain.measure(runs=runs, seconds=seconds))
    if "peers" in names:
        report("peers", peers.measure(runs=runs, seconds=seconds))


if __name__ == "__main__":
    main()
