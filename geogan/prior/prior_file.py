"""Priors in the file of a model: their numbers, their tensors, and the shapes that these must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from geogan.prior.archive_covariance import ArchivePrior
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.local import MAPS, MOST_MODES, LocalPrior, Prior

# Fields of a prior that are tensors in the file, and fields that are not in it: the grid decides about the seam, the
# operator about the blur.
TENSORS, LEFT_OUT = ("covariance", "maps", "modes"), ("root", "draws", "is_periodic", "blur")


class PriorFile:
    """How priors are stored. The kind of a prior is told by its numbers: ``steady`` or ``mode_persistence``."""

    @staticmethod
    def tensors(prior: Prior) -> dict[str, Tensor]:
        """Return the tensors of a prior by name."""
        names = [part.name for part in fields(prior) if part.name in TENSORS]
        return {name: getattr(prior, name).contiguous() for name in names}

    @staticmethod
    def numbers(prior: Prior) -> dict[str, float]:
        """Return the other parameters of a prior."""
        names = [part.name for part in fields(prior) if part.name not in TENSORS + LEFT_OUT]
        return {name: getattr(prior, name) for name in names}

    @staticmethod
    def shapes(
        numbers: Mapping[str, Any], found: Mapping[str, tuple[int, ...]], bands: int, grid: tuple[int, int]
    ) -> dict[str, tuple[int, ...]]:
        """Return the shapes that the tensors of a prior must have.

        Parameters
        ----------
        numbers : mapping
            As from :meth:`numbers`.
        found : mapping
            Shapes in the file, of which the number of modes is taken.
        bands : int
        grid : (int, int)
            Rows and columns.

        Raises
        ------
        ValueError
            If the grid is too large for a covariance, or there are too many modes.
        """
        cells = grid[0] * grid[1]
        if "steady" in numbers:
            if cells > ArchivePrior.most_cells:
                raise ValueError(
                    f"prior has a covariance of {cells:,} cells, where {ArchivePrior.most_cells:,} are the most"
                )
            return {"covariance": (bands, cells, cells)}
        if "mode_persistence" not in numbers:
            return {}
        modes = found.get("modes", (bands, 0))
        count = modes[1] if len(modes) == 4 else 0
        if count > MOST_MODES:
            raise ValueError(f"prior has {count:,} modes, where {MOST_MODES} are the most")
        return {"maps": (bands, MAPS, *grid), "modes": (bands, count, *grid)}

    @staticmethod
    def read(numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Prior:
        """Return the prior of checked numbers and tensors.

        Raises
        ------
        ValueError
            If a map is not positive.
        """
        if "steady" in numbers:
            return ArchivePrior(tensors["covariance"], **numbers)
        if "mode_persistence" not in numbers:
            return GaussianPrior(**numbers)
        if not bool((tensors["maps"] > 0).all()):
            raise ValueError("prior.maps must be positive")
        return LocalPrior(tensors["maps"], tensors["modes"], **numbers)
