"""What is found out about a gappy field before a network is trained on it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from geogan.archive.archive import Archive, Loaded, is_too_large
from geogan.archive.climatology import ClimatologySums
from geogan.archive.screening import MANY, Screen, suspicion
from geogan.archive.standardiser import Standardiser
from geogan.archive.survey import Survey, check_field
from geogan.archive.withheld import Withheld, withhold
from geogan.compute.chunk_groups import ChunkGroups, ShuffleBuffer, decoding_ratio
from geogan.compute.extent import Extent
from geogan.compute.streaming import stored_chunks
from geogan.fields.band_transforms import transforms
from geogan.fields.circle import taken
from geogan.fields.covariates import Covariates
from geogan.fields.durations import duration
from geogan.fields.field import Field
from geogan.fields.geography import geographic_kind
from geogan.fields.grids import places_of
from geogan.fields.marks import is_screened
from geogan.fields.observation_error import error_checker, observation_error
from geogan.fields.variables import is_joined
from geogan.model.model import Model, grid_of
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, remarks
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
from geogan.training.blocks import cut, holds_enough, prepare, samples_of_a_block, some_samples
from geogan.training.single_scene import Scene, fit_scene, hiding

# Dates and cells of a block.
BLOCK_DATES, BLOCK_SIDE = 16, 128
# A small grid's are longer, up to so many values and dates: else the windows of a few weeks come again and again, and
# the network learns those weeks (ten years of 32 x 32 cells: what it gained was lost and found again in turns).
BLOCK_VALUES, MOST_BLOCK_DATES = 65_536, 64
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
    message : callable
        Called with how far it is, where it takes long.

    Raises
    ------
    InputError
        Where :func:`geogan.io.check_field` refuses the field, or the errors do not fit its observations.
    """
    each = transforms(transform, field.bands)
    check = error_checker(field.with_error(observation_error(field, error=error)))
    if not is_too_large(field.array) or field.is_image or set(each) == {"identity"}:
        return check_field(field, within=within, look=check, message=message), None
    sums = ClimatologySums(field, each, level=np.median)

    def look(region: Extent, part: np.ndarray) -> None:
        check(region, part)
        sums.add(region, part)

    return check_field(field, within=within, look=look, message=message), sums


def prepare_model(
    field: Field,
    survey: Survey,
    operator: Operator,
    *,
    window: int,
    transform: str,
    first_guess: bool | GaussianPrior,
    covariates: str | Sequence[str] = (),
    given: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
    noise: float | None = None,
    error: xr.DataArray | None = None,
    sums: ClimatologySums | None = None,
    screen: float | None = None,
    evaluations: int = 50,
    seed: int,
    message: Callable[[str], None],
) -> Prepared:
    """Fit climatology, operator and first guess; set observations aside.

    Parameters
    ----------
    field : Field
        With its domain.
    survey : Survey
        Of the field, from :func:`geogan.archive.survey.check_field`.
    operator : Operator
        Its open parameters are fitted to the field's own gaps.
    window : int
        Dates looked at before and after each.
    transform : {"none", "log", "bounded:LOW,HIGH", "identity"}
        Or one a band, with commas between.
    first_guess : bool or GaussianPrior
        Whether to fit a first guess; a prior is used as it is.
    covariates, given
        Those of :meth:`geogan.fields.covariates.Covariates.of`.
    noise, error
        Those of :func:`geogan.fields.observation_error.observation_error`.
    sums : ClimatologySums, optional
        What the climatology is fitted to, where all of the field was read before, as by :func:`read_once`.
    screen : float, optional
        Leave out observations that lie more than so many robust standard deviations from the climatology and from
        their neighbours; see `geogan.archive.screening`.
    evaluations : int
        Of the search for the first guess's parameters.
    seed : int
    message : callable
        Called with sentences about what was found.

    Raises
    ------
    InputError
        Where the field cannot be trained on with this operator.
    """
    assert field.domain is not None
    axes, domain = field.axes, field.domain
    check_gaps(field, survey, operator)
    if is_thin(domain) and (axes.independent or first_guess is False):
        instead = "give larger images" if axes.independent else "leave --no-first-guess out to fill it by that alone"
        raise InputError(
            f"{field.name} has {domain.shape[0]} x {domain.shape[1]} cells, the network needs at least "
            f"{SMALLEST} each way; {instead}"
        )
    frames = frames_of(window, len(survey.seen_share), independent=axes.independent, message=message)
    beside = Covariates.of(covariates, field, given)
    known = observation_error(field, noise=noise, error=error)
    field = field.with_error(known)
    share = share_seen(survey, domain)
    unscreened = field
    if screen is not None:
        field, sums = _screened(field, transform=transform, threshold=screen), None
    # First of all observations are withheld: nothing may be fitted to them, the climatology neither.
    archive = Archive.of(field, Standardiser.identity(field.bands, domain))
    archive = archive.held().withholding(share, seed=seed)
    withheld = archive.withheld or Withheld(np.full((len(archive.days), 1), -1, np.int32))
    dates = "samples" if archive.independent else "dates"
    message(f"withheld: what other {dates}' gaps hide on {len(withheld.dates)} of {len(archive.days)} {dates}")
    if archive.is_periodic:
        message("grid: longitudes go once round the globe, so the last column is the neighbour of the first")
    archive.find_hidden()
    if sums is not None:
        sums.leave_out(archive.field, withheld.dates.tolist(), archive.hidden)
    ready = first_guess if isinstance(first_guess, GaussianPrior) else None
    scene: Scene | None = None
    if first_guess is not False and operator.masks and len(archive.days) == 1:
        each = transforms(transform, field.bands)
        sums = sums or ClimatologySums.read(field, each, hidden=archive.hidden, message=message)
        climatology = partial(_without, sums, field, transform)
        scene = fit_scene(archive, climatology, seed=seed, prior=ready, evaluations=evaluations)
    if scene is None:
        standardiser = Standardiser.fit(field, transform=transform, hidden=archive.hidden, sums=sums, message=message)
        message(f"climatology: {standardiser.note}")
    else:
        standardiser = scene.standardiser
        message(f"climatology: {standardiser.note}{scene.why}")
    archive = replace(archive, standardiser=standardiser)
    rule = None
    if screen is not None:
        # Again, with the climatology that filling will screen by.
        rule = Screen.fit(_anomalies(archive), independent=archive.independent, threshold=screen)
        archive = Archive.of(unscreened, standardiser)
        archive = replace(archive, screen=rule).screened().held().withholding(share, seed=seed)
        withheld = archive.withheld or withheld
        archive.find_hidden()
        message(_left_out(archive, screen))
    operator = operator.around(archive.is_periodic).fitted(_gaps(archive), domain, seed=seed).around(False)
    message(f"operator: {describe(operator)}")
    for remark in remarks(operator, archive.bands):
        message(remark)
    prior: Prior | None = None
    scale = 1.0
    fitted: Prior
    if first_guess is not False:
        if scene is not None:
            fitted, pieces = scene.prior, scene.pieces
        else:
            pieces, places = _hidden_pieces(archive, None if operator.masks else DRAWN, share, seed=seed)
            pieces, support = _supported(pieces, rule, independent=archive.independent)
            rule = support.screen if rule is None else rule
            if screen is None and support.share > MANY:
                message(suspicion(field.name, support.share))
            is_periodic = archive.is_periodic and domain.shape[1] <= FIT_SIDE
            if ready is None:
                markov = fit_prior(
                    pieces, evaluations=evaluations, temporal=not archive.independent, is_periodic=is_periodic
                )
                fitted = _with_covariance(markov, archive, pieces, places)
        prior = fit_amplitude(fitted, pieces, seed=seed) if ready is None else ready
        scale = hidden_error(prior, pieces)
        prior = prior.around(False)
        unit, units = standardiser.error_unit("")
        lasting = "" if archive.independent else f"persistence {duration(prior.persistence)}, "
        found = f"{scale * unit:.4g} {units if units == 'anomalies' else ''}".strip()
        far = f"length {prior.length:.1f} cells" if prior.stationary else "the archive's own covariance"
        message(f"first guess: {far}, {lasting}noise {prior.noise:.2f}; error {found} on hidden clouds")
    y, x = grid_of(field)
    array = field.array
    sides = {side: geographic_kind(array[dim]) for side, dim in (("y", axes.y), ("x", axes.x)) if dim in array.coords}
    kinds = {side: kind for side, kind in sides.items() if kind is not None}
    model = Model(
        network=None,
        prior=prior,
        operator=operator,
        standardiser=standardiser,
        domain=domain,
        withheld=withheld,
        frames=frames,
        variable=str(array.name or "field"),
        units=str(array.attrs.get("units", "")),
        y=y,
        x=x,
        bands=field.band_names,
        band_units=field.band_units if is_joined(array) else (),
        covariates=beside,
        observation_error=known if known is None or isinstance(known, float) else str(known.name or "error"),
        calendar=field.calendar,
        screen=rule,
        kinds=kinds,
        places={kind: at for kind, at in places_of(field).items() if kind not in ("y", "x", *kinds.values())},
    )
    return Prepared(model, replace(archive, covariates=beside), share, scale)


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


def _screened(
    field: Field,
    *,
    transform: str,
    threshold: float,
) -> Field:
    """Return the field without what a first climatology, fitted to all of it, and neighbours do not support."""
    standardiser = Standardiser.fit(field, transform=transform)
    archive = Archive.of(field, standardiser).held()
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


def block_maker(
    archive: Archive,
    operator: Operator,
    share: np.ndarray,
    *,
    seed: int,
    frames: int,
    side: int,
    hiding: bool,
    clean: Archive | None = None,
    pairs: bool = True,
    members: int = 1,
    deviating: bool = False,
    message: Callable[[str], None] = lambda sentence: None,
) -> Callable[[Prior | None, int], Film]:
    """What makes the blocks of an archive: a function of the first guess's prior and a number.

    Of an archive on disk they are cut from regions that are read ahead; ``message`` is told what that costs.
    """
    cells = archive.bands * min(side, archive.domain.shape[0]) * min(side, archive.domain.shape[1])
    dates = int(np.clip(BLOCK_VALUES // cells, BLOCK_DATES, MOST_BLOCK_DATES))
    frames = min(max(dates, frames), len(archive.days))
    regions = archive.chunk_groups((samples_of_a_block(archive) if archive.independent else frames, side, side))
    buffer: ShuffleBuffer[Loaded] | None = None
    if regions is not None:
        message(_told(regions, archive.field))
        archive.find_hidden()

        def draw(generator: np.random.Generator) -> Extent:
            for _ in range(100):
                t, y, x = region = regions.draw(generator)
                if holds_enough(archive, share, t, y, x):
                    break
            return region

        buffer = ShuffleBuffer(draw, lambda region: archive.load(*region), seed=seed)

    def make(prior: Prior | None, number: int) -> Film:
        return prepare(
            archive,
            operator,
            prior,
            number=number,
            seed=seed,
            frames=frames,
            side=side,
            coverage=1 - float(share[share > 0].mean()),
            share_seen=share,
            hiding=hiding,
            clean=clean,
            pairs=pairs,
            members=members,
            deviating=deviating,
            within=None if buffer is None else buffer.at(number),
        )

    return make


def _told(regions: ChunkGroups, field: xr.DataArray) -> str:
    """What reading an archive region by region costs."""
    stored = stored_chunks(field)
    shape = " x ".join(str(max(stop - start for start, stop in axis)) for axis in regions)
    sentence = f"the archive stays where it is: regions of {shape} values are read ahead"
    times = decoding_ratio(regions, stored)
    if times < 1.5:
        return sentence
    chunks = " x ".join(str(max(axis)) for axis in stored)
    return (
        f"{sentence}; as its chunks have {chunks}, {times:.1f} times as much is decoded: chunks of that size or "
        "smaller would be read faster"
    )


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
        t, y = cut(count, FIT_DATES, generator), cut(height, FIT_SIDE, generator)
        x = cut(width, FIT_SIDE, generator, is_periodic=archive.is_periodic)
        dates = np.arange(count)[t]
        if archive.independent:
            dates = some_samples(archive, generator)
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
