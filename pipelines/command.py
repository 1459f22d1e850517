"""The command line that is being run, for the history of what it writes."""

from contextvars import ContextVar

COMMAND: ContextVar[str] = ContextVar("geogan_command", default="")
"""The whole command line, quoted as for a shell; empty if a pipeline is called from Python."""
