"""The paper's objective learns to fill photographs: minutes of training, run by ``make test-slow``."""

from pathlib import Path

import numpy as np
import pytest

from geogan import Reconstructor
from geogan.evaluation.baselines.biharmonic import biharmonic
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.operators.parse import parse
from geogan.paper.cells import reduced, split
from geogan.presets import preset

FACES = Path(__file__).parents[3] / "shared" / "data" / "faces-lfwcrop" / "lfwcrop_grey64.npz"


@pytest.mark.slow
def test_unir_light_is_better_than_biharmonic_inpainting():
    """16 x 16 faces without a band of five rows, 750 steps; no clean image takes part in the training."""
    if not FACES.is_file():
        pytest.skip("the shared images are not there")
    images = reduced(str(FACES), None, 16, None)
    images = images.assign_coords(sample=np.arange(images.sizes["sample"]))
    operator = parse("patch_band:h=5")
    gappy = measure(Field.of(images), operator, seed=0)
    train, test = split(images.sizes["sample"], 0)
    clean, measured = images.isel(sample=test).values, gappy.isel(sample=test)
    reconstructor = Reconstructor(operator, device="cpu", **preset("unir-light", steps=750, crop=16, threads=1))
    filled = reconstructor.fit(gappy.isel(sample=train)).fill(measured)[str(measured.name)].values
    inpainted = biharmonic(measured.values[:, None], domain=np.ones((16, 16), bool))[:, 0]
    error, baseline = (float(((found - clean) ** 2).mean()) for found in (filled, inpainted))
    assert error < 0.8 * baseline
