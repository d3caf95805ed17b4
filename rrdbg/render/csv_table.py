"""What queries have found as comma-separated values, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from rrdbg.model.results import Found, Result


def to_csv(results: Iterable[Result]) -> str:
    """A heading and a line for each place; other results are left out."""
    found = [result for result in results if isinstance(result, Found)]
    names = list(dict.fromkeys(name for result in found for name in result.fields))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["number", "icount", "phase", *names])
    for result in found:
        place = result.number, result.position.icount, result.position.phase
        writer.writerow([*place, *(result.fields.get(name, "") for name in names)])
    return text.getvalue()
