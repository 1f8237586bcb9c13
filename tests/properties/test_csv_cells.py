"""What is written as CSV is read again as it was, and no cell begins like a formula."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from resolver_connector.csv_file import read_csv_stream, write_csv

FORMULA = "=+-@\t\r"
beginnings = st.text("'" + FORMULA, max_size=3)
# The reader removes spaces around cells
texts = st.builds(lambda begin, rest: (begin + rest).strip("\t\r"), beginnings, st.text("a1;,\"'=\n", max_size=5))
cells = texts.filter(lambda text: text == text.strip("\ufeff\u200b\u00a0 \t\r\n"))


@given(st.lists(st.tuples(cells, cells).filter(any), min_size=1, max_size=5))
def test_cells_come_back_as_they_were(rows):
    text = "".join(write_csv(("account", "source"), rows))

    read = list(read_csv_stream(io.BytesIO(text.encode()), ("account", "source"), ("account", "source")))
    raw = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]

    assert [tuple(each.cells.values()) for each in read] == rows
    assert not any(cell.startswith(tuple(FORMULA)) for cell in raw)


def test_a_cell_that_begins_with_a_tab_is_neutralised():
    assert [*write_csv(("a",), [("\tx",), ("\r",), ("'=x",), ("'x",)])][1:] == [
        "'\tx\n",
        '"\'\r"\n',
        "''=x\n",
        "'x\n",
    ]
