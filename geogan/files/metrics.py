"""Read the metrics of a training from the folder of its run."""

from pathlib import Path
from typing import Any

from geogan.files.plain_file import parse_json, read_json, read_lines
from geogan.files.run_folder import METRICS, TEXT
from geogan.operators.errors import InputError

# Characters of a unit; a damaged file may hold a longer text, which no figure can show.
_LONGEST_UNITS = 100


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Return the records of a training, one for each report; skip incomplete lines, which a killed training leaves.

    Parameters
    ----------
    run : Path
        Folder of the run.

    Raises
    ------
    InputError
        If the folder has no metrics, or they cannot be read.
    """
    # The schema takes some hundredths of a second to import.
    from geogan.files.schema import MetricsLine, check

    file, records = run / METRICS, []
    try:
        for line, _ in read_lines(file):
            try:
                record = parse_json(line)
                check(MetricsLine, record)
            except ValueError:
                continue
            records.append(record)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{run} holds no {METRICS}, so there is no training to draw; train it again") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); copy it again") from error
    return records


def error_units(run: Path) -> str:
    """Return the unit of a run's errors; an empty text if the run does not state it."""
    try:
        return str(read_json(run / TEXT)["scores"]["units"])[:_LONGEST_UNITS]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
