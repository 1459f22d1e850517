"""Tests of the path and the file of a figure."""

import pytest

from geogan.operators.errors import InputError
from geogan.plotting.figure_file import figure_path, save_figure


def test_existing_files_and_folders_are_refused(tmp_path):
    (tmp_path / "map.png").write_text("old")
    (tmp_path / "folder.png").mkdir()
    assert figure_path(tmp_path / "map.png") == tmp_path / "map.png"
    with pytest.raises(InputError, match="exists; give another name"):
        figure_path(tmp_path / "map.png", overwrite=False)
    with pytest.raises(InputError, match="is a folder"):
        figure_path(tmp_path / "folder.png")


def test_a_figure_that_cannot_be_written_leaves_the_old_file(tmp_path):
    target = tmp_path / "map.png"
    target.write_text("old")

    class Broken:
        def savefig(self, path, dpi):
            path.write_text("half")
            raise OSError(28, "No space left on device", str(path))

    with pytest.raises(InputError, match=r"map\.png cannot be written \(No space left on device\)"):
        save_figure(Broken(), target)
    assert target.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["map.png"]
