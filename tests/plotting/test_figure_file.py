"""A figure goes where it may."""

import pytest

from geogan.operators.errors import InputError
from geogan.plotting import figure_path


def test_where_a_figure_may_go(tmp_path):
    (tmp_path / "map.png").write_text("old")
    (tmp_path / "folder.png").mkdir()
    assert figure_path(tmp_path / "map.png") == tmp_path / "map.png"
    with pytest.raises(InputError, match="exists; give another name"):
        figure_path(tmp_path / "map.png", overwrite=False)
    with pytest.raises(InputError, match="is a folder"):
        figure_path(tmp_path / "folder.png")
