"""Tests of the command line: options reach the pipeline of the verb; errors are one sentence with exit code 2."""

import inspect
import json
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from geogan.cli import app
from geogan.evaluation import METHODS
from geogan.evaluation.methods import DEFAULT_METHODS
from geogan.operators.errors import InputError
from geogan.pipelines.fill_without_model import Fitting
from geogan.plotting import MapStyle
from geogan.presets import preset_settings
from geogan.settings import GROUPS, DataConfig, Settings

VERBS = ("train", "fill", "update", "evaluate", "report", "corrupt", "plot", "info", "demo")


@pytest.fixture
def calls(monkeypatch):
    """Replace the pipeline of each verb by a function that records its arguments; return the records."""
    recorded = []
    for verb in VERBS:

        def record(*args, _verb=verb, **named):
            recorded.append((_verb, args, named))
            return {"kind": "data"} if _verb == "info" else Path("made")

        monkeypatch.setattr(pipeline(verb), verb, record)
    return recorded


def pipeline(verb):
    """Return the module of a verb's pipeline."""
    return import_module(f"geogan.pipelines.{verb}")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def failing(monkeypatch, error, verb="info"):
    """Let the pipeline of a verb raise an error."""

    def fail(*args, **named):
        raise error

    monkeypatch.setattr(pipeline(verb), verb, fail)


def test_train_passes_on_every_option(calls):
    result = run("train", "--data", "a.nc", "--data", "b.nc", "--operator", "convolve_noise:l=5",
                 "--operator", "cloud_mask", "--out", "runs/x", "--variable", "sst", "--domain", "sea", "--time",
                 "2001", "--group", "day", "--dims", "y=up", "--where", "quality>3",
                 "--transform", "log", "--noise", 0.2, "--error-variable", "sst_error",
                 "--covariate", "depth", "--covariate", "latitude,slope",
                 "--window", 1, "--width", 16, "--crop", 32, "--batch", 4, "--members", 2,
                 "--weight-prior", 0, "--weight-likelihood", 2, "--weight-withheld", 0.5, "--no-first-guess",
                 "--preset", "unir", "--preset", "paired", "--clean", "c.nc", "--generator", "sagan", "--discriminator",
                 "sagan", "--steps", 9, "--minutes", 3, "--precision", "float32", "--seed", 7, "--threads", 1,
                 "--device", "cpu", "--overwrite")  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "made\n")
    ((verb, (data, settings), named),) = calls
    assert verb == "train" and named.pop("console") is not None
    assert named == {"out": Path("runs/x"), "device": "cpu", "overwrite": True}
    assert data == DataConfig(
        data=("a.nc", "b.nc"), variable="sst", domain="sea", time="2001", group="day", dims="y=up", where="quality>3",
        error_variable="sst_error", clean=("c.nc",),
    )  # fmt: skip
    assert settings == preset_settings(["unir", "paired"]).replaced(
        operator=("convolve_noise:l=5", "cloud_mask"), transform="log", noise=0.2,
        covariates=("depth", "latitude", "slope"), window=1, width=16, crop=32, batch=4, members=2, weight_prior=0,
        weight_likelihood=2, weight_withheld=0.5, first_guess=False, generator="sagan", discriminator="sagan", steps=9,
        minutes=3, precision="float32", seed=7, threads=1,
    )  # fmt: skip


def test_the_defaults_of_train(calls):
    assert run("train", "a.nc").exit_code == 0
    data, settings = calls[0][1]
    assert data == DataConfig(data=("a.nc",)) and settings == Settings(operator=("cloud_mask",))
    assert calls[0][2]["out"] is None


def test_data_are_an_argument_or_an_option(calls):
    for words in (
        ["a.nc", "b.nc"],
        ["--data", "a.nc", "--data", "b.nc"],
        ["a.nc", "b.nc", "--data", "a.nc", "--data", "b.nc"],
    ):
        assert run("train", *words).exit_code == 0
    assert [call[1][0].data for call in calls] == [("a.nc", "b.nc")] * 3
    result = run("train", "a.nc", "--data", "b.nc")
    assert (result.exit_code, result.stderr) == (
        2, "the data are given twice, as a.nc and as --data b.nc; leave one of them out\n"
    )  # fmt: skip


def test_every_option_of_a_settings_object_has_a_name_and_a_help(calls):
    page = run("train", "--help").stdout
    for kind in (DataConfig, Settings, *GROUPS.values()):
        for each in fields(kind):
            for name in each.metadata["option"].split("/"):
                assert name in page


def test_a_resumed_run_keeps_its_settings(calls, monkeypatch):
    monkeypatch.setattr(pipeline("train"), "resume", lambda *args, **named: calls.append((args, named)) or Path("r"))
    assert run("train", "--resume", "runs/x", "--minutes", 5).exit_code == 0
    assert calls[0][0] == (Path("runs/x"), {"minutes": 5.0}) and calls[0][1]["data"] == []
    # A script reads standard output; what to do next is for a person.
    assert run("train", "--resume", "runs/x", "--quiet").output == "r\n"
    assert "next: geogan evaluate DATA --model r --no-ablation" in run("train", "--resume", "runs/x").stderr
    result = run("train", "--resume", "runs/x", "--weight-prior", 0)
    assert result.exit_code == 2
    assert result.stderr == (
        "runs/x is resumed under its own settings, but --weight-prior was given; leave --weight-prior out\n"
    )
    assert run("train").stderr == ("training needs a field or a run, got neither; give DATA or --resume RUN\n")


def test_the_other_verbs_pass_on_their_options(calls):
    run("fill", "a.nc", "--model", "runs/x", "--out", "f.nc", "--no-keep-observed", "--time", "2001-01")
    run("evaluate", "--data", "a.nc", "--model", "runs/x", "--truth", "t.nc", "--method", "model", "--no-ablation")
    run("evaluate", "--data", "a.nc", "--model", "runs/x", "--json", "-")
    run("corrupt", "t.nc", "--out", "a.nc", "--seed", 3)
    run("update", "a.nc", "--model", "runs/x", "--out", "f.zarr", "--covariate", "b.nc:t2m", "--quiet")
    run("plot", "f.nc", "--out", "f.png", "--date", "2001-01-02", "--truth", "t.nc", "--domain", "sea")
    run("demo", "--minutes", 0.5, "--size", 32)
    assert [call[0] for call in calls] == ["fill", "evaluate", "evaluate", "corrupt", "update", "plot", "demo"]
    assert calls[4][2].pop("console") is None and calls[4][2]["selection"].covariates == ("b.nc:t2m",)
    assert calls.pop(4)[1] == (["a.nc"], Path("runs/x"), Path("f.zarr"))
    consoles = [call[2].pop("console") if "console" in call[2] else call[2]["outputs"].console for call in calls]
    # Only a table of scores goes to stdout, unless JSON goes there.
    assert [console.stderr for console in consoles] == [True, False, True, True, True, True]
    fill, evaluate, as_json, corrupt, plot, demo = (call[1:] for call in calls)
    assert fill[0] == (["a.nc"], Path("runs/x"), Path("f.nc"))
    assert fill[1]["options"].keep_observed is False and fill[1]["selection"].time == "2001-01"
    assert evaluate[0][2].methods == ("model",) and evaluate[1]["ablation"] is False
    assert evaluate[1]["inputs"].truth == "t.nc"
    assert as_json[0][0] == evaluate[0][0] == ["a.nc"] and as_json[0][2].methods == DEFAULT_METHODS
    assert as_json[1]["ablation"] and as_json[1]["outputs"].json == Path("-")
    assert corrupt[0][2].operator == ["cloud_mask"] and corrupt[0][2].seed == 3
    assert plot[0][:2] == (["f.nc"], Path("f.png")) and plot[0][2].date == "2001-01-02"
    assert demo == ((Path("demo"),), {"days": 160, "size": 32, "minutes": 0.5, "seed": 0, "threads": None})


def test_a_fill_without_a_model_passes_on_the_options_of_its_fit(monkeypatch):
    recorded = []
    module = import_module("geogan.pipelines.fill_without_model")
    monkeypatch.setattr(module, "fill_without_model", lambda *args, **named: recorded.append((args, named)))
    run("fill", "a.nc", "--out", "f.nc", "--domain", "sea", "--noise", 0.2, "--transform", "log",
        "--error-variable", "e", "--save-model", "kept", "--seed", 4, "--append")  # fmt: skip
    ((args, named),) = recorded
    assert args == (["a.nc"], Path("f.nc")) and named["mode"] == "append" and named["options"].seed == 4
    assert named["fitting"] == Fitting("sea", "e", "log", 0.2, Path("kept"))


def test_info_as_json_is_json(calls):
    result = run("info", "a.nc", "--json")
    assert json.loads(result.stdout) == {"kind": "data"}
    assert calls[0][2]["console"] is None


def options_of(verb):
    """Return the parameters of a verb, as Typer made them from its signature."""
    return typer.main.get_command(app).get_command(None, verb).params


@pytest.mark.parametrize("verb", VERBS)
def test_pipelines_take_the_options_of_their_verbs(verb):
    other_names = {"method": "methods", "as_json": "json", "screen_threshold": "screen", "data_option": "data"}
    given = {other_names.get(option.name, option.name) for option in options_of(verb)} - {"help"}
    module = pipeline(verb)
    accepted = set(inspect.signature(getattr(module, verb)).parameters)
    filling = ("FillOptions", "Selection", "Workers")
    several = {"evaluate": ("Scoring", "Inputs", "Outputs"), "fill": filling, "update": filling}
    groups = several.get(verb, (f"{verb.capitalize()}Options",))
    options = [getattr(module, group) for group in groups if hasattr(module, group)]
    accepted |= {option.name for group in options for option in fields(group)}
    if verb == "train":
        # Options of settings objects reach their fields, by construction.
        accepted |= {option.name for kind in (DataConfig, Settings, *GROUPS.values()) for option in fields(kind)}
        accepted |= {"operator", "preset", "resume"}
    if verb == "fill":
        accepted |= {option.name for option in fields(Fitting)} | {"out_dir", "skip_existing"}
    if verb == "plot":
        accepted |= {option.name for option in fields(MapStyle)}
    if verb == "info":
        accepted |= {"json"}  # the verb prints it
    accepted |= {"append", "overwrite"} if "mode" in accepted else set()
    accepted |= {"quiet"}  # there is no console then
    assert given <= accepted and "console" in accepted


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_a_terminal_and_names_no_python_type(verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    page = run(verb, "--help").stdout
    assert max(map(len, page.splitlines())) <= 80
    for words in ("<", "TEXT", "INTEGER", "PATH", "default: (", "default: None"):
        assert words not in page


def test_one_option_has_one_form_in_every_verb():
    """An option that several verbs have is a flag in all of them or takes the same kind of value in all."""
    forms = {}
    for verb in VERBS:
        for option in options_of(verb):
            for name in option.opts if option.name != "out" else ():
                forms.setdefault(name, set()).add(option.metavar)
    # `info --json` prints JSON, `evaluate --json FILE` writes it.
    assert {name: kinds for name, kinds in forms.items() if len(kinds) > 1 and name != "--json"} == {}


def test_the_help_names_every_method():
    words = run("evaluate", "--help").stdout.replace(",", " ").split()
    assert set(METHODS) <= set(words)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("train sea.nc --variable s", {"sst", "sea_mask"}),
        ("info --data sea.nc --variable sst,s", {"sst,sst", "sst,sea_mask"}),
        ("fill sea.nc --domain se", {"sea", "sea_mask"}),
        ("fill nowhere.nc --variable s", set()),
        ("corrupt sea.nc --operator sw", {"swath"}),
        ("evaluate sea.nc --methods model,bi", {"model,biharmonic"}),
        ("train sea.nc --preset unir-l", {"unir-light"}),
    ],
)
def test_the_shell_completes_operators_variables_and_methods(line, values, tmp_path, monkeypatch, film):
    film(2).to_netcdf(tmp_path / "sea.nc")
    monkeypatch.chdir(tmp_path)
    environment = {
        "COMP_WORDS": f"geogan {line}",
        "COMP_CWORD": str(len(line.split())),
        "_GEOGAN_COMPLETE": "complete_bash",
    }
    result = CliRunner().invoke(app, [], prog_name="geogan", env=environment)
    assert set(result.stdout.split()) == values


def test_an_input_error_is_printed_as_one_sentence(monkeypatch):
    failing(monkeypatch, InputError("a b c"))
    result = run("info", "a.nc")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "a b c\n")
    result = run("--verbose", "info", "a.nc")
    assert result.exit_code == 2 and "Traceback" in result.stderr and "a b c" in result.stderr


def test_a_defect_is_raised(monkeypatch):
    failing(monkeypatch, ValueError("a b c"))
    assert isinstance(run("info", "a.nc").exception, ValueError)


def test_an_interrupt_is_printed_as_one_line(monkeypatch):
    failing(monkeypatch, KeyboardInterrupt())
    result = run("info", "a.nc")
    assert (result.exit_code, result.stderr) == (130, "stopped; finished work is kept\n")


def test_a_closed_pipe_is_not_an_error(tmp_path):
    code = (
        "import sys, types, typer; fake = types.ModuleType('x');"
        "fake.info = lambda *a, **k: [typer.echo('y' * 999) for _ in range(9999)];"
        "sys.modules['geogan.pipelines.info'] = fake; from geogan.cli import main; main(['info', 'a'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(9)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_usage_errors_and_version():
    result = run("fill", "--data", "a.nc")
    assert result.exit_code == 2 and "give --out FILE, or --out-dir FOLDER" in result.stderr
    assert run("corrupt", "--data", "a.nc", "--out", "b.nc", "--seed", "x").exit_code == 2
    assert run("train", "--data", "a.nc", "--batch", 0).exit_code == 2
    assert run("--version").stdout.startswith("geogan ")


def test_help_as_a_module_imports_nothing_heavy():
    code = (
        "import runpy, sys\nsys.argv = ['geogan', '--help']\n"
        "try:\n    runpy.run_module('geogan', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n    heavy = {'numpy', 'xarray', 'torch', 'dask', 'rich', 'matplotlib'}\n"
        "    print(end.code, sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert all(verb in result.stdout for verb in VERBS) and result.stdout.endswith("0 []\n")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_a_lack_of_memory_is_printed_as_one_sentence(monkeypatch, error):
    failing(monkeypatch, error, "fill")
    result = run("fill", "--data", "a.zarr", "--model", "m", "--out", "b.zarr")
    assert result.exit_code == 2
    assert result.stderr.startswith("the machine has too little memory for this; give smaller numbers")
    assert len(result.stderr.splitlines()) == 1


def test_another_error_of_a_library_is_raised(monkeypatch):
    failing(monkeypatch, RuntimeError("a defect"), "fill")
    result = run("fill", "--data", "a.zarr", "--model", "m", "--out", "b.zarr")
    assert isinstance(result.exception, RuntimeError) and result.exit_code == 1
