"""One page, rendered from its template and self-contained: it needs no network and no other file.

Everything that comes from outside (titles, messages, payloads in traces) is escaped by the templates; the
timelines travel as JSON in a data block; and a content security policy names the page's own style and script
by their hashes and forbids the rest.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from holdfast.reports.kills import told_seconds
from holdfast.reports.timeline import Timeline, duration


class Renderer:
    """Renders pages of one report; `shared` is what all of its templates may name."""

    def __init__(self, shared: Mapping[str, object]) -> None:
        self._shared = shared
        self._style, self._script, self._viewer = map(_asset, ("report.css", "report.js", "timeline.js"))
        self._environment = Environment(
            loader=PackageLoader("holdfast.reports", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(prose=prose, amount=amount, seconds=told_seconds)

    def page(self, template: str, *, timelines: Mapping[str, Timeline] | None = None, **given: object) -> str:
        """A page. `timelines` are those that it can open, by the names its buttons use."""
        timelines = timelines or {}
        script = self._script + (self._viewer if timelines else "")
        return self._environment.get_template(template).render(
            **self._shared,
            **given,
            timelines=timelines,
            duration=duration,
            data=_data(timelines),
            style=Markup(self._style),
            script=Markup(script),
            policy=_policy(self._style, script),
        )


def prose(text: str) -> Markup:
    """A sentence of the specification, with what stands between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one of them has no partner
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def amount(number: int) -> str:
    """A number with its thousands separated by a narrow no-break space."""
    return f"{number:,}".replace(",", "\u202f")


def _data(timelines: Mapping[str, Timeline]) -> Markup:
    """JSON that no HTML parser finds a tag in."""
    text = msgspec.json.encode(timelines).decode()
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return files("holdfast.reports").joinpath("assets", name).read_text(encoding="utf-8")
