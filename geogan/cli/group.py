"""The group of all verbs: errors become one sentence and an exit code; help shows defaults as plain text."""

import inspect
import os
import sys
from functools import partial
from typing import Any, get_args, get_type_hints

import typer
from typer.core import TyperGroup

from geogan.cli.console import echo, echo_error, quiet_libraries
from geogan.operators.errors import InputError

# Base class of all errors of usage, which Typer does not export by name.
_USAGE_ERROR: Any = typer.BadParameter.__base__
# Characters of a number; longer texts take long to convert and are outside every range.
_DIGITS = 70
_USAGE, _INTERRUPTED = 2, 130  # exit codes; 130 is what shells give a command stopped by Ctrl-C


class Verbs(TyperGroup):
    """All verbs; every error leaves through `invoke`."""

    def get_command(self, ctx: Any, name: str) -> Any:
        """Return a verb whose options refuse empty texts and numbers in other digits than 0 to 9."""
        command = super().get_command(ctx, name)
        if command is None or isinstance(command, TyperGroup):
            return command
        types = get_type_hints(inspect.unwrap(command.callback))  # type: ignore[arg-type]
        for parameter in command.params:
            kind = types.get(str(parameter.name))
            is_number = bool({int, float} & {kind, *get_args(kind)})
            _simplify_help(parameter)
            # The method of the class is wrapped, so that a second call does not wrap it twice.
            parameter.process_value = partial(_value, parameter, is_number)  # type: ignore[method-assign]
        return command

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the options before the verb; an error of usage is one sentence."""
        try:
            return super().make_context(*arguments, **named)
        except _USAGE_ERROR as error:
            # Typer shows the help, if no argument is given, by this error.
            if type(error).__name__ == "NoArgsIsHelpError":
                raise
            _echo_usage(error)
            raise typer.Exit(_USAGE) from None

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; print an `InputError` as one sentence; raise any other error, which is a defect."""
        try:
            with quiet_libraries():
                result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except InputError as error:
            if ctx.params.get("verbose"):
                import traceback

                echo("".join(traceback.format_exception(error)).rstrip("\n"), err=True)
            else:
                echo_error(error)
            raise typer.Exit(_USAGE) from None
        except _USAGE_ERROR as error:
            _echo_usage(error)
            raise typer.Exit(_USAGE) from None
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            echo_error(
                "the machine has too little memory for this; give smaller numbers (--batch, --crop, --width, --window, "
                "--members, --threads), or a smaller archive"
            )
            raise typer.Exit(_USAGE) from None
        except KeyboardInterrupt:
            echo("stopped; finished work is kept", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            # The reader (head, less) has closed the pipe; the interpreter must not report that at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None


def _value(parameter: Any, is_number: bool, ctx: Any, value: Any) -> Any:
    """Convert the value of an option.

    Refuse an empty text, a text with a NUL character, which no file system accepts, and numbers such as ``1_000`` or in
    digits of other scripts, which Python accepts.
    """
    for text in value if isinstance(value, (list, tuple)) else (value,):
        if not isinstance(text, str):
            continue
        # An empty condition removes the one that a run was trained with.
        if not text.strip() and parameter.name != "where":
            raise typer.BadParameter("it is empty, give a value or leave it out.", ctx=ctx, param=parameter)
        if "\0" in text:
            raise typer.BadParameter(f"{text!r} contains a NUL character, leave it out.", ctx=ctx, param=parameter)
        if is_number and (not text.isascii() or "_" in text or len(text) > _DIGITS):
            raise typer.BadParameter(f"{text!r} is not a valid number, such as 8 or 0.5.", ctx=ctx, param=parameter)
    return type(parameter).process_value(parameter, ctx, value)


def _simplify_help(parameter: Any) -> None:
    """Show a default that is given in words without parentheses, and an argument without its Python type."""
    if parameter.param_type_name == "argument":
        parameter.display_type_rich = lambda ctx: ""
    elif isinstance(parameter.show_default, str):
        parameter.help = f"{parameter.help}  [default: {parameter.show_default}]"
        parameter.show_default = False


def _lacks_memory(error: BaseException) -> bool:
    """Return whether an error reports a lack of memory; on the CPU PyTorch has no class of error for that."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _echo_usage(error: Any) -> None:
    command = error.ctx.command_path if error.ctx else "geogan"
    echo_error(f"{error.format_message().rstrip('.')}; see {command} --help")
