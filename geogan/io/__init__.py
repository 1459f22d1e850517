"""Open fields, and what accompanies them, by the name of a file, a store or a URL."""

from geogan.io.covariates import marked, open_covariates
from geogan.io.files import find_paths, variable_names
from geogan.io.maps import find_domain, open_masks
from geogan.io.open import Source, as_field, open_field, open_source
from geogan.io.reading import Reading
from geogan.io.source_state import describe_source

__all__ = [
    "Reading",
    "Source",
    "as_field",
    "describe_source",
    "find_domain",
    "find_paths",
    "marked",
    "open_covariates",
    "open_field",
    "open_masks",
    "open_source",
    "variable_names",
]
