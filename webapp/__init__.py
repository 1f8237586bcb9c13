"""The web application: linking pages, configuration, command line and wiring."""
