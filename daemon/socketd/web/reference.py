"""The description of the API, served by the daemon itself: as YAML, and as pages for people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, current_app, render_template
from markupsafe import Markup, escape

from socketd.web import reference_errors, reference_operations, spec
from socketd.web.browsers import PAGES

if TYPE_CHECKING:
    from collections.abc import Callable

# Nothing but the page itself and its own style: no script, no image, no other host.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES: Final = "socketd.pages"
_CODE: Final = re.compile(r"`+([^`]+)`+")

blueprint = Blueprint(PAGES, __name__, template_folder="templates")


@blueprint.get("/openapi.yaml")
def openapi() -> Response:
    """Serve the OpenAPI document."""
    return Response(spec.text_of(current_app.extensions["socketd.api"]), content_type="application/yaml")


@blueprint.get("/docs")
def operations() -> Response:
    """Serve the reference of every operation and every shape."""
    return _page("operations", _operations)


@blueprint.get("/docs/errors")
def errors() -> Response:
    """Serve the causes and cures that a problem's ``type`` links to."""
    return _page("errors", _errors)


@blueprint.app_template_filter()
def prose(text: str) -> Markup:
    """Show what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped right here)


@blueprint.app_template_filter()
def sentence(text: str) -> Markup:
    """Make a hint, which is a phrase, a sentence."""
    return prose(f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}")


def _operations() -> str:
    document = spec.document(current_app.extensions["socketd.api"])
    return render_template("operations.html", reference=reference_operations.read(document))


def _errors() -> str:
    return render_template(
        "errors.html",
        entries=reference_errors.entries(),
        others=reference_errors.others(),
        statuses=reference_errors.by_status(),
    )


def _page(name: str, render: Callable[[], str]) -> Response:
    """Answer with a page that is made once: what it is made of does not change while the daemon runs."""
    pages: dict[str, str] = current_app.extensions.setdefault(_PAGES, {})
    if name not in pages:
        pages[name] = render()
    response = Response(pages[name], content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return response
