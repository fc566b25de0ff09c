"""The way in by HTTP: declarations on a bare ASGI route, everything else on FastAPI."""

from adapters.inbound.http.app import Application, Deps, create_app, document
from adapters.inbound.http.server import HttpServer, listen, serve

__all__ = ["Application", "Deps", "HttpServer", "create_app", "document", "listen", "serve"]
