"""Pages that the documentation makes from the code when it is built: command line, settings, Python.

MkDocs calls the functions ``on_...``; mkdocs.yml names this file.
"""

import json
import posixpath
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import latex2mathml.converter
import typer.main
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
# Pages outside docs/, and their place in the site.
OUTSIDE = {
    "ARCHITECTURE.md": "develop/architecture.md",
    "CONTRIBUTING.md": "develop/contributing.md",
    "CHANGELOG.md": "develop/changelog.md",
    "examples/custom_operator/README.md": "develop/custom-operator.md",
}
PLACES = {place: origin for origin, place in OUTSIDE.items()}
GENERATED = "<!-- generated below from geogan.__all__ -->"
# What a browser would fetch from elsewhere.
REMOTE = re.compile(
    r"<(?:script|img|source|iframe)[^>]+src=\"?https?:|<link[^>]+rel=\"?(?:stylesheet|preload)[^>]+https?:"
)


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are made from the code, and pages outside docs/."""
    texts = {origin: (ROOT / origin).read_text(encoding="utf-8") for origin in OUTSIDE}
    pages = {OUTSIDE[origin]: text for origin, text in texts.items()}
    pages |= {"reference/command-line.md": command_line(), "reference/settings.md": settings()}
    pages |= gallery()
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Complete the page of the Python names, write formulas as MathML, and point links to the site's pages."""
    place = page.file.src_uri
    if place == "reference/python.md":
        markdown = markdown.replace(GENERATED, python_names())
    markdown = re.sub(r"```math\n(.*?)```", lambda found: formula(found[1]), markdown, flags=re.DOTALL)
    return re.sub(r"\]\(([^)\s]+)\)", lambda found: f"]({site_link(found[1], place)})", markdown)


def on_page_content(html: str, *, page: Any, config: Any, files: Files) -> str:
    """Leave out the roles of Sphinx in docstrings, such as ``:class:``; write defaults as values."""
    html = re.sub(r'<span title="geogan\.settings\.Settings\.(\w+)">\w+</span>', default_of, html)
    html = re.sub(r":(?:class|meth|func|mod|data|attr|ref):(?=<(?:code|a|autoref))", "", html)
    return html.replace("<code>~", "<code>")


def default_of(found: re.Match[str]) -> str:
    """Return the default of a setting that a signature names, such as ``Settings.window``."""
    from geogan.settings import Settings

    return repr(getattr(Settings, found[1]))


def on_post_page(output: str, *, page: Any, config: Any) -> str:
    """Refuse a page that fetches something from the network."""
    if found := REMOTE.search(output):
        raise PluginError(f"{page.file.src_uri} loads from the network: {output[found.start() : found.end() + 60]}")
    return output


def gallery() -> dict[str, str]:
    """Return the pages of the notebooks, and one that shows all their pictures, which render.py beside them draws."""
    pages: dict[str, str] = {}
    index = ["# Gallery", "", "Notebooks of `examples/gallery/`; each runs in less than two minutes of one core.", ""]
    for path in sorted((ROOT / "examples" / "gallery").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells]
        page = [
            text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```" for cell, text in zip(cells, texts)
        ]
        title = texts[0].splitlines()[0].removeprefix("# ")
        picture = f"![{title}]({path.stem}.png)"
        pages[f"gallery/{path.stem}.md"] = "\n\n".join([*page, picture]) + "\n"
        index += [f"## [{title}]({path.stem}.md)", "", picture, ""]
    return pages | {"gallery/index.md": "\n".join(index)}


def site_link(link: str, place: str) -> str:
    """Return a link of a page as the site needs it, where it leads to a page outside docs/ or from one."""
    path, hash_sign, anchor = link.partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return link
    folder = posixpath.dirname(PLACES.get(place, f"docs/{place}"))
    target = posixpath.normpath(posixpath.join(folder, path))
    if target in OUTSIDE:
        target = OUTSIDE[target]
    elif place in PLACES and target.startswith("docs/"):
        target = target.removeprefix("docs/")
    else:
        return link
    return posixpath.relpath(target, posixpath.dirname(place) or ".") + hash_sign + anchor


def formula(text: str) -> str:
    """Return a displayed formula, as MathML; browsers draw it without a script."""
    norms = text.strip().replace(r"\lVert", r"\|").replace(r"\rVert", r"\|")
    return f'<div class="math">{latex2mathml.converter.convert(norms, display="block")}</div>'


def command_line() -> str:
    """Return the page of all verbs and options, from the application itself."""
    from geogan.cli import app

    group: Any = typer.main.get_command(app)
    context = group.make_context("geogan", ["info"])
    lines = [
        "# Command line",
        "",
        "`geogan VERB --help` prints the same. `--verbose` before the verb prints the traceback of an error. The exit",
        "code is 0 after success, 2 for input that cannot be used, 130 after Ctrl-C.",
    ]
    for name in group.list_commands(context):
        lines += verb(group.get_command(context, name), f"geogan {name}", context, level=2)
    return "\n".join(lines) + "\n"


def verb(command: Any, name: str, parent: Any, *, level: int) -> list[str]:
    """Return the lines about one verb and the verbs below it."""
    context = type(parent)(command, info_name=name, parent=None)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = ["", f"{'#' * level} {name}", "", command.help.strip(), "", "```text", usage, "```", ""]
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None:
            continue
        spelled, text = (" ".join(part.split()) for part in record)
        lines += [f"`{spelled}`", f":   {plain(text)}", ""]
    for below in getattr(command, "commands", {}):
        lines += verb(command.get_command(context, below), f"{name} {below}", context, level=level + 1)
    return lines


def plain(text: str) -> str:
    """Return a text without characters that Markdown would take for its own.

    Examples
    --------
    >>> plain("N  [x>=1]")
    'N  \\\\[x>=1]'
    """
    return re.sub(r"([<*_\[])", r"\\\1", text)


def settings() -> str:
    """Return the page of all settings and presets."""
    from geogan.presets import PRESETS
    from geogan.settings import NetworkConfig, Objective, Settings, TrainConfig

    lines = [
        "# Settings and presets",
        "",
        "Settings are defined once, in `geogan/settings.py`. `geogan train` has an option for most of them; from",
        "Python `geogan.Reconstructor` takes those of `Settings` by name, and the others as objects or dictionaries:",
        "`Reconstructor(network={\"width\": 16}, training={\"minutes\": 5})`.",
    ]  # fmt: skip
    for cls in (Settings, NetworkConfig, Objective, TrainConfig):
        summary = (cls.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
        lines += ["", f"## {cls.__name__}", "", " ".join(summary.split()), ""]
        for each in fields(cls):
            about = each.metadata
            default = f"{about['check'].__name__}()" if each.default is MISSING else repr(each.default)
            option = f" Option `{about['option'].split('/')[0]}`." if about["option"] else ""
            unit = f" [{about['unit']}]" if about["unit"] else ""
            lines += [f"`{each.name} = {default}`{unit}", f":   {plain(' '.join(about['help'].split()))}{option}", ""]
    lines += ["", "## Presets", "", "`--preset NAME` changes these settings; other options override presets.", ""]
    lines += ["| preset | settings |", "|---|---|"]
    for name, values in PRESETS.items():
        lines.append(f"| `{name}` | {', '.join(f'`{key}={value!r}`' for key, value in values.items())} |")
    return "\n".join(lines) + "\n"


def python_names() -> str:
    """Return the directives of mkdocstrings for all public names, by the module that holds each."""
    import geogan

    homes = _homes()
    order = ["Reconstructor", "evaluate", "open_field", "corrupt", "synthetic_sst", "find_axes"]
    names = [name for name in geogan.__all__ if name in homes]
    chosen = sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
    lines = ["## Names", ""]
    lines += [directive(homes[name]) for name in chosen]
    lines += ["## Accessors", ""]
    lines += [f"::: geogan.accessor.{name}\n" for name in ("FieldAccessor", "DatasetAccessor")]
    lines += ["## Operators of your own", ""]
    lines += [f"::: geogan.{name}\n" for name in ("operators.operator.Operator", "testing.check_operator")]
    return "\n".join(lines)


def directive(path: str) -> str:
    """Return the directive of one object; an operator of the package shows its parameters alone."""
    brief = path.startswith("geogan.operators.") and path.rsplit(".", 1)[1][0].isupper()
    return f"::: {path}\n" + ("    options: {members: false}\n" if brief else "")


def _homes() -> dict[str, str]:
    """Return the dotted path of each public class and function, from the object itself."""
    import geogan

    homes = {}
    for name in geogan.__all__:
        target = getattr(geogan, name)
        if callable(target) and hasattr(target, "__module__"):
            homes[name] = f"{target.__module__}.{target.__qualname__}"
    return homes
