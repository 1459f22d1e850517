"""Call `geogan fill` with the options of its command line, and with what tests shorten or watch."""

import dataclasses
from pathlib import Path

from geogan.compute.threads import steady_memory
from geogan.files.places import check_apart
from geogan.filling import FillOptions, Reports, Workers, fill_product
from geogan.filling.plan import TaskSizes
from geogan.pipelines.fill import Selection, job_of
from geogan.product import check_output

SETTINGS = (FillOptions, Selection, Workers)


def job_and_workers(data, model, **options):
    """The job of these options, and its workers."""
    options.setdefault("sizes", TaskSizes())
    found = []
    for settings in SETTINGS:
        names = [field.name for field in dataclasses.fields(settings) if field.name in options]
        found.append(settings(**{name: options.pop(name) for name in names}))
    assert not options, f"unknown options: {options}"
    return job_of(data, model, found[0], found[1], device=found[2].device), found[2]


def fill(data, model, out, *, overwrite=False, append=False, console=None, begin=None, more=None, **options):
    """Fill as the command line does.

    Parameters
    ----------
    begin : callable, optional
        Called with the number of each task before it is filled.
    more : dict, optional
        Further arguments of `fill_product`.
    options
        Those of `FillOptions`, `Selection` and `Workers`.
    """
    place = check_output(out, overwrite=True)
    check_apart(out, {"--data": data, "--model": model})
    steady_memory()
    job, workers = job_and_workers(data, model, **options)
    reports = Reports(
        message=lambda sentence: None if console is None else console.print(sentence, soft_wrap=True),
        begin=begin or (lambda number: None),
    )
    mode = "append" if append else "overwrite" if overwrite else "new"
    return fill_product(job, Path(place), mode, workers=workers, reports=reports, **(more or {}))
