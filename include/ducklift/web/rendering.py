"""Templates into answers: one Jinja environment that escapes everything, and the words and tones that all pages share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from markupsafe import Markup

from ducklift.safe_text import visible
from ducklift.web import drawing, pictures, wording
from ducklift.web.access import visitor_of
from ducklift.web.icons import ICONS
from ducklift.web.offers import actions_of
from ducklift.web.tones import FATE_TONES, LOAD_TONES, STEP_TONES, TABLE_TONES

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request
    from starlette.responses import Response

# What each of the three commands of an empty lake does.
COMMAND_NOTES = (
    "Write a pipeline of your own, with a function that yields a hundred records",
    "Extract them, upload them, load them",
    "See what is there, here or in a terminal",
)
ORIGINS = {"check": "by its check", "schedule": "by its schedule", "observed": "as observed", "none": "by nothing"}
TEMPLATES = Path(__file__).with_name("templates")


def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """Return a page made of a template; links in it are relative, so that it works wherever the app is mounted."""
    from starlette.responses import HTMLResponse

    text = (
        environment()
        .get_template(template)
        .render(
            root=root_of(request),
            airflow=getattr(request.app.state, "airflow_root", None),
            now=datetime.now(UTC),
            may_run=lambda pipelines: _may_run(request, pipelines),
            **context,
        )
    )
    return HTMLResponse(text, status, headers={"vary": "Accept"})


def _may_run(request: Request, pipelines: Sequence[str]) -> list[str]:
    """Return those of the pipelines that who looks may have run from here."""
    return [name for name in pipelines if visitor_of(request).may_run(name)] if request.app.state.orchestrator is not None else []


def root_of(request: Request) -> str:
    """Return the way from the page that is asked for back to the app's root: `./`, `../`, `../../` …"""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "../" * (path.count("/") - 1) or "./"


@cache
def environment() -> Environment:
    """Return the environment of all templates; an unknown name is an error and no empty text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit_to_be_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for module in (wording, pictures):
        made.filters.update(
            {name: value for name, value in vars(module).items() if callable(value) and value.__module__ == module.__name__}
        )
    made.filters["json"] = lambda value: orjson.dumps(value).decode()
    made.filters["segment"] = lambda text: quote(str(text), safe="")
    made.globals.update(
        icon=drawing.icon,
        icons=ICONS,
        swatch=drawing.swatch,
        table_tones=TABLE_TONES,
        load_tones=LOAD_TONES,
        fate_tones=FATE_TONES,
        swatch_of=lambda step: drawing.swatch(STEP_TONES[step]),
        origins=ORIGINS,
        command_notes=COMMAND_NOTES,
        actions_of=actions_of,
    )
    return made


def _fit_to_be_shown(value: Any) -> Any:
    # The views have done so already; what comes another way (an address, a person's name) is not let through either.
    if value is None:
        return wording.NOTHING
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
