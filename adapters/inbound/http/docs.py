"""What the OpenAPI document says of the bare route, and where its pages come from: a package, never a network."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import fastapi_offline
import orjson
from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

import schemas
from adapters.inbound.http.intake import PATH
from adapters.inbound.http.problem import TITLES, TYPE

ASSETS: Final = "/docs-assets"
PAGES_POLICY: Final = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)
ABOUT: Final = (
    "Declare certificates of origin, follow them, print them. Every answer that is no success is a problem document "
    "(RFC 9457) whose `errors` name every fault with a stable code, its path and line; no value is echoed."
)

PROBLEM: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "enum": [TYPE + kind for kind in TITLES]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "reference": {"type": ["string", "null"]},
        "id": {"type": "string", "format": "uuid"},
        "code": {"type": "string"},
        "remedy": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}
FAULT: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["code", "message", "severity"],
    "properties": {
        "code": {"type": "string", "description": "stable, never reused"},
        "path": {"type": "string", "description": "XPath (XML) or JSON pointer (JSON) in your document"},
        "line": {"type": "integer", "description": "from 1, where known"},
        "message": {"type": "string"},
        "remedy": {"type": "string"},
        "severity": {"type": "string", "enum": ["refuse", "warn"]},
        "source": {"type": "string"},
    },
}
ON_FILE: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["status", "id", "number", "revision", "type", "warnings"],
    "properties": {
        "status": {"type": "string", "enum": ["accepted", "duplicate"]},
        "id": {"type": "string", "format": "uuid"},
        "number": {"type": "string"},
        "revision": {"type": "integer"},
        "type": {"type": "string"},
        "reference": {"type": ["string", "null"]},
        "warnings": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}


def declarations() -> APIRouter:
    """The bare route, for the document only: `Application` answers it before FastAPI sees it."""
    routes = APIRouter()

    @routes.post(
        PATH,
        tags=["declarations"],
        summary="Declare a certificate, or a batch",
        description="One declaration as the official XML or as JSON, or a batch as NDJSON: one JSON declaration a "
        "line, at most 2,000 lines and 64 MiB; the answer is 200 with one verdict a line, in order, each with the "
        "`http` status it would have had alone. 202 and 200 are sent only when the declaration is durable.",
        openapi_extra={"parameters": _parameters(), "requestBody": _request()},
        responses=_responses(),
        status_code=202,
        response_model=None,
    )
    async def declare() -> None:
        """Never reached."""

    return routes


def _parameters() -> list[dict[str, Any]]:
    text = {"type": "string", "minLength": 1, "maxLength": 255}
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": text,
            "description": "Same key and bytes: the same answer again. Same key, other bytes: 409. Without one, the "
            "bytes themselves are the key. For a batch, each line's key is `key/line`.",
        },
        {
            "name": "Origin-Reference",
            "in": "header",
            "schema": text,
            "description": "Your own reference, echoed everywhere; one inside the document goes first.",
        },
    ]


def _request() -> dict[str, Any]:
    content: dict[str, Any] = {
        "application/xml": {"schema": {"type": "string"}, "examples": examples(".xml")},
        "application/json": {"schema": {"type": "object"}, "examples": examples(".json")},
        "application/x-ndjson": {"schema": {"type": "string"}},
    }
    return {"required": True, "content": content}


def _responses() -> dict[int | str, dict[str, Any]]:
    on_file = {"application/json": {"schema": {"$ref": "#/components/schemas/OnFile"}}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    batch = {"application/x-ndjson": {"schema": {"type": "string"}}}
    answers: dict[int | str, dict[str, Any]] = {
        202: {"description": "Accepted: durable, and on its way", "content": on_file},
        200: {"description": "The same is on file already; or the verdicts of a batch", "content": on_file | batch},
        422: {"description": "Every fault, at once; nothing was kept", "content": problem},
        409: {"description": "It contradicts what is on file", "content": problem},
        429: {"description": "You have your quota: send it again after Retry-After", "content": problem},
        503: {"description": "Nothing was accepted; send it again after Retry-After", "content": problem},
    }
    for status in (400, 401, 408, 413, 415, 429, 500):
        titles = [title for code, title in TITLES.values() if code == status]
        answers[status] = {"description": titles[0], "content": problem}
    return answers


def examples(suffix: str) -> dict[str, Any]:
    """Documents of ``schemas/examples`` by name: what the golden tests send."""
    found: dict[str, Any] = {}
    folder = schemas.path("examples")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(suffix)) if folder.is_dir() else []
    for name in names:
        text = (folder / name).read_text("utf-8")
        found[name.removesuffix(suffix)] = {"value": text if suffix == ".xml" else orjson.loads(text)}
    return found


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document plus the schemas it can't see, problems as the default answer, and real validation answers."""
    components = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        components.pop(unused, None)
    components |= {"Problem": PROBLEM, "Fault": FAULT, "OnFile": ON_FILE}
    problem = {
        "description": "Not granted: see its `type`",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path != PATH:
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = problem
    return document


def add_pages(app: FastAPI) -> None:
    """/openapi.json, and /docs and /redoc with the assets of an installed package."""
    folder = Path(fastapi_offline.__file__).parent / "static"
    app.mount(ASSETS, StaticFiles(directory=folder), name="docs-assets")
    written = functools.cache(lambda: orjson.dumps(app.openapi()))

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(written(), media_type="application/json")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title}: try it",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        return get_redoc_html(
            openapi_url="/openapi.json",
            title=f"{app.title}: reference",
            redoc_js_url=f"{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
