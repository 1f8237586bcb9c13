"""Who sends a request: authenticated person, browser, CSRF token."""
