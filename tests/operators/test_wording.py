"""Numbers in messages agree with their nouns."""

import pytest

from geogan.operators.wording import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 dates"), (1, "1 date"), (2, "2 dates"), (-1, "-1 dates"), (1234567, "1,234,567 dates")]
)
def test_only_one_is_singular(number, text):
    assert counted(number, "date") == text


def test_an_irregular_plural_is_given():
    assert [counted(number, "process", "processes") for number in (1, 2)] == ["1 process", "2 processes"]
