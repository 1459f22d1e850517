"""Scores of a model and of simpler methods on hidden cells.

Names are loaded when they are first used, so that the command line can list the methods without importing torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geogan.evaluation.ensembles import EnsembleScore
    from geogan.evaluation.evaluate_field import evaluate, scored_archive
    from geogan.evaluation.league import score_methods
    from geogan.evaluation.methods import METHODS
    from geogan.evaluation.rows import Row
    from geogan.evaluation.scoring import Scoring
    from geogan.evaluation.tables import LeagueTable
    from geogan.evaluation.truth import match_truth

# The module of each name; no name is that of a module here, which would hide it.
_HOMES = {
    "METHODS": "methods",
    "EnsembleScore": "ensembles",
    "LeagueTable": "tables",
    "Row": "rows",
    "Scoring": "scoring",
    "evaluate": "evaluate_field",
    "match_truth": "truth",
    "score_methods": "league",
    "scored_archive": "evaluate_field",
}
__all__ = [
    "METHODS",
    "EnsembleScore",
    "LeagueTable",
    "Row",
    "Scoring",
    "evaluate",
    "match_truth",
    "score_methods",
    "scored_archive",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next access is direct
    return value
