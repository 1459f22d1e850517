"""The paper's experiment: Table 1 in kind, on the user's images. Installed as ``geogan.paper``."""

from geogan.paper.cells import COLUMNS, ROWS, TableSettings
from geogan.paper.table1 import table1

__all__ = ["COLUMNS", "ROWS", "TableSettings", "table1"]
