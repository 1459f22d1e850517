"""What files say reaches a terminal as text alone: through every verb, a real terminal among them."""

import json
import os
import pty
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import xarray as xr
from bad_input import run

from geogan.cli.console import echo_error, make_console, quiet_libraries
from geogan.files.printable import printable, sentence

CODES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://evil\x1b\\link \x9b2J \u202eabc \u2066x\r\b\x00"
MARKUP = "[red]x[/red] [link=http://evil]y[/link] [/] :smile:"
COMMANDS = ("\x1b]0", "\x1b]8", "\x07", "\x9b", "\u202e", "\u2066", "\x08", "\x00", "\x1b[31m")


def test_all_that_could_command_is_written_out():
    shown = printable(CODES)
    assert not any(command in shown for command in (*COMMANDS, "\x1b", "\r"))
    assert shown.startswith("\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07") and "\\u202eabc" in shown
    assert printable("sea surface temperature, °C, 温度, λ") == "sea surface temperature, °C, 温度, λ"
    assert printable("a\udcffb") == "a\\udcffb"
    assert sentence("one\ntwo") == "one two"


def test_a_console_shows_text_and_cells_as_they_are(capsys):
    from rich.table import Table
    from rich.text import Text

    console = make_console(results=True)
    table = Table(title=CODES)
    table.add_column(MARKUP)
    table.add_row(CODES)
    table.add_row(Text(CODES))
    for shown in (CODES, MARKUP, Text(CODES), table):
        console.print(shown, soft_wrap=True)
    said = capsys.readouterr().out
    assert not any(command in said for command in COMMANDS) and "\x1b" not in said
    assert "[red]x[/red] [link=http://evil]y[/link] [/] :smile:" in said


def test_warnings_of_libraries_are_plain_text(capsys):
    with quiet_libraries():
        warnings.warn(f"of {CODES}", stacklevel=1)
    said = capsys.readouterr().err
    assert "\\x1b[31mred" in said and "\x1b" not in said


def test_a_long_error_keeps_its_beginning_and_its_remedy(capsys):
    echo_error(f"no variable {'a' * 9000}; choose another")
    said = capsys.readouterr().err
    assert len(said) < 600 and said.startswith("no variable aaa") and said.endswith("; choose another\n")


@pytest.fixture
def hostile(folder):
    """The gappy sea, whose names, units and attributes hold codes and markup."""
    sea = xr.load_dataset("sst.nc")
    sea.sst.attrs.update(units=CODES.replace("\x00", ""), long_name=MARKUP + CODES.replace("\x00", ""))
    name = "s[red]\x1b[31m\u202es"
    sea[["sst"]].drop_encoding().rename(sst=name).to_zarr("hostile.zarr", consolidated=False)
    described = json.loads(Path("model/run.json").read_text())
    Path("model/run.json").write_text(json.dumps(described | {"data": [CODES], "domain": MARKUP}))
    return name


@pytest.mark.parametrize(
    "line",
    [
        "info hostile.zarr",
        "info hostile.zarr --json",
        "info model",
        "fill --threads 1 --out filled.nc --model model --data hostile.zarr",
        "evaluate --threads 1 --no-ablation --model model --data hostile.zarr",
        "plot hostile.zarr --out new.png --band 9",
        "train --resume model --steps 9",
        "train --data hostile.zarr --out new --variable nothing",
        "--verbose info hostile.zarr --variable nothing",
    ],
)
def test_no_verb_lets_a_file_command_the_terminal(hostile, line):
    result = run(line)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    said = result.stdout + result.stderr
    assert said and not any(command in said for command in COMMANDS) and "\x1b" not in said


def test_a_real_terminal_is_not_commanded(hostile):
    ours, theirs = pty.openpty()
    program = "from geogan.cli import main; main(['info', 'hostile.zarr'])"
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL,
                          env=os.environ | {"TERM": "xterm-256color"}) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 65536):
                said += part
        except OSError:  # how Linux says that the other end has been closed
            pass
        assert process.wait(timeout=60) == 0
    os.close(ours)
    text = said.decode()
    # Colours of rich's own are there, and nothing of the file's.
    assert "\x1b[" in text and "s[red]\\x1b[31m\\u202es" in text
    assert not any(command in text for command in COMMANDS)
