"""Gaps borrowed from other dates."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.observed import GapLibrary, ObservedGaps


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def archive() -> tuple[np.ndarray, np.ndarray]:
    observed = np.random.default_rng(1).random((20, 9, 21)) > 0.5
    observed[3] = True
    observed[7] = False
    domain = np.ones((9, 21), dtype=bool)
    domain[:, :4] = False
    return observed, domain


def test_gaps_are_the_archives_own(archive):
    observed, domain = archive
    gaps = ObservedGaps(flip=False, shift=False).fitted(observed, domain)
    drawn = gaps.sample((40, 2, 1, 9, 21), generator=generator())[:, :, 0].numpy()
    kept = np.delete(observed, [3, 7], axis=0) | ~domain
    pairs = np.stack([kept[:-1], kept[1:]], axis=1)
    for film in drawn:
        assert (film == pairs).all(axis=(1, 2, 3)).sum() == 1
    # Land is no gap.
    assert drawn[..., :4].all()


def test_crops_are_cut_from_a_frame_and_flipped(archive):
    observed, domain = archive
    gaps = ObservedGaps().fitted(observed, domain)
    kept = np.delete(observed, [3, 7], axis=0) | ~domain
    windows = np.lib.stride_tricks.sliding_window_view(kept, (5, 6), axis=(1, 2)).reshape(-1, 5, 6)
    for crop in gaps.sample((30, 1, 1, 5, 6), generator=generator())[:, 0, 0].numpy():
        variants = (crop, crop[::-1], crop[:, ::-1], crop[::-1, ::-1])
        assert any((windows == variant).all(axis=(1, 2)).any() for variant in variants)


def test_crops_larger_than_the_archive_go_on_mirrored(archive):
    observed, domain = archive
    gaps = ObservedGaps(flip=False, shift=False).fitted(observed, domain)
    crop = gaps.sample((1, 1, 1, 18, 42), generator=generator())[0, 0, 0]
    assert torch.equal(crop, crop.flip(0))
    assert torch.equal(crop, crop.flip(1))
    assert ObservedGaps().fitted(observed, domain).sample((2, 40, 1, 30, 50), generator=generator()).shape == (
        2,
        40,
        1,
        30,
        50,
    )


def test_the_library_is_bounded_and_keeps_runs_together():
    observed = np.zeros((3000, 2, 12), dtype=bool)
    # Each date's mask spells its number.
    observed[:, 0] = (np.arange(3000)[:, None] >> np.arange(12)) & 1
    observed[:, 1, 0] = True
    gaps = ObservedGaps(flip=False, shift=False).fitted(observed, np.ones((2, 12), dtype=bool), seed=5)
    assert len(gaps.gaps.packed) == 512
    films = gaps.sample((60, 5, 1, 2, 12), generator=generator())[:, :, 0, 0].numpy()
    dates = films @ (1 << np.arange(12))
    assert (np.diff(dates, axis=1) == 1).all()
    assert dates.max() > 2500
    assert dates.min() < 500


def test_the_library_is_no_parameter(archive):
    gaps = ObservedGaps().fitted(*archive)
    assert asdict(gaps) == {"flip": True, "shift": True}
    assert repr(gaps) == "ObservedGaps(flip=True, shift=True)"
    assert gaps == ObservedGaps()
    assert replace(gaps, flip=False).gaps is gaps.gaps
    assert gaps.library is gaps.gaps
    assert gaps.fitted(*archive) is gaps


def test_channels_keep_gaps_of_their_own_from_one_date_and_place(archive):
    observed, domain = archive
    bands = np.stack([observed, observed[::-1], ~observed], axis=1)
    gaps = ObservedGaps().fitted(bands, domain)
    assert gaps.channelwise
    assert not ObservedGaps().fitted(observed, domain).channelwise
    windows = np.lib.stride_tricks.sliding_window_view(bands | ~domain, (5, 6), axis=(2, 3))
    windows = np.moveaxis(windows, 1, 3).reshape(-1, 3, 5, 6)
    drawn = gaps.sample((20, 2, 3, 5, 6), generator=generator())
    assert drawn.shape == (20, 2, 3, 5, 6)
    for crop in drawn[:, 0].numpy():
        variants = (crop, crop[:, ::-1], crop[..., ::-1], crop[:, ::-1, ::-1])
        assert any((windows == variant).all(axis=(1, 2, 3)).any() for variant in variants)
    assert torch.equal(gaps.at((5, 6), 3.0, seed=1, channels=3), gaps.at((5, 6), 3.0, seed=1, channels=3))
    again = ObservedGaps().with_state(gaps.state())
    assert torch.equal(*(g.sample((2, 1, 3, 5, 6), generator=generator()) for g in (gaps, again)))


def test_one_channel_is_as_none(archive):
    observed, domain = archive
    draws = [
        ObservedGaps().fitted(gaps, domain).sample((4, 2, 3, 5, 6), generator=generator())
        for gaps in (observed, observed[:, None])
    ]
    assert torch.equal(*draws)
    assert draws[0].shape == (4, 2, 1, 5, 6)


def test_a_state_without_channels_can_be_read(archive):
    gaps = ObservedGaps().fitted(*archive)
    state = gaps.state()
    again = ObservedGaps().with_state({**state, "packed": state["packed"][:, 0]})
    assert torch.equal(*(g.sample((2, 1, 1, 5, 6), generator=generator()) for g in (gaps, again)))


def test_state_goes_round(archive):
    gaps = ObservedGaps().fitted(*archive)
    state = gaps.state()
    assert all(isinstance(array, torch.Tensor) for array in state.values())
    again = ObservedGaps().with_state(state)
    draws = [g.sample((3, 2, 1, 7, 8), generator=generator()) for g in (gaps, again)]
    assert torch.equal(*draws)
    assert ObservedGaps().state() == {}


def test_before_fitting_there_is_nothing_to_draw():
    with pytest.raises(InputError, match="is not fitted to one; call fitted"):
        ObservedGaps().sample((1, 1, 1, 4, 4), generator=generator())


def test_an_archive_without_partial_frames_is_refused():
    observed = np.ones((4, 5, 6), dtype=bool)
    observed[2] = False
    with pytest.raises(InputError, match="each of the 4 is either complete or empty"):
        ObservedGaps().fitted(observed, np.ones((5, 6), dtype=bool))


def test_flags_are_flags():
    with pytest.raises(InputError, match="flip of observed_gaps must be true or false, got 2"):
        ObservedGaps(flip=2)


def test_successive_dates_take_successive_frames(archive):
    observed, domain = archive
    gaps = ObservedGaps(flip=False, shift=False).fitted(observed, domain)
    kept = list(np.delete(observed, [3, 7], axis=0) | ~domain)
    found = []
    for step in range(16, 24):
        theta = gaps.at((9, 21), float(step), seed=0)[0, 0, 0].numpy()
        found.append(next(i for i, frame in enumerate(kept) if (frame == theta).all()))
    assert set(np.diff(found)) == {1}


def test_packing_keeps_every_cell():
    frames = np.random.default_rng(0).random((3, 5, 19)) > 0.5
    library = GapLibrary.of(frames, runs=np.zeros(3, dtype=np.int64))
    crop = library.crop([2, 0], np.arange(5), np.arange(19)[::-1])
    np.testing.assert_array_equal(crop[:, 0].numpy(), frames[[2, 0]][:, :, ::-1])


def test_borrowed_gaps_are_turned_with_the_globe():
    """Gaps of global frames are shifted by any number of columns across the seam; crops stay inside the frame."""
    observed = np.random.default_rng(0).random((12, 8, 20)) > 0.4
    gaps = ObservedGaps(flip=False).fitted(observed, np.ones((8, 20), bool)).around(True)
    theta = gaps.sample((40, 1, 1, 8, 20), generator=torch.Generator().manual_seed(0))[:, 0, 0].numpy()
    turns = set()
    for one in theta:
        # Rows are shifted too, in an endless mirror pattern.
        found = [
            by
            for by in range(20)
            if any(all((np.roll(one, -by, 1)[:, None] == frame[None]).all(-1).any(1)) for frame in observed)
        ]
        assert len(found) == 1
        turns |= set(found)
    assert len(turns) > 10
    still = ObservedGaps(flip=False, shift=False).fitted(observed, np.ones((8, 20), bool)).around(True)
    same = still.sample((5, 1, 1, 8, 20), generator=torch.Generator().manual_seed(0))[:, 0, 0].numpy()
    assert all((one == observed).all((1, 2)).any() for one in same)
    state = gaps.state()
    assert ObservedGaps().with_state(state).around(True).gaps.size == (8, 20)
    assert gaps.sample((2, 1, 1, 8, 12), generator=torch.Generator().manual_seed(0)).shape == (2, 1, 1, 8, 12)
