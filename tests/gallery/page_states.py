"""The table of page states; the modules of pages beside this one fill it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.gallery.rendering import StateContext
from tests.support.service import WebResponse


@dataclass(frozen=True, slots=True)
class PageState:
    """One page in one state."""

    name: str
    route: str
    """Route that returns the page, or the problem."""
    render: Callable[[StateContext], WebResponse]
    problem: type[Exception] | None = None


PAGE_STATES: list[PageState] = []

NO_PAGES = {
    "POST /me/read": "leads to one's own page",
    "GET /me/read": "leads to one's own page",
    "POST /me/start": "leads to ORCID, or to the choice of permissions",
    "POST /me/permissions/remove": "leads to one's own page",
    "GET /me/permissions/remove": "leads to one's own page",
    "POST /me/claim/<attempt>": "leads to one's own page",
    "POST /me/move": "leads to one's own page",
    "POST /me/remove": "leads to the page of the removal",
    "GET /me/data.json": "is a file",
    "GET /statistics.csv": "is a file",
    "GET /statistics.json": "is a file",
    "GET /operator/statistics.csv": "is a file",
    "GET /operator/statistics.json": "is a file",
    "POST /operator/organisations/<name>/retry": "leads to the organisation's page",
    "GET /operator/organisations/<name>/retry": "leads to the organisation's page",
    "POST /operator/organisations/<name>/links": "is a file",
    "GET /operator/organisations/<name>/links": "leads to the organisation's page",
    "GET /sign-out": "leads to the Service Provider",
    "GET /static/<name>": "is a style sheet or a picture",
    "GET /healthz": "is a word for a monitor",
    "GET /readyz": "is a word for a balancer",
    "GET /metrics": "is for a monitoring system",
}
"""Routes that return no page, and what they do."""


def page_state(route, problem=None):
    """Register a page state under the function's name."""

    def into_the_table(render):
        PAGE_STATES.append(PageState(render.__name__.replace("_", "-"), route, render, problem))
        return render

    return into_the_table
