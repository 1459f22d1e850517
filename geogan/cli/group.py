"""What becomes of what goes wrong: a sentence and an exit code."""

import inspect
import os
import sys
from functools import partial
from typing import Any, get_args, get_type_hints

import typer
from typer.core import TyperGroup

from geogan.cli.console import echo, echo_error, quiet_libraries
from geogan.operators.errors import InputError

# Typer names the mother of what is wrong with a command line by its daughters only.
_USAGE_ERROR: Any = typer.BadParameter.__base__
# Characters of a number: a longer one takes long to read and is out of every range.
_DIGITS = 70
_USAGE, _INTERRUPTED = 2, 130  # exit codes; 130 is what shells give a command stopped by Ctrl-C


class Verbs(TyperGroup):
    """All verbs, with one way out for what goes wrong."""

    def get_command(self, ctx: Any, name: str) -> Any:
        """The verb of that name; none of its options is empty, and numbers are of the digits from 0 to 9."""
        command = super().get_command(ctx, name)
        if command is None:
            return None
        types = get_type_hints(inspect.unwrap(command.callback))  # type: ignore[arg-type]
        for parameter in command.params:
            kind = types.get(str(parameter.name))
            is_number = bool({int, float} & {kind, *get_args(kind)})
            # The class's own method, for a command is built once and may be asked for again.
            parameter.process_value = partial(_value, parameter, is_number)  # type: ignore[method-assign]
        return command

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the options before the verb; what is wrong with them is a sentence too."""
        try:
            return super().make_context(*arguments, **named)
        except _USAGE_ERROR as error:
            # Without any argument the help is shown, which typer has an error of its own for.
            if type(error).__name__ == "NoArgsIsHelpError":
                raise
            _echo_usage(error)
            raise typer.Exit(_USAGE) from None

    def invoke(self, ctx: Any) -> Any:
        """Run a verb; an `InputError` is its sentence alone, any other error is a defect and keeps its trace."""
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
                "this needs more memory than there is; give smaller numbers (--batch, --crop, --width, --window, "
                "--members, --threads), or a smaller archive"
            )
            raise typer.Exit(_USAGE) from None
        except KeyboardInterrupt:
            echo("stopped; what was finished is kept", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            # The reader (head, less) has gone; the interpreter must not complain about it at its end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None


def _value(parameter: Any, is_number: bool, ctx: Any, value: Any) -> Any:
    """Convert what is given for an option, which must not be empty.

    Python would also take ``1_000`` for a thousand, and digits of other scripts.
    """
    for text in value if isinstance(value, (list, tuple)) else (value,):
        if not isinstance(text, str):
            continue
        # An empty condition is a value: it takes back the one that a run was trained with.
        if not text.strip() and parameter.name != "where":
            raise typer.BadParameter("it is empty, give a value or leave it out.", ctx=ctx, param=parameter)
        if is_number and (not text.isascii() or "_" in text or len(text) > _DIGITS):
            raise typer.BadParameter(f"{text!r} is not a valid number, such as 8 or 0.5.", ctx=ctx, param=parameter)
    return type(parameter).process_value(parameter, ctx, value)


def _lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory is lacking; PyTorch has no kind of error for that on the CPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def _echo_usage(error: Any) -> None:
    command = error.ctx.command_path if error.ctx else "geogan"
    echo_error(f"{error.format_message().rstrip('.')}; see {command} --help")
