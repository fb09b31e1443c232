"""How one tests a durable object of one's own: `world` comes with raydo's pytest plugin."""

from examples.limiter import RateLimiter
from raydo.testing import World


def test_only_as_many_as_allowed_pass_within_the_window(world: World) -> None:
    limiter = world.stub(RateLimiter, "acme")

    verdicts = [world.wait(limiter.allow("search", limit=3)) for _ in range(4)]

    assert verdicts == [
        {"allowed": True, "left": 2},
        {"allowed": True, "left": 1},
        {"allowed": True, "left": 0},
        {"allowed": False, "left": 0},
    ]


def test_places_come_back_when_the_window_has_moved_on(world: World) -> None:
    limiter = world.stub(RateLimiter, "acme")
    world.wait(limiter.allow("search", limit=1))

    world.advance(seconds=61)

    assert world.wait(limiter.allow("search", limit=1)["allowed"])


def test_a_limit_that_was_set_and_what_was_used_survive_a_crash(world: World) -> None:
    limiter = world.stub(RateLimiter, "acme")
    world.wait(limiter.set_limit("search", 2))
    world.wait(limiter.allow("search"))

    world.crash()

    assert world.wait(limiter.allow("search")["left"]) == 0
    assert world.wait(limiter.allow("search")["allowed"]) is False
    assert world.wait(limiter.refused("search")) == 1


def test_customers_do_not_share_their_limits(world: World) -> None:
    world.wait(world.stub(RateLimiter, "acme").allow("search", limit=1))

    assert world.wait(world.stub(RateLimiter, "globex").allow("search", limit=1)["allowed"])
