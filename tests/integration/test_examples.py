"""Every notebook runs, and is stored without outputs."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from geogan import synthetic_sst
from geogan.pipelines.info import info

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
GALLERY = sorted((EXAMPLES / "gallery").glob("*.ipynb"))
DATA = EXAMPLES.parents[1] / "shared" / "data"


@pytest.mark.parametrize("path", NOTEBOOKS + GALLERY, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # in Jupyter the pictures go into the notebook
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = re.sub(
            r'"minutes": [0-9.]+', '"steps": 4, "prior_evaluations": 3', cell.source.replace("days=90", "days=16")
        )
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)


@pytest.mark.slow
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_notebook_of_the_gallery_runs(path, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("GEOGAN_DATA", str(DATA))
    if "from data import" in path.read_text(encoding="utf-8") and not DATA.exists():
        pytest.skip("the shared data are not there")
    monkeypatch.syspath_prepend(str(EXAMPLES / "gallery"))
    from render import pictures, run

    assert pictures(run(path, str(tmp_path)))


def test_the_archive_of_getting_started_says_which_cells_are_sea(tmp_path, monkeypatch):
    """Coastlines do not have the land of a synthetic sea, so the archive needs a mask."""
    page = (Path(__file__).parents[2] / "docs" / "getting-started.md").read_text(encoding="utf-8")
    (lines,) = [block.split("```")[0] for block in page.split("```python\n") if "synthetic_sst" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(lines.replace("days=160", "days=20"), "getting-started.md", "exec"), {})
    cells = int(synthetic_sst(days=1, size=64).sea_mask.sum())
    assert info("sst.zarr")["coverage"]["domain"] == f"sea_mask of the data, {cells:,} cells"
