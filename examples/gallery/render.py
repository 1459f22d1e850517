"""Run the notebooks of this folder, or those that are named, and write the last picture of each to docs/gallery/."""

import base64
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "docs" / "gallery"


def run(path: Path, folder: str) -> nbformat.NotebookNode:
    """Return a notebook with its outputs; it runs in ``folder``, with `data` at hand."""
    notebook = nbformat.read(path, as_version=4)
    setup = nbformat.v4.new_code_cell(f"import sys; sys.path.insert(0, {str(HERE)!r})")
    notebook.cells.insert(0, setup)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return notebook


def pictures(notebook: nbformat.NotebookNode) -> list[bytes]:
    """Return the pictures among the outputs of a notebook."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [base64.b64decode(each.data["image/png"]) for each in outputs if "image/png" in each.get("data", {})]


def texts(notebook: nbformat.NotebookNode) -> str:
    """Return what a notebook printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(each.text for each in outputs if each.output_type == "stream" and each.name == "stdout")


if __name__ == "__main__":
    for path in sorted(HERE.glob("*.ipynb")):
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(path, folder)
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{path.stem}.png").write_bytes(pictures(notebook)[-1])
        print(f"{path.stem}, {time.perf_counter() - start:.0f} s\n{texts(notebook)}")
