"""Global attributes by which a product is recognised."""

PRODUCT = "geogan_product"
"""Digest and random suffix of a product. A file or store without this attribute is never replaced."""

FILL = "geogan_fill"
"""Settings of the fill that made a product, as JSON (`geogan.files.schema.FillText`)."""

INPUTS = "geogan_read"
"""State of the source and checksums of the dates from which the regions of a product were computed, as JSON."""
