"""A console of rich's that writes out every character that could command the terminal."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from geogan.files.printable import printable


class PlainConsole(Console):
    """Show text, tables and bars without the escape sequences and links that texts of files may hold.

    Rich's own sequences, for colours and bars, stay.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Texts and cells of tables, before their widths are measured."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """All else that is shown, whatever it was made of."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
                continue
            style = segment.style
            if style is not None and style.link:
                style = style.update_link(None)
            yield Segment(printable(segment.text), style)
