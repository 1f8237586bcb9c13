"""Every page of the web application in every state that looks different, without a journey to each.

`page_states.py` holds the table of states, `rendering.py` renders one with its own database, and `server.py` serves
them to a browser in each language. `tests/unit/test_gallery.py` checks the table against routes, problems, templates.
"""
