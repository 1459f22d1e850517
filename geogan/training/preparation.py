"""Preparation of a training: withhold observations; fit the climatology, the operator and the first guess."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from geogan.archive import (
    Archive,
    ClimatologySums,
    Screen,
    Standardiser,
    Survey,
    Withheld,
    check_field,
    outlier_advice,
    withhold,
)
from geogan.compute.extent import Extent
from geogan.fields.band_transforms import transforms
from geogan.fields.cell_size import cell_size
from geogan.fields.circle import taken
from geogan.fields.covariates import Covariates
from geogan.fields.durations import duration
from geogan.fields.field import Field
from geogan.fields.marks import is_screened
from geogan.fields.observation_error import error_checker, observation_error
from geogan.fields.regression import Regression
from geogan.fields.transforms import Transform
from geogan.gaps import Packing, compare_beside_gaps
from geogan.model import Model
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, parse, remarks
from geogan.operators.wording import counted
from geogan.prior import (
    Film,
    GaussianPrior,
    Prior,
    fit_amplitude,
    fit_covariance,
    fit_drift,
    fit_prior,
    hidden_error,
)
from geogan.settings import Settings, TrainConfig
from geogan.training.blocks import added_gaps, random_samples, random_slice, samples_in_block
from geogan.training.fine_climatology import deblurred_climatology
from geogan.training.regression import choose_regression
from geogan.training.single_scene import Scene, fit_scene, hide_cells

# The first guess is fitted to films of at most FIT_DATES dates and FIT_SIDE cells a side: several persistence times and
# length scales. FIT_VALUES bounds the values of all films, hence the time of the search; FIT_FILMS bounds their number.
FIT_DATES, FIT_SIDE, FIT_VALUES, FIT_FILMS = 20, 192, 600_000, 12
# Number of films for archives of independent samples; there is no persistence to estimate, so a few are enough.
FIT_SAMPLES = 3
# Share of the dates of a film that are hidden under the gaps of other dates; the other dates stay to predict them from.
FIT_HIDDEN = 0.34
# Share of the remaining observations that are hidden one by one; isolated cells determine the noise.
FIT_SINGLE = 0.05
# Frames that are drawn to see whether an operator hides some cells, and cells of each, at most.
DRAWN_FRAMES, DRAWN_CELLS = 32, 2**15
# Transforms in which a mean is the mean of the values.
LINEAR = ("none", "identity")
# Standard deviation of the field over that of its blurred measurements which is no longer credible: a blur that is
# stated too wide explains small waves by large amplitudes.
MOST_SHARPENED = 3.0
# Simulated gaps for archives that have none (operators that only blur or add noise).
SUBSTITUTE_GAPS = CloudMask(coverage=0.3, spread=0.1, scale=4.0, persistence=0.0)
# Largest number of dates, and of mask values, from which an operator is fitted to the gaps; they are held in memory.
GAP_DATES, GAP_VALUES = 256, 2**28
# Dates of each film from which the scales of a screen are estimated; a date is compared with its neighbours.
SCREEN_DATES = 5
# Rounds in which regression and prior are fitted in turns, and the share by which a regression must reduce the error of
# the first guess on hidden clouds.
REGRESSION_ROUNDS, LEAST_REGRESSION_GAIN = 2, 0.003
# Cells a side that a network needs; a thinner grid, such as a transect, is filled by the prior alone.
SMALLEST_SIDE = 8


class Prepared(NamedTuple):
    """A model without networks, and the archive that it is trained on.

    Attributes
    ----------
    model : Model
        Climatology, operator and first guess.
    archive : Archive
    share_seen : ndarray, shape (T,)
        Share of the domain observed on each date.
    scale : float
        Root-mean-square error of the first guess under hidden clouds, in anomalies; 1 without a first guess.
    """

    model: Model
    archive: Archive
    share_seen: np.ndarray
    scale: float


def read_once(
    field: Field,
    *,
    within: np.ndarray | None = None,
    transform: str,
    error: xr.DataArray | None = None,
    memory: int = TrainConfig.memory,
    packing: Packing | None = None,
    message: Callable[[str], None],
) -> tuple[Survey, ClimatologySums | None]:
    """Read a field once: check it, and sum up what the climatology of a field larger than memory is fitted to.

    Parameters
    ----------
    field : Field
    within : ndarray of bool, shape (y, x), optional
        The domain, if it is known.
    transform : str
        Transform of the values, see `geogan.settings.Settings`.
    error : DataArray, of the field's shape, optional
        Standard deviation of each observation's error, checked in the same pass.
    memory : int
        Bytes of float32 that may be in memory.
    packing : Packing, optional
        Packs the mask of the field in the same pass.
    message : callable
        Called with the progress of a long reading.

    Returns
    -------
    survey : Survey
    sums : ClimatologySums or None
        None if the field fits into memory, is an image or has no transform; the climatology then needs no sums.

    Raises
    ------
    InputError
        If :func:`geogan.archive.check_field` refuses the field, or the errors do not match its observations.
    """
    band_transforms = transforms(transform, field.bands)
    check = error_checker(field.with_error(observation_error(field, error=error)))
    is_held = not field.is_lazy or field.array.size <= memory // 4
    has_sums = not (is_held or field.is_image or set(band_transforms) == {"identity"})
    sums = ClimatologySums(field, band_transforms, level=np.median) if has_sums else None

    def look(extent: Extent, values: np.ndarray) -> None:
        check(extent, values)
        for each in (sums, packing):
            if each is not None:
                each.add(extent, values)

    return check_field(field, within=within, look=look, message=message), sums


def prepare_model(
    field: Field,
    survey: Survey,
    settings: Settings,
    *,
    maps: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
    error: xr.DataArray | None = None,
    sums: ClimatologySums | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> Prepared:
    """Withhold observations, and fit the climatology, the operator and the first guess to the others.

    Parameters
    ----------
    field : Field
        With its domain.
    survey : Survey
        Result of :func:`read_once` for the field.
    settings : Settings
        Parameters of the operator that are not set are estimated from the gaps of the field.
    maps : mapping of DataArray, or Dataset, optional
        Covariates of the user, see :meth:`geogan.fields.covariates.Covariates.of`.
    error : DataArray, of the field's shape, optional
        Standard deviation of each observation's error.
    sums : ClimatologySums, optional
        Sums from which the climatology is fitted, see :func:`read_once`.
    message : callable, optional
        Called with one sentence for each result.

    Raises
    ------
    InputError
        If the field cannot be trained on with these settings.
    """
    operator = parse(settings.operator).on_grid(cell_size(field))
    check_gaps(field, survey, operator)
    check_size(field, has_first_guess=settings.first_guess is not False)
    domain = field.domain
    assert domain is not None
    threshold = Screen.threshold_of(settings.screen)
    # Without a network no window of frames is seen.
    frames = 1
    if settings.network is not None:
        frames = frames_of(settings.window, len(survey.seen_share), independent=field.axes.independent, message=message)
    covariates = Covariates.of(settings.covariates, field, maps)
    known = observation_error(field, noise=settings.noise, error=error)
    field = field.with_error(known)
    share = share_seen(survey, domain)
    screened_field = field
    if threshold is not None:
        screened_field, sums = _screened(field, settings, threshold), None
    archive = replace(_withheld(screened_field, share, settings, message), covariates=covariates).held()
    record = _Record(field, screened_field, archive, share, settings, _ready_prior(settings))
    ground = _ground(record, operator, sums=sums, message=message)
    if threshold is not None:
        message(_left_out(ground.archive, threshold))
    given = operator.around(archive.is_periodic)
    operator = given.fitted(_gaps(ground.archive), domain, seed=settings.seed)
    # Fitted parameters may hide so little that no draw shows it.
    check_draws(operator, domain.shape, archive.bands, may_hide_nothing=operator is not given)
    operator = operator.around(False)
    for sentence in (f"operator: {describe(operator)}", *remarks(operator, archive.bands)):
        message(sentence)
    if operator.point_spread() is not None and operator.blurs:
        ground = _deblurred(ground, operator, survey, settings)
        message("blur: the product is the field without it, and every cell of it is an estimate")
        nonlinear = sorted({text for text in ground.archive.standardiser.transforms if text not in LINEAR})
        if nonlinear:
            message(
                f"blur: a mean of the field is taken for a mean of its transform ({', '.join(nonlinear)}), so results "
                "are approximate where the field varies strongly within the blur"
            )
    elif operator.blurs:
        message(
            f"blur: {describe(operator)} has no point_spread, so the first guess is blurred as the measurements are"
        )
    prior, scale, screen = None, 1.0, ground.screen
    if settings.first_guess is not False:
        guess = _first_guess(record, ground, operator)
        if not archive.independent:
            _say_dependence(guess.films, ground.archive.standardiser, field.band_units[0], message)
        # The covariates of a regression would have to be blurred too; networks see them as they are.
        if covariates is not None and not operator.blurs and _may_have_regression(ground.archive):
            ground, guess = _with_regression(record, ground, guess, operator, message)
        advice = outlier_advice(field.name, guess.support.share) if threshold is None else None
        if advice is not None:
            message(advice)
        screen, scale = ground.screen or guess.support.screen, guess.error
        prior = guess.prior.around(False)
        message(_describe_first_guess(prior, scale, ground.archive))
        if prior.blur is not None and prior.amplitude > MOST_SHARPENED:
            message(
                f"blur: without it the field would vary {prior.amplitude:.1f} times as much as its measurements; check "
                f"that {describe(operator)} is not wider than the blur of the instrument"
            )
    withheld = ground.withheld
    model = Model(
        network=None,
        prior=prior,
        operator=operator,
        standardiser=ground.archive.standardiser,
        withheld=withheld or Withheld(np.full((len(archive.days), 1), -1, np.int32)),
        frames=frames,
        covariates=covariates,
        observation_error=known if known is None or isinstance(known, float) else str(known.name or "error"),
        screen=screen,
        **Model.labels_of(field),
    )
    return Prepared(model, ground.archive, share, scale)


class _Record(NamedTuple):
    """A field with its withheld observations, before a climatology is fitted to it."""

    field: Field
    screened: Field  # without the observations that a first screening leaves out
    archive: Archive  # of the screened field, with covariates
    share: np.ndarray
    settings: Settings
    ready: Prior | None  # a prior that is used without a search


class _Ground(NamedTuple):
    """An archive with the climatology of a field, and a regression if there is one."""

    archive: Archive
    scene: Scene | None
    withheld: Withheld | None
    screen: Screen | None


class _Guess(NamedTuple):
    """A first guess, and its error on hidden clouds in anomalies."""

    prior: Prior
    films: list[Film]  # to which it was fitted
    support: _Support
    error: float


def _ground(
    record: _Record,
    operator: Operator,
    *,
    regression: Regression | None = None,
    sums: ClimatologySums | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> _Ground:
    """Return the archive of a record with its climatology; if observations are screened, screen them by it again."""
    settings, share = record.settings, record.share
    standardiser, scene = _climatology(record, operator, regression=regression, sums=sums, message=message)
    archive = replace(record.archive, standardiser=standardiser)
    threshold = Screen.threshold_of(settings.screen)
    if threshold is None:
        return _Ground(archive, scene, archive.withheld, None)
    withheld = archive.withheld
    # Screen again, with the climatology that the fill will screen by.
    screen = Screen.fit(_anomalies(archive), independent=archive.independent, threshold=threshold)
    archive = Archive.of(record.field, standardiser, memory=settings.training.memory)
    archive = replace(archive, screen=screen, covariates=record.archive.covariates).screened().held()
    archive = withholding(archive, share, settings)
    archive.find_hidden()
    return _Ground(archive, scene, archive.withheld or withheld, screen)


def _deblurred(ground: _Ground, operator: Operator, survey: Survey, settings: Settings) -> _Ground:
    """Return an archive of blurred measurements with the climatology of the field."""
    archive = ground.archive
    standardiser = deblurred_climatology(
        archive.standardiser,
        archive.domain,
        survey.domain,
        operator.around(archive.is_periodic),
        is_periodic=archive.is_periodic,
        seed=settings.seed,
        evaluations=settings.training.prior_evaluations,
    )
    return ground._replace(archive=replace(archive, standardiser=standardiser))


def _first_guess(record: _Record, ground: _Ground, operator: Operator) -> _Guess:
    """Return the first guess of an archive, its support and its error."""
    films, prior, support = _fitted_films(record, ground, operator)
    return _Guess(prior, films, support, hidden_error(prior, films))


def _may_have_regression(archive: Archive) -> bool:
    """Return whether the values have a climatology beside which a regression is meaningful: no images, no angles."""
    kinds = [Transform.parse(text) for text in archive.standardiser.transforms]
    return not any(kind.is_angle or kind.kind == "identity" for kind in kinds)


def _with_regression(
    record: _Record, ground: _Ground, guess: _Guess, operator: Operator, message: Callable[[str], None]
) -> tuple[_Ground, _Guess]:
    """Return climatology and first guess with a regression on the covariates, if it predicts hidden clouds better.

    The regression depends on the prior and the prior on the regression, so both are fitted in turns.
    """
    plain, best, gain = ground.archive, (ground, guess), 0.0
    prior, error, ready = guess.prior, guess.error, record.ready
    for _ in range(REGRESSION_ROUNDS):
        found = choose_regression(plain, prior, seed=record.settings.seed)
        if found is None:
            break
        # The prior is searched once more, for the residuals of the first regression; the second hardly changes them.
        record = record._replace(ready=ready)
        other = _ground(record, operator, regression=found[0])
        refitted = _first_guess(record, other, operator)
        # Anomalies of the residual have a smaller scale.
        ratio = float(np.exp(np.log(other.archive.standardiser.scale / plain.standardiser.scale).mean()))
        if refitted.error * ratio > (1 - LEAST_REGRESSION_GAIN) * error:
            break
        error, best, gain = refitted.error * ratio, (other, refitted), found[1]
        prior, ready = replace(refitted.prior, amplitude=refitted.prior.amplitude * ratio), refitted.prior
    message(_describe_regression(best[0].archive, gain))
    return best


def _describe_regression(archive: Archive, gain: float) -> str:
    """Return a sentence about the regression of an archive."""
    assert archive.covariates is not None
    regression, names = archive.standardiser.regression, ", ".join(archive.covariates.names)
    if regression is None:
        return f"regression: none, because {names} do not predict hidden observations better than the others do alone"
    return (
        f"regression: {counted(len(regression.terms), 'term')} of {names}, which explain {gain:.0%} of the mean square "
        "error on hidden observations"
    )


def _withheld(field: Field, share: np.ndarray, settings: Settings, message: Callable[[str], None]) -> Archive:
    """Return the archive of a field with observations withheld; this comes first, so that nothing is fitted to them."""
    assert field.domain is not None
    standardiser = Standardiser.identity(field.bands, field.domain)
    archive = Archive.of(field, standardiser, memory=settings.training.memory)
    archive = withholding(archive.held(), share, settings)
    entry, count = "sample" if archive.independent else "date", len(archive.days)
    withheld_dates = 0 if archive.withheld is None else len(archive.withheld.dates)
    message(f"withheld: observations under the gaps of other {entry}s, on {withheld_dates} of {counted(count, entry)}")
    if archive.is_periodic:
        message("grid: the longitudes span the globe, so the last column is the neighbour of the first")
    archive.find_hidden()
    return archive


def withholding(archive: Archive, share: np.ndarray, settings: Settings) -> Archive:
    """Return the archive with observations withheld; for an objective without withheld term, on a tenth of the dates.

    Such an objective must not see measurements that have lost cells: it learns their law. So whole dates, or samples,
    are set aside (see `geogan.training.blocks.BlockContent`), three at least.
    """
    archive = archive.withholding(share, seed=settings.seed)
    withheld, most = archive.withheld, max(3, len(archive.days) // 10)
    if settings.objective.weight_withheld > 0 or withheld is None or len(withheld.dates) <= most:
        return archive
    kept = withheld.dates[np.unique(np.linspace(0, len(withheld.dates) - 1, most).astype(int))]
    sources = np.full_like(withheld.sources, -1)
    sources[kept] = withheld.sources[kept]
    return replace(archive, withheld=withheld._replace(sources=sources))


def _climatology(
    record: _Record,
    operator: Operator,
    *,
    regression: Regression | None,
    sums: ClimatologySums | None,
    message: Callable[[str], None],
) -> tuple[Standardiser, Scene | None]:
    """Return the climatology of the observations that are not withheld, and the first guess of a single scene.

    A climatology beside a regression is that of the residuals.
    """
    field, archive, settings = record.screened, record.archive, record.settings
    transform = settings.transform
    trend = None if regression is None else partial(_trend, archive, regression)
    if sums is not None:
        dates = [] if archive.withheld is None else archive.withheld.dates.tolist()
        sums.leave_out(archive.field, dates, archive.hidden)
    scene = None
    if settings.first_guess is not False and operator.masks and len(archive.days) == 1:
        sums = sums or ClimatologySums.read(
            field, transforms(transform, field.bands), hidden=archive.hidden, trend=trend, message=message
        )
        scene = fit_scene(
            archive,
            partial(_without, sums, field, transform, regression),
            seed=settings.seed,
            operator=operator,
            prior=record.ready if isinstance(record.ready, GaussianPrior) else None,
            evaluations=settings.training.prior_evaluations,
        )
    if scene is not None:
        message(f"climatology: {scene.standardiser.note}{scene.reason}")
        return scene.standardiser, scene
    standardiser = Standardiser.fit(
        field, transform=transform, hidden=archive.hidden, sums=sums, trend=trend, message=message
    )
    message(f"climatology: {standardiser.note}")
    return replace(standardiser, regression=regression), None


def _trend(archive: Archive, regression: Regression, t: slice | np.ndarray, y: slice, x: slice) -> np.ndarray:
    """Return the part of the mean that a regression explains, (t, C, h, w)."""
    channels = archive.channels(t, y, x)
    assert channels is not None
    return regression.mean(channels, y, x)


def _ready_prior(settings: Settings) -> GaussianPrior | None:
    """Return the prior that is used without a search, if the settings have one."""
    return settings.first_guess if isinstance(settings.first_guess, GaussianPrior) else None


def _fitted_films(record: _Record, ground: _Ground, operator: Operator) -> tuple[list[Film], Prior, _Support]:
    """Return films with hidden observations, the prior fitted to them, and the screen estimated from them."""
    archive, scene, screen = ground.archive, ground.scene, ground.screen
    share, settings = record.share, record.settings
    ready, support = record.ready, _Support(screen, 0.0)
    fitted: Prior | None = None
    if scene is not None:
        films, fitted = scene.films, scene.prior
    else:
        substitute = None if operator.masks else SUBSTITUTE_GAPS
        films, dates = _hidden_films(archive, substitute, share, seed=settings.seed)
        if not films and operator.downsampling != (1, 1):
            # The cells between those of a coarse sensor are gaps on all dates, so that no date hides another's.
            films, dates = _hidden_films(archive, SUBSTITUTE_GAPS, share, seed=settings.seed)
        elif not films and (record.settings.network is None or (archive.withheld and len(archive.withheld.dates))):
            # Tracks of a repeat orbit are back on some of the dates whose common gaps would hide observations. Without
            # withheld observations no network can be chosen, so that a training is refused before the search.
            films, dates = _hidden_films(archive, operator, share, seed=settings.seed)
        films, support = _supported(films, screen, independent=archive.independent)
    if ready is not None:
        return films, ready.through(operator) if isinstance(ready, GaussianPrior) else ready, support
    if fitted is None:
        is_periodic = archive.is_periodic and archive.domain.shape[1] <= FIT_SIDE
        fit = partial(
            fit_prior,
            films,
            evaluations=settings.training.prior_evaluations,
            temporal=not archive.independent,
            is_periodic=is_periodic,
            operator=operator,
            seed=settings.seed,
        )
        markov = fit()
        if operator.blurs:
            return films, fit_amplitude(markov, films, seed=settings.seed), support
        if not archive.independent:
            markov = fit_drift(markov, films, fit=lambda prior: fit(start=prior), is_periodic=is_periodic)
        chosen = fit_covariance(
            markov,
            films,
            dates,
            archive.read,
            dates=len(archive.days),
            shape=(archive.bands, *archive.domain.shape),
            most=archive.most_values,
            has_time=not archive.independent,
        )
        return films, fit_amplitude(chosen, films, seed=settings.seed), support
    return films, fit_amplitude(fitted, films, seed=settings.seed), support


def _say_dependence(films: list[Film], standardiser: Standardiser, units: str, message: Callable[[str], None]) -> None:
    """Say so if the gaps of some films of consecutive dates depend on the field."""
    anomalies, until = [], -math.inf
    for film in sorted(films, key=lambda film: float(film.days[0])):
        # Films of the same dates are not independent, and an interval would be too narrow.
        if float(film.days[0]) > until:
            until = float(film.days[-1])
            anomalies.append(np.where((film.kept + film.hidden > 0).numpy(), film.values.numpy(), np.nan))
    found = compare_beside_gaps(anomalies)
    if found is not None and found.is_found:
        message(found.sentence(*standardiser.error_unit(units)))


def _describe_first_guess(prior: Prior, scale: float, archive: Archive) -> str:
    """Return a sentence about a prior and its error on hidden clouds, in anomalies or in the field's unit."""
    unit, units = archive.standardiser.error_unit("")
    extent = prior.extent
    persistence = "" if archive.independent else f"persistence {duration(prior.persistence)}, "
    error = f"{scale * unit:.4g} {units if units == 'anomalies' else ''}".strip()
    drift = ""
    if isinstance(prior, GaussianPrior) and prior.is_moving:
        step = float(np.median(np.diff(archive.days)))
        drift = f"drift {prior.drift_y * step:.2f} rows and {prior.drift_x * step:.2f} columns in {duration(step)}, "
    brief = ""
    if isinstance(prior, GaussianPrior) and prior.brief:
        brief = f"a brief field of {prior.brief:.2f} with length {prior.brief_length:.0f} cells, "
    return f"first guess: {extent}, {drift}{persistence}{brief}noise {prior.noise:.2f}; error {error} on hidden clouds"


def check_size(field: Field, *, has_first_guess: bool) -> None:
    """Refuse a grid too thin for a network, unless the first guess alone can fill it.

    Raises
    ------
    InputError
    """
    assert field.domain is not None
    if not is_thin(field.domain) or (has_first_guess and not field.axes.independent):
        return
    height, width = field.domain.shape
    advice = "give larger images" if field.axes.independent else "leave out --no-first-guess, which fills it alone"
    raise InputError(
        f"{field.name} has {height} x {width} cells, where a network needs {SMALLEST_SIDE} x {SMALLEST_SIDE} or more; "
        f"{advice}"
    )


class _Support(NamedTuple):
    """Scales of a screen, and the share of observations that it finds suspicious."""

    screen: Screen | None
    share: float


def _supported(films: list[Film], rule: Screen | None, *, independent: bool) -> tuple[list[Film], _Support]:
    """Return films without suspicious observations, which would determine the scales of the first guess."""
    anomalies = [np.where((film.kept + film.hidden > 0).numpy(), film.values.numpy(), np.nan) for film in films]
    screen = rule or Screen.fit(anomalies, independent=independent)
    if screen is None:
        return films, _Support(None, 0.0)
    suspicious = [screen.suspicious(anomaly, independent=independent) for anomaly in anomalies]
    observed = sum(int(np.isfinite(anomaly).sum()) for anomaly in anomalies)
    share = sum(int(cells.sum()) for cells in suspicious) / max(1, observed)
    supported = []
    for film, cells in zip(films, suspicious, strict=True):
        if not cells.any():
            supported.append(film)
            continue
        good = torch.from_numpy(~cells).to(film.values.dtype)
        single = None if film.single is None else film.single * good
        supported.append(
            replace(film, values=film.values * good, mask=film.mask * good, kept=film.kept * good, single=single)
        )
    # The fit needs hidden observations in each film.
    if any(not film.hidden.any() for film in supported):
        return films, _Support(screen, share)
    return supported, _Support(screen, share)


def _screened(field: Field, settings: Settings, threshold: float) -> Field:
    """Return the field without observations that neither their neighbours nor a first climatology support."""
    standardiser = Standardiser.fit(field, transform=settings.transform)
    archive = Archive.of(field, standardiser, memory=settings.training.memory).held()
    screen = Screen.fit(_anomalies(archive), independent=archive.independent, threshold=threshold)
    archive = replace(archive, screen=screen).screened()
    array = field.array.transpose(*field.axes.dims)
    return field.with_array(array.copy(data=field.unstacked(archive.field.data)))


def _anomalies(archive: Archive) -> list[np.ndarray]:
    """Return anomalies of some films of consecutive dates, withheld or not, NaN where nothing was observed."""
    count, (height, width) = len(archive.days), archive.domain.shape
    cells = archive.bands * min(FIT_SIDE, height) * min(FIT_SIDE, width)
    dates = min(count, SCREEN_DATES)
    films = int(np.clip(FIT_VALUES // (dates * cells), 1, FIT_FILMS))
    y, x = (slice((size - min(FIT_SIDE, size)) // 2, (size + min(FIT_SIDE, size)) // 2) for size in (height, width))
    anomalies = []
    for start in np.unique(np.linspace(0, count - dates, films).astype(int)).tolist():
        film = archive.read(slice(start, start + dates), y, x)
        anomalies.append(np.where((film.mask + film.withheld > 0).numpy(), film.values.numpy(), np.nan))
    return anomalies


def _left_out(archive: Archive, threshold: float) -> str:
    """Return a sentence about the observations that a screen leaves out."""
    rule = (
        f"observations more than {threshold:g} robust standard deviations from the climatology are left out unless "
        "their neighbours support them"
    )
    if archive.field.chunks is not None:
        return f"screen: {rule}"
    values = archive.field.values
    count = int(is_screened(values).sum())
    return f"screen: {rule}: {count:,} of {int(np.isfinite(values).sum()) + count:,}"


def frames_of(window: int, dates: int, *, independent: bool, message: Callable[[str], None]) -> int:
    """Return the number of frames of a training window, at most the number of dates.

    Raises
    ------
    InputError
        If no date has ``window`` dates before or after it.

    Examples
    --------
    >>> frames_of(2, 30, independent=False, message=print)
    5
    >>> frames_of(2, 4, independent=False, message=print)
    window 2 needs 5 dates and the record has 4: each window holds all dates
    4
    """
    if window == 0:
        return 1
    if independent:
        message("samples are independent: each is reconstructed without the others (window 0)")
        return 1
    if dates == 1:
        message("a single scene: it has no other dates to use (window 0)")
        return 1
    if window >= dates:
        raise InputError(
            f"window {window} needs {counted(window, 'date')} before or after a date, and the record has {dates} in "
            f"all; give --window {dates - 1} at most"
        )
    if 2 * window + 1 > dates:
        message(
            f"window {window} needs {counted(2 * window + 1, 'date')} and the record has {dates}: each window holds "
            "all dates"
        )
    return min(2 * window + 1, dates)


def is_thin(domain: np.ndarray) -> bool:
    """Return whether a grid is too thin for a network.

    Examples
    --------
    >>> is_thin(np.ones((1, 40), bool)), is_thin(np.ones((8, 8), bool))
    (True, False)
    """
    return min(domain.shape) < SMALLEST_SIDE


def share_seen(survey: Survey, domain: np.ndarray) -> np.ndarray:
    """Return the share of the domain observed on each date, (T,)."""
    cells = max(1, int(domain.sum()))
    return np.minimum(1.0, survey.seen_share * survey.cells / cells)


def check_gaps(field: Field, survey: Survey, operator: Operator) -> None:
    """Refuse a domain without observations, and an operator that does not match the gaps of the field.

    Raises
    ------
    InputError
    """
    name, domain = field.name, field.domain
    assert domain is not None
    if domain.shape != survey.domain.shape:
        raise InputError(
            f"the domain has the shape {domain.shape}, where {survey.domain.shape} is expected, that of {name}; give a "
            "mask on the same grid"
        )
    if not (survey.domain & domain).any():
        raise InputError(f"{name} has no value inside the domain; give the mask whose 1 is where {name} exists")
    gap_free = survey.gap_free and not (domain & ~survey.domain).any()
    if gap_free and operator.masks:
        raise InputError(
            f"{name} has no gaps, but the operator {describe(operator)} makes gaps, so simulated measurements could "
            "never match the real ones; add gaps first with geogan corrupt"
        )
    if not gap_free and not operator.masks:
        raise InputError(
            f"{name} has gaps, but the operator {describe(operator)} makes none; add one that does, such as "
            "--operator observed_gaps"
        )


def check_draws(operator: Operator, size: tuple[int, ...], bands: int, *, may_hide_nothing: bool = False) -> None:
    """Refuse a masking operator that hides every cell of all drawn frames, or none.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_draws(parse("sparse_sampling:fraction=1"), (8, 9), 1)
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: sparse_sampling:fraction=1 hides no cell of 32 drawn frames; ...
    """
    height, width = size
    shape = (DRAWN_FRAMES, 1, bands, height, min(width, max(1, DRAWN_CELLS // height)))
    theta = operator.sample(shape, generator=torch.Generator().manual_seed(0))
    mask = operator.apply(torch.ones(shape), theta).mask
    if operator.masks and not mask.any():
        raise InputError(
            f"{describe(operator.around(False))} hides every cell of {len(mask)} drawn frames, so nothing can be "
            "learned from it; give parameters with which some cells are observed"
        )
    if operator.masks and mask.all() and not may_hide_nothing:
        raise InputError(
            f"{describe(operator.around(False))} hides no cell of {len(mask)} drawn frames; give parameters with which "
            "some cells are hidden, or another operator"
        )


def _without(
    sums: ClimatologySums,
    field: Field,
    transform: str,
    regression: Regression | None,
    hidden: np.ndarray,
    is_plane: bool,
) -> Standardiser:
    """Return the climatology of a single scene without its hidden cells, (C, H, W) bool."""
    standardiser = Standardiser.fit(field, transform=transform, plane=is_plane, sums=sums.without(hidden))
    return replace(standardiser, regression=regression)


def _gaps(archive: Archive) -> np.ndarray:
    """Return masks of some runs of dates, to fit an operator to: (N, H, W), or (N, C, H, W) with several bands."""
    count = len(archive.days)
    run, most = min(count, 16), min(GAP_DATES, GAP_VALUES // (archive.bands * archive.domain.size))
    starts = np.unique(np.linspace(0, count - run, max(1, most // run)).astype(int)) if count > most else [0]
    dates = [date for start in starts for date in range(start, start + (run if count > most else count))]
    archive.masks.read_ahead(dates)
    gaps = np.stack([archive.seen(date) for date in dates])
    return gaps if archive.bands > 1 else gaps[:, 0]


def _hidden_films(
    archive: Archive, substitute: Operator | None, share: np.ndarray, *, seed: int
) -> tuple[list[Film], list[slice | np.ndarray]]:
    """Return films of the archive in which the gaps of other dates, or of a substitute, hide observations.

    Gaps are used whole. Any first guess is good in small gaps, so a search on small gaps would not learn the
    persistence that large gaps need.

    Returns
    -------
    films : list of Film
    dates : list of slice or ndarray
        Dates of each film.
    """
    generator = np.random.default_rng([seed, 0xF17])
    count, (height, width) = len(archive.days), archive.domain.shape
    size = min(FIT_DATES, count) * archive.bands * min(FIT_SIDE, height) * min(FIT_SIDE, width)
    wanted = int(np.clip(FIT_VALUES // size, 2, FIT_FILMS))
    if archive.independent:
        wanted = FIT_SAMPLES
    films: list[Film] = []
    film_dates: list[slice | np.ndarray] = []
    # Gaps of an operator that observes little would hide nearly everything, so the common gaps of some draws are used.
    coverage = 0.0 if substitute is SUBSTITUTE_GAPS else 1 - float(share[share > 0].mean())
    for attempt in range(4 * wanted):
        t, y = random_slice(count, FIT_DATES, generator), random_slice(height, FIT_SIDE, generator)
        x = random_slice(width, FIT_SIDE, generator, is_periodic=archive.is_periodic)
        dates = np.arange(count)[t]
        if archive.independent:
            dates = random_samples(archive, generator, samples_in_block(archive))
        film = archive.read(dates if archive.independent else t, y, x)
        observed = film.mask.numpy()
        hidden = np.zeros_like(observed)
        if substitute is None:
            observed_here = (observed + film.withheld.numpy()) > 0
            for date, cells in _hidden_dates(
                _seen(archive, dates, observed_here), share[dates], archive, seed=seed + 1 + attempt
            ):
                hidden[date] = cells if archive.streamed else taken(cells, y, x)
        else:
            ones = torch.ones(observed.shape)
            batch = ones[:, None] if archive.independent else ones[None]
            substitute = substitute.around(archive.spans(x))
            random = torch.Generator().manual_seed(seed + attempt)
            shown = added_gaps(substitute, tuple(batch.shape), coverage, generator=random)  # type: ignore[arg-type]
            hidden = 1 - shown.view_as(ones).numpy()
        hidden = hidden * observed
        if not hidden.any():
            continue
        # Isolated hidden cells determine the noise; inside a cloud no observation is near enough for that.
        is_single = np.random.default_rng([seed, 0x51, attempt]).random(hidden.shape) < FIT_SINGLE
        single = is_single * (observed - hidden)
        films.append(hide_cells(film, hidden, single=single.astype(hidden.dtype)))
        film_dates.append(dates if archive.independent else t)
        if len(films) == wanted:
            break
    return films, film_dates


def _seen(archive: Archive, dates: np.ndarray, observed: np.ndarray) -> Callable[[int], np.ndarray]:
    """Return a function from the number of a date in a film to its mask.

    The mask covers the whole grid, or the cells of the film (``observed``) if the archive is read from disk.
    """
    return observed.__getitem__ if archive.streamed else lambda date: archive.seen(int(dates[date]))


def _hidden_dates(
    seen: Callable[[int], np.ndarray], share: np.ndarray, archive: Archive, *, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of some dates with their cells to hide, (C, H, W) bool."""
    if len(archive.days) == 1:
        # An image's gaps rotated by 180 degrees hide the withheld cells already; mirrored, they hide other cells.
        observed = seen(0)
        yield 0, observed & ~(observed[:, ::-1] if seed % 2 else observed[:, :, ::-1])
        return
    rule = withhold(seen, share, seed=seed, share=FIT_HIDDEN, independent=archive.independent)
    for date in rule.dates:
        yield int(date), np.asarray(rule.hidden(int(date), seen))
