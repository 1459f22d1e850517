"""A field as training and filling read it: standardised films, withheld observations, screening, and its survey."""

from geogan.archive.archive import Archive, Loaded
from geogan.archive.climatology import ClimatologySums
from geogan.archive.description import describe_field
from geogan.archive.screening import Outliers, Screen, outlier_advice
from geogan.archive.standardiser import Standardiser
from geogan.archive.survey import Survey, check_field
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
    "check_field",
    "describe_field",
    "outlier_advice",
    "withhold",
]
