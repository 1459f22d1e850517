"""Draw the pictures of docs/how-to/figures.md from synthetic fields at real coasts.

python benchmarks/figure_pictures.py [--out docs/figures]
"""

import argparse
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from scipy.ndimage import distance_transform_edt, gaussian_filter

from geogan import MapStyle, plot_field, plot_reconstruction
from geogan.fields.coastlines import land_cells
from geogan.plotting import plot_hovmoller, plot_members

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

# Colours of a picture, at most: enough for a smooth map, and a third of the bytes of true colours.
COLOURS, DPI, SEED = 160, 75, 3
# Standard deviation (°C) beyond which the fill of the example is refused.
LARGEST = 0.6
FLAGS = {"flag_values": np.arange(4, dtype="int8"), "flag_meanings": "observed filled land refused"}
SST = {"standard_name": "sea_surface_temperature", "units": "degree_Celsius"}
CHLOROPHYLL = {
    "standard_name": "mass_concentration_of_chlorophyll_in_sea_water",
    "long_name": "chlorophyll a",
    "units": "mg m-3",
}


def noise(random: np.random.Generator, shape: tuple[int, ...], scale: tuple[float, ...]) -> np.ndarray:
    """Return a smooth random field with standard deviation 1."""
    smooth = gaussian_filter(random.normal(size=shape), scale)
    return smooth / smooth.std()


def sea(latitude: np.ndarray, longitude: np.ndarray, dates: int, random: np.random.Generator) -> xr.DataArray:
    """Return a temperature with eddies, NaN on land, (time, lat, lon)."""
    y, x = np.meshgrid(latitude, longitude, indexing="ij")
    shape = (dates, *y.shape)
    values = 24 - 0.25 * np.abs(y) + 1.2 * noise(random, shape, (5, 6, 6)) + 0.3 * noise(random, shape, (2, 2, 2))
    time = np.datetime64("2019-03-01", "ns") + np.arange(dates) * np.timedelta64(1, "D")
    return xr.DataArray(
        np.where(land_cells(y, x), np.nan, values),
        dims=("time", "lat", "lon"),
        coords={
            "time": time,
            "lat": ("lat", latitude, {"units": "degrees_north"}),
            "lon": ("lon", longitude, {"units": "degrees_east"}),
        },
        name="sst",
        attrs=SST,
    )


def arctic(random: np.random.Generator) -> xr.DataArray:
    """Return a temperature with gaps around the pole, NaN on land, (lat, lon)."""
    latitude, longitude = np.arange(60.25, 90, 0.5), np.arange(-179.5, 180)
    y, x = np.meshgrid(latitude, longitude, indexing="ij")
    # Waves in the plane of the map have neither a seam at a meridian nor a knot at the pole.
    plane = np.stack([(90 - y) * np.sin(np.radians(x)), (90 - y) * np.cos(np.radians(x))])
    waves, phases = random.normal(0, 0.2, (2, 60, 2)), random.uniform(0, 6, (2, 60, 1, 1))
    temperature, clouds = np.cos(np.einsum("fwp,pij->fwij", waves, plane) + phases).sum(1) / 30**0.5
    field = sea(latitude, longitude, 1, random)[0]
    values = np.where(field.notnull() & (clouds < 0.6), 0.15 * (75 - y) + temperature, np.nan)
    return field.copy(data=values)


def product(truth: xr.DataArray, random: np.random.Generator) -> xr.Dataset:
    """Return a fill of clouds over a field, with errors that grow with the distance to observations."""
    cloudy = noise(random, truth.shape, (2, 7, 7)) > 0.1
    gap = cloudy & truth.notnull().values
    distance = np.stack([distance_transform_edt(date) for date in gap])
    std = np.where(gap, 0.1 + 0.06 * distance, np.nan)
    members = [truth.values + np.where(gap, std * noise(random, truth.shape, (2, 3, 3)), 0.0) for _ in range(8)]
    refused = gap & (std > LARGEST)
    source = np.select([refused, gap, truth.isnull().values], [3, 1, 2], 0).astype("int8")
    found = xr.Dataset(
        {
            "sst": truth.where(~refused).assign_attrs(truth.attrs),
            "sst_source": (truth.dims, source, FLAGS),
            "sst_std": (truth.dims, np.where(refused, np.nan, std)),
            "sst_member": (("member", *truth.dims), np.where(refused, np.nan, members)),
        }
    )
    found["sst"] = found.sst.copy(data=np.where(refused, np.nan, np.mean(members, axis=0)))
    return found.assign(sst_observed=truth.where(source == 0))


def save(figure: Figure, target: Path) -> None:
    """Write a figure with few colours, and close it."""
    with io.BytesIO() as buffer:
        figure.savefig(buffer, dpi=DPI, format="png")
        Image.open(buffer).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    plt.close(figure)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "figures")
    out = parser.parse_args().out
    out.mkdir(exist_ok=True)
    random = np.random.default_rng(SEED)
    mediterranean = sea(np.arange(35.0, 44.5, 0.15), np.arange(-2.0, 14.0, 0.15), 40, random)
    filled = product(mediterranean, random)
    date = filled.isel(time=12)
    figure = plot_reconstruction(date.sst_observed, date.sst, std=date.sst_std, source=date.sst_source)
    save(figure, out / "product.png")
    figure = plot_members(date.sst_member, date.sst, observed=date.sst_observed, source=date.sst_source, count=2)
    save(figure, out / "members.png")
    ax = plot_hovmoller(filled.sst, observed=filled.sst_observed)
    save(ax.figure, out / "hovmoller.png")
    save(plot_field(arctic(random)).figure, out / "polar.png")
    blooms = np.exp(1.1 * (mediterranean[20] - mediterranean[20].mean())).assign_attrs(CHLOROPHYLL).rename("chl")
    hidden = noise(random, blooms.shape, (5, 5)) > 0.5
    figure = plot_field(blooms.where(~hidden), style=MapStyle(colormap="viridis")).figure
    save(figure, out / "chlorophyll.png")


if __name__ == "__main__":
    main()
