"""The domain of a field of which nothing is trained: the one that is named, or that a training would choose."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from geogan.archive import Survey, check_field
from geogan.compute.extent import Extent
from geogan.fields.domains import Domain, known_domain, named_domain
from geogan.files.user_path import Data
from geogan.io import Source, find_domain, open_masks


def domain_of(
    data: Data, source: Source, domain: str | None, *, look: Callable[[Extent, np.ndarray], None] | None = None
) -> tuple[Domain, Survey]:
    """Return the domain, and the survey of the field within it; the field is read once.

    Parameters
    ----------
    data : str, Path or a sequence of them
    source : Source
        The open data.
    domain : str, optional
        As in `geogan.io.find_domain`; by default the domain that a training would choose.
    look : callable, optional
        As in `geogan.archive.check_field`, for work in the same pass.

    Raises
    ------
    InputError
        If the domain does not exist, or the field could not be filled.
    """
    field, reading = source.field, source.reading
    chosen = None
    if domain is not None:
        chosen = named_domain(field, find_domain(data, domain, field, reading=reading))
    survey = check_field(field, within=None if chosen is None else chosen.cells, look=look)
    if chosen is None:
        masks: str | xr.Dataset | None = domain
        if domain is None and not field.axes.independent:
            masks = open_masks(data, field, reading=reading)
        chosen = known_domain(field, masks, survey.domain, is_scene=len(survey.seen_share) == 1)
    return chosen, survey
