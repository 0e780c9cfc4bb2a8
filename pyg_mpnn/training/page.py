"""One HTML page with everything in it: headings, tables, pictures; no scripts and nothing from the net."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pyg_mpnn.files import write_text

_STYLE = """
:root { --ink: #1c2733; --soft: #5b6b7a; --paper: #ffffff; --card: #f3f6f9; --line: #d5dde5; --bar: #b9d3e6;
  --good: #1a7f4b; --bad: #b3261e; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaf0; --soft: #9fb0c0; --paper: #12181f; --card: #1c252e;
  --line: #33414e; --bar: #2f5673; --good: #5fd39b; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p, li { max-width: 46rem; } .soft { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
td.bar { background: linear-gradient(var(--bar), var(--bar)) no-repeat left; }
.verdict { border-left: .4rem solid var(--soft); background: var(--card); padding: .6rem .9rem; margin: .6rem 0; }
.verdict b { display: block; } .good { border-color: var(--good); } .good b { color: var(--good); }
.bad { border-color: var(--bad); } .bad b { color: var(--bad); }
img { max-width: 100%; height: auto; background: #fff; border-radius: .4rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem; }
figure { margin: 0; background: var(--card); border-radius: .5rem; padding: .5rem; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
"""


class Page:
    """A page that grows from top to bottom.

    Args:
        title: of the page.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A heading of a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, soft: bool = False) -> None:
        """A paragraph.

        Args:
            text: the paragraph.
            soft: whether it is beside the point.
        """
        self._parts.append(f"<p{' class=soft' if soft else ''}>{html.escape(text)}</p>")

    def bullets(self, texts: Iterable[str]) -> None:
        """A list of sentences."""
        self._parts.append("<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>")

    def verdict(self, head: str, text: str, good: bool | None) -> None:
        """A sentence with a colour.

        Args:
            head: what is said.
            text: why.
            good: green, red, or neither.
        """
        kind = {True: " good", False: " bad", None: ""}[good]
        self._parts.append(f'<div class="verdict{kind}"><b>{html.escape(head)}</b>{html.escape(text)}</div>')

    def table(self, rows: Sequence[Sequence[str]], bars: Sequence[float | None] | None = None) -> None:
        """A table.

        Args:
            rows: cells; the first row is the header.
            bars: lengths of a bar behind the second cell of each row but the header.
        """
        largest = max((bar for bar in bars or () if bar is not None), default=0.0)
        lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0]) + "</tr>"]
        for place, row in enumerate(rows[1:]):
            cells = [f"<td>{html.escape(cell)}</td>" for cell in row]
            bar = bars[place] if bars is not None else None
            if bar is not None and largest:
                style = f"background-size: {100 * bar / largest:.0f}% 100%"
                cells[1] = f'<td class="bar" style="{style}">{html.escape(row[1])}</td>'
            lines.append("<tr>" + "".join(cells) + "</tr>")
        self._parts.append('<div class="scroll"><table>' + "\n".join(lines) + "</table></div>")

    def picture(self, figure: Figure, text: str) -> None:
        """A picture.

        Args:
            figure: the picture.
            text: what it shows, for those who do not see it.
        """
        self._parts.append(f"<p>{_image(figure, text)}</p>")

    def gallery(self, pictures: Iterable[tuple[Figure, str]]) -> None:
        """Small pictures beside each other.

        Args:
            pictures: each with what stands below it.
        """
        shown = [
            f"<figure>{_image(figure, text)}<figcaption>{html.escape(text)}</figcaption></figure>"
            for figure, text in pictures
        ]
        self._parts.append(f'<div class="grid">{"".join(shown)}</div>')

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all.

        Args:
            path: the file.
        """
        head = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{html.escape(self.title)}</title>'
            f"<style>{_STYLE}</style></head><body>"
        )
        write_text(path, head + "\n".join(self._parts) + "</body></html>\n")


def _image(figure: Figure, text: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(text, quote=True)}" src="data:image/png;base64,{data}">'
