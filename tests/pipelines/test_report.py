"""A report is one page that needs no other file, shows the figures, and runs nothing from the files it describes."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from geogan.model import save_model
from geogan.operators.errors import InputError
from geogan.pipelines.report import ReportOptions, report

EVIL = '<script>alert("1")</script>'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Tags(HTMLParser):
    """Collect the tags of a page, and the addresses that it loads or links to."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture(scope="module")
def page(model, gappy, tmp_path_factory):
    """Return the path of a report on data whose names are markup."""
    folder = tmp_path_factory.mktemp("report")
    run = save_model(folder / "run", model)
    data = folder / "<b>&sea.nc"
    gappy.assign_attrs(gappy.attrs | {"long_name": EVIL}).to_netcdf(data)
    options = ReportOptions(methods=["climatology", "model"], maps=2)
    return report(data, run, folder / "report.html", options)


def test_everything_is_in_one_page_and_nothing_is_loaded(page):
    content = page.read_text(encoding="utf-8")
    found = Tags()
    found.feed(content)
    assert all(address.startswith(("data:image/png;base64,", "#part-")) for address in found.addresses)
    assert found.tags.count("img") >= 4 and found.tags.count("input") == 1 and found.tags.count("section") == 6
    for words in ("withheld clouds", "climatology", "RMSE", "rules that mark gaps", "geogan evaluate", "torch"):
        assert words in content


def test_texts_of_files_are_no_markup(page):
    content = page.read_text(encoding="utf-8")
    found = Tags()
    found.feed(content)
    assert found.tags.count("script") == 1 and "b" not in found.tags
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;: gaps" in content and "&lt;b&gt;&amp;sea.nc" in content
    # The policy of the page allows its own script alone.
    assert re.search(r"script-src 'sha256-[\w+/]{43}='\"", content)


def test_another_file_is_not_replaced(page, tmp_path):
    (tmp_path / "mine.html").write_text("<p>precious")
    run = page.parent / "run"
    for out, words in [
        (tmp_path / "mine.html", "is no report of geogan, so it stays"),
        (page, "exists; give another name, or overwrite it"),
        (tmp_path / "report.txt", "must end in .html"),
        (tmp_path / "nowhere" / "report.html", "does not exist; make it first"),
    ]:
        with pytest.raises(InputError, match=words):
            report(page.parent / "<b>&sea.nc", run, out)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_one_map_and_the_page_is_not_wider_than_the_screen(page, width):
    probe = page.with_name(f"probe{width}.html")
    # The browser prints the page after its scripts have run; the probe adds the width of its content.
    content = page.read_text(encoding="utf-8")
    content = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", content)
    script = "<script>document.body.dataset.wide = document.documentElement.scrollWidth</script></body>"
    probe.write_text(content.replace("</body>", script), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    shown = subprocess.run([CHROMIUM, *options, probe.as_uri()], capture_output=True, text=True, timeout=120).stdout
    assert shown.count('<figure class="shown">') == 1
    assert int(re.search(r'data-wide="(\d+)"', shown)[1]) <= max(width, 500)
