"""Say in two plain sentences whether a model is fit to use, from the figures of a league table."""

from __future__ import annotations

from collections.abc import Sequence

from geogan.evaluation.baselines import BASELINES
from geogan.evaluation.ensembles import EnsembleScore
from geogan.evaluation.rows import Row
from geogan.files.run_folder import ABLATION

# Fewest withheld clouds from which an error is judged: errors under one cloud are correlated.
FEWEST_CLOUDS = 4
# Difference of two errors, as a share, below which they count as equal.
EQUAL = 0.01
# Share of the climatology's error from which on a method is hardly better than the climatology.
HARDLY = 0.9
# Share of the truths within the 90 % interval: of reliable error bars, and of error bars that can still be used.
RELIABLE, USABLE = (0.85, 0.95), (0.80, 0.98)
# Predicted over actual error (the spread-skill ratio) of reliable error bars.
SPREAD = 0.8, 1.25


def verdict(
    rows: Sequence[Row], *, name: str, units: str, cells: str, clouds: int | None, is_blurred: bool = False
) -> list[str]:
    """Return sentences on the error of the model beside the other methods, its error bars, and its use.

    Parameters
    ----------
    rows : sequence of Row
        Of one variable.
    name : str
        The variable.
    units : str
        Of the errors; empty if there are none.
    cells : str
        What was scored, in words.
    clouds : int or None
        Runs of withheld dates that were scored; None for a truth, which is not judged by their number.
    is_blurred : bool
        Whether the model deblurs its measurements.

    Returns
    -------
    list of str
        Empty without a row of the model.
    """
    model = next((row for row in rows if row.method == "model"), None)
    # A method that omits cells does not compete. Without a network, the model is the Gaussian MAP.
    others = [
        row
        for row in rows
        if row.method not in ("model", ABLATION)
        and row.score.share > 0.999
        and not (model is not None and row.method == "gaussian" and row.score.rmse == model.score.rmse)
    ]
    if model is None or not model.score.cells or not others:
        return []
    best = min(others, key=lambda row: row.score.rmse)
    better = 1 - model.score.rmse / best.score.rmse
    count = "" if clouds is None else f" ({clouds} of them)"
    error = f"{model.score.rmse:.3g}{f' {units}' if units else ''}"
    first = f"{name}: {error} on {cells}{count}, {_comparison(better)} {_title(best)}."
    bars, is_usable = _error_bars(model.law)
    if is_blurred and model.law is None:
        bars = "Its predicted error is that of the field without blur, which a truth without blur can test. "
    use = _use(better, best, others, model, clouds=clouds, is_usable=is_usable)
    if is_blurred:
        # A fill without a model does not deblur.
        use = use.replace("geogan fill without --model", "the first guess alone")
    return [first, f"{bars}{use}"]


def _comparison(better: float) -> str:
    if abs(better) < EQUAL:
        return "as good as"
    return f"{100 * abs(better):.0f} % {'better' if better > 0 else 'worse'} than"


def _title(row: Row) -> str:
    if row.method == "gaussian":
        return "optimal interpolation (Gaussian MAP)"
    return BASELINES[row.method].title if row.method in BASELINES else row.method


def _error_bars(law: EnsembleScore | None) -> tuple[str, bool]:
    """Return a sentence on the error bars, and whether they can be used."""
    if law is None:
        return "The model predicts no error. ", True
    share = law.coverage[0.9]
    text = f"Its 90 % error bars hold {100 * share:.0f} % of the truths"
    if RELIABLE[0] <= share <= RELIABLE[1]:
        if SPREAD[0] <= law.spread_skill <= SPREAD[1]:
            return f"{text}: reliable. ", True
        return f"{text}, but the predicted error is {law.spread_skill:.2g} times the actual one on average. ", True
    word = "narrow" if share < RELIABLE[0] else "wide"
    if USABLE[0] <= share <= USABLE[1]:
        return f"{text}: slightly too {word}. ", True
    return f"{text}: too {word}; the actual errors are {1 / law.spread_skill:.2g} times the predicted ones. ", False


def _use(better: float, best: Row, others: Sequence[Row], model: Row, *, clouds: int | None, is_usable: bool) -> str:
    """Return whether to use the model."""
    if clouds is not None and clouds < FEWEST_CLOUDS:
        return "Too few withheld clouds to judge: score it on a fuller field with --truth, or train on more dates."
    climatology = next((row for row in others if row.method == "climatology"), None)
    if climatology is not None and model.score.rmse > HARDLY * climatology.score.rmse:
        return "Hardly better than the climatology: the observations say little about these gaps."
    if better < -EQUAL and best.method == "gaussian":
        return "Use geogan fill without --model, or train longer."
    if better < -EQUAL:
        return f"Not fit to use: {_title(best)} is better; train longer, or on more dates."
    if not is_usable:
        return "Use the filled values, but not the error bars as they are."
    if better < EQUAL and best.method == "gaussian":
        return "Fit to use; geogan fill without --model is as good."
    return "Fit to use."
