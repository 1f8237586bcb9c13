"""Languages and their gettext catalogues."""
