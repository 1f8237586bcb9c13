"""The connector as Apache runs it, with a response that a test can replace."""

from __future__ import annotations

import json
from pathlib import Path

from webapp.wiring.connector import connector_application


class Faults:
    """The response to send instead of the connector's.

    Status, headers and body, in a file.
    """

    def __init__(self, file):
        self._file = Path(file)

    def answer(self, status, headers, body):
        """Send this response from now on."""
        self._file.write_text(json.dumps([status, headers, body.decode("latin-1")]))

    def clear(self):
        """Stop replacing the response."""
        self._file.unlink(missing_ok=True)

    def now(self):
        """Return the replacement, or None."""
        return json.loads(self._file.read_text()) if self._file.exists() else None


def faulty(configuration, file):
    """Build the application of a WSGI script."""
    connector, faults = connector_application(configuration), Faults(file)

    def application(environ, start_response):
        fault = faults.now()
        if fault is None:
            return connector(environ, start_response)
        status, headers, body = fault
        start_response(status, [tuple(each) for each in headers])
        return [body.encode("latin-1")]

    return application
