"""A rich console that escapes every character that could control the terminal."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from geogan.files.printable import printable


class PlainConsole(Console):
    """Show text, tables and bars without escape sequences and links from texts of files.

    Escape sequences of rich itself, for colours and bars, are kept.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Escape texts and cells of tables before their widths are measured."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Escape the text of every segment, and remove its link."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
                continue
            style = segment.style
            if style is not None and style.link:
                style = style.update_link(None)
            yield Segment(printable(segment.text), style)
