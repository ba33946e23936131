"""Around every page: templates and static files, the middlewares that check a request, and the answers when something is wrong.

`bot.chat.web.server` puts it into the application; `bot.chat.web.pages` renders through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from typing import Any

import jinja2
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from bot.chat.web import forms, locales
from bot.chat.web.security import HEADERS, LOCAL, Guard
from bot.domain import Actor
from bot.errors import NotFound, UserError
from bot.messages import LANGUAGES, Catalogue, Catalogues

log = structlog.get_logger(__name__)

ACTOR: web.RequestKey[Actor] = web.RequestKey("actor", Actor)
VISIT: web.RequestKey[str] = web.RequestKey("visit", str)
LOCALE: web.RequestKey[str] = web.RequestKey("locale", str)

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
#: What anybody may ask for without having signed in. The painter asks for a link of its own.
OPEN_PATHS = ("/sign-in", "/static/", "/region/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    body: bytes
    kind: str
    mark: str  #: of its content, for caching


def load_assets() -> dict[str, Asset]:
    """The style sheet, the script and the icon, read once: nothing else in the package can be asked for."""
    assets = {}
    for file in (resources.files(__package__) / "static").iterdir():
        kind = KINDS.get(file.name.rpartition(".")[2])
        if kind:
            body = file.read_bytes()
            assets[file.name] = Asset(body=body, kind=kind, mark=hashlib.sha256(body).hexdigest()[:12])
    return assets


class Frame:
    """Templates, checks and errors of one site."""

    def __init__(self, *, catalogues: Catalogues, guard: Guard, max_upload: int) -> None:
        self.catalogues, self.guard, self._max_upload = catalogues, guard, max_upload
        self._assets = load_assets()
        self._jinja = jinja2.Environment(
            loader=jinja2.PackageLoader("bot.chat.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # they do not change while the program runs: no look at their files for every answer
        )
        self._jinja.globals.update(static=self._static_url)

    def _static_url(self, name: str) -> str:
        return f"/static/{name}?{self._assets[name].mark}"

    async def static(self, request: web.Request) -> web.Response:
        asset = self._assets.get(request.match_info["name"])
        if asset is None:
            raise NotFound("web.not_found")
        cache = "public, max-age=31536000, immutable" if request.query_string == asset.mark else "no-cache"
        return web.Response(body=asset.body, content_type=asset.kind, charset="utf-8", headers={"Cache-Control": cache, "ETag": f'"{asset.mark}"'})

    # -- in whose language

    def catalogue_for(self, request: web.Request) -> Catalogue:
        """Every word of an answer to this request comes from here."""
        return self.catalogues.of(request.get(LOCALE, ""))

    def speak(self, request: web.Request, locale: str) -> None:
        """Answer in the language a link names, unless another was chosen in this browser."""
        if locale and not self._chosen(request):
            request[LOCALE] = locale

    def _chosen(self, request: web.Request) -> str:
        asked = request.query.get("lang", "")
        return asked if asked in self.catalogues.codes else self.guard.language(request)

    def limit(self, request: web.Request, size: int = 0) -> dict[str, str]:
        """The parameters of a sentence about what is too large: of all files together, or `size` bytes."""
        return {"limit": self.catalogue_for(request).say("web.megabytes", size=f"{(size or self._max_upload) / 2**20:.3g}")}

    def _languages(self, request: web.Request) -> list[dict[str, Any]]:
        """For the chooser in the footer; a page that was posted is left for the first one."""
        here = request.rel_url if request.method in ("GET", "HEAD") else request.rel_url.with_path("/")
        now = self.catalogue_for(request).code
        return [
            {"code": code, "name": LANGUAGES[code].name, "current": code == now, "url": str(here.update_query(lang=code))} for code in self.catalogues.codes
        ]

    # -- rendering

    def html(self, request: web.Request, template: str, **context: Any) -> str:
        actor, visit = request.get(ACTOR), request.get(VISIT, "")
        catalogue = self.catalogue_for(request)
        shared = {
            "t": catalogue.say,
            "lang": catalogue.code,
            "languages": partial(self._languages, request),  # of whole pages only
            "actor": actor,
            "signs_in": self.guard.sign_in,
            "token": self.guard.form_token(visit, actor),
            "path": request.rel_url.path_qs,
            "back": request.rel_url.path_qs if request.path == "/" or request.path.startswith("/job/") else "",
        }
        return self._jinja.get_template(template).render({**shared, **context})

    def check_token(self, request: web.Request, token: str) -> None:
        """Raises HTTPForbidden for a form that is not from a page of ours in this browser."""
        if not self.guard.token_allowed(request[VISIT], request.get(ACTOR), token):
            raise web.HTTPForbidden

    # -- errors

    def problem(self, request: web.Request, status: int, message: str, parameters: Mapping[str, Any] | None = None) -> web.Response:
        """One clear sentence, as a page or for the script."""
        sentence = self.catalogue_for(request).say(message, **(parameters or {}))
        if request.headers.get("Accept", "").startswith("application/json"):
            return web.json_response({"kind": "problem", "title": sentence, "text": ""}, status=status)
        return web.Response(text=self.html(request, "problem.html", sentence=sentence, status=status), status=status, content_type="text/html")

    # -- around every request, outermost first

    def middlewares(self) -> list[Any]:
        @web.middleware
        async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._errors(request, handler)

        @web.middleware
        async def checks(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._checks(request, handler)

        return [errors, checks]

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Headers of every answer, whoever made it."""
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")

    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPServiceUnavailable:
            return self.problem(request, 503, "web.paused")
        except forms.TooLarge:
            return self.problem(request, 413, "web.too_large", self.limit(request))
        except forms.TooMany:
            return self.problem(request, 413, "web.too_many_files", {"limit": forms.MAX_UPLOADS})
        except web.HTTPRedirection:
            raise
        except web.HTTPException as failure:
            known = {403: "web.stale_form", 404: "web.not_found", 405: "web.not_found", 413: "web.too_large", 421: "web.wrong_host"}
            return self.problem(request, failure.status, known.get(failure.status, "web.bad_request"), self.limit(request))
        except NotFound as error:
            return self.problem(request, 404, error.message, error.parameters)
        except UserError as error:
            return self.problem(request, 400, error.message, error.parameters)
        except ConnectionError:
            raise
        except Exception:
            log.exception("web.broken", method=request.method, path=request.path)
            return self.problem(request, 500, "web.broken")

    async def _checks(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        guard = self.guard
        if not guard.host_allowed(request.headers.get("Host", "")):
            raise web.HTTPMisdirectedRequest
        request[LOCALE] = locales.wanted(self._chosen(request), request.headers.get("Accept-Language", ""), self.catalogues.codes)
        visit = guard.visit(request)
        request[VISIT] = visit or guard.begin_visit()
        if request.method not in ("GET", "HEAD") and not guard.origin_allowed(request):
            raise web.HTTPForbidden
        if actor := guard.actor(request):
            name = self.catalogue_for(request).say("web.you") if actor == LOCAL else actor.name
            request[ACTOR] = replace(actor, locale=request[LOCALE], name=name)
        elif not request.path.startswith(OPEN_PATHS):
            return self._stranger(request)
        response = await handler(request)
        if not response.prepared and request.method == "GET" and response.content_type == "text/html":
            if not visit:
                guard.set_visit(response, request[VISIT])
            if request.query.get("lang", "") in self.catalogues.codes:
                guard.set_language(response, request.query["lang"])
        return response

    def _stranger(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            return web.Response(
                text=self.html(request, "sign_in.html", ticket=None, link_token="", bad=False, delivery=""), status=401, content_type="text/html"
            )
        return self.problem(request, 401, "web.sign_in_first")
