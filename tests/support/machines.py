"""Several machines of one Ray cluster, played by several raylets of this one.

`python -m support.machines` is Ray itself: it prints its address, takes `down` and `up` for the second
machine, and ends with its input. With `ADDRESS IP DATA` it is a gateway of the machine at that IP.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from raydo.actors.settings import Settings

CLUSTER = "shop"
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # else Ray takes 127.0.0.1 for the network's
IPS = ("127.0.0.1", "127.0.0.2")


def cluster() -> None:
    from ray.cluster_utils import Cluster

    machines = Cluster(
        initialize_head=True,
        head_node_args={"node_ip_address": IPS[0], "include_dashboard": False, "num_cpus": 1},
    )
    second = machines.add_node(node_ip_address=IPS[1])
    say(machines.address)
    for line in sys.stdin:
        if line.strip() == "down":
            machines.remove_node(second, allow_graceful=False)
        else:
            second = machines.add_node(node_ip_address=IPS[1])
        say(line.strip())
    machines.shutdown()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def gateway(address: str, ip: str, data: Path) -> None:
    import ray

    from raydo.actors.place import NAMESPACE
    from raydo.gateway.serve import Plan, serve

    # On a machine of its own Ray finds the right raylet without being told.
    ray.init(address=address, _node_ip_address=ip, namespace=NAMESPACE, logging_level="ERROR")
    serve(Plan(Settings(data=data, ray=address, cluster=CLUSTER, max_actors=2), port=0))


if __name__ == "__main__":
    os.environ.update(LOOPBACK)
    match sys.argv[1:]:
        case []:
            cluster()
        case [address, ip, data]:
            gateway(address, ip, Path(data))
