from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from raydo.gateway.source import UNKNOWN_TENANT, Line, Source
from raydo.pipelining.errors import InvalidArgument

CSV = """\
tenant,event,user_id,timestamp,received_at,message_id,kind,n_parents,zip
acme/eu,commit,u1,2026-01-02T03:04:05+05:30,2026-01-02T03:04:06+05:30,m1,add,1,07030
other,"merge, big",u2,2026-01-02T03:04:05Z,,m2,,2.5,94105
"""


def _read(tmp_path: Path, content: str | bytes, **options: Any) -> list[Line]:
    path = tmp_path / "events"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with Source(path, **options) as source:
        return list(source.lines())


def _events(lines: list[Line]) -> list[dict[str, Any]]:
    return [json.loads(line.raw) for line in lines]


def test_csv_columns_become_fields_and_the_rest_properties(tmp_path: Path) -> None:
    lines = _read(tmp_path, CSV, tenant_column="tenant")

    assert [(line.number, line.tenant) for line in lines] == [(2, "acme/eu"), (3, "other")]
    assert _events(lines) == [
        {
            "event": "commit",
            "userId": "u1",
            "timestamp": "2026-01-02T03:04:05+05:30",
            "receivedAt": "2026-01-02T03:04:06+05:30",
            "messageId": "m1",
            "properties": {"kind": "add", "n_parents": 1, "zip": "07030"},
        },
        {
            "event": "merge, big",
            "userId": "u2",
            "timestamp": "2026-01-02T03:04:05Z",
            "messageId": "m2",
            "properties": {"n_parents": 2.5, "zip": "94105"},
        },
    ]


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["no-bom", "bom"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_what_a_file_is_follows_from_its_bytes(
    tmp_path: Path, compress: Any, bom: bytes, end: bytes
) -> None:
    csv = compress(bom + CSV.encode().replace(b"\n", end))
    lines = compress(bom + b'{"event":"a"}' + end + end + b'{"event":"b"}')

    assert len(_read(tmp_path, csv, tenant="t")) == 2
    assert _read(tmp_path, lines, tenant="t") == [
        Line(1, "t", b'{"event":"a"}'),
        Line(3, "t", b'{"event":"b"}'),
    ]


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    lines = _read(
        tmp_path,
        "Action,Who,When\nclick,u1,1767225600000\n",
        tenant="t",
        mapping={"event": "Action", "user_id": "Who", "timestamp": "When"},
    )
    assert _events(lines) == [
        {"event": "click", "userId": "u1", "timestamp": 1767225600000, "properties": {}}
    ]


@pytest.mark.parametrize(
    ("mapping", "part"),
    [({}, "--map event="), ({"event": "nope"}, "'nope'"), ({"evnet": "action"}, "evnet")],
)
def test_a_column_that_is_not_there_is_named(
    tmp_path: Path, mapping: dict[str, str], part: str
) -> None:
    with pytest.raises(InvalidArgument, match=part):
        _read(tmp_path, "action\nclick\n", tenant="t", mapping=mapping)


def test_a_json_field_may_name_the_tenant(tmp_path: Path) -> None:
    lines = _read(
        tmp_path,
        '{"event":"a","org":"acme"}\n{"event":"b"}\n{"org":7}\n{broken\n',
        tenant_column="org",
    )
    assert lines[0] == Line(1, "acme", b'{"event":"a","org":"acme"}')
    assert [line.tenant for line in lines[1:]] == [UNKNOWN_TENANT] * 3
    assert all(line.error and "org" in line.error for line in lines[1:])


def test_a_row_of_another_width_is_reported_and_not_guessed(tmp_path: Path) -> None:
    lines = _read(tmp_path, "event,a\nx,1\nx,1,2\nx\n", tenant="t")
    assert [line.error is None for line in lines] == [True, False, False]
    assert [line.number for line in lines] == [2, 3, 4]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b'[{"event":"a"}]', "JSON array"),
        (b'event\n"unclosed\n', "not CSV"),
        (b"event,a\nx,\xff\n", "UTF-8"),
        (gzip.compress(CSV.encode())[:-12], "damaged gzip"),
        (b'{"event":"' + b"x" * 2_000_000 + b'"}', "Line 1"),
    ],
    ids=["empty", "array", "quote", "encoding", "cut", "long"],
)
def test_what_is_no_file_of_events_is_refused(tmp_path: Path, content: bytes, part: str) -> None:
    with pytest.raises(InvalidArgument, match=part):
        _read(tmp_path, content, tenant="t")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidArgument, match=r"gone\.csv"),
        Source(tmp_path / "gone.csv", tenant="t"),
    ):
        pass


@pytest.mark.parametrize("options", [{}, {"tenant": "t", "tenant_column": "c"}])
def test_a_file_belongs_to_one_tenant_or_names_them(
    tmp_path: Path, options: dict[str, str]
) -> None:
    with pytest.raises(InvalidArgument, match="--tenant"):
        Source(tmp_path / "events.csv", **options)  # type: ignore[arg-type]


def test_progress_is_measured_on_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    with Source(path, tenant="t") as source:
        assert source.size_bytes == path.stat().st_size
        assert len(list(source.lines())) == 2
        assert source.read_bytes == source.size_bytes
