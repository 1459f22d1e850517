"""Set up a training: check its inputs, prepare the model without networks, or read it from the run that is resumed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive, check_field
from geogan.compute.processes import Ranks
from geogan.compute.threads import workers
from geogan.fields.alignment import aligned
from geogan.fields.band_transforms import transforms
from geogan.fields.cell_size import cell_size
from geogan.fields.directions import directed
from geogan.fields.domains import known_domain, named_domain
from geogan.fields.field import Field
from geogan.fields.units import check_units
from geogan.files.run_folder import MODEL, is_just_begun
from geogan.gaps import QUICK, Packing, identifiability
from geogan.model import Model, load_model, prepare_archive, save_model
from geogan.operators.errors import InputError
from geogan.operators.parse import describe, parse
from geogan.operators.within import cells_within
from geogan.operators.wording import counted
from geogan.settings import Settings, flattened
from geogan.training.blocks import BLOCK_SIDE
from geogan.training.checkpoint import Checkpoint
from geogan.training.preparation import Prepared, is_thin, prepare_model, read_once, share_seen

Domain = np.ndarray | xr.DataArray | xr.Dataset | str | None
# Settings that may change when a run is resumed: duration, threads and reports, which do not change the objective.
MAY_CHANGE = ("steps", "minutes", "threads", "report_every")


@dataclass
class Inputs:
    """A field to train on, with its error, covariate maps and clean fields.

    Attributes
    ----------
    field : Field
    domain : ndarray, DataArray or Dataset, shape (y, x), or str, optional
        Where the quantity exists.
    clean : Field, optional
        Fields without gaps.
    covariates : mapping of DataArray, shape ([time,] y, x) or (time,), or Dataset, optional
        Covariates of the user, by name.
    error : DataArray, of the field's shape, optional
        Standard deviation of each observation's error.
    """

    field: Field
    domain: Domain = None
    clean: Field | None = None
    covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None
    error: xr.DataArray | None = None


@dataclass
class Training:
    """A training that is ready to run.

    Attributes
    ----------
    settings : Settings
    device : torch.device
    ranks : Ranks
        Processes that share the batch.
    first : Model
        The model without networks: climatology, operator, first guess, withheld observations.
    archive : Archive
    share_seen : ndarray, shape (T,)
        Share of the domain that is observed on each date.
    scale : float
        Error of the first guess on withheld observations, in anomalies; 1 without a first guess.
    clean : Archive, optional
        Archive of clean fields.
    is_bounded : bool
        Whether the values of the field lie between -1 and 1.
    domain : str
        How the domain was chosen, see :class:`geogan.fields.domains.Domain`; empty in a resumed training.
    is_resumed : bool
    message : callable
        Called with one sentence for each result and decision.
    model : Model, optional
        The model with the best weights so far, if training was interrupted.
    """

    settings: Settings
    device: torch.device
    ranks: Ranks
    first: Model
    archive: Archive
    share_seen: np.ndarray
    scale: float
    clean: Archive | None
    is_bounded: bool
    domain: str
    is_resumed: bool
    message: Callable[[str], None]
    model: Model | None = None

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of a training window, in cells."""
        height, width = self.archive.domain.shape
        if self.first.prior is not None and self.first.prior.needs_whole_grid:
            return height, width
        side = self.settings.training.crop
        return min(side, height), min(side, width)

    @property
    def circle(self) -> int | None:
        """Columns of a block that goes once round the globe, or None."""
        columns = self.archive.domain.shape[1]
        return columns if self.archive.is_periodic and columns <= max(BLOCK_SIDE, *self.crop) else None

    @property
    def unit(self) -> float:
        """What turns errors of anomalies into the field's units."""
        return self.archive.standardiser.error_unit(self.first.units)[0]


def prepare_training(
    inputs: Inputs,
    settings: Settings,
    *,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    message: Callable[[str], None] | None = None,
) -> Training:
    """Check the inputs, and find out about the field what training needs; or read it from the run that is resumed.

    Parameters
    ----------
    inputs : Inputs
    settings : Settings
    device : torch.device
    checkpoint : Checkpoint, optional
    message : callable, optional
        Called with one sentence for each result and decision.

    Raises
    ------
    InputError
        If the field cannot be trained on with these settings, or the run that is resumed has other ones.
    """
    ranks = Ranks.here()
    say = message if message and ranks.first else lambda sentence: None
    run = checkpoint.path if checkpoint is not None and checkpoint.resume else None
    if run is not None and ranks.from_first([float(ranks.first and is_just_begun(run))])[0]:
        say("no state of this training was saved yet, so it begins at step 0")
        run = None
    _check_inputs(inputs, settings)
    workers(settings.training.threads)
    check_shares(settings, ranks.size)
    transforms(settings.transform, inputs.field.bands)
    begun, domain = None, ""
    if ranks.first and run is not None:
        begun = _prepared_before(inputs, run, settings, say)
    elif ranks.first:
        begun, domain = _prepared(inputs, settings, say)
    first, archive, seen, scale = _shared(begun, ranks, inputs, settings)
    if run is not None:
        _check_same(settings, first, run)
    # A run that is resumed keeps the description of its operator, whose open parameters were fitted to its archive.
    described = settings_json(settings)
    if run is not None:
        described["operator"] = first.settings["operator"]
    return Training(
        settings=settings,
        device=device,
        ranks=ranks,
        first=replace(first, settings=dict(first.settings) | described),
        archive=archive,
        share_seen=seen,
        scale=scale,
        clean=None if is_thin(archive.domain) else _clean_archive(inputs, settings, archive, first.frames),
        is_bounded=inputs.field.is_image,
        domain=domain,
        is_resumed=run is not None,
        message=say,
    )


def _check_inputs(inputs: Inputs, settings: Settings) -> None:
    """Refuse clean fields that the objective does not use, an objective that lacks them, and fields in other units."""
    if inputs.clean is not None:
        check_units([inputs.field.array, inputs.clean.array], ["the measurements", "the clean fields"])
    objective = settings.objective
    needs_clean = objective.weight_paired > 0 or objective.clean_unrelated
    if needs_clean and inputs.clean is None:
        raise InputError("the paired and unpaired presets learn from clean fields; give them with --clean")
    if inputs.clean is not None and not needs_clean:
        raise InputError("this training does not use clean fields; give --preset paired or unpaired")


def check_shares(settings: Settings, processes: int) -> None:
    """Refuse a number of processes that cannot share a batch so that together they do what one does alone."""
    batch, members = settings.training.batch, settings.members
    if batch % processes:
        raise InputError(
            f"{processes} processes cannot share a batch of {counted(batch, 'window')} evenly; give --batch "
            f"{-(-batch // processes) * processes}, or start another number of processes"
        )
    # Each process trains the ensembles of one of its windows or more.
    least = processes * members
    if max(1, batch // least) * processes != max(1, batch // members):
        raise InputError(
            f"{processes} processes cannot share the ensembles of {members} members in a batch of "
            f"{counted(batch, 'window')} evenly; give --batch {-(-batch // least) * least}, or start another number of "
            "processes"
        )


def _prepared_before(inputs: Inputs, run: Path, settings: Settings, message: Callable[[str], None]) -> Prepared:
    """Return what a run that is resumed started from."""
    first, field = load_model(run), inputs.field
    # A domain on another grid is refused by prepare_archive, in words.
    survey = check_field(field, within=first.domain if first.domain.shape == field.grid else None, message=message)
    archive = _archive_of(first, inputs, settings)
    if len(first.withheld.dates) and not any(_has_withheld(archive, date) for date in first.withheld.dates.tolist()):
        raise InputError(
            f"{field.name} has none of the observations that {run} withheld from training, so it is not the field that "
            "the run was trained on; give that field"
        )
    return Prepared(first, archive, share_seen(survey, archive.domain), 1.0)


def _has_withheld(archive: Archive, date: int) -> bool:
    """Return whether an observation of a date is withheld."""
    hidden = archive.hidden(date)
    return hidden is not None and bool(hidden.any())


def _prepared(inputs: Inputs, settings: Settings, message: Callable[[str], None]) -> tuple[Prepared, str]:
    """Return what a new training starts from, and how its domain was chosen."""
    field, error = inputs.field, inputs.error
    asked = named_domain(field, inputs.domain)
    inside = directed(field, settings.transform)
    if inside.field is not field and error is not None:
        error = inside.repeated(error)
    packing = Packing(inside.field, most=QUICK)
    survey, sums = read_once(
        inside.field,
        within=None if asked is None else asked.cells,
        transform=inside.transform,
        error=error,
        memory=settings.training.memory,
        packing=packing,
        message=message,
    )
    for sentence in survey.gap_sentences(field):
        message(sentence)
    if asked is None:
        assert not isinstance(inputs.domain, np.ndarray | xr.DataArray)
        operator = parse(settings.operator).on_grid(cell_size(field))
        measured = cells_within(operator, survey.domain)
        asked = known_domain(field, inputs.domain, measured, is_scene=len(survey.seen_share) == 1)
    begun = prepare_model(
        inside.field.with_domain(asked.cells),
        survey,
        replace(settings, transform=inside.transform),
        maps=inputs.covariates,
        error=error,
        sums=sums,
        message=message,
    )
    # Reported after all refusals. A domain given as an array is reported only if it leaves out observed cells.
    if asked.name != "given" or (survey.domain & ~asked.cells).any():
        message(asked.sentence(survey.domain))
    for sentence in identifiability(field, asked.cells, packing=packing, compares=False).warnings():
        message(sentence)
    for sentence in inside.remarks:
        message(sentence)
    return begun, asked.name


def _shared(begun: Prepared | None, ranks: Ranks, inputs: Inputs, settings: Settings) -> Prepared:
    """Return on every process what the first one prepared."""
    if ranks.size == 1:
        assert begun is not None
        return begun
    first = shared_model(None if begun is None else begun.model, ranks)
    share = np.frombuffer(
        ranks.bytes_from_first(b"" if begun is None else begun.share_seen.astype(np.float64).tobytes())
    )
    (scale,) = ranks.from_first([1.0 if begun is None else begun.scale])
    if begun is not None:
        return begun
    return Prepared(first, _archive_of(first, inputs, settings), share, scale)


def _archive_of(first: Model, inputs: Inputs, settings: Settings) -> Archive:
    """Return the archive that a model was prepared on, without its withheld observations."""
    return prepare_archive(
        first,
        inputs.field,
        error=inputs.error,
        covariates=inputs.covariates,
        withheld=True,
        memory=settings.training.memory,
    ).held()


def shared_model(model: Model | None, ranks: Ranks) -> Model:
    """Return the first process's model on every process."""
    if ranks.size == 1 and model is not None:
        return model
    with tempfile.TemporaryDirectory(prefix="geogan-") as scratch:
        if model is not None:
            save_model(scratch, model)
        with ranks.files(Path(scratch), MODEL) as folder:
            return model or load_model(folder)


def _check_same(settings: Settings, first: Model, run: Path) -> None:
    """Refuse to resume a run under other settings; its operator may keep its fitted description.

    Raises
    ------
    InputError
        With the name of each setting that differs.
    """
    ours, theirs = (flattened(json.loads(json.dumps(each))) for each in (settings_json(settings), dict(first.settings)))
    operators = [theirs.get("operator"), json.loads(json.dumps(describe(first.operator)))]
    if ours["precision"] in ("auto", first.precision):
        theirs.pop("precision", None)
    differing = [
        f"{name} {ours[name]!r} instead of {theirs[name]!r}"
        for name in ours
        if name in theirs
        and name not in MAY_CHANGE
        and ours[name] != theirs[name]
        and not (name == "operator" and ours[name] in operators)
    ]
    if differing:
        raise InputError(
            f"{run} cannot be resumed with other settings ({', '.join(differing)}); give the run's own, as "
            "Reconstructor.load does, or another path"
        )


def settings_json(settings: Settings) -> dict[str, Any]:
    """Return settings as runs and models store them, their operator described in words."""
    return settings.plain() | {"operator": describe(parse(settings.operator))}


def _clean_archive(inputs: Inputs, settings: Settings, archive: Archive, frames: int) -> Archive | None:
    """Return the archive of clean fields, after checking that they go with the measurements; None without any."""
    clean = inputs.clean
    if clean is None:
        return None
    is_paired = not settings.objective.clean_unrelated
    standardiser = archive.standardiser
    inside = standardiser.as_inside(clean.with_domain(archive.domain))
    whole = Archive.of(inside, standardiser, memory=settings.training.memory)
    ours, theirs = archive.field.shape, whole.field.shape
    if theirs[1:] != ours[1:]:
        raise InputError(
            f"the clean fields have {' x '.join(map(str, theirs[1:]))} bands and cells, the measurements "
            f"{' x '.join(map(str, ours[1:]))}; give clean fields of the same bands and size"
        )
    if is_paired and theirs[0] != ours[0]:
        raise InputError(
            f"there are {counted(theirs[0], 'clean field')} for {counted(ours[0], 'measurement')}, where one for "
            "each, in the same order, is expected; give as many, or use --preset unpaired"
        )
    if not whole.independent and theirs[0] < frames:
        raise InputError(
            f"a window has {counted(frames, 'date')}, and there are {counted(theirs[0], 'clean field')}; give more "
            "clean fields, or a smaller --window"
        )
    if is_paired:
        aligned(clean.array, inputs.field, called=str(clean.array.name or "the clean field"))
    seen = share_seen(check_field(clean), archive.domain)
    if (seen < 1).any():
        name = clean.array.name or "the clean field"
        raise InputError(f"{name} has gaps of its own; give clean fields without any")
    return whole
