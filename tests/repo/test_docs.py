"""The pages of the documentation are all in its navigation, and quote messages that the code has."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS, README = ROOT / "docs", ROOT / "README.md"
# `…` in a quoted message stands for what the code fills in.
GAP = "…"


def literals() -> list[str]:
    """Return every text of the code, with a gap for each part that is filled in."""
    found = []
    for folder in ("geogan", "operators", "pipelines"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def quoted_messages() -> list[str]:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)


def test_every_quoted_message_exists():
    texts = literals()
    messages = quoted_messages()
    assert len(messages) > 20
    missing = [message for message in messages if not any(message in text for text in texts)]
    assert not missing, f"docs/troubleshooting.md quotes messages that the code does not have: {missing}"


def test_every_page_is_in_the_navigation():
    """MkDocs finds pages that do not exist; this finds pages that nobody is led to."""
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1]
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages <= set(re.findall(r": (\S+\.md)$", nav, flags=re.MULTILINE))


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in [*DOCS.rglob("*.md"), README]))
def test_links_lead_to_files_and_headings(page):
    """The pages are read on their own too, without the site."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\(([^)\s#:]*\.md)?#([^)\s]+)\)", text):
        target = (ROOT / page).parent / link if link else ROOT / page
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert anchor in [slug(heading) for heading in headings], (
            f"{page} links to {link}#{anchor}, which has no heading"
        )
    made = {"reference/command-line.md", "reference/settings.md"}
    for link in re.findall(r"\]\(([^)\s#]+)", text):
        if "://" not in link and not any(link.endswith(name) for name in made):
            assert ((ROOT / page).parent / link).exists(), f"{page} links to {link}, which does not exist"
