"""The gallery on loopback, for a browser: `/<language>/<scene>` is the page as the application answered it."""

from __future__ import annotations

import http
from contextlib import contextmanager

from tests.gallery.all_states import SCENES
from tests.gallery.rendering import theatre
from tests.support.service import served
from webapp.app import make_app


@contextmanager
def exhibited(*codes, scenes=SCENES):
    """Give the gallery's address, and all that hangs in it: each scene in each of these languages."""
    with theatre() as stage:
        shown = [stage.show(each, code) for code in codes for each in scenes]
        rest = make_app(stage.base)
    with served(_hanging({each.address: each.reply for each in shown}, rest)) as address:
        yield address, shown


def _hanging(replies, rest):
    def app(environ, start_response):
        reply = replies.get(environ["PATH_INFO"])
        if reply is None:
            return rest(environ, start_response)
        start_response(f"{reply.status} {http.HTTPStatus(reply.status).phrase}", reply.headers)
        return [reply.body]

    return app
