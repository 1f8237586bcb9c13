"""The table of the gallery: each page in each state that looks different, and each problem.

A scene is a function that leads to the page and gives it; its name is the page's in the gallery. It says which route
answers with the page, and which problem the page tells of. A new route, problem or template needs a scene here.
"""

from tests.gallery import operator_pages as operators  # noqa: F401 - each puts its scenes into the table
from tests.gallery import person_pages as people  # noqa: F401 - each puts its scenes into the table
from tests.gallery import problem_pages as problems  # noqa: F401 - each puts its scenes into the table
from tests.gallery.page_states import NO_PAGES, SCENES

__all__ = ["NO_PAGES", "SCENES"]
