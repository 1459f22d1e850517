"""Baselines: simpler methods that fill the same gaps as the model, one file a method.

A new baseline takes one file here, ``NAME.py``, and one line in :data:`BASELINES`. The file holds the method as a
function of NumPy arrays, and ``prepare(given)``, which ``geogan evaluate`` calls with a
:class:`~geogan.evaluation.baselines.interface.BaselineInput`; ``biharmonic.py`` is the shortest example. This module
imports nothing heavy, because the command line lists the methods in its help.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Baseline:
    """Description of a baseline.

    Attributes
    ----------
    title : str
        Name in tables.
    is_slow : bool
        Whether the method trains, or fits each date, which takes minutes or more. A slow method is scored only on
        request, needs the record in memory, and fills just the dates to score.
    needs_time : bool
        Whether the method interpolates in time, so that it cannot fill independent samples.
    """

    title: str
    is_slow: bool = False
    needs_time: bool = False


BASELINES = {
    "climatology": Baseline("climatology"),
    "linear_time": Baseline("linear in time", needs_time=True),
    "biharmonic": Baseline("biharmonic"),
    "total_variation": Baseline("total variation", is_slow=True),
    "deep_image_prior": Baseline("Deep Image Prior", is_slow=True),
    "dineof": Baseline("DINEOF", is_slow=True),
    "ambientgan": Baseline("AmbientGAN, F(G(z))", is_slow=True),
}
"""Every baseline, by the name of its file, in the order of tables."""
