"""Write a report as one HTML page that needs no other file: texts of files are escaped, pictures are embedded."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from geogan.files.printable import printable

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --accent: #1f6f8b; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { border-top: 1px solid var(--line); padding-top: 1rem; font-size: 1.2rem; }
.verdict { border-left: .3rem solid var(--accent); padding: .2rem .8rem; font-size: 1.05rem; }
.wide { overflow-x: auto; margin-bottom: .8rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
table { overflow-wrap: normal; } td + td { overflow-wrap: anywhere; } nav a { white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; } caption { text-align: left; font-weight: 600; }
tr.best td { font-weight: 700; } img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); border-radius: .3rem; font-size: .85rem; }
nav a { margin-right: 1rem; display: inline-block; } summary { cursor: pointer; }
input[type=range] { width: 100%; accent-color: var(--accent); min-height: 2.5rem; }
figure { margin: 0 0 1rem; } figcaption { font-size: .9rem; } footer { font-size: .8rem; opacity: .75; }
.js .slides figure { display: none; } .js .slides figure.shown { display: block; }
"""
_SCRIPT = """
document.documentElement.classList.add("js");
for (const slides of document.querySelectorAll(".slides")) {
  const figures = slides.querySelectorAll("figure"), slider = slides.querySelector("input");
  const show = () => figures.forEach((figure, number) => figure.classList.toggle("shown", number === +slider.value));
  slider.addEventListener("input", show);
  show();
}
"""


GENERATOR = "geogan report"
"""Content of the tag by which a report is recognised; no other file is replaced."""


class Html(str):
    """A text that is HTML already; every other text is escaped."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Return a value as escaped text.

    Examples
    --------
    >>> text("<b>")
    '&lt;b&gt;'
    """
    return value if isinstance(value, Html) else Html(escape(printable(str(value)), quote=True))


def paragraph(value: Any, *, kind: str = "") -> Html:
    """Return a paragraph."""
    return Html(f'<p class="{text(kind)}">{text(value)}</p>' if kind else f"<p>{text(value)}</p>")


def commands(lines: Iterable[str]) -> Html:
    """Return command lines as a block."""
    return Html(f"<pre>{text(chr(10).join(lines))}</pre>")


def table(
    rows: Iterable[Sequence[Any]], *, head: Sequence[str] = (), caption: str = "", best: int | None = None
) -> Html:
    """Return a table; from its second column on, a table with a head has numbers.

    Parameters
    ----------
    rows : iterable of sequence
    head : sequence of str
        Names of the columns; empty for a table of names and values.
    caption : str
    best : int, optional
        Row in bold.
    """

    def cells(tag: str, values: Sequence[Any]) -> str:
        kinds = ["", *[' class="number"' if head else ""] * (len(values) - 1)]
        return "".join(f"<{tag}{kind}>{text(value)}</{tag}>" for kind, value in zip(kinds, values, strict=True))

    title = f"<caption>{text(caption)}</caption>" if caption else ""
    first = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(
        f'<tr class="best">{cells("td", row)}</tr>' if number == best else f"<tr>{cells('td', row)}</tr>"
        for number, row in enumerate(rows)
    )
    return Html(f'<div class="wide"><table>{title}{first}<tbody>{body}</tbody></table></div>')


def folded(summary: str, parts: Iterable[Html]) -> Html:
    """Return parts that are shown on request."""
    return Html(f"<details><summary>{text(summary)}</summary>{''.join(parts)}</details>")


def picture(file: Path, caption: str) -> Html:
    """Return a PNG file as an embedded picture with its caption."""
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    label = text(caption)
    return Html(
        f'<figure><img alt="{label}" src="data:image/png;base64,{data}"><figcaption>{label}</figcaption></figure>'
    )


def slides(files: Mapping[str, Path]) -> Html:
    """Return pictures of which a slider shows one; without scripts, all below one another."""
    figures = "".join(picture(file, caption) for caption, file in files.items())
    slider = f'<input type="range" min="0" max="{len(files) - 1}" value="0" step="1" aria-label="date">'
    return Html(f'<div class="slides">{slider if len(files) > 1 else ""}{figures}</div>')


@dataclass
class Page:
    """A page with a title and sections.

    Attributes
    ----------
    title : str
    lead : list of str
        Sentences below the title.
    sections : dict of list of Html
        Parts by the heading of the section.
    footer : str
    """

    title: str
    lead: list[str] = field(default_factory=list)
    sections: dict[str, list[Html]] = field(default_factory=dict)
    footer: str = ""

    def add(self, section: str, *parts: Html) -> None:
        """Add parts to a section."""
        self.sections.setdefault(section, []).extend(parts)

    def render(self) -> str:
        """Return the page. Its policy lets a browser load nothing and run its own script alone."""
        allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
        policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
        names = {heading: f"part-{number}" for number, heading in enumerate(self.sections)}
        links = "".join(f'<a href="#{name}">{text(heading)}</a>' for heading, name in names.items())
        body = "".join(
            f'<section id="{names[heading]}"><h2>{text(heading)}</h2>{"".join(parts)}</section>'
            for heading, parts in self.sections.items()
        )
        lead = "".join(paragraph(sentence, kind="verdict") for sentence in self.lead)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="generator" content="{GENERATOR}">'
            f"<title>{text(self.title)}</title><style>{_STYLE}</style></head><body><h1>{text(self.title)}</h1>"
            f"{lead}<nav>{links}</nav>{body}<footer>{text(self.footer)}</footer><script>{_SCRIPT}</script></body></html>\n"
        )
