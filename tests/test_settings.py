"""What an operator sets by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydo.actors.settings import Settings, settings_from
from raydo.pipelining.errors import InvalidArgument


def test_an_empty_environment_gives_the_defaults() -> None:
    assert settings_from({}) == Settings()
    assert settings_from({"RAYDO_DATA": "", "PATH": "/bin"}) == Settings()


def test_every_setting_has_a_variable() -> None:
    environ = {
        "RAYDO_DATA": "/srv/raydo",
        "RAYDO_MAX_ACTORS": "8",
        "RAYDO_IDLE_SECONDS": "1.5",
        "RAYDO_OBJECTS": "shop.carts, shop.limits,",
        "RAYDO_RAY": "auto",
        "RAYDO_LAKE": '{"uri": "http://catalog", "warehouse": "s3://events"}',
        "RAYDO_ARCHIVE_AGE_SECONDS": "86400",
    }

    assert settings_from(environ) == Settings(
        data=Path("/srv/raydo"),
        max_actors=8,
        idle_s=1.5,
        objects=("shop.carts", "shop.limits"),
        ray="auto",
        lake={"uri": "http://catalog", "warehouse": "s3://events"},
        archive_age_s=86_400,
    )


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("RAYDO_MAX_ACTORS", "many"),
        ("RAYDO_MAX_ACTORS", "0"),
        ("RAYDO_LAKE", "/no/such/file"),
        ("RAYDO_LAKE", '{"uri": 5}'),
        ("RAYDO_LAKE", "{"),
        ("RAYDO_ARCHIVE_AGE_SECONDS", "0"),
        ("RAYDO_IDLE_SECONDS", "soon"),
        ("RAYDO_IDLE_SECONDS", "-1"),
        ("RAYDO_IDLE_SECONDS", "nan"),
        ("RAYDO_IDLE_SECONDS", "inf"),
    ],
)
def test_a_value_that_cannot_be_read_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{variable}='{text}'"):
        settings_from({variable: text})
