"""``geogan train``: from a gappy archive to a trained model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from geogan import defaults
from geogan.compute.processes import Ranks
from geogan.fields.axes import find_axes, squeezed
from geogan.fields.covariates import MADE, named
from geogan.files.disk import writing
from geogan.files.lock import locked
from geogan.files.places import check_apart
from geogan.files.plain_file import parse_json, read_json, read_lines
from geogan.files.run_folder import (
    ABLATION,
    METRICS,
    RUN,
    STATE,
    check_files,
    check_free,
    discard_begun,
    holds,
    is_just_begun,
    is_run,
    read_run,
)
from geogan.files.user_path import user_path
from geogan.io import (
    PLAIN,
    Reading,
    check_measured,
    choose_variable,
    find_domain,
    find_paths,
    open_maps,
    open_masks,
    open_source,
    span_of,
    variable_names,
)
from geogan.operators.errors import InputError
from geogan.presets import settings_of
from geogan.reconstructor import Reconstructor
from geogan.training.loop import Progress
from geogan.training.state_file import saved_step


def train(
    data: str | Path | Sequence[str | Path] | None,
    *,
    operator: Sequence[str] = ("cloud_mask",),
    out: Path | None = None,
    variable: str | Sequence[str] | None = None,
    domain: str | None = None,
    time: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    transform: str = "none",
    covariate: Sequence[str] = (),
    noise: float | None = None,
    error_variable: str | None = None,
    clean: str | Path | Sequence[str | Path] | None = None,
    preset: Sequence[str] = (),
    generator: str | None = None,
    discriminator: str | None = None,
    window: int | None = None,
    width: int | None = None,
    crop: int | None = None,
    batch: int | None = None,
    members: int | None = None,
    weight_prior: float | None = None,
    weight_likelihood: float | None = None,
    weight_withheld: float | None = None,
    first_guess: bool | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    precision: str = "auto",
    screen: bool | float = False,
    seed: int = defaults.SEED,
    threads: int | None = None,
    device: str = "auto",
    resume: Path | None = None,
    overwrite: bool = False,
    allow_product: bool = False,
    console: Console | None = None,
) -> Path:
    """Train a model on a gappy archive.

    Parameters
    ----------
    data : path or URL, or several
        The archive; with ``resume``, by default the one of that run.
    operator : sequence of str
        How the field is measured, one after another.
    out : Path, optional
        Folder of the run; by default ``runs/`` and the name of the data.
    variable, domain, time : str, optional
        Which variable (or several, with commas between), where it exists, and which dates. The domain is a word or a
        variable, as in :func:`geogan.io.find_domain`; by default a mask of the data that holds what was observed, else
        what the standard name tells, as in :func:`geogan.fields.domains.known_domain`.
    group, dims, where : str, optional
        How the data are read, as in `geogan.io.open_field`.
    covariate : sequence of str
        Shown to the networks beside the field: of :data:`geogan.fields.covariates.MADE`, or static variables of the
        data.
    error_variable : str, optional
        Variable of the data that holds the standard deviation of each observation's error, in the field's units.
    clean : path or URL, or several, optional
        Fields without gaps, for the presets that see some; the variable of the same name, or its only one.
    preset : sequence of str
        Of :data:`geogan.presets.PRESETS`, later ones over earlier ones; what is given beside them holds.
    resume : Path, optional
        Go on with the run in that folder; ``steps`` and ``minutes`` may be raised, all else is as it was.
    overwrite : bool
        Replace a run that is there; its files are replaced when the new ones are ready.
    allow_product : bool
        Learn from a filled product of geogan, its estimates taken for observations.
    console : Console, optional
        Where to show progress; None for silence.

    The other parameters are those of :class:`geogan.reconstructor.Reconstructor`; left out, they are as the presets or
    else the defaults have them.

    Returns
    -------
    Path
        The folder of the run.

    Raises
    ------
    InputError
        Where the data or a parameter cannot be used; nothing is written then.
    """
    ranks = Ranks.here()
    if not ranks.first:
        console = None
    if resume is not None:
        out = user_path(resume)
        check_files(out)
        described = read_run(out)
        data = data or described["data"]
        variable, domain, time = described["variable"], described["domain"], described["time"]
        reading = Reading.of(**{name: described.get(name) for name in ("group", "dims", "where")})
        seen = described.get("dates")
        clean, error_variable = clean or described.get("clean"), described.get("error_variable")
        begins = not holds(out, STATE)
        reconstructor = _begun_again(out, described, device) if begins else Reconstructor.load(out, device=device)
        reconstructor.threads = threads or reconstructor.threads
        if steps is not None or minutes is not None:
            reconstructor.steps, reconstructor.minutes = steps, minutes
    else:
        begins = True
        if not data:
            raise InputError("train needs --data, the archive to learn from")
        # A missing file is said first: where a run of the default name is there, that would hide it.
        find_paths(data)
        if clean is not None:
            find_paths(clean)
        out = user_path(out) if out is not None else Path("runs") / _name(data)
        reading = Reading.of(group, dims, where)
        if ranks.first:
            within = out.absolute().parent if out.name == ABLATION else None
            check_apart(out, {"--data": data, "--clean": clean}, what="the run", within=within)
            check_free(
                out,
                overwrite=overwrite,
                ways=f"go on with --resume {out}, replace it with --overwrite, or give --out",
                other="--out",
            )
        seen = None
        given = {
            "generator": generator,
            "discriminator": discriminator,
            "window": window,
            "width": width,
            "crop": crop,
            "batch": batch,
            "members": members,
            "weight_prior": weight_prior,
            "weight_likelihood": weight_likelihood,
            "weight_withheld": weight_withheld,
            "first_guess": first_guess,
        }
        reconstructor = Reconstructor(
            operator,
            transform=transform,
            covariates=named(covariate),
            noise=noise,
            steps=steps,
            minutes=minutes,
            precision=precision,
            screen=screen,
            seed=seed,
            threads=threads,
            device=device,
            **settings_of(preset) | {name: value for name, value in given.items() if value is not None},
        )
    static = [name for name in named(reconstructor.covariates) if name not in MADE] if begins else []
    maps = open_maps(data, static, reading=reading) if static else None
    if variable is None and (maps is not None or error_variable is not None):
        # A map that is a covariate is not what is to be filled, nor is the error of observations.
        every = open_maps(data, (), reading=reading) if maps is None else maps
        beside = [name for name in static if name in every and squeezed(every[name], roles="yx").ndim == 2]
        rest = every.drop_vars([*beside, *named(error_variable or ())], errors="ignore")
        variable = choose_variable(rest, label=find_paths(data)[0]) if rest else None
    # The archive may have grown since it was trained on.
    source = open_source(data, variable=variable, time=seen or time, reading=reading)
    reading = source.reading
    if resume is None and not allow_product:
        check_measured(source)
    mask: xr.DataArray | xr.Dataset | str | None = None
    if begins and domain is not None:
        mask = find_domain(data, domain, source.field, reading=reading)
    elif begins and not find_axes(source.field).independent:
        mask = open_masks(data, source.field, reading=reading)
    errors = None
    if error_variable is not None:
        plainly = reading.unconditional()
        errors = open_source(data, variable=error_variable, time=seen or time, reading=plainly).field
    whole = None if clean is None else open_clean(clean, str(source.field.name), time, reading.beside())
    described = {
        "data": [str(path) for path in source.paths],
        "variable": str(source.field.name),
        "domain": domain,
        "time": time,
        "dates": span_of(source.field),
        "error_variable": error_variable,
        "clean": None if clean is None else find_paths(clean),
        **reading.plain,
    }
    if reconstructor.screen is not False:
        described["screen"] = reconstructor.screen
    with (
        locked(out, out) if ranks.first else nullcontext(),
        _Report(out, described, reconstructor, console, resumed=not begins) as report,
    ):
        if begins and resume is not None:
            report.say(f"no state of {out} was saved yet, so the training begins at step 0")
        for note in source.notes:
            report.say(note)
        try:
            reconstructor.fit(
                source.field,
                domain=mask,
                clean=whole,
                covariates=maps,
                error=errors,
                path=out,
                resume=not begins,
                overwrite=overwrite or resume is not None,
                progress=report.show,
                message=report.say,
            )
        except Exception:
            # A failure leaves nothing behind; a kill leaves what the run can be begun again with.
            if begins and resume is None:
                discard_begun(out)
            raise
    scores = reconstructor.model_.scores
    if scores["steps"] == report.since:
        report.say(f"{out} was trained for {report.since} steps already; give more --steps or --minutes to go on")
    error = "no error on withheld observations"
    if scores["withheld"] is not None:
        error = f"withheld error {scores['withheld']:.4g} {scores['units']} (first guess {scores['first_guess']:.4g})"
    elif scores["judged"] is not None:
        error = f"estimated error of what the noise hides: {scores['judged']:.4g} {scores['units']}".rstrip()
    report.say(f"{error} after {scores['steps']} steps; {out} is ready")
    return out


def open_clean(
    data: str | Path | Sequence[str | Path], variable: str, time: str | None, reading: Reading = PLAIN
) -> xr.DataArray:
    """The variable of that name where clean data have it, or the several; else their only one."""
    name = variable if "," in variable or variable in variable_names(data, reading=reading) else None
    return open_source(data, variable=name, time=time, reading=reading).field


def _begun_again(out: Path, described: dict[str, Any], device: str) -> Reconstructor:
    """What trains a run that was killed before its first state was saved, under the settings it was begun with.

    Raises
    ------
    InputError
        Where a model is there that was trained, and only its state is gone.
    """
    settings = described.get("settings")
    if settings is None or (is_run(out) and not is_just_begun(out)):
        raise InputError(
            f"{out} cannot be gone on with: it has no {STATE}; train it again with --overwrite, or give another --out"
        )
    known = Reconstructor().settings().keys()
    return Reconstructor(**{name: value for name, value in settings.items() if name in known}, device=device)


class _Report:
    """The progress bar, and ``metrics.jsonl`` beside it."""

    def __init__(
        self,
        out: Path,
        described: dict[str, Any],
        reconstructor: Reconstructor,
        console: Console | None,
        *,
        resumed: bool,
    ) -> None:
        self.out, self.described, self.reconstructor, self.console = out, described, reconstructor, console
        self.since = saved_step(out) if resumed and Ranks.here().first else -1
        self.last: int | None = None  # step of the last record written
        self.losses: dict[str, float] = {}
        self.score = float("nan")
        self.bar: Bar | None = None
        # Where nobody looks, in a log, a bar would leave empty lines only.
        if console is not None and console.is_terminal:
            self.bar = Bar(
                SpinnerColumn(),
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(compact=True),
                console=console,
                transient=True,
            )
            self.task = self.bar.add_task("preparing", total=None, text="")

    def __enter__(self) -> _Report:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def say(self, sentence: str) -> None:
        if self.console is not None:
            self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, report: Progress, unit: float) -> None:
        """One record: a line of ``metrics.jsonl``, and the bar."""
        line: dict[str, Any] = {"step": report.step, "seconds": round(report.seconds, 3)}
        line |= {f"loss_{name}": value for name, value in report.losses.items()}
        line |= {"steps_per_second": round(report.steps_per_second, 3), "waited": round(report.waited, 4)}
        if report.score is not None:
            line["withheld_rmse"] = self.score = report.score * unit
        with writing(self.out):
            self._write(line)
        if self.bar is None:
            return
        self.losses |= report.losses
        losses = "  ".join(f"{name} {value:.3g}" for name, value in self.losses.items())
        judged = "" if math.isnan(self.score) else f"withheld {self.score:.4g} (best {report.best_score * unit:.4g})  "
        budget = self.reconstructor.budget()
        done, total = (report.step, budget[0]) if budget[0] is not None else (report.seconds, 60 * (budget[1] or 0))
        self.bar.update(
            self.task,
            description="training",
            completed=done,
            total=total,
            # On a line of their own: all in one would not fit into a hundred characters.
            text=f"step {report.step}  {judged}{report.steps_per_second:.1f}/s\nlosses: {losses}",
        )

    def _write(self, line: dict[str, Any]) -> None:
        """Write a record; what an earlier run reported, or this one after it was last saved, is replaced."""
        self.out.mkdir(parents=True, exist_ok=True)
        run, metrics = self.out / RUN, self.out / METRICS
        if line["step"] == 0 or not run.is_file():
            # Only training finds out which domain it is, where none was asked for.
            chosen = {
                "domain": getattr(self.reconstructor, "domain_", self.described["domain"]),
                "settings": self.reconstructor.settings(),
            }
            _replace(run, json.dumps(self.described | chosen, indent=2))
        elif self.last in (None, 0) and (self.out / STATE).is_file():
            # Settings are those of the model from now on; without a state they were needed to begin again.
            described = read_json(run)
            if "settings" in described:
                _replace(run, json.dumps({key: described[key] for key in described if key != "settings"}, indent=2))
        last = self.since if self.last is None else self.last
        if self.last is not None and line["step"] > last:
            with metrics.open("a") as file:
                file.write(json.dumps(line) + "\n")
        else:
            # One line a step: the last record of a training comes beside another of the same step.
            kept = dict[float, dict[str, Any]]()
            for text, _ in read_lines(metrics) if metrics.is_file() else ():
                step = _step(text)
                if step <= last:
                    kept[step] = kept.get(step, {}) | parse_json(text)
            kept[line["step"]] = kept.get(line["step"], {}) | line
            _replace(metrics, "".join(json.dumps(kept[step]) + "\n" for step in sorted(kept)))
        self.last = line["step"]


def _replace(file: Path, text: str) -> None:
    """Write a file beside its name, which it gets in one move."""
    aside = file.with_name(f".{file.name}.partial")
    aside.write_text(text)
    aside.replace(file)


def _step(line: str) -> float:
    """The step of a record; a line that a kill cut short has none."""
    try:
        return float(parse_json(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return float("inf")


def _name(data: str | Path | Sequence[str | Path]) -> str:
    first = data if isinstance(data, str | Path) else data[0]
    stem = Path(str(first).rstrip("/")).name.split(".")[0]
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stem).strip("_") or "run"
