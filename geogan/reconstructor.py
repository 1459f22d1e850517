"""Reconstructor: learn from a gappy field, fill it, keep what was learned."""

from __future__ import annotations

import copy
import json
import math
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from geogan import defaults
from geogan.archive.archive import Archive
from geogan.archive.directions import as_inside, directed
from geogan.archive.screening import THRESHOLD
from geogan.archive.standardiser import transforms
from geogan.archive.survey import check_field, gap_sentences
from geogan.compute.device import find_device
from geogan.compute.processes import ALONE, Ranks, processes_here
from geogan.compute.threads import side_by_side, torch_threads, workers
from geogan.fields.alignment import aligned
from geogan.fields.covariates import named
from geogan.fields.domains import known_domain, named_domain
from geogan.fields.field import Field
from geogan.fields.units import check_units
from geogan.files.lock import is_held, locked
from geogan.files.places import check_apart
from geogan.files.run_folder import METRICS, MODEL, RUN, STATE, check_free, holds, is_just_begun
from geogan.files.user_path import user_path
from geogan.filling.fill import fill, prepared
from geogan.filling.task import wanted_over_found
from geogan.io import as_field, decided
from geogan.model.calibration import Calibration
from geogan.model.member_smoothing import fit_smoothing
from geogan.model.model import Model
from geogan.model.model_file import load_model, save_model
from geogan.model.networks import DISCRIMINATORS, GENERATORS, ErrorNet, Generator
from geogan.operators.band import PatchBand
from geogan.operators.choices import choice
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, parse
from geogan.settings import check_settings
from geogan.training.blocks import BlockPool
from geogan.training.judge import Judge, judged_by_noise, stands_apart
from geogan.training.loop import Progress, TrainState, Weights, train
from geogan.training.preparation import BLOCK_SIDE, Prepared, block_maker, is_thin, prepare_model, read_once, share_seen
from geogan.training.speed import Pace, find_pace, thread_counts
from geogan.training.state_file import load_state, save_state

# Blocks that serve at a time, and steps after which the oldest is replaced.
BLOCKS, REPLACE = 12, 8
SAVE_SECONDS = 30.0
# Settings that may change when a training is gone on with: they do not say what is learned, only for how long and how.
MAY_CHANGE = ("steps", "minutes", "threads")
# Draws of the posterior on the clouds that calibrate: only means over all of them count.
DRAWS = 4


class Reconstructor:
    """Learn to fill a gappy field from that field alone.

    Parameters
    ----------
    operator : str, sequence of str, or Operator
        How the field is measured, e.g. ``"cloud_mask"`` or ``"cloud_mask:coverage=0.4,scale=12"``. What is
        left open is fitted to the field's own gaps.
    window : int
        Dates looked at before and after each.
    width : int
        Channels of the generator at full resolution.
    generator, discriminator : str
        Networks: ``"unet"`` and ``"convolutional"``, or the paper's ``"sagan"``.
    show_mask : bool
        Whether the paper's generator sees where it was measured.
    members : int
        Draws of the ensemble in a training step; 1 for a generator without noise, which has no ensemble.
    weight_prior, weight_likelihood, weight_withheld, weight_paired : float
        Weights of the adversarial prior, the likelihood, the withheld term and the regression on clean fields; 0
        leaves a term out. The paper's objective is ``1, 2, 0, 0`` without a first guess:
        :data:`geogan.presets.PRESETS`.
    clean_unrelated : bool
        The clean fields given to :meth:`fit` are not those that were measured.
    first_guess : bool
        Start from the Gaussian MAP and learn a correction.
    transform : {"none", "log", "bounded:LOW,HIGH", "circular", "identity"}
        What is done to the values first; or one a band, with commas between. Images stand as they are. Between bounds
        (``"bounded:0,1"``), or beside one (``"bounded:0,inf"``), fills, members and means of predicted laws stay
        inside; see :class:`geogan.fields.transforms.Transform`. Directions are ``"circular"``, also by default where
        ``standard_name`` and units tell; ``"circular:LOW,HIGH"`` gives the ends of a full turn.
    covariates : sequence of str
        What the networks are shown beside the field: ``"day_of_year"``, ``"latitude"``, ``"distance_to_coast"``, or
        names of static maps that :meth:`fit` is given.
    noise : float, optional
        Standard deviation of the observations' errors, in the field's units, where it is known: observed cells are then
        estimated too. :meth:`fit` can be given one for each observation instead.
    batch, crop : int
        Windows of a step, and their side in cells at most.
    steps : int, optional
    minutes : float, optional
        Budget of training; ten minutes where neither is given, whatever ends first where both are.
    rate_generator, rate_discriminator : float
        Learning rates (Adam).
    betas : (float, float), optional
        Of Adam; by default its usual ones, with less inertia against a discriminator.
    decay, decay_every : float, int
        Both learning rates are multiplied by ``decay`` every so many steps.
    cooling : float
        Share of the budget, at its end, over which both fall to 0.
    warm_up : int
        Steps over which the generator's learning rate rises.
    clip : float, optional
        Norm that the generator's gradient is cut to; None leaves it.
    likelihood_every : int
        The likelihood term comes at every so many steps, and counts as many times more.
    averaging : float
        Decay of the moving average of the generator's weights.
    precision : {"auto", "float32", "bfloat16"}
        Of the networks' arithmetic; auto measures which is quicker. A resumed run keeps what was found.
    seed : int
    threads : int, optional
        Of the networks' arithmetic while training; by default as many as a measurement finds quickest, of all cores but
        one, which prepares blocks. A resumed run keeps what was found.
    screen : bool or float
        Leave out single observations that neither their neighbours nor the climatology support, in training and in
        fills; a number is the threshold in robust standard deviations, by default 5. See `geogan.archive.screening`.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Attributes
    ----------
    model_ : Model
        What was learned; its ``scores`` hold the errors on the withheld clouds.
    domain_ : str
        Which domain was chosen, in the process that trained: see :class:`geogan.fields.domains.Domain`.

    Raises
    ------
    InputError
        Where a setting has another type, is not finite or lies outside its range: here, and again in :meth:`fit`.

    Examples
    --------
    >>> from geogan.operators.cloud import CloudMask
    >>> from geogan.corruption import corrupt
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> truth = synthetic_sst(days=12, size=16).sst
    >>> gappy = corrupt(truth, CloudMask(coverage=0.4, scale=4.0), seed=1)
    >>> reconstructor = Reconstructor("cloud_mask", window=1, width=4, crop=16, steps=2)
    >>> filled = reconstructor.fit(gappy).fill(gappy)
    >>> bool(filled.sst.isnull().sum() == truth.isnull().sum())
    True
    """

    def __init__(
        self,
        operator: str | Sequence[str] | Operator = "cloud_mask",
        *,
        window: int = defaults.WINDOW,
        generator: str = "unet",
        discriminator: str = "convolutional",
        width: int = defaults.WIDTH,
        show_mask: bool = True,
        members: int = defaults.MEMBERS,
        weight_prior: float = defaults.WEIGHT_PRIOR,
        weight_likelihood: float = defaults.WEIGHT_LIKELIHOOD,
        weight_withheld: float = defaults.WEIGHT_WITHHELD,
        weight_paired: float = 0.0,
        clean_unrelated: bool = False,
        first_guess: bool = True,
        transform: str = "none",
        covariates: str | Sequence[str] = (),
        noise: float | None = None,
        batch: int = defaults.BATCH,
        crop: int = defaults.CROP,
        steps: int | None = None,
        minutes: float | None = None,
        rate_generator: float = 1e-3,
        rate_discriminator: float = 4e-4,
        betas: tuple[float, float] | None = None,
        decay: float = 1.0,
        decay_every: int = 400,
        cooling: float = 0.2,
        warm_up: int = 50,
        clip: float | None = 1.0,
        likelihood_every: int = 8,
        averaging: float = 0.998,
        precision: str = "auto",
        seed: int = defaults.SEED,
        threads: int | None = None,
        screen: bool | float = False,
        device: str = "auto",
    ) -> None:
        self.operator = operator
        self.window = window
        self.generator = generator
        self.discriminator = discriminator
        self.width = width
        self.show_mask = show_mask
        self.members = members
        self.weight_prior = weight_prior
        self.weight_likelihood = weight_likelihood
        self.weight_withheld = weight_withheld
        self.weight_paired = weight_paired
        self.clean_unrelated = clean_unrelated
        self.first_guess = first_guess
        self.transform = transform
        self.covariates = covariates
        self.noise = noise
        self.batch = batch
        self.crop = crop
        self.steps = steps
        self.minutes = minutes
        self.rate_generator = rate_generator
        self.rate_discriminator = rate_discriminator
        self.betas = betas
        self.decay = decay
        self.decay_every = decay_every
        self.cooling = cooling
        self.warm_up = warm_up
        self.clip = clip
        self.likelihood_every = likelihood_every
        self.averaging = averaging
        self.precision = precision
        self.seed = seed
        self.threads = threads
        self.screen = screen
        self.device = device
        self._check()

    def fit(
        self,
        field: xr.DataArray | xr.Dataset,
        *,
        domain: np.ndarray | xr.DataArray | xr.Dataset | str | None = None,
        clean: xr.DataArray | None = None,
        covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
        error: xr.DataArray | xr.Dataset | None = None,
        path: str | Path | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: Callable[[Progress, float], None] | None = None,
        message: Callable[[str], None] | None = None,
    ) -> Self:
        """Train on a gappy field.

        Parameters
        ----------
        field : DataArray, shape ([time,] [band,] y, x)
            NaN where unseen; lazy or not. A field without time is an archive of its own crops. Of a Dataset all
            measured variables, as bands of one field: ``dataset[["sst", "chl"]]``.
        domain : str, ndarray or DataArray of bool, shape (y, x), or Dataset, optional
            Where the quantity exists: ``"observed"`` for where it was ever observed, ``"all"``, ``"sea"`` or ``"land"``
            by the coastlines that come with geogan, or a mask; ``"auto"``, or a Dataset of masks, for what is known of
            it, as in :func:`geogan.fields.domains.known_domain`. By default ``"observed"``, in a single scene
            ``"all"``.
        clean : DataArray, optional
            Fields without gaps, for the paper's variants that see some: those that were measured, in their order and
            on their grid (``weight_paired``), or any others (``clean_unrelated``). They may be transposed.
        covariates : Dataset, or mapping of DataArray, shape (y, x), optional
            The static maps among the covariates, on the field's grid, without gaps in the domain. The model keeps them.
        error : DataArray, of the field's shape, optional
            Standard deviation of each observation's error, in the field's units; a Dataset where the field is one, its
            variables in the same order.
        path : str or Path, optional
            Folder that the model and the state of training are saved to, every half minute, between two steps. One
            process at a time may train in it.
        resume : bool
            Go on with the training saved in ``path``, under the same settings but for ``steps``, ``minutes`` and
            ``threads``. With more steps or minutes than before it learns at the whole rate again, and cools down at its
            new end. A training that was killed before its first state was saved begins at step 0.
        overwrite : bool
            Replace a run that is in ``path``, once the first model of this one is ready. Nothing but a run that geogan
            made is replaced.
        progress : callable, optional
            Called with a :class:`~geogan.training.loop.Progress` now and then, and with what turns its scores
            from anomalies into the field's units.
        message : callable, optional
            Called with sentences about what was found and decided.

        Returns
        -------
        self

        Raises
        ------
        InputError
            Where the field, or a parameter, cannot be trained with; where ``path`` holds something else, a run that is
            not to be replaced, or one that was trained with other settings; or where another process trains in it.

        Notes
        -----
        A training that is interrupted (Ctrl-C, ``KeyboardInterrupt``) raises as ever, and leaves the best weights so
        far in :attr:`model_`, without the calibration of their predicted error. A run with a ``path`` can be resumed.
        """
        ranks = Ranks.here()
        if resume and path is None:
            raise InputError("resume needs the folder of the run; give path")
        known = as_field(field)
        place = None if path is None else user_path(path)
        self.path_ = None if place is None else place.resolve()
        if place is None or not ranks.first:
            return self._fit(known, domain, clean, covariates, error, place, resume, progress, message)
        if not resume:
            # A run that comes from the command line was compared with its data there.
            if not is_held(place):
                check_apart(place, {"the field of": _sources(known.array)}, what="the run")
            check_free(
                place,
                overwrite=overwrite,
                ways="go on with resume=True, replace it with overwrite=True, or give another path",
                other="path",
            )
        with nullcontext() if is_held(place) else locked(place, place):
            return self._fit(known, domain, clean, covariates, error, place, resume, progress, message)

    def _fit(
        self,
        field: Field,
        domain: np.ndarray | xr.DataArray | xr.Dataset | str | None,
        clean: xr.DataArray | None,
        covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None,
        error: xr.DataArray | xr.Dataset | None,
        path: Path | None,
        resume: bool,
        progress: Callable[[Progress, float], None] | None,
        message: Callable[[str], None] | None,
    ) -> Self:
        """Train in a folder that no other process trains in; as :meth:`fit`."""
        ranks = Ranks.here()
        say = message if message and ranks.first else lambda _: None
        device = find_device(self.device)
        self._check()
        if resume and ranks.told([float(ranks.first and is_just_begun(path))])[0]:  # type: ignore[arg-type]
            say("no state of this training was saved yet, so it begins at step 0")
            resume = False
        errors = None if error is None else as_field(error).array
        truth = None if clean is None else as_field(clean)
        if truth is not None:
            check_units([field.array, truth.array], ["the measurements", "the clean fields"])
        if covariates is not None:
            maps = named(self.covariates)
            covariates = {name: decided(each) if name in maps else each for name, each in covariates.items()}
        wanted = self.weight_paired > 0 or self.clean_unrelated
        if wanted and clean is None:
            raise InputError("the paired and unpaired presets learn from clean fields; give them with --clean")
        if clean is not None and not wanted:
            raise InputError("clean fields are of no use to this training; give --preset paired or unpaired")
        workers(self.threads)
        self._check_shares(ranks.size)
        transforms(self.transform, field.bands)
        begun = None
        if ranks.first:
            begun = self._prepared(field, errors, domain, covariates, path=path if resume else None, message=say)
        first, archive, share, scale = _handed(begun, ranks, field, errors)
        if resume:
            self._check_same(first, str(path))
        if is_thin(archive.domain):
            return self._without_network(first, archive, ranks, path=path, progress=progress, message=say)
        whole = self._clean(truth, field, archive, first.frames)
        frames, shape = first.frames, archive.domain.shape
        crop = (min(self.crop, shape[0]), min(self.crop, shape[1]))
        if first.prior is not None and not first.prior.stationary:
            crop = shape
        with torch_threads(1):
            state = self._start(first, scale, device, images=field.is_image, ranks=ranks)
            if resume:
                with ranks.files(path, STATE) as folder:
                    load_state(folder, state)
                say(f"resumed at step {state.step}")
            pool = self._pool(first, archive, share, whole, crop, state, ranks, message=say)
            with closing(pool):
                # Blocks are prepared while the judges are.
                pool.begin(state.step)
                judge, apart = self._judges(first, archive, message=say) if ranks.first else (None, None)
                pace = self._pace(state.generator, crop, device, ranks, before=first if resume else None, message=say)
                torch.set_num_threads(pace.threads)
                dtype = getattr(torch, pace.precision)
                unit, _ = archive.standardiser.error_unit(first.units)

                def keep_model() -> None:
                    if ranks.first and path is not None and state.best:
                        save_model(path, self._learned(first, state, archive, judge, pace))

                def keep_state() -> None:
                    if ranks.first and path is not None and state.best:
                        save_state(path, state)

                weights = Weights(self.weight_prior, self.weight_likelihood, self.weight_withheld, self.weight_paired)
                saved = time.perf_counter()
                try:
                    for report in train(
                        state,
                        pool,
                        None if judge is None else partial(judge.look, precision=dtype),
                        operator=first.operator,
                        prior=first.prior,
                        weights=weights,
                        batch=self.batch,
                        frames=frames,
                        crop=crop,
                        steps=self.steps,
                        minutes=self.budget()[1],
                        likelihood_every=self.likelihood_every,
                        precision=dtype,
                        averaging=self.averaging,
                        clip=self.clip,
                        warm_up=self.warm_up,
                        decay=self.decay,
                        decay_every=self.decay_every,
                        cooling=self.cooling,
                        device=device,
                        seed=self.seed,
                        circle=shape[1] if archive.is_periodic and shape[1] <= max(BLOCK_SIDE, *crop) else None,
                        ranks=ranks,
                    ):
                        due = report.step == 0 or time.perf_counter() - saved > SAVE_SECONDS
                        if report.step == 0 and ranks.first and path is not None:
                            # Nothing of a run that is replaced may be gone on with under this one's name.
                            for name in (STATE, RUN, METRICS):
                                (path / name).unlink(missing_ok=True)
                        # Before the model: what was killed now can be begun again only where it was said what it is.
                        if progress is not None and ranks.first:
                            progress(report, unit)
                        if due:
                            keep_model()
                            keep_state()
                            saved = time.perf_counter()
                except InputError:
                    if ranks.size == 1 and state.best:
                        self.model_ = self._learned(first, state, archive, judge, pace)
                    # The best weights so far are kept. What is gone on with stays as it was: its losses were numbers.
                    keep_model()
                    raise
                except BaseException as stop:
                    if state.whole:
                        keep_model()
                        keep_state()
                    if ranks.size == 1 and state.best:
                        # In a notebook the best weights of an interrupted training are there to be filled with.
                        self.model_ = self._learned(first, state, archive, judge, pace)
                        if isinstance(stop, KeyboardInterrupt):
                            say(
                                f"interrupted at step {state.step}: the weights of step {state.best_step}, the best so "
                                "far, are kept; their predicted error is not calibrated"
                            )
                    raise
                keep_model()
                keep_state()
            ready = None
            if ranks.first:
                ready = self._learned(first, state, archive, judge, pace)
                ready = calibrated(reported(ready, apart, unit), apart)
                if path is not None:
                    save_model(path, ready)
            self.model_ = _same(ready, ranks)
        return self

    def _without_network(
        self,
        first: Model,
        archive: Archive,
        ranks: Ranks,
        *,
        path: str | Path | None,
        progress: Callable[[Progress, float], None] | None,
        message: Callable[[str], None],
    ) -> Self:
        """Keep the first guess alone, of a grid too thin for a network."""
        height, width = archive.domain.shape
        message(
            f"the grid has {height} x {width} cells, fewer than a network needs each way: it is filled by the first "
            "guess alone, without a predicted error"
        )
        ready = None
        if ranks.first:
            with torch_threads(1):
                judge, _ = self._judges(first, archive, message=message)
            unit, units = archive.standardiser.error_unit(first.units)
            error = None if judge is None else judge.guessed * unit
            scores = {
                "withheld": error,
                "first_guess": error,
                "judged_by": None if judge is None else "withheld observations",
                "judged": error,
                "units": units,
                "dates": len(first.withheld.dates),
                "cells": None if judge is None else judge.cells,
                "step": 0,
                "steps": 0,
                "seconds": 0.0,
            }
            ready = replace(first, settings=self.settings() | {"dates": len(archive.days)}, scores=scores)
            if path is not None:
                # Nothing of a run that is replaced may be gone on with under this one's name.
                for name in (STATE, RUN, METRICS):
                    (Path(path) / name).unlink(missing_ok=True)
            if progress is not None:
                nothing = Progress(
                    step=0, seconds=0.0, losses={}, score=None, best_score=math.nan, steps_per_second=0.0, waited=0.0
                )
                progress(nothing, unit)
            if path is not None:
                save_model(path, ready)
        self.model_ = _same(ready, ranks)
        return self

    def _learned(self, first: Model, state: TrainState, archive: Archive, judge: Judge | None, pace: Pace) -> Model:
        """What training started from, with the best weights so far and what is known of them."""
        unit, units = archive.standardiser.error_unit(first.units)
        clouds = judge is not None and not judge.by_noise
        error = state.error
        return replace(
            first,
            network=_frozen(state.average, state.best),
            error=None if error is None or not error.best else _frozen(error.average, error.best),
            calibration=Calibration(),
            smoothing=0,
            precision=pace.precision,
            # A run that is gone on with was fitted to its archive: its operator is described as it was asked for.
            settings=self.settings()
            | {name: value for name, value in first.settings.items() if name == "operator"}
            | {"dates": len(archive.days), "measured_threads": pace.threads},
            scores={
                "withheld": state.best_score * unit if clouds else None,
                "first_guess": judge.guessed * unit if judge is not None and clouds else None,
                "judged_by": None if judge is None else f"withheld {'observations' if clouds else 'noise'}",
                "judged": None if judge is None else state.best_score * unit,
                "units": units,
                "dates": len(first.withheld.dates),
                "cells": judge.cells if judge is not None and clouds else None,
                "step": state.best_step,
                "steps": state.step,
                "seconds": state.seconds,
            },
        )

    def _pool(
        self,
        first: Model,
        archive: Archive,
        share: np.ndarray,
        clean: Archive | None,
        crop: tuple[int, int],
        state: TrainState,
        ranks: Ranks,
        *,
        message: Callable[[str], None],
    ) -> BlockPool:
        """The blocks that windows are drawn from."""
        make = block_maker(
            archive,
            first.operator,
            share,
            seed=self.seed,
            frames=first.frames,
            side=max(BLOCK_SIDE, *crop),
            hiding=self.weight_withheld > 0,
            clean=clean,
            pairs=not self.clean_unrelated,
            members=self.members,
            deviating=state.error is not None and state.error.network.spread,
            message=message,
        )
        return BlockPool(
            partial(make, first.prior),
            size=BLOCKS,
            every=REPLACE,
            wanted=partial(ranks.serves, dealt=math.gcd(self.batch, BLOCKS)),
        )

    def _judges(
        self, first: Model, archive: Archive, *, message: Callable[[str], None]
    ) -> tuple[Judge | None, Judge | None]:
        """What chooses the best weights, and what the predicted error is calibrated by; None where nothing can."""
        looks = partial(Judge.of, archive, first.operator, first.prior, frames=first.frames)
        if first.operator.masks or len(first.withheld.dates):
            if not stands_apart(archive):
                judge = looks(draws=DRAWS)
                return judge, judge
            both = partial(looks, apart=False), partial(looks, apart=True, draws=DRAWS)
            judge, apart = side_by_side(lambda look: look(), both)
            return judge, apart
        if judged_by_noise(archive, first.operator):
            message(
                "without gaps nothing can be withheld: the best weights are those that predict measurements with other "
                "noise best"
            )
            return looks(), None
        message("without gaps or noise nothing can be withheld: the last weights are kept, and no error is reported")
        return None, None

    def _pace(
        self,
        network: Generator,
        crop: tuple[int, int],
        device: torch.device,
        ranks: Ranks,
        *,
        before: Model | None,
        message: Callable[[str], None],
    ) -> Pace:
        """How to compute: as asked, as the run that is gone on with did, or as is quickest here."""
        # One core is left to prepare blocks, or both would crawl.
        most = max(1, workers(None) // processes_here() - 1)
        precisions = ["float32", "bfloat16"] if self.precision == "auto" else [self.precision]
        threads = thread_counts(most) if device.type == "cpu" else [most]
        if before is not None:
            precisions, threads = [before.precision], [min(before.settings.get("measured_threads", most), most)]
        if self.threads:
            threads = [self.threads]
        found = Pace(precisions[0], threads[0])
        if ranks.first and len(precisions) * len(threads) > 1:
            found = find_pace(
                network,
                batch=self.batch // ranks.size,
                crop=crop,
                device=device,
                precisions=precisions,
                threads=threads,
            )
            message(f"measured: training is quickest in {found}")
        which, count = ranks.told([precisions.index(found.precision), found.threads])
        return Pace(precisions[int(which)], int(count))

    def _prepared(
        self,
        field: Field,
        error: xr.DataArray | None,
        domain: np.ndarray | xr.DataArray | xr.Dataset | str | None,
        covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None,
        *,
        path: str | Path | None,
        message: Callable[[str], None],
    ) -> Prepared:
        """What training starts from: found out about the field, or what the run in ``path`` started from."""
        if path is not None:
            first = load_model(path)
            survey = check_field(field, within=_fitting(first.domain, field), message=message)
            archive = prepared(first, field, error=error, withheld=True).held()
            return Prepared(first, archive, share_seen(survey, archive.domain), 1.0)
        asked = named_domain(field, domain)
        known = None if asked is None else asked.cells
        inside = directed(field, self.transform)
        if inside.field is not field and error is not None:
            error = inside.repeated(error)
        survey, sums = read_once(
            inside.field,
            within=known,
            transform=inside.transform,
            error=error,
            message=message,
        )
        for sentence in gap_sentences(survey, field):
            message(sentence)
        if asked is None:
            assert not isinstance(domain, np.ndarray | xr.DataArray)
            asked = known_domain(field, domain, survey.domain, is_scene=len(survey.seen_share) == 1)
        self.domain_ = asked.name
        ready = prepare_model(
            inside.field.with_domain(asked.cells),
            survey,
            parse(self.operator),
            window=self.window,
            transform=inside.transform,
            first_guess=self.first_guess,
            covariates=self.covariates,
            given=covariates,
            noise=self.noise,
            error=error,
            sums=sums,
            screen=(THRESHOLD if self.screen is True else self.screen) or None,
            seed=self.seed,
            message=message,
        )
        # After all that may be refused. An array is known to who gave it, but not what it leaves out.
        if asked.name != "given" or (survey.domain & ~asked.cells).any():
            message(asked.sentence(survey.domain))
        for sentence in inside.remarks:
            message(sentence)
        return ready

    def _start(
        self, first: Model, scale: float, device: torch.device, *, images: bool, ranks: Ranks = ALONE
    ) -> TrainState:
        sizes: dict[str, Any] = {"frames": first.frames, "channels": len(first.standardiser.scale), "width": self.width}
        more: dict[str, Any] = {}
        if self.generator == "sagan":
            # The paper's generator adds to the measurement where most of it can be seen.
            most_seen = isinstance(first.operator, PatchBand | ConvolveNoise)
            more["skip"] = "guess" if self.first_guess else "measurement" if most_seen else "none"
            more |= {"bounded": images, "show_mask": self.show_mask}
        if self.members > 1:
            more["noise"] = "white" if first.prior is None else "posterior"
        extras = 0 if first.covariates is None else first.covariates.channels
        # Weights are drawn from the seed without touching the caller's own random state.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            generator = GENERATORS[self.generator](**sizes, **more, extras=extras)
            critic = DISCRIMINATORS[self.discriminator](**sizes)
            # Errors can be learned where observations are hidden.
            learns = self.weight_withheld > 0 and first.operator.masks
            spread = first.prior is not None and not first.operator.blurs
            error = None
            if learns:
                error = ErrorNet(frames=first.frames, channels=sizes["channels"], extras=extras, spread=spread)
        generator.scale.fill_(scale)
        if error is not None:
            error.scale.fill_(scale)
            error = error.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator = generator.to(device=device, memory_format=torch.channels_last)
        critic = critic.to(device=device, memory_format=torch.channels_last)
        for network in (generator, critic) if error is None else (generator, critic, error):
            ranks.alike(network)
        return TrainState.start(
            generator,
            critic,
            error,
            rate_generator=self.rate_generator,
            rate_discriminator=self.rate_discriminator,
            betas=self.betas or ((0.5, 0.999) if self.weight_prior > 0 else (0.9, 0.999)),
            seed=self.seed,
        )

    def _clean(self, clean: Field | None, field: Field, archive: Archive, frames: int) -> Archive | None:
        """The archive of clean fields, where there are any."""
        if clean is None:
            return None
        inside = as_inside(clean.with_domain(archive.domain), archive.standardiser)
        whole = Archive.of(inside, archive.standardiser)
        ours, theirs = archive.field.shape, whole.field.shape
        if theirs[1:] != ours[1:]:
            raise InputError(
                f"the clean fields have {' x '.join(map(str, theirs[1:]))} bands and cells, the measurements "
                f"{' x '.join(map(str, ours[1:]))}; give clean fields of the same bands and size"
            )
        if not self.clean_unrelated and theirs[0] != ours[0]:
            raise InputError(
                f"there are {theirs[0]} clean fields for {ours[0]} measurements; pairs need one for each, in their "
                "order, or use --preset unpaired"
            )
        if not whole.independent and theirs[0] < frames:
            raise InputError(f"a window has {frames} dates, and there are {theirs[0]} clean fields; give more of them")
        if not self.clean_unrelated:
            aligned(clean.array, field, called=str(clean.array.name or "the clean field"))
        seen = share_seen(check_field(clean), archive.domain)
        if (seen < 1).any():
            name = clean.array.name or "the clean field"
            raise InputError(f"{name} has gaps of its own; give clean fields without any")
        return whole

    def fill(
        self,
        field: xr.DataArray | xr.Dataset,
        *,
        error: xr.DataArray | xr.Dataset | None = None,
        keep_observed: bool | None = None,
        members: int = 1,
        max_error: float | Sequence[float] | None = None,
        seed: int = defaults.SEED,
        screen: bool | float | None = None,
        message: Callable[[str], None] | None = None,
    ) -> xr.Dataset:
        """Fill the gaps of a field; lazily where it is lazy.

        Parameters
        ----------
        field : DataArray, shape ([time,] [band,] y, x)
            The field trained on, other dates of it, or a part of its grid; a Dataset where it was one.
        error : DataArray, of the field's shape, optional
            Standard deviation of each observation's error, where the model was trained with one.
        keep_observed : bool, optional
            Return measured values bit for bit; by default, unless they are known to be noisy or blurred.
        members : int
            Draws of the ensemble beside the estimate; 1 for none. They are the Gaussian posterior's deviations, or what
            a model trained with ``members=2`` or more makes of them.
        max_error : float or sequence of float, optional
            Leave cells empty whose predicted error is larger, in the field's units; of several variables one each.
        seed : int
            Of the members.
        screen : bool or float, optional
            Leave out observations that neither neighbours nor the climatology support: their cells hold the estimate
            and are flagged 5, screened. A number is the threshold in robust standard deviations; by default as in
            training.
        message : callable, optional
            Called with a sentence for each variable whose encoding is not kept: the product's ``encoding`` is the
            field's where that holds every value, and floats otherwise.

        Returns
        -------
        Dataset
            The filled variable; ``*_source``: 0 observed, 1 filled, 2 land, 3 refused, 4 unreadable, 5 screened;
            ``*_std``, the standard deviation of its error on the filled cells; of several members, ``*_member``.
        """
        check_settings({"keep_observed": keep_observed, "members": members, "seed": seed})
        return fill(
            self._model(),
            as_field(field),
            error=None if error is None else as_field(error).array,
            keep_observed=keep_observed,
            members=members,
            max_error=max_error,
            seed=seed,
            screen=screen,
            device=find_device(self.device),
            message=message or (lambda sentence: None),
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write what was learned into a folder.

        Parameters
        ----------
        path : str or Path
            Folder, made where it is not there. A model that was saved there is replaced.
        overwrite : bool
            Replace the model of a training that keeps its state in the folder and is not this one's.

        Returns
        -------
        folder : Path

        Raises
        ------
        InputError
            If nothing was learned yet; if the folder is a Zarr store, or lies in one or in a run; or if it holds
            another training.

        Examples
        --------
        >>> Reconstructor().save("run")
        Traceback (most recent call last):
            ...
        geogan.operators.errors.InputError: nothing was learned yet; call fit, or Reconstructor.load
        """
        model, place = self._model(), user_path(path)
        check_apart(place / MODEL, {}, what="the model", within=place)
        if not overwrite and holds(place, STATE) and place.resolve() != getattr(self, "path_", None):
            raise InputError(
                f"{path} holds another training; give another path, or replace its model with overwrite=True"
            )
        saved = save_model(path, model)
        self.path_ = place.resolve()
        return saved

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> Self:
        """Read what :meth:`save`, or ``geogan train``, wrote."""
        model = load_model(path)
        known = cls().settings().keys() - {"operator"}
        settings = {name: value for name, value in model.settings.items() if name in known}
        reconstructor = cls(model.operator, device=device, **settings)
        reconstructor.model_ = model
        reconstructor.path_ = user_path(path).resolve()
        return reconstructor

    def _model(self) -> Model:
        if not hasattr(self, "model_"):
            raise InputError("nothing was learned yet; call fit, or Reconstructor.load")
        return self.model_

    def settings(self) -> dict[str, Any]:
        """Return the parameters but for the device, as JSON can hold them."""
        own = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        own["operator"] = describe(parse(self.operator))
        own["covariates"] = list(named(self.covariates))
        del own["device"]
        return own

    def _check(self) -> None:
        """Refuse settings that cannot be trained with; numbers of NumPy become Python's own."""
        for name, value in check_settings(vars(self)).items():
            setattr(self, name, value)
        self.generator = choice(self.generator, GENERATORS, "generator")
        self.discriminator = choice(self.discriminator, DISCRIMINATORS, "discriminator")
        if not any((self.weight_prior, self.weight_likelihood, self.weight_withheld, self.weight_paired)):
            raise InputError("all weights are 0, so there is nothing to learn; give one of them a weight")

    def _check_same(self, first: Model, path: str) -> None:
        """Refuse to go on with a training under settings that are not its own; its operator keeps its own description.

        Raises
        ------
        InputError
            With the name of each setting that differs.
        """
        own, theirs = json.loads(json.dumps(self.settings())), json.loads(json.dumps(first.settings))
        operators = [theirs.get("operator"), json.loads(json.dumps(describe(first.operator)))]
        if own["precision"] in ("auto", first.precision):
            theirs.pop("precision", None)
        differing = [
            f"{name} {own[name]!r} instead of {theirs[name]!r}"
            for name in own
            if name in theirs
            and name not in MAY_CHANGE
            and own[name] != theirs[name]
            and not (name == "operator" and own[name] in operators)
        ]
        if differing:
            raise InputError(
                f"{path} cannot be gone on with under other settings ({', '.join(differing)}); give the run's own, as "
                "Reconstructor.load does, or another path"
            )

    def _check_shares(self, processes: int) -> None:
        """Refuse processes that would not do together what one does alone."""
        if self.batch % processes:
            raise InputError(
                f"{processes} processes cannot share a batch of {self.batch} windows evenly; give --batch "
                f"{-(-self.batch // processes) * processes}, or go on with another number of processes"
            )
        # Of so many windows there are ensembles: of at least one, in each process.
        each = processes * self.members
        if max(1, self.batch // each) * processes != max(1, self.batch // self.members):
            raise InputError(
                f"{processes} processes cannot share the ensembles of {self.members} members in a batch of "
                f"{self.batch} windows evenly; give --batch {-(-self.batch // each) * each}, or go on with another "
                "number of processes"
            )

    def budget(self) -> tuple[int | None, float | None]:
        """Steps and minutes to train for, None for no limit."""
        neither = self.steps is None and self.minutes is None
        return self.steps, defaults.MINUTES if neither else self.minutes


def _sources(field: xr.DataArray) -> list[str]:
    """Files that a field was opened from, where it says so."""
    return [name for name in str(field.encoding.get("source", "")).split(" and ") if name]


def _frozen(average: Any, weights: dict[str, Tensor]) -> Any:
    """A copy of a network with other weights, to be used and no more trained, on the CPU."""
    network = copy.deepcopy(average).to("cpu")
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _fitting(domain: np.ndarray, field: Field) -> np.ndarray | None:
    """A domain, if it is on the field's grid: another one is refused later."""
    return domain if domain.shape == field.grid else None


def _handed(begun: Prepared | None, ranks: Ranks, field: Field, error: xr.DataArray | None) -> Prepared:
    """What the first process prepared, on all of them."""
    if ranks.size == 1:
        assert begun is not None
        return begun
    first = _same(None if begun is None else begun.model, ranks)
    share = np.frombuffer(ranks.sent(b"" if begun is None else begun.share_seen.astype(np.float64).tobytes()))
    (scale,) = ranks.told([1.0 if begun is None else begun.scale])
    return begun or Prepared(first, prepared(first, field, error=error, withheld=True).held(), share, scale)


def _same(model: Model | None, ranks: Ranks) -> Model:
    """The first process's model, on all of them."""
    if ranks.size == 1 and model is not None:
        return model
    with tempfile.TemporaryDirectory(prefix="geogan-") as own:
        if model is not None:
            save_model(own, model)
        with ranks.files(Path(own), MODEL) as folder:
            return model or load_model(folder)


def reported(model: Model, judge: Judge | None, unit: float) -> Model:
    """The model, with its error and the first guess's on the clouds that a judge looks at, in the field's units."""
    if judge is None:
        return model
    error = judge.error(model.network, precision=getattr(torch, model.precision)) * unit
    found = {"withheld": error, "judged": error, "first_guess": judge.guessed * unit, "cells": judge.cells}
    return replace(model, scores=model.scores | found)


def calibrated(model: Model, judge: Judge | None) -> Model:
    """The model, its predicted error and the texture of its members corrected by the clouds that a judge looks at."""
    if judge is None or model.error is None:
        return model
    precision = getattr(torch, model.precision)
    seen = judge.residuals(model.network, model.error, precision=precision)
    found = Calibration.fit(seen.std, seen.found, clusters=seen.stretch, observation_error=seen.noise, level=seen.level)
    ensembles = judge.ensembles(model.network, model.error, found, precision=precision)
    apart = partial(wanted_over_found, is_periodic=judge.is_periodic)
    smoothing = fit_smoothing(ensembles, blur=judge.operator.blur, apart=apart, is_periodic=judge.is_periodic)
    return replace(model, calibration=found, smoothing=smoothing)
