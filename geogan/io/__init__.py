"""Fields as they are found: by the name of a file, a store or a URL."""

from geogan.io.dates import select_time, span_of
from geogan.io.files import Data, find_paths, variable_names
from geogan.io.maps import find_domain, open_domain, open_maps, open_masks
from geogan.io.measured import check_finite, choose_variable, label_of, measured_variables
from geogan.io.missing import mark_gaps
from geogan.io.open import Source, as_field, check_measured, open_field, open_source
from geogan.io.reading import PLAIN, Reading

__all__ = [
    "PLAIN",
    "Data",
    "Reading",
    "Source",
    "as_field",
    "check_finite",
    "check_measured",
    "choose_variable",
    "mark_gaps",
    "find_domain",
    "find_paths",
    "label_of",
    "measured_variables",
    "open_domain",
    "open_field",
    "open_maps",
    "open_masks",
    "open_source",
    "select_time",
    "span_of",
    "variable_names",
]
