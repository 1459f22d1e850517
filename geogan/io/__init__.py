"""Open fields, and what accompanies them, by the name of a file, a store or a URL."""

from geogan.io.files import find_paths, variable_names
from geogan.io.maps import find_domain, open_maps, open_masks
from geogan.io.missing import mark_gaps
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
    "mark_gaps",
    "open_field",
    "open_maps",
    "open_masks",
    "open_source",
    "variable_names",
]
