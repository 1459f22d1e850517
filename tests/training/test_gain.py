"""The gain over the first guess: exact where it is certain, uncertain where clouds differ, and when to train longer."""

import numpy as np
import pytest

from geogan.training.gain import Gain, advice, bootstrap_gain, gain_sentence, late_fall


def test_the_interval_holds_the_true_gain_nine_times_in_ten():
    random, inside = np.random.default_rng(0), 0
    for _ in range(200):
        # Clouds differ by far more than the two estimates do.
        difficulty = random.gamma(2.0, size=40)
        guess = difficulty * random.chisquare(20, 40) / 20
        network = 0.81 * difficulty * random.chisquare(20, 40) / 20
        gain = bootstrap_gain(np.stack([network, guess], 1), random)
        inside += gain.low < 0.1 < gain.high
    assert 0.82 < inside / 200 < 0.96


def test_differences_between_clouds_do_not_count():
    """A paired bootstrap: the same share under easy and difficult clouds is certain."""
    guess = np.geomspace(1, 1000, 12)
    gain = bootstrap_gain(np.stack([0.25 * guess, guess], 1), np.random.default_rng(0))
    np.testing.assert_allclose(gain[:3], 0.5)


def test_few_clouds_have_no_interval():
    gain = bootstrap_gain(np.array([[1.0, 4.0], [1.0, 4.0]]), np.random.default_rng(0))
    assert (
        gain.share == 0.5 and np.isnan(gain.low) and "too few for an interval" in gain_sentence(gain, has_chosen=True)
    )
    assert bootstrap_gain(np.array([[1.0, 0.0]]), np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("share", "words"), [(0.044, "4.4 % lower than"), (-0.01, "1.0 % higher than"), (0.0, "the same as")]
)
def test_the_gain_in_words(share, words):
    sentence = gain_sentence(Gain(share, share - 0.02, share + 0.02, 42), has_chosen=False)
    assert f"is {words} the first guess's on 42 withheld clouds (90 % interval" in sentence
    assert "chose" not in sentence


def test_the_fall_while_the_learning_rate_falls_does_not_count():
    flat = [(step, 1.0) for step in range(100, 900, 100)]
    assert late_fall([(0, 2.0), *flat, (900, 0.5), (1000, 0.3)], cooling=0.2) == 0
    assert "hardly" in advice([(0, 2.0), *flat, (900, 0.5), (1000, 0.3)], cooling=0.2)


def test_an_error_that_still_falls_asks_for_more():
    history = [(step, 1 / (1 + step)) for step in range(0, 1100, 100)]
    assert late_fall(history, cooling=0.2) == pytest.approx(1 - 401 / 801)
    assert "train longer" in advice(history, cooling=0.2)


@pytest.mark.parametrize("history", [[], [(0, 1.0)], [(0, 1.0), (100, 0.9)]])
def test_too_few_validations_tell_nothing(history):
    assert late_fall(history, cooling=0.2) is None and "too few validations" in advice(history, cooling=0.2)
