"""Which cells of a page a name needs: the last that bind its names, and what these need in turn."""

import pytest

from benchmarks.cells import ROOT, Cell, apart, code_cells, fingerprint, needed, run


@pytest.fixture
def cells():
    """Return the cells of a small page."""
    return [
        Cell(source)
        for source in (
            "import math\nx = 1",
            "raise MemoryError  # a heavy cell that binds nothing",
            "y = x + 1\nx = x + 10",
            "def f(a, b=math.pi):\n    inner = [a for a in range(3)]\n    return sum(inner) + z",
            "z = 100",
            "def g(a):\n    ...",
            "def check(answer):\n    return answer(f(0))",
            "z = 5",
        )
    ]


def test_a_cell_knows_what_it_binds_and_needs(cells):
    assert [cell.binds for cell in cells[:4]] == [{"math", "x"}, set(), {"x", "y"}, {"f"}]
    assert [cell.needs for cell in cells[:4]] == [set(), set(), {"x"}, {"math"}]
    assert [cell.needs_when_called for cell in cells[3:7]] == [{"z"}, set(), set(), {"f"}]
    assert [cell.empty for cell in cells[4:6]] == [[], ["g"]]


@pytest.mark.parametrize(
    ("source", "needs", "needs_when_called"),
    [
        ("a = [b * i for i in range(3)]", {"b"}, set()),
        ("w = 1\nw -= w.mean()", set(), set()),
        ("w -= w.mean()", {"w"}, set()),
        ("for i in x:\n    total = total_of(i)\nprint(i)", {"x", "total_of"}, set()),
        ("with a() as b:\n    b.c(d)", {"a", "d"}, set()),
        ("@kindly\ndef f(x):\n    return [x + y for x in z]", {"kindly"}, {"y", "z"}),
        ("class A(Base):\n    def f(self):\n        return self.b + c", {"Base", "c"}, set()),
        ("import a.b as c, d.e\nc(d)", set(), set()),
        ("def f():\n    return g()\ndef g():\n    return f()", set(), set()),
    ],
)
def test_names_are_found_where_they_are_used(source, needs, needs_when_called):
    cell = Cell(source)
    assert (cell.needs, cell.needs_when_called) == (needs, needs_when_called)


def test_only_the_cells_that_a_name_needs_are_run(cells):
    assert needed(cells, "y") == [cells[0], cells[2]]
    assert run(needed(cells, "y"))["y"] == 2
    assert needed(cells, "x") == [cells[0], cells[2]]


def test_a_function_finds_what_was_bound_last_before_it_is_called(cells):
    chosen = needed(cells, "check", "g")
    assert chosen == [cells[0], *cells[3:7]]
    assert run(chosen)["check"](lambda x: x) == 103


def test_a_name_that_no_cell_binds_is_an_error(cells):
    with pytest.raises(NameError, match=r"no cell before the page's cell 2 binds 'q'"):
        needed([Cell("x = 1"), Cell("y = q")], "y")


def test_the_cells_of_a_page_come_in_order():
    cells = code_cells(ROOT / "book" / "00-softmax-attention.md")
    assert "passage" in cells[0].binds
    assert [cell.empty for cell in cells if cell.empty] == [["streaming_attention"]]


def test_the_fingerprint_is_that_of_the_source(cells):
    found = fingerprint(cells[:2])
    assert len(found) == 64
    assert found == fingerprint([Cell("import math  \nx = 1\n"), cells[1]])
    assert found != fingerprint([Cell("import math\nx = 2"), cells[1]])
    assert found != fingerprint(cells[:3])
    assert fingerprint([Cell("a = 1\nb = 2")]) != fingerprint([Cell("a = 1"), Cell("b = 2")])


def test_a_cell_can_be_taken_to_pieces():
    function = "@kindly\ndef f():\n    return x + pi"
    source = (
        f"from math import (\n    pi,\n    tau,\n)\nx = 1  # one\nimport ast\n{function}\ny = f()"
    )
    pieces = apart([Cell(source), Cell("import ast"), Cell("z = 1\n")])
    imports = "from math import (\n    pi,\n    tau,\n)\nimport ast"
    wanted = [imports, "x = 1  # one", function, "y = f()", "import ast", "z = 1"]
    assert [piece.source for piece in pieces] == wanted
    assert needed(pieces, "tau") == [pieces[0]]
    assert (
        needed(apart([Cell("import a\nx = a.b\nclass A:\n    c = x")]), "x")[1].source == "x = a.b"
    )
