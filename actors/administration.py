"""The object that keeps a server's own keys: those of its administrators, who may do everything.

It is a durable object like any other, in a folder like a tenant's, so that such a key is made, kept
and revoked as a tenant's are.
"""

from __future__ import annotations

from typing import Final

from raydo.actors.keys import Keys
from raydo.actors.object import DurableObject
from raydo.pipelining.method import Exposed

SERVER: Final = "server"  # the id of the one object of this class


class Administration(DurableObject):
    """Keep the keys of a server's administrators."""

    keys = Exposed(Keys)

    def on_start(self) -> None:
        self.keys = Keys(self._state)
