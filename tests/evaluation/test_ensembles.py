"""Scores of ensembles: exact formulas, calibrated predictions, and independence of the split into blocks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from geogan.evaluation.ensembles import LEVELS, EnsembleTally, fair_crps
from geogan.operators.errors import InputError

EVERYWHERE = np.array(True)


def flat(score) -> np.ndarray:
    parts = [part.values() if isinstance(part, dict) else np.atleast_1d(part) for part in score]
    return np.concatenate([np.array(list(part), float) for part in parts])


def fair(members, truth, error=0.0):
    """Return the fair CRPS of unsorted members."""
    return fair_crps(np.sort(members - truth, 0), np.broadcast_to(error, truth.shape))


def crps_of(cdf, truth: float) -> float:
    """The definition: the integral of (F(x) - 1(x >= y))^2 (Hersbach 2000)."""
    below = integrate.quad(lambda x: cdf(x) ** 2, truth - 300, truth, limit=400)[0]
    return below + integrate.quad(lambda x: (1 - cdf(x)) ** 2, truth, truth + 300, limit=400)[0]


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 12), seed=st.integers(0, 2**32 - 1))
def test_the_fair_crps_is_its_double_sum(count, seed):
    random = np.random.default_rng(seed)
    members, truth = random.normal(280, 3, (count, 5)).round(1), random.normal(280, 3, 5).round(1)
    pairs = np.abs(members[:, None] - members[None]).sum((0, 1)) / (2 * count * (count - 1))
    np.testing.assert_allclose(fair(members, truth), np.abs(members - truth).mean(0) - pairs, atol=1e-10)


def test_the_fair_crps_does_not_depend_on_the_number_of_members():
    random = np.random.default_rng(1)
    for count in (2, 5):
        scores = fair(random.normal(size=(count, 200_000)), random.normal(size=200_000))
        assert scores.mean() == pytest.approx(np.pi**-0.5, abs=0.004)


def test_observation_error_equals_noise_added_to_the_members():
    random = np.random.default_rng(2)
    members, truth = random.normal(size=(4, 3)), random.normal(size=3)
    noisy = members[..., None] + 0.6 * random.normal(size=(4, 3, 200_000))
    drawn = fair(noisy, np.broadcast_to(truth[:, None], (3, 200_000))).mean(-1)
    np.testing.assert_allclose(fair(members, truth, 0.6), drawn, atol=0.01)
    ranks = np.bincount((noisy < truth[:, None]).sum(0).ravel(), minlength=5) / 200_000
    tally = EnsembleTally().add_members(members, truth, EVERYWHERE, observation_error=0.6)
    np.testing.assert_allclose(tally.ranks, ranks, atol=0.02)
    nearly = EnsembleTally().add_members(members, truth, EVERYWHERE, observation_error=1e-9)
    np.testing.assert_allclose(
        flat(nearly.score()), flat(EnsembleTally().add_members(members, truth, EVERYWHERE).score()), atol=1e-6
    )


def test_the_crps_of_the_normal_and_of_student_s_t_are_their_integrals():
    mean, std, truth = np.array([10.0]), np.array([1.5]), np.array([11.2])
    normal = EnsembleTally().add_normal(mean, std, truth, EVERYWHERE)
    assert normal.crps == pytest.approx(crps_of(stats.norm(10, 1.5).cdf, 11.2))
    for members in (3, 6, 40):
        tally = EnsembleTally().add_normal(mean, std, truth, EVERYWHERE, members=members)
        law = stats.t(members - 1, 10, 1.5 * np.sqrt(1 + 1 / members))
        assert tally.crps == pytest.approx(crps_of(law.cdf, 11.2), rel=1e-3)
        low, high = law.interval(0.9)
        assert tally.score().interval[0.9] == pytest.approx(high - low)
    noisy = EnsembleTally().add_normal(mean, std, truth, EVERYWHERE, observation_error=2.0)
    assert noisy.crps == pytest.approx(crps_of(stats.norm(10, 2.5).cdf, 11.2))
    assert noisy.predicted == pytest.approx(2.5**2) and noisy.variance == pytest.approx(1.5**2)


def test_without_spread_the_crps_is_the_absolute_error():
    truth = np.array([0.0, 1.0])
    tally = EnsembleTally().add_normal(np.array([0.5, 1.0]), np.zeros(2), truth, EVERYWHERE)
    assert tally.score().crps == tally.score().mae == 0.25
    same = EnsembleTally().add_members(np.full((3, 2), 0.5), truth, EVERYWHERE)
    assert same.score().crps == same.score().mae == 0.5


def test_known_interval_scores():
    # 39 members: the 90 % interval lies between the 2nd and the 38th, the 95 % one between the outermost.
    members = np.arange(1.0, 40.0)[:, None]
    score = EnsembleTally().add_members(members, np.array([40.0]), EVERYWHERE).score()
    assert score.interval[0.9] == pytest.approx(36 + 20 * 2) and score.coverage[0.9] == 0
    assert score.interval[0.95] == pytest.approx(38 + 40 * 1)
    assert score.interval[0.5] == pytest.approx(20 + 4 * 10)
    assert score.ranks == (0.0,) * 39 + (1.0,)


@pytest.mark.parametrize(("count", "noise"), [(4, 0.0), (10, 0.5), (25, 0.0)])
def test_calibrated_members_have_calibrated_scores(count, noise):
    random = np.random.default_rng(count)
    shape = (30_000,)
    centre, width = random.normal(size=shape), random.uniform(0.5, 2, shape)
    members = centre + width * random.normal(size=(count, *shape))
    truth = centre + width * random.normal(size=shape) + noise * random.normal(size=shape)
    score = EnsembleTally().add_members(members, truth, EVERYWHERE, observation_error=noise).score()
    by_std = EnsembleTally().add_normal(
        members.mean(0), members.std(0, ddof=1), truth, EVERYWHERE, observation_error=noise, members=count
    )
    for scored in (score, by_std.score()):
        assert scored.spread_skill == pytest.approx(1, abs=0.02)
        assert scored.bias == pytest.approx(0, abs=0.03)
        for level in (0.5, 0.9, 0.95):
            assert scored.coverage[level] == pytest.approx(level, abs=0.025)  # interpolated at 4
    expected = len(truth) / (count + 1)
    np.testing.assert_allclose(score.ranks, expected, atol=5 * expected**0.5)
    assert score.crps == pytest.approx(np.mean(np.sqrt(width**2 + noise**2)) / np.pi**0.5, rel=0.03)


def test_members_with_too_little_spread_are_detected():
    random = np.random.default_rng(3)
    members, truth = 0.5 * random.normal(size=(9, 20_000)), random.normal(size=20_000)
    score = EnsembleTally().add_members(members, truth, EVERYWHERE).score()
    assert score.spread == pytest.approx(0.5, abs=0.01)
    assert score.coverage[0.9] < 0.7 and score.spread_skill < 0.6
    assert min(score.ranks[0], score.ranks[-1]) > 2 * max(score.ranks[1:-1])


def test_ties_count_for_all_their_ranks():
    members = np.array([[0.0], [1.0], [1.0], [2.0]])
    ranks = EnsembleTally().add_members(members, np.array([1.0]), EVERYWHERE).ranks
    np.testing.assert_allclose(ranks, [0, 1 / 3, 1 / 3, 1 / 3, 0])


@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), cells=st.integers(0, 60), noise=st.sampled_from([0.0, 0.4]))
def test_any_split_in_any_order_equals_the_whole(data, seed, cells, noise):
    random = np.random.default_rng(seed)
    truth = 290 + random.normal(size=cells)
    members = (truth + random.normal(size=(6, cells))).round(1)
    members[2, random.random(cells) < 0.2] = np.nan
    where = random.random(cells) < 0.7
    cuts = sorted(data.draw(st.lists(st.integers(0, cells), max_size=4)))
    parts = data.draw(st.permutations([slice(a, b) for a, b in zip([0, *cuts], [*cuts, cells])]))
    mean, std = members.mean(0), members.std(0)
    whole = EnsembleTally().add_members(members, truth, where, observation_error=noise)
    whole_normal = EnsembleTally().add_normal(mean, std, truth, where, observation_error=noise)
    merged, merged_normal = EnsembleTally(), EnsembleTally()
    for part in parts:
        merged = EnsembleTally().add_members(members[:, part], truth[part], where[part], observation_error=noise) + (
            merged
        )
        merged_normal = merged_normal.add_normal(
            mean[part], std[part], truth[part], where[part], observation_error=noise
        )
    for one, other in ((whole, merged), (whole_normal, merged_normal)):
        assert (one.cells, one.asked) == (other.cells, other.asked)
        np.testing.assert_allclose(flat(other.score()), flat(one.score()), rtol=1e-9, atol=1e-10)
    assert merged.cells == int((where & np.isfinite(mean)).sum())
    assert sum(merged.ranks) == pytest.approx(merged.cells)


def test_units_scale_the_scores():
    random = np.random.default_rng(5)
    members, truth = random.normal(size=(7, 500)), random.normal(size=500)
    one = EnsembleTally().add_members(members, truth, EVERYWHERE, observation_error=0.3).score()
    other = EnsembleTally().add_members(10 * members + 7, 10 * truth + 7, EVERYWHERE, observation_error=3.0).score()
    for name in ("rmse", "bias", "mae", "crps", "spread"):
        assert getattr(other, name) == pytest.approx(10 * getattr(one, name))
    assert other.interval[0.9] == pytest.approx(10 * one.interval[0.9])
    assert other.coverage == one.coverage and other.spread_skill == pytest.approx(one.spread_skill)


def test_nothing_to_score():
    score = EnsembleTally().add_members(np.full((3, 2), np.nan), np.ones(2), EVERYWHERE).score()
    assert score.cells == 0 and score.share == 0 and np.isnan(score.crps)
    assert all(np.isnan(score.coverage[level]) for level in LEVELS)
    assert np.isnan(EnsembleTally().score().share)


def test_rank_histograms_of_different_sizes_are_not_added():
    some = replace(EnsembleTally(), ranks=(1.0, 0.0, 0.0))
    assert (some + EnsembleTally()).ranks == (EnsembleTally() + some).ranks == (1.0, 0.0, 0.0)
    with pytest.raises(InputError, match="of 2 and of 3 members cannot be added"):
        some + replace(EnsembleTally(), ranks=(1.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("shape", "where", "error", "words"),
    [
        ((3, 2), np.ones(2), 0.0, "must be boolean"),
        ((3, 2), np.ones(3, bool), 0.0, "must broadcast"),
        ((3, 2), EVERYWHERE, -1.0, "must not be negative"),
        ((3, 4), EVERYWHERE, 0.0, "the shape of truth after the number"),
        ((1, 2), EVERYWHERE, 0.0, "two or more"),
    ],
)
def test_errors(shape, where, error, words):
    with pytest.raises(InputError, match=words):
        EnsembleTally().add_members(np.zeros(shape), np.zeros(2), where, observation_error=error)


@pytest.mark.parametrize(
    ("std", "members", "words"),
    [(np.ones(3), None, "one shape"), (-np.ones(2), None, "not be negative"), (np.ones(2), 2, "three or more")],
)
def test_errors_of_standard_deviations(std, members, words):
    with pytest.raises(InputError, match=words):
        EnsembleTally().add_normal(np.zeros(2), std, np.zeros(2), EVERYWHERE, members=members)
