"""Reconstructor: train on a gappy field, fill it, save the model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields
from html import escape
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np
import xarray as xr

from geogan.compute.device import find_device
from geogan.fields.covariates import labels
from geogan.files.places import check_apart
from geogan.files.run_folder import MODEL, STATE, holds
from geogan.files.user_path import user_path
from geogan.filling import FillOptions, fill_field
from geogan.io import as_field, marked
from geogan.model import Model, load_model, save_model
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, parse
from geogan.operators.wording import counted
from geogan.prior import GaussianPrior
from geogan.settings import GROUP_OF, GROUPS, NetworkConfig, Objective, Settings, TrainConfig
from geogan.training import Checkpoint, Inputs, Progress, claimed, prepare_training, train_model

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _name_the_object(make: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Name the settings object of a keyword that belongs to one, where Python would only call it unexpected."""

    @functools.wraps(make)
    def made(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        for name in kwargs:
            if name in GROUP_OF:
                group = GROUP_OF[name]
                raise TypeError(
                    f"{name} is a parameter of {GROUPS[group].__name__}; "
                    f"give {group}={GROUPS[group].__name__}({name}=...) or {group}={{{name!r}: ...}}"
                )
        return make(*args, **kwargs)

    return made


class Reconstructor:
    """Learn to fill a gappy field from that field alone.

    Parameters
    ----------
    operator : str, sequence of str, or Operator
        How the field is measured, e.g. ``"cloud_mask"`` or ``"cloud_mask:coverage=0.4,scale=12"``. Parameters you do
        not set are estimated from the gaps in the field.
    window : int
        Dates seen on each side of the one filled, in time steps.
    members : int
        Ensemble members in a training step; 1 for a generator without noise, which has no ensemble.
    first_guess : bool or GaussianPrior
        Start from the Gaussian estimate and learn a correction. A prior is used as it is, without a search.
    transform : {"none", "log", "bounded:LOW,HIGH", "circular", "identity"}
        Transform of the values before training; or one a band, with commas between. Images are not transformed.
        Between bounds (``"bounded:0,1"``), or beside one (``"bounded:0,inf"``), fills, members and means of predicted
        distributions stay inside; see :class:`geogan.fields.transforms.Transform`. Directions are ``"circular"``, by
        default where ``standard_name`` and units tell; ``"circular:LOW,HIGH"`` gives the ends of a full turn.
    covariates : str or sequence of str
        Known beside the field: ``"day_of_year"``, ``"hour_of_day"``, ``"latitude"``, ``"distance_to_coast"``, or names
        of maps that :meth:`fit` is given, static ones or of every date. The first guess has a regression on them where
        that predicts hidden observations better, and the networks see them.
    noise : float, optional
        Standard deviation of the observations' errors, in the field's units, where it is known: observed cells are then
        estimated too. :meth:`fit` can be given one for each observation instead.
    screen : bool or float
        Leave out single observations that neither their neighbours nor the climatology support, in training and in
        fills; a number is the threshold in robust standard deviations, by default 5. See `geogan.archive.screening`.
    network : NetworkConfig, dict or None
        Architecture of the networks. None trains none: :meth:`fit` fits the Gaussian first guess and calibrates its
        error, which takes less than a minute.
    objective : Objective or dict
        Weights of the terms of the loss. :func:`geogan.presets.preset` gives the paper's.
    training : TrainConfig or dict
        Batch, budget, optimisers and arithmetic, e.g. ``{"minutes": 2}``. Ten minutes by default.
    seed : int
        Seed of every random draw. A seed decides the result on one kind of processor.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Attributes
    ----------
    model_ : Model
        The trained model; its ``scores`` hold the errors on the withheld observations.
    domain_ : str
        How the domain was chosen, in the process that trained: see :class:`geogan.fields.domains.Domain`.

    Raises
    ------
    InputError
        If a parameter has another type, is not finite or lies outside its range: here, and again in :meth:`fit`.

    Examples
    --------
    >>> from geogan.operators.cloud import CloudMask
    >>> from geogan.corruption import corrupt
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> truth = synthetic_sst(days=12, size=16).sst
    >>> gappy = corrupt(truth, CloudMask(coverage=0.4, scale=4.0), seed=1)
    >>> brief = {"crop": 16, "steps": 2, "prior_evaluations": 2}
    >>> reconstructor = Reconstructor("cloud_mask", window=1, network={"width": 4}, training=brief)
    >>> filled = reconstructor.fit(gappy).fill(gappy)
    >>> bool(filled.sst.isnull().sum() == truth.isnull().sum())
    True
    """

    @_name_the_object
    def __init__(
        self,
        operator: str | Sequence[str] | Operator = Settings.operator,
        *,
        window: int = Settings.window,
        members: int = Settings.members,
        first_guess: bool | GaussianPrior = Settings.first_guess,
        transform: str = Settings.transform,
        covariates: str | Sequence[str] = Settings.covariates,
        noise: float | None = Settings.noise,
        screen: bool | float = Settings.screen,
        network: NetworkConfig | Mapping[str, Any] | None = NetworkConfig(),
        objective: Objective | Mapping[str, Any] = Objective(),
        training: TrainConfig | Mapping[str, Any] = TrainConfig(),
        seed: int = Settings.seed,
        device: str = "auto",
    ) -> None:
        self.operator = operator
        self.window = window
        self.members = members
        self.first_guess = first_guess
        self.transform = transform
        self.covariates = covariates
        self.noise = noise
        self.screen = screen
        self.network = network
        self.objective = objective
        self.training = training
        self.seed = seed
        self.device = device
        # Values become Python's own types, and dictionaries settings objects.
        for name, value in vars(self.settings).items():
            setattr(self, name, value)
        parse(self.operator)

    @property
    def settings(self) -> Settings:
        """All parameters but the device, checked."""
        return Settings(**{each.name: getattr(self, each.name) for each in fields(Settings)})

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep : bool
            Also return the parameters of ``network``, ``objective`` and ``training``, by their own names.

        Examples
        --------
        >>> Reconstructor(training={"steps": 60}).get_params()["steps"]
        60
        """
        settings = self.settings
        return vars(settings) | (settings.flat() if deep else {}) | {"device": self.device}

    def __repr__(self) -> str:
        defaults, settings = Settings(), self.settings
        changed = [
            f"{each.name}={getattr(settings, each.name)!r}"
            for each in fields(Settings)
            if each.name not in (*GROUPS, "operator") and getattr(settings, each.name) != getattr(defaults, each.name)
        ]
        for group in GROUPS:
            ours, theirs = getattr(settings, group), getattr(defaults, group)
            if ours is None:
                changed += [f"{group}=None"]
                continue
            inside = [f"{name}={value!r}" for name, value in vars(ours).items() if value != getattr(theirs, name)]
            changed += [f"{group}={type(ours).__name__}({', '.join(inside)})"] if inside else []
        return f"Reconstructor({', '.join([repr(describe(parse(self.operator))), *changed])}): {self._summary()}"

    def _repr_html_(self) -> str:
        rows = {"operator": describe(parse(self.operator)), "state": self._summary()}
        rows |= {name: value for name, value in self.get_params().items() if name not in (*rows, *GROUPS)}
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table><caption>Reconstructor</caption><tbody>{cells}</tbody></table>"

    def _summary(self) -> str:
        """Return in words whether there is a model, and how good it is."""
        if not hasattr(self, "model_"):
            return "not fitted"
        scores = self.model_.scores
        steps = "no network" if self.model_.network is None else counted(scores.get("steps") or 0, "step")
        words = f"fitted to {self.model_.variable}, {steps}"
        if scores.get("withheld") is None:
            return f"{words}, no error on withheld observations"
        units = scores.get("units", "")
        guess = scores.get("first_guess")
        compared = "" if guess is None or self.model_.network is None else f" (first guess {guess:.4g})"
        return f"{words}, withheld error {scores['withheld']:.4g} {units}".rstrip() + compared

    def fit(
        self,
        field: xr.DataArray | xr.Dataset,
        *,
        domain: np.ndarray | xr.DataArray | xr.Dataset | str | None = None,
        clean: xr.DataArray | None = None,
        covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
        error: xr.DataArray | xr.Dataset | None = None,
        checkpoint: Checkpoint | None = None,
        progress: Callable[[Progress, float], None] | None = None,
        message: Callable[[str], None] | None = None,
    ) -> Self:
        """Train on a gappy field.

        Parameters
        ----------
        field : DataArray, shape ([time,] [band,] y, x)
            NaN where nothing was observed; lazy or not. A field without time is an archive of its own crops. All
            measured variables of a Dataset are bands of one field: ``dataset[["sst", "chl"]]``.
        domain : str, ndarray or DataArray of bool, shape (y, x), or Dataset, optional
            Where the quantity exists: ``"observed"`` for cells that were ever observed, ``"all"``, ``"sea"`` or
            ``"land"`` by the coastlines that come with geogan, or a mask; ``"auto"``, or a Dataset of masks, for what
            the field's attributes tell, as in :func:`geogan.fields.domains.known_domain`. By default ``"observed"``,
            in a single scene ``"all"``.
        clean : DataArray, optional
            Fields without gaps, for the paper's variants that see some: the ones that were measured, in their order and
            on their grid (``weight_paired``), or any others (``clean_unrelated``). They may be transposed.
        covariates : Dataset, or mapping of DataArray, shape ([time,] y, x) or (time,), optional
            The covariates that are not computed from the field, without gaps in the domain: static maps on the field's
            grid, maps with every date of the field, or one value on each date. The model keeps the static ones.
        error : DataArray, of the field's shape, optional
            Standard deviation of each observation's error, in the field's units; a Dataset where the field is one, its
            variables in the same order.
        checkpoint : Checkpoint, optional
            Folder that model and state of training are saved in, from which training can be resumed.
        progress : callable, optional
            Called with a :class:`~geogan.training.loop.Progress` now and then, and with what turns its scores
            from anomalies into the field's units.
        message : callable, optional
            Called with one sentence for each result and decision.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the field, or a parameter, cannot be trained with; if the folder of the checkpoint holds something else,
            a run that is not to be replaced, or one that was trained with other settings; or if another process trains
            in it.

        Notes
        -----
        A training that is interrupted (Ctrl-C, ``KeyboardInterrupt``) raises as ever, and leaves the best weights so
        far in :attr:`model_`, without the calibration of their predicted error. With a checkpoint it can be resumed.
        """
        settings, device = self.settings, find_device(self.device)
        if covariates is not None:
            covariates = marked(covariates, labels(settings.covariates))
        inputs = Inputs(
            as_field(field),
            domain=domain,
            clean=None if clean is None else as_field(clean),
            covariates=covariates,
            error=None if error is None else as_field(error).array,
        )
        with claimed(checkpoint, inputs.field.array):
            self.path_ = None if checkpoint is None else checkpoint.path.resolve()
            training = prepare_training(inputs, settings, device=device, checkpoint=checkpoint, message=message)
            if training.domain:
                self.domain_ = training.domain
            try:
                self.model_ = train_model(training, checkpoint=checkpoint, progress=progress)
            except BaseException:
                if training.model is not None:
                    self.model_ = training.model
                raise
        return self

    def fill(
        self,
        field: xr.DataArray | xr.Dataset,
        *,
        error: xr.DataArray | xr.Dataset | None = None,
        covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
        keep_observed: bool | None = None,
        members: int = 1,
        max_error: float | Sequence[float] | None = None,
        seed: int = Settings.seed,
        screen: bool | float | None = None,
        message: Callable[[str], None] | None = None,
    ) -> xr.Dataset:
        """Fill the gaps of a field; a lazy field gives a lazy product.

        Parameters
        ----------
        field : DataArray, shape ([time,] [band,] y, x)
            The field trained on, other dates of it, or a part of its grid; a Dataset where it was one.
        error : DataArray, of the field's shape, optional
            Standard deviation of each observation's error, where the model was trained with one.
        covariates : Dataset, or mapping of DataArray, optional
            Those of the model's covariates that change in time, with every date of the field.
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
        options = FillOptions(keep_observed, members, max_error, seed, screen)
        return fill_field(
            self._model(),
            as_field(field),
            options,
            error=None if error is None else as_field(error).array,
            covariates=None if covariates is None else marked(covariates, labels(self.settings.covariates)),
            device=find_device(self.device),
            message=message or (lambda sentence: None),
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model and its settings into a folder.

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
        known = [each.name for each in fields(Settings) if each.name != "operator"]
        settings = {name: model.settings[name] for name in known if name in model.settings}
        reconstructor = cls(model.operator, device=device, **settings)
        reconstructor.model_ = model
        reconstructor.path_ = user_path(path).resolve()
        return reconstructor

    def _model(self) -> Model:
        if not hasattr(self, "model_"):
            raise InputError("nothing was learned yet; call fit, or Reconstructor.load")
        return self.model_
