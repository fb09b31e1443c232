"""The words in which OpenAPI's documents of our routes are written."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]


def object_of(required: str = "", /, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required.split()
    return schema


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
ANY: Final[Schema] = {}
FLAG: Final[Schema] = {"type": "boolean"}
COUNTS: Final[Schema] = {"type": "object", "additionalProperties": WHOLE}
MOMENT: Final[Schema] = {
    "oneOf": [{"type": "string", "format": "date-time"}, WHOLE],
    "description": "ISO 8601 with an offset, or epoch milliseconds",
}

_TENANT: Final = [
    {
        "name": "X-Tenant",
        "in": "header",
        "schema": {**TEXT, "default": "default"},
        "description": "whose data; UTF-8",
    },
    {
        "name": "tenant",
        "in": "query",
        "schema": TEXT,
        "description": "the same, percent-encoded",
    },
]


def query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def json_of(schema: Schema, example: Any = None) -> Schema:
    media: Schema = {"schema": schema}
    if example is not None:
        media["example"] = example
    return {"application/json": media}


def operation(
    summary: str,
    answer: Schema,
    *,
    tag: str,
    body: Schema | None = None,
    parameters: list[Schema] | None = None,
) -> Schema:
    described: Schema = {
        "summary": summary,
        "tags": [tag],
        "parameters": _TENANT + (parameters or []),
        "responses": {
            "200": {"description": "Done", "content": json_of(answer)},
            "4XX": {"description": "Refused as it stands", "content": json_of(ref("Failure"))},
            "503": {"description": "Not now: see Retry-After", "content": json_of(ref("Failure"))},
        },
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": body}
    return described
