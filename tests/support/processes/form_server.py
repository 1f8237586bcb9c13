"""An application that reads a form as the pages do, and says what it read.

For servers that ask for a factory.
"""

from __future__ import annotations

import json

from webapp.pages.request import FormTooLarge, IncompleteForm, RepeatedParameter, read_form


def make_application():
    """Make the application."""
    return application


def application(environ, start_response):
    try:
        status, told = "200 OK", read_form(environ)
    except (FormTooLarge, IncompleteForm, RepeatedParameter) as error:
        status, told = "400 Bad Request", type(error).__name__
    body = json.dumps(told).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
