"""Authentication of the person and the browser, and CSRF protection."""
