"""What is found out about a gappy field before a network is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
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
from geogan.fields.circle import taken
from geogan.fields.covariates import Covariates
from geogan.fields.durations import duration
from geogan.fields.field import Field
from geogan.fields.marks import is_screened
from geogan.fields.observation_error import error_checker, observation_error
from geogan.model import Model
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, parse, remarks
from geogan.prior import (
    ArchivePrior,
    Film,
    GaussianPrior,
    Prior,
    fit_amplitude,
    fit_archive_prior,
    fit_prior,
    hidden_error,
)
from geogan.settings import Settings, TrainConfig
from geogan.training.blocks import random_samples, random_slice
from geogan.training.single_scene import Scene, fit_scene, hiding

# The first guess is fitted on pieces of so many dates and cells a side, so many values together.
FIT_DATES, FIT_SIDE, FIT_VALUES, MOST_PIECES = 20, 192, 600_000, 12
# Pieces of independent samples that it is fitted on: there is no time to look along.
FIT_SAMPLES = 3
# Share of a piece's dates that are hidden under other dates' gaps.
FIT_HIDDEN = 0.34
# And of the observations left so many, one by one.
FIT_SINGLE = 0.05
# What hides instead, where an archive has no gaps of its own.
DRAWN = CloudMask(coverage=0.3, spread=0.1, scale=4.0, persistence=0.0)
# Dates of gaps that an operator is fitted to; fewer of large grids, of so many values together.
GAP_DATES, GAP_VALUES = 256, 2**28
# Consecutive dates that the scales of a screen are estimated from at a time.
SCREEN_DATES = 5
# Cells that a network needs each way; a thinner grid, such as a transect, is filled by the prior alone.
SMALLEST = 8


class Prepared(NamedTuple):
    """A model without a network (its first guess alone), and the archive it will be trained on."""

    model: Model
    archive: Archive
    share_seen: np.ndarray  # (T,): share of the domain seen on each date
    scale: float  # error of the first guess on hidden clouds, in anomalies; 1 for none


def read_once(
    field: Field,
    *,
    within: np.ndarray | None = None,
    transform: str,
    error: xr.DataArray | None = None,
    memory: int = TrainConfig.memory,
    message: Callable[[str], None],
) -> tuple[Survey, ClimatologySums | None]:
    """The survey of a field, and of one that is too long for memory also what its climatology is fitted to.

    Parameters
    ----------
    field : Field
    within : ndarray of bool, shape (y, x), optional
        The domain, where it is known.
    transform : str
    error : DataArray, of the field's shape, optional
        Standard deviation of each observation's error, checked in the same pass.
    memory : int
        Bytes of float32 that may be in memory.
    message : callable
        Called with how far it is, where it takes long.

    Raises
    ------
    InputError
        Where :func:`geogan.io.check_field` refuses the field, or the errors do not fit its observations.
    """
    each = transforms(transform, field.bands)
    check = error_checker(field.with_error(observation_error(field, error=error)))
    is_held = not field.is_lazy or field.array.size <= memory // 4
    if is_held or field.is_image or set(each) == {"identity"}:
        return check_field(field, within=within, look=check, message=message), None
    sums = ClimatologySums(field, each, level=np.median)

    def look(region: Extent, part: np.ndarray) -> None:
        check(region, part)
        sums.add(region, part)

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
    """Withhold observations; fit climatology, operator and first guess to the others.

    Parameters
    ----------
    field : Field
        With its domain.
    survey : Survey
        Of the field, from :func:`geogan.archive.survey.check_field`.
    settings : Settings
        Open parameters of the operator are fitted to the gaps of the field.
    maps : mapping of DataArray, shape (y, x), or Dataset, optional
        Static covariates, see :meth:`geogan.fields.covariates.Covariates.of`.
    error : DataArray, of the field's shape, optional
        Standard deviation of each observation's error.
    sums : ClimatologySums, optional
        What the climatology is fitted to, if the whole field was read before, see :func:`read_once`.
    message : callable, optional
        Called with sentences about what was found.

    Raises
    ------
    InputError
        If the field cannot be trained on with these settings.
    """
    operator = parse(settings.operator)
    check_gaps(field, survey, operator)
    check_size(field, has_first_guess=settings.first_guess is not False)
    domain = field.domain
    assert domain is not None
    threshold = Screen.threshold_of(settings.screen)
    frames = frames_of(settings.window, len(survey.seen_share), independent=field.axes.independent, message=message)
    covariates = Covariates.of(settings.covariates, field, maps)
    known = observation_error(field, noise=settings.noise, error=error)
    field = field.with_error(known)
    share = share_seen(survey, domain)
    screened_field = field
    if threshold is not None:
        screened_field, sums = _screened(field, settings, threshold), None
    archive = _withheld(screened_field, share, settings, message)
    standardiser, scene = _climatology(screened_field, archive, operator, settings, sums, message)
    archive, withheld, screen = replace(archive, standardiser=standardiser), archive.withheld, None
    if threshold is not None:
        # Screen again, with the climatology that the fill will screen by.
        screen = Screen.fit(_anomalies(archive), independent=archive.independent, threshold=threshold)
        archive = Archive.of(field, standardiser, memory=settings.training.memory)
        archive = replace(archive, screen=screen).screened().held()
        archive = archive.withholding(share, seed=settings.seed)
        withheld = archive.withheld or withheld
        archive.find_hidden()
        message(_left_out(archive, threshold))
    operator = operator.around(archive.is_periodic).fitted(_gaps(archive), domain, seed=settings.seed)
    operator = operator.around(False)
    for sentence in (f"operator: {describe(operator)}", *remarks(operator, archive.bands)):
        message(sentence)
    prior, scale = None, 1.0
    if settings.first_guess is not False:
        films, prior, found = _fitted_films(archive, scene, operator, share, settings, screen)
        advice = outlier_advice(field.name, found.share) if threshold is None else None
        if advice is not None:
            message(advice)
        screen = screen or found.screen
        scale = hidden_error(prior, films)
        prior = prior.around(False)
        message(_describe_first_guess(prior, scale, archive))
    model = Model(
        network=None,
        prior=prior,
        operator=operator,
        standardiser=standardiser,
        withheld=withheld or Withheld(np.full((len(archive.days), 1), -1, np.int32)),
        frames=frames,
        covariates=covariates,
        observation_error=known if known is None or isinstance(known, float) else str(known.name or "error"),
        screen=screen,
        **Model.labels_of(field),
    )
    return Prepared(model, replace(archive, covariates=covariates), share, scale)


def _withheld(field: Field, share: np.ndarray, settings: Settings, message: Callable[[str], None]) -> Archive:
    """Return the archive of a field with observations withheld: before all else, so that nothing is fitted to them."""
    assert field.domain is not None
    standardiser = Standardiser.identity(field.bands, field.domain)
    archive = Archive.of(field, standardiser, memory=settings.training.memory)
    archive = archive.held().withholding(share, seed=settings.seed)
    dates, count = "samples" if archive.independent else "dates", len(archive.days)
    losing = 0 if archive.withheld is None else len(archive.withheld.dates)
    message(f"withheld: what other {dates}' gaps hide on {losing} of {count} {dates}")
    if archive.is_periodic:
        message("grid: longitudes go once round the globe, so the last column is the neighbour of the first")
    archive.find_hidden()
    return archive


def _climatology(
    field: Field,
    archive: Archive,
    operator: Operator,
    settings: Settings,
    sums: ClimatologySums | None,
    message: Callable[[str], None],
) -> tuple[Standardiser, Scene | None]:
    """Return the climatology of the observations that are not withheld; of a single scene also its first guess."""
    transform = settings.transform
    if sums is not None:
        dates = [] if archive.withheld is None else archive.withheld.dates.tolist()
        sums.leave_out(archive.field, dates, archive.hidden)
    scene = None
    if settings.first_guess is not False and operator.masks and len(archive.days) == 1:
        sums = sums or ClimatologySums.read(
            field, transforms(transform, field.bands), hidden=archive.hidden, message=message
        )
        scene = fit_scene(
            archive,
            partial(_without, sums, field, transform),
            seed=settings.seed,
            prior=_ready_prior(settings),
            evaluations=settings.training.prior_evaluations,
        )
    if scene is not None:
        message(f"climatology: {scene.standardiser.note}{scene.why}")
        return scene.standardiser, scene
    standardiser = Standardiser.fit(field, transform=transform, hidden=archive.hidden, sums=sums, message=message)
    message(f"climatology: {standardiser.note}")
    return standardiser, None


def _ready_prior(settings: Settings) -> GaussianPrior | None:
    """Return the prior that is used without a search, if the settings have one."""
    return settings.first_guess if isinstance(settings.first_guess, GaussianPrior) else None


def _fitted_films(
    archive: Archive,
    scene: Scene | None,
    operator: Operator,
    share: np.ndarray,
    settings: Settings,
    screen: Screen | None,
) -> tuple[list[Film], Prior, _Support]:
    """Return films with hidden observations, the prior fitted to them, and what they say of suspicious observations."""
    ready, support = _ready_prior(settings), _Support(screen, 0.0)
    fitted: Prior | None = None
    if scene is not None:
        films, fitted = scene.pieces, scene.prior
    else:
        films, places = _hidden_pieces(archive, None if operator.masks else DRAWN, share, seed=settings.seed)
        films, support = _supported(films, screen, independent=archive.independent)
    if ready is not None:
        return films, ready, support
    if fitted is None:
        markov = fit_prior(
            films,
            evaluations=settings.training.prior_evaluations,
            temporal=not archive.independent,
            is_periodic=archive.is_periodic and archive.domain.shape[1] <= FIT_SIDE,
        )
        return (
            films,
            fit_amplitude(_with_covariance(markov, archive, films, places), films, seed=settings.seed),
            support,
        )
    return films, fit_amplitude(fitted, films, seed=settings.seed), support


def _describe_first_guess(prior: Prior, scale: float, archive: Archive) -> str:
    """Return a sentence about a prior and its error on hidden clouds, in anomalies or in the field's unit."""
    unit, units = archive.standardiser.error_unit("")
    reach = f"length {prior.length:.1f} cells" if prior.stationary else "the archive's own covariance"
    lasting = "" if archive.independent else f"persistence {duration(prior.persistence)}, "
    error = f"{scale * unit:.4g} {units if units == 'anomalies' else ''}".strip()
    return f"first guess: {reach}, {lasting}noise {prior.noise:.2f}; error {error} on hidden clouds"


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
    instead = "leave --no-first-guess out to fill it by that alone"
    raise InputError(
        f"{field.name} has {height} x {width} cells, the network needs at least {SMALLEST} each way; "
        f"{'give larger images' if field.axes.independent else instead}"
    )


class _Support(NamedTuple):
    """What pieces of an archive say of suspicious observations."""

    screen: Screen | None
    share: float


def _supported(pieces: list[Film], rule: Screen | None, *, independent: bool) -> tuple[list[Film], _Support]:
    """Return pieces without suspicious observations, which would make the first guess's scales those of outliers."""
    anomalies = [np.where((piece.kept + piece.hidden > 0).numpy(), piece.values.numpy(), np.nan) for piece in pieces]
    screen = rule or Screen.fit(anomalies, independent=independent)
    if screen is None:
        return pieces, _Support(None, 0.0)
    found = [screen.suspicious(anomaly, independent=independent) for anomaly in anomalies]
    observed = sum(int(np.isfinite(anomaly).sum()) for anomaly in anomalies)
    share = sum(int(each.sum()) for each in found) / max(1, observed)
    supported = []
    for piece, suspicious in zip(pieces, found, strict=True):
        if not suspicious.any():
            supported.append(piece)
            continue
        good = torch.from_numpy(~suspicious).to(piece.values.dtype)
        single = None if piece.single is None else piece.single * good
        supported.append(
            replace(piece, values=piece.values * good, mask=piece.mask * good, kept=piece.kept * good, single=single)
        )
    # Hidden observations are needed in each piece.
    if any(not piece.hidden.any() for piece in supported):
        return pieces, _Support(screen, share)
    return supported, _Support(screen, share)


def _screened(field: Field, settings: Settings, threshold: float) -> Field:
    """Return the field without what a first climatology, fitted to all of it, and neighbours do not support."""
    standardiser = Standardiser.fit(field, transform=settings.transform)
    archive = Archive.of(field, standardiser, memory=settings.training.memory).held()
    screen = Screen.fit(_anomalies(archive), independent=archive.independent, threshold=threshold)
    archive = replace(archive, screen=screen).screened()
    array = field.array.transpose(*field.axes.dims)
    return field.with_array(array.copy(data=field.unstacked(archive.field.data)))


def _anomalies(archive: Archive) -> list[np.ndarray]:
    """Return anomalies of some stretches of consecutive dates, withheld or not, NaN where nothing was observed."""
    count, (height, width) = len(archive.days), archive.domain.shape
    cells = archive.bands * min(FIT_SIDE, height) * min(FIT_SIDE, width)
    dates = min(count, SCREEN_DATES)
    stretches = int(np.clip(FIT_VALUES // (dates * cells), 1, MOST_PIECES))
    y, x = (slice((size - min(FIT_SIDE, size)) // 2, (size + min(FIT_SIDE, size)) // 2) for size in (height, width))
    found = []
    for start in np.unique(np.linspace(0, count - dates, stretches).astype(int)).tolist():
        film = archive.read(slice(start, start + dates), y, x)
        found.append(np.where((film.mask + film.withheld > 0).numpy(), film.values.numpy(), np.nan))
    return found


def _left_out(archive: Archive, threshold: float) -> str:
    """Return the sentence about what a screen leaves out."""
    rule = (
        f"observations more than {threshold:g} robust standard deviations from the climatology that no neighbours "
        "support are left out"
    )
    if archive.field.chunks is not None:
        return f"screen: {rule}"
    values = archive.field.values
    count = int(is_screened(values).sum())
    return f"screen: {rule}: {count:,} of {int(np.isfinite(values).sum()) + count:,}"


def frames_of(window: int, dates: int, *, independent: bool, message: Callable[[str], None]) -> int:
    """Frames of a training window: as many as the record has at most.

    Raises
    ------
    InputError
        Where no date has so many before or after it.

    Examples
    --------
    >>> frames_of(2, 30, independent=False, message=print)
    5
    >>> frames_of(2, 4, independent=False, message=print)
    window 2 asks for 5 dates and the record has 4: all of them are seen together
    4
    """
    if window == 0:
        return 1
    if independent:
        message("samples have nothing to do with each other: each is reconstructed from itself alone (window 0)")
        return 1
    if dates == 1:
        message("a single scene: it is reconstructed from itself alone (window 0)")
        return 1
    if window >= dates:
        raise InputError(
            f"window {window} asks for {window} dates on each side of one, but the record has {dates} in all; give "
            f"--window {dates - 1} at most"
        )
    if 2 * window + 1 > dates:
        message(
            f"window {window} asks for {2 * window + 1} dates and the record has {dates}: all of them are seen together"
        )
    return min(2 * window + 1, dates)


def is_thin(domain: np.ndarray) -> bool:
    """Whether a grid is too thin for a network.

    Examples
    --------
    >>> is_thin(np.ones((1, 40), bool)), is_thin(np.ones((8, 8), bool))
    (True, False)
    """
    return min(domain.shape) < SMALLEST


def share_seen(survey: Survey, domain: np.ndarray) -> np.ndarray:
    """Share of the domain seen on each date."""
    cells = max(1, int(domain.sum()))
    return np.minimum(1.0, survey.seen_share * survey.cells / cells)


def check_gaps(field: Field, survey: Survey, operator: Operator) -> None:
    """Refuse what could never be trained on: gaps and operator must belong together."""
    name, domain = field.name, field.domain
    assert domain is not None
    if domain.shape != survey.domain.shape:
        raise InputError(f"the domain has shape {domain.shape}, {name} has {survey.domain.shape}; give one on its grid")
    if not (survey.domain & domain).any():
        raise InputError(f"{name} has no value inside the domain; give the mask whose 1 is where {name} exists")
    gap_free = survey.gap_free and not (domain & ~survey.domain).any()
    if gap_free and operator.masks:
        raise InputError(
            f"{name} has no gaps, but the operator {describe(operator)} makes gaps, so real and simulated measurements "
            "could never look alike; make a gappy archive of it first with geogan corrupt"
        )
    if not gap_free and not operator.masks:
        raise InputError(
            f"{name} has gaps, but the operator {describe(operator)} makes none; add one that does, such as "
            "--operator observed_gaps"
        )


def _without(sums: ClimatologySums, field: Field, transform: str, hidden: np.ndarray, plane: bool) -> Standardiser:
    """The climatology of a single scene without what is hidden of it, (C, H, W) bool."""
    return Standardiser.fit(field, transform=transform, plane=plane, sums=sums.without(hidden))


def _gaps(archive: Archive) -> np.ndarray:
    """Masks of some runs of dates, for an operator to be fitted to: (N, H, W), or (N, C, H, W) of several bands."""
    count = len(archive.days)
    run, most = min(count, 16), min(GAP_DATES, GAP_VALUES // (archive.bands * archive.domain.size))
    starts = np.unique(np.linspace(0, count - run, max(1, most // run)).astype(int)) if count > most else [0]
    dates = [date for start in starts for date in range(start, start + (run if count > most else count))]
    archive.masks.read_ahead(dates)
    gaps = np.stack([archive.seen(date) for date in dates])
    return gaps if archive.bands > 1 else gaps[:, 0]


def _hidden_pieces(
    archive: Archive, drawn: Operator | None, share: np.ndarray, *, seed: int
) -> tuple[list[Film], list[slice | np.ndarray]]:
    """Pieces of the archive in which other dates' gaps (or ``drawn``, if there are none) hide what was seen.

    Whole gaps, as large as they come: in small ones any first guess is good, and the search would forget
    that time must carry it through the large ones. Beside them the dates that each is of.
    """
    generator = np.random.default_rng([seed, 0xF17])
    count, (height, width) = len(archive.days), archive.domain.shape
    size = min(FIT_DATES, count) * archive.bands * min(FIT_SIDE, height) * min(FIT_SIDE, width)
    wanted = int(np.clip(FIT_VALUES // size, 2, MOST_PIECES))
    if archive.independent:
        wanted = FIT_SAMPLES
    pieces: list[Film] = []
    places: list[slice | np.ndarray] = []
    for attempt in range(4 * wanted):
        t, y = random_slice(count, FIT_DATES, generator), random_slice(height, FIT_SIDE, generator)
        x = random_slice(width, FIT_SIDE, generator, is_periodic=archive.is_periodic)
        dates = np.arange(count)[t]
        if archive.independent:
            dates = random_samples(archive, generator)
        piece = archive.read(dates if archive.independent else t, y, x)
        observed = piece.mask.numpy()
        hidden = np.zeros_like(observed)
        if drawn is None:
            here = (observed + piece.withheld.numpy()) > 0
            for date, under in _hidden_dates(
                _seen(archive, dates, here), share[dates], archive, seed=seed + 1 + attempt
            ):
                hidden[date] = under if archive.streamed else taken(under, y, x)
        else:
            ones = torch.ones(observed.shape)
            film = ones[:, None] if archive.independent else ones[None]
            drawn = drawn.around(archive.spans(x))
            theta = drawn.sample(tuple(film.shape), generator=torch.Generator().manual_seed(seed + attempt))  # type: ignore[arg-type]
            hidden = 1 - drawn.apply(film, theta).mask.view_as(ones).numpy()
        hidden = hidden * observed
        if not hidden.any():
            continue
        # Those that stand alone tell what is noise: in clouds there is nothing near to tell it by.
        alone = np.random.default_rng([seed, 0x51, attempt]).random(hidden.shape) < FIT_SINGLE
        single = alone * (observed - hidden)
        pieces.append(hiding(piece, hidden, single=single.astype(hidden.dtype)))
        places.append(dates if archive.independent else t)
        if len(pieces) == wanted:
            break
    return pieces, places


def _with_covariance(
    markov: GaussianPrior, archive: Archive, pieces: Sequence[Film], places: Sequence[slice | np.ndarray]
) -> Prior:
    """The archive's own covariance, where the grid is small, the dates are many, and it is better."""
    is_worth = ArchivePrior.is_worth_fitting(archive.domain.size, len(archive.days))
    if not is_worth or max(archive.domain.shape) > FIT_SIDE:
        return markov
    whole = archive.read(slice(0, len(archive.days)))
    searched = whole.mask.clone()
    for piece, place in zip(pieces, places, strict=True):
        searched[place] *= piece.kept
    return fit_archive_prior(markov, pieces, whole.values * whole.mask, whole.mask, searched, whole.domain)


def _seen(archive: Archive, dates: np.ndarray, here: np.ndarray) -> Callable[[int], np.ndarray]:
    """What was seen on dates, each counted from the first of a piece: all over the grid, or of what is on disk here."""
    return here.__getitem__ if archive.streamed else lambda date: archive.seen(int(dates[date]))


def _hidden_dates(
    seen: Callable[[int], np.ndarray], share: np.ndarray, archive: Archive, *, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """What to hide of some of the dates that are seen, (C, H, W) bool."""
    if len(archive.days) == 1:
        # Turned round, an image's own gaps hide what is withheld already; mirrored, they hide something else.
        own = seen(0)
        yield 0, own & ~(own[:, ::-1] if seed % 2 else own[:, :, ::-1])
        return
    rule = withhold(seen, share, seed=seed, share=FIT_HIDDEN, independent=archive.independent)
    for date in rule.dates:
        yield int(date), np.asarray(rule.hidden(int(date), seen))
