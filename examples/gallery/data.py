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
}
"""SHA-256 of each file."""

ORIGINS = {
    "alboran": "https://github.com/aida-alvera/DINEOF, SmallExample/, as NetCDF (AVHRR Metop-B, Copernicus Marine)",
    "chl": "https://github.com/Jake-Eisaguirre/VizFinder-SST_Chl, data/chl_*.nc, joined (NOAA CoastWatch VIIRS)",
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
