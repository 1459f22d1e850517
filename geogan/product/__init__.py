"""Products: stores on disk that survive a kill, can be resumed, and grow with their archive."""

from geogan.product.checksums import date_checksums
from geogan.product.dataset import write_dataset
from geogan.product.output import check_output, container_of, has_digest
from geogan.product.partial import FittingFolder, fitting_folder, is_finished, is_resumable, open_partial
from geogan.product.previous import PreviousProduct
from geogan.product.product import Product

__all__ = [
    "FittingFolder",
    "PreviousProduct",
    "Product",
    "check_output",
    "container_of",
    "date_checksums",
    "fitting_folder",
    "has_digest",
    "is_finished",
    "is_resumable",
    "open_partial",
    "write_dataset",
]
