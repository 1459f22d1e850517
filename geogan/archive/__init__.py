"""A field as training and filling read it: standardised films, withheld observations, screening, and its survey."""

from geogan.archive.archive import Archive, Loaded
from geogan.archive.climatology import ClimatologySums
from geogan.archive.description import describe_field, describe_outliers
from geogan.archive.directions import as_inside, directed
from geogan.archive.screening import Outliers, Screen
from geogan.archive.standardiser import Standardiser
from geogan.archive.survey import Survey, check_field, check_labels, gap_sentences
from geogan.archive.withheld import Withheld, withhold

__all__ = [
    "Archive",
    "ClimatologySums",
    "Loaded",
    "Outliers",
    "Screen",
    "Standardiser",
    "Survey",
    "Withheld",
    "as_inside",
    "check_field",
    "check_labels",
    "describe_field",
    "describe_outliers",
    "directed",
    "gap_sentences",
    "withhold",
]
