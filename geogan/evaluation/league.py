"""A league table: methods that fill the same gaps, scored on the same cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from geogan.archive.archive import Archive
from geogan.compute.threads import side_by_side
from geogan.evaluation.categories import Category, cloud_fraction, distance_to_observed, season
from geogan.evaluation.ensembles import EnsembleScore, EnsembleTally
from geogan.evaluation.errors import Score, Tally
from geogan.evaluation.rivals import FITTED, QUICK, Contest, ask
from geogan.fields.axes import VARIABLE
from geogan.fields.field import Field
from geogan.fields.transforms import Transform
from geogan.fields.variables import is_joined
from geogan.filling.fill import check_members
from geogan.filling.plan import Plan, plan
from geogan.filling.task import Slab, fill_slab
from geogan.filling.tiles import Tile
from geogan.model.model import Model
from geogan.model.spectra import Spectrum, SpectrumTally
from geogan.operators.choices import matching, suggestion
from geogan.operators.errors import InputError

# What is scored where nothing else is named, and all there is; the others take minutes to hours.
DEFAULT = (*QUICK, "gaussian", "model")
METHODS = (*QUICK, *FITTED, "gaussian", "model")
# What scores can be asked for apart.
CATEGORIES = ("distance", "cloud", "season")
# Cells of a run of which power spectra are taken: within a cloud, so that more of them are longer than that.
SEGMENT = 16
NOTHING = (
    "there is no cell to score on: nothing was withheld, or the truth has no value where the data have none; give a "
    "fuller field as the truth"
)


class Part(NamedTuple):
    """Scores on the cells of one class."""

    score: Score
    law: EnsembleScore | None


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    method : str
    score : Score
        Of the estimate.
    law : EnsembleScore or None
        Of the estimate with its standard deviation, as a normal law; of a Gaussian ensemble, of its members. None
        where the method does not say how sure it is.
    members : EnsembleScore or None
        Of the members, where they were drawn.
    spectrum, member_spectrum : Spectrum or None
        Of the estimate and of one member, against the truth under the gaps.
    parts : dict of str to dict of str to Part
        The scores by category (of :data:`CATEGORIES`) and class.
    variable : str
        Which of several variables, each scored in its own units; empty where there is one.
    """

    method: str
    score: Score
    law: EnsembleScore | None = None
    members: EnsembleScore | None = None
    spectrum: Spectrum | None = None
    member_spectrum: Spectrum | None = None
    parts: dict[str, dict[str, Part]] = {}  # noqa: RUF012
    variable: str = ""


@dataclass
class _Sums:
    """What the scores of a method follow from; stretches are added up."""

    plain: Tally = field(default_factory=Tally)
    law: EnsembleTally = field(default_factory=EnsembleTally)
    members: EnsembleTally = field(default_factory=EnsembleTally)
    spectrum: SpectrumTally = field(default_factory=lambda: SpectrumTally(length=SEGMENT))
    member_spectrum: SpectrumTally = field(default_factory=lambda: SpectrumTally(length=SEGMENT))
    parts: dict[tuple[str, str], tuple[Tally, EnsembleTally]] = field(default_factory=dict)

    def __add__(self, other: _Sums) -> _Sums:
        parts = dict(self.parts)
        for key, (plain, law) in other.parts.items():
            before = parts.get(key, (Tally(), EnsembleTally()))
            parts[key] = (before[0] + plain, before[1] + law)
        return _Sums(
            self.plain + other.plain,
            self.law + other.law,
            self.members + other.members,
            self.spectrum + other.spectrum,
            self.member_spectrum + other.member_spectrum,
            parts,
        )

    def row(self, method: str, variable: str = "") -> Row:
        """The scores."""
        spectra = [each.score() if each.segments else None for each in (self.spectrum, self.member_spectrum)]
        parts: dict[str, dict[str, Part]] = {}
        for (category, label), (plain, law) in self.parts.items():
            parts.setdefault(category, {})[label] = Part(plain.score(), law.score() if law.cells else None)
        laws = [each.score() if each.cells else None for each in (self.law, self.members)]
        return Row(method, self.plain.score(), laws[0], laws[1], spectra[0], spectra[1], parts, variable)


def league(
    models: dict[str, Model],
    archive: Archive,
    *,
    truth: xr.DataArray | None = None,
    methods: Sequence[str] = DEFAULT,
    members: int = 1,
    by: Sequence[str] = (),
    device: torch.device | None = None,
    threads: int | None = None,
    progress: Callable[[str, float, float], None] | None = None,
    message: Callable[[str], None] | None = None,
) -> list[Row]:
    """Score every method on the same cells.

    Parameters
    ----------
    models : dict of Model
        By name; the first also gives the Gaussian MAP of the table, and says by which operator the rivals take the
        archive to be measured.
    archive : Archive
        What the methods see. Without ``truth`` its withheld observations are what they are scored on.
    truth : DataArray, shape ([T,] [C,] H, W), optional
        A fuller field: methods are scored on what is in it and not in the archive; on all of it where the operator
        hides nothing.
    methods : sequence of str
        Of :data:`METHODS`, by default :data:`DEFAULT`. Those of :data:`geogan.evaluation.rivals.FITTED` come first,
        each on its
        own: they train, or fit every date, and Conditional AmbientGAN trains for as long as the first model did.
    members : int
        Draws of the ensembles of the models and of the first guess: two or more are scored as such, with their power
        spectra.
    by : sequence of str
        Categories to score apart, of :data:`CATEGORIES`.
    device : torch.device, optional
    threads : int, optional
        Stretches at a time; by default one a core.
    progress : callable, optional
        Called with what is being done (``"scoring"``, or a method that takes its time), how much of it is done, and
        of how much.
    message : callable, optional
        Called with a sentence before a method trains.

    Returns
    -------
    list of Row
        In the order of the methods; every score over the same cells, all bands together: in the field's units,
        or in anomalies where its bands have no unit in common. Of several variables those of the first, then those of
        the next, each in its own units. Samples have no time to interpolate in, so ``linear_time`` is left out.

    Raises
    ------
    InputError
        For an unknown method, one that cannot be used on this archive, or when there is no cell to score on.
    """
    by, methods = chosen_categories(by), chosen_methods(methods)
    truth = None if truth is None else Field.of(truth).stacked
    models = {name: each.on(device) for name, each in models.items()}
    model = next(iter(models.values()))
    moved, say = progress or (lambda what, done, total: None), message or (lambda sentence: None)
    standardiser = archive.standardiser
    # Directions stand twice, as sine and cosine, and are scored once, by the shortest way from one to the other.
    scored = {"": slice(None, None, 2 if standardiser.is_of_directions else None)}
    if is_joined(archive.field):
        names = archive.field[VARIABLE].values.tolist()
        scored = {names[band]: slice(band, band + 1) for band in standardiser.own}
    if truth is not None and truth.shape[1] == len(standardiser.own) < archive.bands:
        truth = truth.isel({truth.dims[1]: standardiser.sources})
    alike = len(scored) > 1 or standardiser.error_unit("")[1] != "anomalies"
    for each in models.values() if members > 1 else ():
        check_members(each, members)
    # Members come in pairs on opposite sides, which no score of independent draws may see: one of each pair is scored.
    drawn = 2 * members if members > 1 else 1
    cut = plan(model, archive, members=drawn, whole=True)
    stretches = cut.slabs if truth is not None else _withheld(archive, cut)
    everywhere = not model.operator.masks
    fillers: dict[str, Callable[[Tile], Slab]] = {}

    def by_model(each: Model) -> Callable[[Tile], Slab]:
        return lambda stretch: fill_slab(each, archive, stretch, cut, members=drawn, device=device)

    wanted = [name for name in methods if name != "linear_time" or not archive.independent]
    wanted = [name for name in wanted if name != "gaussian" or model.prior is not None]
    if not wanted:
        reason = "the model has no first guess" if "gaussian" in methods else "samples have no time to interpolate in"
        raise InputError(f"none of {', '.join(methods)} can be scored: {reason}; name another method")
    dates = np.zeros(0, int)
    if set(wanted) & FITTED.keys():
        dates = _dates(archive, stretches, truth, everywhere=everywhere)
    for name in wanted:
        if name == "model":
            fillers |= {each: by_model(models[each]) for each in models}
        elif name == "gaussian":
            fillers[name] = by_model(replace(model, network=None, error=None, smoothing=0))
        else:
            said = ask(name, Contest(archive, model, dates, device, threads, partial(moved, name), say))
            fillers[name] = partial(lambda said, stretch: Slab(said(stretch.core)), said)

    # Against observations a spread of the field itself is too narrow by their error. A predicted error was learned from
    # observations, and has in it what is not known of theirs.
    noise = own = 0.0
    if truth is None and alike:
        own = model.operator.noise
    if truth is None and model.prior is not None and alike:
        noise = model.prior.noise * model.prior.amplitude

    def work(stretch: Tile) -> dict[tuple[str, str], _Sums]:
        true, where = _cells(archive, stretch.core, truth, everywhere=everywhere)
        sums = {(name, variable): _Sums() for variable in scored for name in fillers}
        if not where.any():
            return sums
        phase = None if archive.phase is None else archive.phase[stretch.core]
        categories = _categories(archive, stretch.core, by)

        known = None
        if truth is None and archive.error is not None:
            known = np.nan_to_num(np.broadcast_to(archive.errors(stretch.core), true.shape))
            if not alike:
                uncertainty = archive.read(stretch.core).uncertainty
                known = None if uncertainty is None else uncertainty.numpy()

        def unit(values: np.ndarray) -> np.ndarray:
            return values if alike else standardiser.forward(standardiser.clipped(values), phase)

        for name, filler in fillers.items():
            said = filler(stretch)
            if not alike:
                said = Slab(unit(said.field))
            else:
                members_there = None if said.members is None else standardiser.nearest(said.members, true)
                said = Slab(standardiser.nearest(said.field, true), said.std, members_there)
            for variable, bands in scored.items():
                error = standardiser.error_of(noise if name == "gaussian" else own, said.field)[:, bands]
                if known is not None:
                    error = np.hypot(error, known[:, bands])
                sums[name, variable] = _scored(
                    _bands(said, bands),
                    unit(true)[:, bands],
                    where[:, bands],
                    [each.of_bands(bands) for each in categories],
                    ensemble=name == "gaussian",
                    error=error,
                    is_periodic=archive.is_periodic,
                    has_spectrum=not Transform.parse(standardiser.transforms[bands][0]).is_angle,
                )
        return sums

    total = {(name, variable): _Sums() for variable in scored for name in fillers}
    for count, sums in enumerate(side_by_side(work, stretches, threads=threads), 1):
        total = {key: each + sums[key] for key, each in total.items()}
        moved("scoring", count, len(stretches))
    if not any(each.plain.asked for each in total.values()):
        raise InputError(NOTHING)
    return [each.row(name, variable) for (name, variable), each in total.items()]


def chosen_methods(names: Sequence[str]) -> list[str]:
    """Return the methods that are meant, each once.

    Raises
    ------
    InputError
        If one is none of :data:`METHODS`.

    Examples
    --------
    >>> chosen_methods(["Model", "model", "linear-time"])
    ['model', 'linear_time']
    """
    return _chosen("method", names, METHODS)


def chosen_categories(names: Sequence[str]) -> list[str]:
    """Return the categories that are meant, each once.

    Raises
    ------
    InputError
        If one is none of :data:`CATEGORIES`.
    """
    return _chosen("category", names, CATEGORIES)


def _chosen(what: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        meant = matching(name, known)
        if meant is None:
            raise InputError(f"unknown {what} {name!r}; there are {', '.join(known)}{suggestion(name, known)}")
        found.append(meant)
    return list(dict.fromkeys(found))


def _bands(said: Slab, bands: slice) -> Slab:
    return Slab(*(None if part is None else part[..., bands, :, :] for part in said))  # type: ignore[arg-type]


def _scored(
    said: Slab,
    true: np.ndarray,
    where: np.ndarray,
    categories: Sequence[Category],
    *,
    ensemble: bool,
    error: float | np.ndarray,
    is_periodic: bool,
    has_spectrum: bool = True,
) -> _Sums:
    """The sums of one method on one stretch."""
    if said.members is not None:
        said = said._replace(members=said.members[: len(said.members) // 2])

    def laws(cells: np.ndarray) -> EnsembleTally:
        if ensemble and said.members is not None:
            return EnsembleTally().add_members(said.members, true, cells, observation_error=error)
        if not ensemble and said.std is not None:
            return EnsembleTally().add_normal(said.field, said.std, true, cells, observation_error=error)
        return EnsembleTally()

    sums = _Sums(Tally().add(said.field, true, where), laws(where))
    if said.members is not None:
        sums.members = EnsembleTally().add_members(said.members, true, where, observation_error=error)
        # A direction jumps where it begins again, which a spectrum would take for power.
        if has_spectrum:
            sums.spectrum = sums.spectrum.add(true, said.field, where, is_periodic=is_periodic)
            sums.member_spectrum = sums.member_spectrum.add(true, said.members[0], where, is_periodic=is_periodic)
    for category in categories:
        for label, cells in category.parts(where):
            sums.parts[category.name, label] = (Tally().add(said.field, true, cells), laws(cells))
    return sums


def _categories(archive: Archive, dates: slice, by: Sequence[str]) -> list[Category]:
    """The categories of some dates."""
    found = []
    observed = archive.read(dates).mask.numpy() > 0 if by else np.zeros(0, bool)
    for name in by:
        if name == "distance":
            found.append(distance_to_observed(observed, archive.domain, is_periodic=archive.is_periodic))
        elif name == "cloud":
            found.append(cloud_fraction(observed, archive.domain))
        elif archive.phase is None:
            raise InputError("the archive has no dates, so there are no seasons to score apart; leave season out")
        else:
            found.append(season(archive.field[archive.field.dims[0]].values[dates]))
    return found


def _withheld(archive: Archive, cut: Plan) -> list[Tile]:
    """Stretches of dates with something withheld, each with the margins of the plan."""
    if archive.withheld is None:
        return []
    count = len(archive.days)
    return [
        Tile(run, slice(max(0, run.start - cut.margin), min(count, run.stop + cut.margin)))
        for run in archive.withheld.runs()
    ]


def _cells(
    archive: Archive, dates: slice, truth: xr.DataArray | None, *, everywhere: bool
) -> tuple[np.ndarray, np.ndarray]:
    """True values, and where to score, (t, C, H, W)."""
    raw = np.asarray(archive.field[dates].values, np.float64)
    if truth is None:
        return raw, archive.read(dates).withheld.numpy() > 0
    true = np.asarray(truth[dates].values, np.float64)
    hidden = everywhere | ~np.isfinite(raw)
    return true, np.isfinite(true) & hidden & archive.domain


def _dates(archive: Archive, stretches: Sequence[Tile], truth: xr.DataArray | None, *, everywhere: bool) -> np.ndarray:
    """Dates with a cell to score, in order."""
    found = [np.zeros(0, int)]
    for core in (stretch.core for stretch in stretches):
        _, where = _cells(archive, core, truth, everywhere=everywhere)
        found.append(core.start + np.flatnonzero(where.any((1, 2, 3))))
    if not sum(map(len, found)):
        raise InputError(NOTHING)
    return np.unique(np.concatenate(found))
