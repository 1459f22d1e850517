"""From a model and a field to a product."""
