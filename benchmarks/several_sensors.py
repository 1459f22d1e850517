"""One sea surface temperature from a cloudy sensor, a blurred one and drifters, beside each sensor alone.

    python benchmarks/several_sensors.py [--data DATA/oisst_tasman_1982_2005.nc] [--days 200] [--seeds 1]

Without data it is a synthetic sea. Infrared sees through clouds nowhere (55 % hidden, for days) and has little noise;
microwave sees everything, blurred over six cells, with noise and a bias of 0.5 °C; drifters are few and precise. Each
sensor alone is filled by geogan without a network, fitted to its own measurements. Together they are solved by
`geogan.prior.sensors`, with climatology and prior of the infrared, the noise that each sensor's own fit found, and
biases estimated with the field. The score is the root mean square error over all cells of the sea.
"""

import argparse
import warnings
from dataclasses import replace

import numpy as np
import torch
import xarray as xr

from geogan import Reconstructor, corrupt, synthetic_sst
from geogan.model import Model
from geogan.operators.parse import parse
from geogan.prior.sensors import Sensor, Sensors

INFRARED = ("noise:sigma=0.05", "cloud_mask:coverage=0.55,spread=0.2,scale=5,persistence=1")
MICROWAVE = ("footprint:fwhm=6", "noise:sigma=0.15")
DRIFTERS = ("noise:sigma=0.02", "drifters:fraction=0.005")
BIAS = 0.5
# Dates that are solved together, and dates around them that are solved with them and left out.
DATES, MARGIN = 40, 10
# Dates that the biases are estimated from.
BIAS_DATES = 60


def fitted(
    measured: xr.DataArray, operator: tuple[str, ...], domain: np.ndarray, seed: int
) -> tuple[Model, np.ndarray]:
    """Return the model of a sensor alone, and its fill (T, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reconstructor = Reconstructor(operator, network=None, seed=seed).fit(measured, domain=domain)
        return reconstructor.model_, reconstructor.fill(measured)[measured.name].values


def noise_of(model: Model, scale: float) -> float:
    """Return the noise that the fit of a sensor found, as anomalies of a scale."""
    assert model.prior is not None
    return model.prior.noise * model.prior.amplitude * float(model.standardiser.scale[0]) / scale


def together(
    measured: list[xr.DataArray], operators: list[tuple[str, ...]], models: list[Model], domain: np.ndarray
) -> tuple[np.ndarray, Sensors]:
    """Return the field of all sensors (T, H, W), and these sensors with their biases in anomalies."""
    first, days = models[0], torch.arange(float(measured[0].sizes["time"]))
    scale, cells = float(first.standardiser.scale[0]), torch.from_numpy(domain).float()
    phase = measured[0]["time"].dt.dayofyear.values.astype(float)
    climatology = torch.from_numpy(first.standardiser.of_field.climatology(phase)).float()
    sensors = Sensors(
        replace(first.prior, brief=0.0, blur=None),
        tuple(
            Sensor.of(parse(operator), noise_of(model, scale))
            for operator, model in zip(operators, models, strict=True)
        ),
    )
    bands, masks = [], []
    for field, sensor in zip(measured, sensors.sensors, strict=True):
        values = torch.from_numpy(field.values).float()[:, None]
        mean = climatology if sensor.blur is None else sensor.blur.on(cells).measured(climatology)
        mask = torch.isfinite(values).float() * cells
        bands.append(torch.where(mask > 0, (values - mean) / scale, 0.0))
        masks.append(mask)
    values, mask = (torch.cat(part, 1)[None] for part in (bands, masks))
    some = slice(0, BIAS_DATES)
    sensors = sensors.with_biases(values[:, some], mask[:, some], cells, days[some])
    parts = []
    for start in range(0, len(days), DATES):
        read = slice(max(0, start - MARGIN), start + DATES + MARGIN)
        solved = sensors.map(values[:, read], mask[:, read], cells, days[read])[0, :, 0]
        parts.append(solved[start - read.start :][:DATES])
    return (torch.cat(parts) * scale + climatology[:, 0]).numpy(), sensors


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    for seed in range(given.seeds):
        if given.data:
            truth = xr.open_dataset(given.data).sst.isel(time=slice(-given.days, None)).squeeze(drop=True).load()
        else:
            truth = synthetic_sst(days=given.days, size=48, seed=seed).sst
        domain = truth.notnull().any("time").values
        operators = [INFRARED, MICROWAVE, DRIFTERS]
        measured = [corrupt(truth, operator, seed=10 * seed + number) for number, operator in enumerate(operators)]
        measured[1] = measured[1] + BIAS
        names, found, models = ["infrared", "microwave", "drifters"], {}, []
        for name, field, operator in zip(names, measured, operators, strict=True):
            field.name = "sst"
            model, found[name] = fitted(field, operator, domain, seed)
            models.append(model)
        found["microwave, without its bias"] = found["microwave"] - BIAS
        for count in (2, 3):
            field, sensors = together(measured[:count], operators[:count], models[:count], domain)
            found[f"{count} sensors together"] = field
        unit = float(models[0].standardiser.scale[0])
        print(sensors.prior, [round(sensor.bias * unit, 3) for sensor in sensors.sensors])
        print(f"\nseed {seed}\n\n| | RMSE (°C) |\n|---|---|")
        for name, field in found.items():
            print(f"| {name} | {np.sqrt(np.nanmean((field - truth.values)[:, domain] ** 2)):.4f} |", flush=True)


if __name__ == "__main__":
    main()
