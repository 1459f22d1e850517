"""Fill a field: plan its tasks, read, estimate and compose each of them, and write the product."""

from geogan.filling.fill import FillOptions, adapt_model, fill_field
from geogan.filling.job import Job
from geogan.filling.plan import Plan, Task, plan_tasks
from geogan.filling.regime import Regime
from geogan.filling.task import estimate
from geogan.filling.write import Reports, Workers, fill_product

__all__ = [
    "FillOptions",
    "Job",
    "Plan",
    "Regime",
    "Reports",
    "Task",
    "Workers",
    "adapt_model",
    "estimate",
    "fill_field",
    "fill_product",
    "plan_tasks",
]
