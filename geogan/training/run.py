"""Train a model: run the loop, keep the best weights, calibrate their predicted error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from geogan.compute.threads import side_by_side, torch_threads
from geogan.files.run_folder import STATE
from geogan.model import Model
from geogan.model.networks import SpreadTable
from geogan.operators.errors import InputError
from geogan.training.arithmetic import Arithmetic, choose_arithmetic
from geogan.training.block_pool import BlockPool
from geogan.training.blocks import BLOCK_SIDE, BlockContent, BlockMaker, block_dates
from geogan.training.checkpoint import Checkpoint, Saver
from geogan.training.gain import advice, gain_sentence, measure_gain
from geogan.training.judge import Judge, Selection, is_divided, judged_by_noise, judged_dates
from geogan.training.learned import best_model, with_calibration, with_scores
from geogan.training.loop import Progress, train
from geogan.training.posterior_spread import fit_spread_table
from geogan.training.preparation import is_thin
from geogan.training.setup import Training, shared_model
from geogan.training.start import predicts_spread, start_state
from geogan.training.state import TrainState
from geogan.training.state_file import load_state
from geogan.training.step import Problem
from geogan.training.windows import WindowSampler
from geogan.training.without_network import model_without_network, outlook, with_gap_error


def train_model(
    training: Training,
    *,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress, float], None] | None = None,
) -> Model:
    """Run a training to its end, and return the model with the best weights and a calibrated error.

    Parameters
    ----------
    training : Training
        From :func:`geogan.training.setup.prepare_training`; its ``model`` is set where training is interrupted.
    checkpoint : Checkpoint, optional
        Where model and state are saved.
    progress : callable, optional
        Called with a `Progress` now and then, and with what turns its scores into the field's units.

    Raises
    ------
    InputError
        If a loss is not finite, or the discriminator has collapsed; the best weights are kept.
    """
    saver = Saver(checkpoint, training.ranks)
    report = progress if progress and training.ranks.first else lambda record, unit: None
    if training.settings.network is None or is_thin(training.archive.domain):
        return _without_network(training, saver, report)
    with torch_threads(1):
        table = None
        if predicts_spread(training.first, training.settings) and training.ranks.first and not training.is_resumed:
            table = _posterior_table(training)
        state = start_state(
            training.first,
            training.settings,
            scale=training.scale,
            is_bounded=training.is_bounded,
            device=training.device,
            ranks=training.ranks,
            table=table,
        )
        if training.is_resumed:
            assert checkpoint is not None
            with training.ranks.files(checkpoint.path, STATE) as folder:
                load_state(folder, state)
            training.message(f"resumed at step {state.step}")
        with closing(block_pool(training, state)) as pool:
            # Blocks are prepared while the judges are.
            pool.begin(state.step)
            judge, calibrating = _judges(training) if training.ranks.first else (None, None)
            arithmetic = _arithmetic(training)
            torch.set_num_threads(arithmetic.threads)

            def best() -> Model:
                return best_model(training.first, state, training.archive, judge, arithmetic)

            history = _run_loop(training, state, pool, judge, arithmetic, best, saver=saver, report=report)
        model = None
        if training.ranks.first:
            model = with_calibration(with_scores(best(), calibrating, training.unit), calibrating)
            model = _with_gain(model, training, calibrating, has_chosen=calibrating is judge)
            if training.first.operator.blurs and training.first.prior is not None:
                # Blurred observations cannot teach a network the error of the field.
                model = replace(model, error=_posterior_table(training).eval())
            model = with_gap_error(model, training.first, training.archive, calibrating, seed=training.settings.seed)
            if judge is not None:
                training.message(advice(history, cooling=training.settings.training.cooling))
            saver.save_model(lambda: model)
        return shared_model(model, training.ranks)


def _posterior_table(training: Training) -> SpreadTable:
    """Return the spread of the Gaussian posterior."""
    return fit_spread_table(
        training.first,
        training.archive,
        frames=training.first.frames,
        draws=training.settings.training.posterior_draws,
        seed=training.settings.seed,
    )


def _run_loop(
    training: Training,
    state: TrainState,
    pool: BlockPool,
    judge: Judge | None,
    arithmetic: Arithmetic,
    best: Callable[[], Model],
    *,
    saver: Saver,
    report: Callable[[Progress, float], None],
) -> list[tuple[int, float]]:
    """Train until the budget is spent; report, save, and keep the best weights of a training that is interrupted.

    Returns
    -------
    history : list of (int, float)
        Step and error of each validation.
    """
    history = []
    try:
        for record in _steps(training, state, pool, judge, arithmetic):
            if record.score is not None:
                history.append((record.step, record.score))
            if record.step == 0:
                saver.discard_replaced()
            # Before the first save: a run that is killed can only be begun again once it is described.
            report(record, training.unit)
            if record.advice:
                training.message(record.advice)
            if state.best and (record.step == 0 or saver.is_due):
                saver.save(best, state)
    except InputError:
        # The best weights are kept. The state stays as it was when its losses were finite.
        if state.best:
            saver.save_model(best)
            training.model = best() if training.ranks.size == 1 else None
        raise
    except BaseException as stop:
        if state.best and state.whole:
            saver.save(best, state)
        if state.best and training.ranks.size == 1:
            # In a notebook the best weights of an interrupted training are there to be filled with.
            training.model = best()
            if isinstance(stop, KeyboardInterrupt):
                training.message(
                    f"interrupted at step {state.step}: the weights of step {state.best_step}, the best so "
                    "far, are kept; their predicted error is not calibrated"
                )
        raise
    if state.best:
        saver.save(best, state)
    return history


def _with_gain(model: Model, training: Training, judge: Judge | None, *, has_chosen: bool) -> Model:
    """Return the model with its gain over the first guess in its scores, which a message tells too."""
    if judge is None or judge.by_noise or training.first.prior is None:
        return model
    # A generator of its own, so that the bootstrap does not depend on the course of the training.
    random = np.random.default_rng([training.settings.seed, 0x6A1])
    gain = measure_gain(judge, model.network, random=random, precision=getattr(torch, model.precision))
    if gain is None:
        return model
    training.message(gain_sentence(gain, has_chosen=has_chosen))
    has_interval = not np.isnan(gain.low)
    scores = {
        "gain": gain.share,
        "gain_low": gain.low if has_interval else None,
        "gain_high": gain.high if has_interval else None,
        "clouds": gain.clouds,
    }
    return replace(model, scores=model.scores | scores)


def _steps(
    training: Training, state: TrainState, pool: BlockPool, judge: Judge | None, arithmetic: Arithmetic
) -> Iterator[Progress]:
    """Yield the progress of Algorithm 1."""
    settings, first = training.settings, training.first
    sampler = WindowSampler.of(
        first.prior,
        frames=first.frames,
        crop=training.crop,
        circle=training.circle,
        seed=settings.seed,
        is_image=training.archive.is_image,
    )
    return train(
        state,
        pool,
        sampler,
        Problem.of(first.operator, first.prior, is_periodic=sampler.is_periodic),
        settings.objective,
        replace(settings.training, precision=arithmetic.precision),
        validate=None if judge is None else partial(judge.scores, precision=arithmetic.dtype),
        ranks=training.ranks,
    )


def block_pool(training: Training, state: TrainState) -> BlockPool:
    """Return the blocks that windows are drawn from."""
    settings, archive, first = training.settings, training.archive, training.first
    side = max(BLOCK_SIDE, *training.crop)
    has_neighbours = first.frames > 1 or (first.prior is not None and not archive.independent)
    make = BlockMaker(
        archive,
        first.operator,
        first.prior,
        training.share_seen,
        dates=block_dates(archive, first.frames, side),
        side=side,
        seed=settings.seed,
        content=BlockContent(
            has_hidden=settings.objective.weight_withheld > 0,
            members=settings.members,
            has_deviation=state.error is not None and state.error.network.spread,
            clean=training.clean,
            is_paired=not settings.objective.clean_unrelated,
            # Where other dates of a film matter, it cannot leave out some of them.
            set_aside=()
            if settings.objective.weight_withheld > 0 or has_neighbours
            else judged_dates(archive, first.operator).tolist(),
        ),
    )
    if make.reading:
        training.message(make.reading)
    blocks = settings.training.blocks
    return BlockPool(
        make,
        size=blocks,
        every=settings.training.replace_every,
        is_needed=partial(training.ranks.needs, step=math.gcd(settings.training.batch, blocks)),
    )


def _judges(training: Training, selection: Selection = Selection()) -> tuple[Judge | None, Judge | None]:
    """Return what the best weights are chosen by, and what the predicted error is calibrated by; None for neither."""
    first, archive = training.first, training.archive
    selection = replace(selection, is_set_aside=training.settings.objective.weight_withheld == 0)
    make = partial(Judge.of, archive, first.operator, first.prior, frames=first.frames, selection=selection)
    draws = training.settings.training.posterior_draws
    if first.operator.masks or len(first.withheld.dates):
        if not is_divided(archive, selection):
            judge = make(draws=draws)
            return judge, judge
        both: Sequence[Callable[[], Judge | None]] = (
            partial(make, chooses=True),
            partial(make, chooses=False, draws=draws),
        )
        choosing, calibrating = side_by_side(lambda build: build(), both)
        return choosing, calibrating
    if judged_by_noise(archive, first.operator):
        training.message(
            "without gaps nothing can be withheld: the best weights are those that predict measurements with other "
            "noise best"
        )
        return make(), None
    training.message(
        "without gaps or noise nothing can be withheld: the last weights are kept, and no error is reported"
    )
    return None, None


def _arithmetic(training: Training) -> Arithmetic:
    """Return precision and threads; all processes compute in the precision and on the threads of the first one."""
    recorded = None
    first = training.first
    if training.is_resumed and "threads_used" in first.settings:
        recorded = Arithmetic(first.precision, first.settings["threads_used"])
    used = choose_arithmetic(training.settings.training, training.device, recorded=recorded, message=training.message)
    precisions = ["float32", "bfloat16"]
    which, threads = training.ranks.from_first([precisions.index(used.precision), used.threads])
    return Arithmetic(precisions[int(which)], int(threads))


def _without_network(training: Training, saver: Saver, report: Callable[[Progress, float], None]) -> Model:
    """Return the first guess alone as the model: no network is asked for, or the grid is too thin for one."""
    archive, first = training.archive, training.first
    if training.settings.network is not None:
        height, width = archive.domain.shape
        training.message(
            f"the grid has {height} x {width} cells, fewer than a network needs each way: it is filled by the first "
            "guess alone"
        )
    model = None
    if training.ranks.first:
        with torch_threads(1):
            judge = _judge_without_network(training)
            draws = training.settings.training.posterior_draws
            model = model_without_network(first, archive, judge, draws=draws, seed=training.settings.seed)
        training.message(outlook(first, archive, judge, expected=model.scores.get("expected_in_gaps")))
        saver.discard_replaced()
        nothing = Progress(
            step=0, seconds=0.0, losses={}, score=None, best_score=math.nan, steps_per_second=0.0, waited=0.0
        )
        report(nothing, training.unit)
        saver.save_model(lambda: model)
    return shared_model(model, training.ranks)


def _judge_without_network(training: Training) -> Judge | None:
    """Return what the error of the first guess is calibrated by; None if nothing is withheld."""
    first, archive = training.first, training.archive
    if len(first.withheld.dates) or judged_by_noise(archive, first.operator):
        return Judge.of(archive, first.operator, first.prior, frames=1)
    return None
