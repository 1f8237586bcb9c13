"""Every page state of the gallery; importing the modules below registers their states.

A new route, problem or template needs a state here: a function that leads to the page and returns it.
"""

from tests.gallery import (  # noqa: F401 - each registers its page states
    affiliation_pages,
    operator_pages,
    permission_pages,
    person_pages,
    problem_pages,
)
from tests.gallery.page_states import NO_PAGES, PAGE_STATES

__all__ = ["NO_PAGES", "PAGE_STATES"]
