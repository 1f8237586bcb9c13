"""Every page of the web application, in every state that looks different, without a whole journey to each.

`scenes.py` is the table: how each state comes about in a world of its own (`stage.py`). `exhibition.py` shows them to
a browser, in each language. `tests/unit/test_gallery.py` holds the table to the routes, problems and templates.
"""
