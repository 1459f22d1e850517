"""The gaps of an archive: which cells are observed together, and whether gaps depend on the field."""

from geogan.gaps.dependence import compare_beside_gaps
from geogan.gaps.identifiability import QUICK, SAME, Identifiability, identifiability
from geogan.gaps.packed import Packing

__all__ = ["QUICK", "SAME", "Identifiability", "Packing", "compare_beside_gaps", "identifiability"]
