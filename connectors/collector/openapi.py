"""The OpenAPI document of the collector, from the models of its requests and answers. Pure; moves no data."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from connectors.collector import models

BODIES: Final[Mapping[str, tuple[type[BaseModel], str]]] = {
    "track": (models.Track, "Take something that a customer did"),
    "page": (models.Page, "Take a page view"),
    "screen": (models.Page, "Take the view of a screen of an app"),
    "identify": (models.Identify, "Take who somebody is"),
    "group": (models.Group, "Take to which group somebody belongs"),
    "alias": (models.Alias, "Take two ids that are one person"),
    "merge": (models.Merge, "Take two ids that are one person (RudderStack)"),
    "batch": (models.Batch, "Take many messages"),
}
"""By the type of message: the body that is wanted, and what happens."""
_FAILURES: Final = {
    "400": "Not JSON, of the wrong shape, or too large. The same will not be taken later either.",
    "401": "The write key is missing, unknown or revoked.",
    "408": "The body did not arrive in time.",
    "429": "The key sends too much: come again after the seconds of Retry-After (and X-RateLimit-Reset).",
    "503": "Kafka does not take events now: send the same again after Retry-After seconds.",
    "507": "The disk has no room for events now: send the same again after Retry-After seconds.",
}
_MODELS: Final[tuple[type[BaseModel], ...]] = (
    *dict.fromkeys(model for model, _ in BODIES.values()),
    models.Success,
    models.Failure,
    models.Health,
    models.Ready,
    models.Version,
)
_REF: Final = "#/components/schemas/{model}"
_PACKED: Final = {
    "name": "Content-Encoding",
    "in": "header",
    "description": "How the body is packed.",
    "schema": {"enum": ["gzip", "deflate", "identity"]},
}
Operation = dict[str, Any]


def document(
    endpoints: Mapping[str, str], pixels: Mapping[str, str], version: str, more_paths: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make the document.

    ``endpoints`` gives the type of message (or batch) by the path that takes it by POST, ``pixels`` by GET.
    """
    _, definitions = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_REF)
    paths: dict[str, Any] = {path: {"post": _posting(path, kind)} for path, kind in endpoints.items()}
    paths |= {path: {"get": _picturing(path, kind)} for path, kind in pixels.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crmstream collector",
            "version": version,
            "description": "The HTTP tracking API that Segment's and RudderStack's SDKs speak. A 200 means that Kafka "
            "holds every message of the request.",
        },
        "paths": paths | _others() | dict(more_paths or {}),
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "The write key as user, no password."},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The write key."},
            },
        },
    }


def _posting(path: str, kind: str) -> Operation:
    model, summary = BODIES[kind]
    schema = {"schema": {"$ref": _ref(model)}}
    operation: Operation = {
        "summary": summary,
        "operationId": _operation_id(path),
        "security": [{"basic": []}, {"bearer": []}, {}],
        "parameters": [_query("writeKey", "The write key, where neither a header nor the body has it."), _PACKED],
        "requestBody": {"required": True, "content": {"application/json": schema, "text/plain": schema}},
        "responses": {"200": _answer(models.Success, "Kafka holds all of it."), **_failures(*_FAILURES)},
    }
    return operation


def _picturing(path: str, kind: str) -> Operation:
    picture = {"description": "Kafka holds it.", "content": {"image/gif": {}}}
    return {
        "summary": f"{BODIES[kind][1]}, by the address of a picture",
        "operationId": _operation_id(path),
        "parameters": [
            _query("writeKey", "The write key, where `data` has none."),
            _query("data", "The message as base64 of JSON; or each of its fields as a parameter."),
        ],
        "responses": {"200": picture, **_failures("400", "401", "429", "503", "507")},
    }


def _others() -> dict[str, Any]:
    settings = {"description": "What the SDK needs.", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "/v1/projects/{writeKey}/settings": {
            "get": {
                "summary": "Give analytics.js its settings",
                "parameters": [{"name": "writeKey", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"200": settings, **_failures("401", "404")},
            }
        },
        "/sourceConfig": {
            "get": {
                "summary": "Give RudderStack's SDKs their configuration",
                "security": [{"basic": []}, {}],
                "parameters": [_query("writeKey", "The write key, where no header has it.")],
                "responses": {"200": settings, **_failures("401")},
            }
        },
        "/v1/m": {
            "post": {
                "summary": "Take the SDK's figures about itself, and forget them",
                "responses": {"200": _answer(models.Success, "Forgotten.")},
            }
        },
        "/health": _get("Tell whether the process answers", {"200": _answer(models.Health, "It does.")}),
        "/ready": _get(
            "Tell whether events can be taken",
            {
                "200": _answer(models.Ready, "They can."),
                "503": _answer(models.Ready, "They can't."),
                "507": _answer(models.Ready, "The disk is full."),
            },
        ),
        "/version": _get("Tell the version", {"200": _answer(models.Version, "The version.")}),
    }


def _get(summary: str, responses: Mapping[str, Any]) -> dict[str, Operation]:
    return {"get": {"summary": summary, "responses": dict(responses)}}


def _failures(*statuses: str) -> dict[str, Any]:
    told = _FAILURES | {"404": "There is nothing here."}
    return {status: _answer(models.Failure, told[status]) for status in statuses}


def _answer(model: type[BaseModel], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": _ref(model)}}}}


def _operation_id(path: str) -> str:
    return path.strip("/").replace("/", "-")


def _query(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"}}


def _ref(model: type[BaseModel]) -> str:
    return _REF.format(model=model.__name__)
