"""Serve the gallery on loopback: `/<language>/<state>` is the page as the application answered it."""

from __future__ import annotations

import http
from contextlib import contextmanager

from tests.gallery.all_states import PAGE_STATES
from tests.gallery.rendering import state_renderer
from tests.support.service import serve_app
from webapp.app import make_app


@contextmanager
def serve_gallery(*codes, page_states=PAGE_STATES):
    """Yield the gallery's address and its rendered pages: each state in each of these languages."""
    with state_renderer() as stage:
        shown = [stage.render(each, code) for code in codes for each in page_states]
        rest = make_app(stage.base)
    with serve_app(_serve_pages({each.address: each.reply for each in shown}, rest)) as address:
        yield address, shown


def _serve_pages(replies, rest):
    def app(environ, start_response):
        reply = replies.get(environ["PATH_INFO"])
        if reply is None:
            return rest(environ, start_response)
        start_response(f"{reply.status} {http.HTTPStatus(reply.status).phrase}", reply.headers)
        return [reply.body]

    return app
