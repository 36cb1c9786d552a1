"""CSV files: sent line by line as they are read, and safe to open in a spreadsheet."""

import csv
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

from generations.words import plain_cell

LONGEST = 1_000_000  # lines: a spreadsheet takes 1,048,576

Cell = str | int


class _Echo:
    """A file that gives back what is written into it: one line of CSV."""

    def write(self, text: str) -> str:
        return text


def answer(name: str, head: Sequence[str], lines: Iterable[Sequence[Cell]]) -> StreamingHttpResponse:
    """A file for download. `lines` are read as fast as they are sent, however many there are."""
    sent = StreamingHttpResponse(_written(head, lines), content_type="text/csv; charset=utf-8")
    sent["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return sent


def too_long() -> str:
    return f"A file takes {LONGEST:,} lines, and these are more. Choose fewer days. Nothing was downloaded."


def _written(head: Sequence[str], lines: Iterable[Sequence[Cell]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(head)  # with the mark by which spreadsheets know that it is UTF-8
    for cells in lines:
        yield writer.writerow([plain_cell(value) for value in cells])
