"""The goods table: cells on a grid of half lines that runs over as many pages as it needs.

Rows stay together while a page can hold them; a taller one is cut between lines. What belongs to the whole certificate
(marks) runs down its column by itself. Text that found no room in its box follows the goods, then the end mark.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from renderers.bindings import COLUMNS, FLOWING, Source
from renderers.flow import longest_piece, room_for, wrap
from renderers.fonts import Weight, face
from renderers.form_parts import Column, Kind, Rect
from renderers.forms import PADDING, Form, aligned, table_area
from renderers.layout import ASCENT, MM, RenderRefused, Text, mm

LINE = 2
"""Grid units of one line of text; rows are one unit apart."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Lines of one cell in one size."""

    size: float
    lines: tuple[str, ...]


Row = Mapping[str, Cell]
"""Column number -> cell."""


class Grid:
    """Where lines stand: units counted from the top of page 0, page after page."""

    def __init__(self, first: int, others: int, most: int) -> None:
        """`most`: pages there may be."""
        self._first = first
        self._others = others
        self._most = most
        self.at = 0
        self.last_page = 0

    def page(self, unit: int) -> tuple[int, int]:
        """(page, units from its top)."""
        if unit < self._first:
            return 0, unit
        page, rest = divmod(unit - self._first, self._others)
        return page + 1, rest

    def room(self) -> int:
        """Units left on the page."""
        page, down = self.page(self.at)
        return (self._others if page else self._first) - down

    def keep(self, units: int) -> None:
        """Go to the next page when `units` don't fit here but fit there."""
        if self.page(self.at)[1] and self.room() < units <= self._others:
            self.at += self.room()

    def line(self) -> tuple[int, int]:
        """Place for one more line: (page, units from its top). Raises RenderRefused PAPER-TOO-LONG."""
        if self.room() < LINE:
            self.at += self.room()
        place = self.page(self.at)
        if place[0] >= self._most:
            raise RenderRefused("PAPER-TOO-LONG", f"the certificate would take more than {self._most} sheets")
        self.at += LINE
        self.last_page = max(self.last_page, place[0])
        return place


def set_table(form: Form, source: Source, leftovers: Sequence[tuple[str, str]], most: int) -> dict[int, list[Text]]:
    """Page -> texts of the goods table. `leftovers` are (box number, text that found no room there).

    Nothing is set beyond `most` pages: raises RenderRefused PAPER-TOO-LONG.
    """
    first, others = (_units(form, kind) for kind in ("front", "continued"))
    pages: dict[int, list[Text]] = {}
    grid = Grid(first, others, most)
    for row in _rows(form, source):
        _place_row(form, grid, row, pages)
    for number, text in leftovers:
        words = f"BOX {number} (CONTINUED):\n{text}"
        _place_row(form, grid, {form.table.description: _cell(form, _description(form), words)}, pages)
    _place_row(form, grid, {form.table.description: Cell(form.table.size, (form.end_mark,))}, pages)
    for column in form.table.columns:
        if column.bind in FLOWING:
            _place_flowing(form, column, source, Grid(first, others, most), pages)
    return pages


def _rows(form: Form, source: Source) -> Iterator[Row]:
    columns = [column for column in form.table.columns if column.bind not in FLOWING]
    for index, line in enumerate(source.declaration.goods, 1):
        texts = {column: COLUMNS[column.bind](source, line, index) for column in columns}
        yield {column.number: _cell(form, column, text) for column, text in texts.items() if text}
    if source.declaration.special_clause:
        yield {form.table.description: _cell(form, _description(form), source.declaration.special_clause)}


def _cell(form: Form, column: Column, text: str) -> Cell:
    """Wrapped to the column; the type shrinks before a word is broken."""
    regular = face(Weight.REGULAR)
    text = tidy(text)
    width = column.width - 2 * PADDING
    size = form.table.size
    if column.shrink and (needed := longest_piece(text, regular)):
        largest = int(width / MM / needed * 2) / 2
        size = min(size, largest) if largest >= form.table.smallest else form.table.smallest
    return Cell(size, tuple(line.text for line in wrap(text, width, size, regular)))


def _place_row(form: Form, grid: Grid, row: Row, pages: dict[int, list[Text]]) -> None:
    """All cells of a row start on the same line; a row is one unit below the last."""
    if not row:
        return
    height = max(len(cell.lines) for cell in row.values())
    if grid.at and grid.page(grid.at)[1]:
        grid.at += min(1, grid.room())
    grid.keep(height * LINE)
    for index in range(height):
        place = grid.line()
        for column in form.table.columns:
            cell = row.get(column.number)
            if cell and index < len(cell.lines) and cell.lines[index]:
                pages.setdefault(place[0], []).append(_text(form, column, cell.size, cell.lines[index], place))


def _place_flowing(form: Form, column: Column, source: Source, grid: Grid, pages: dict[int, list[Text]]) -> None:
    """Down the column, page after page; a whole page of nothing else if it must be."""
    goods = source.declaration.goods
    text = COLUMNS[column.bind](source, goods[0], 1) if goods else ""
    cell = _cell(form, column, text)
    for line in cell.lines:
        place = grid.line()
        if line:
            pages.setdefault(place[0], []).append(_text(form, column, cell.size, line, place))


def _text(form: Form, column: Column, size: float, text: str, place: tuple[int, int]) -> Text:
    """Every size stands on the same grid of baselines."""
    x, y = _body(form, "front" if place[0] == 0 else "continued")[:2]
    for other in form.table.columns:
        if other is column:
            break
        x += other.width
    ink = face(Weight.REGULAR).width(text, size) * MM
    left = aligned(column.align, x + PADDING, column.width - 2 * PADDING, ink)
    baseline = y + ASCENT * form.table.size * MM + place[1] * _unit(form)
    return Text(mm(left), mm(baseline), size, text)


def _description(form: Form) -> Column:
    return next(column for column in form.table.columns if column.number == form.table.description)


def _unit(form: Form) -> float:
    """Height of a grid unit, mm."""
    return form.leading * form.table.size * MM / LINE


def _units(form: Form, kind: Kind) -> int:
    return room_for(_body(form, kind)[3], form.table.size, form.leading) * LINE


def _body(form: Form, kind: Kind) -> Rect:
    """The table without its titles."""
    x, y, width, height = table_area(form, kind)
    return x, y + form.table.header + 0.8, width, height - form.table.header - 1.6


def tidy(text: str) -> str:
    """Line breaks of any kind become one, tabs blanks, outer blank lines go."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ").strip("\n ")
