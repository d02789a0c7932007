"""How a program reports a mistake of its user."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

# Exit status of programs that Ctrl-C ended.
INTERRUPTED = 130
# What is raised where something given cannot be used. All else comes from a library that did not expect it.
_EXPECTED = (ValueError, OSError, ImportError)
# Typer's error for arguments that do not parse. Which module has it depends on Typer's version.
_UsageError = typer.BadParameter.__base__

_tracebacks = False


def show_tracebacks(shown: bool) -> None:
    """Whether `one_line_errors` also shows where in the code an error comes from."""
    global _tracebacks
    _tracebacks = shown


@contextmanager
def one_line_errors(program: str) -> Iterator[None]:
    """End `program` with one line on stderr: with exit status 2 where something given cannot be used, whatever class of
    exception a library raises, with 130 after Ctrl-C."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # whose message is the help
            raise
        command = error.ctx.command_path if error.ctx else program
        _say(command, f"{error.format_message()} See {command} --help")
        raise SystemExit(2) from error
    except KeyboardInterrupt as interrupt:
        _say(program, "stopped")
        raise SystemExit(INTERRUPTED) from interrupt
    except Exception as error:
        if _tracebacks:
            traceback.print_exc()
        text, kind = str(error).strip(), type(error).__name__
        if " worker process " in text.partition("\n")[0] and "Traceback" in text:
            # PyTorch hands over what a process that reads data raised with all of its traceback.
            text = text.splitlines()[-1].partition(": ")[2]
        _say(program, text if text and isinstance(error, _EXPECTED) else f"{kind}: {text}" if text else kind)
        raise SystemExit(2) from error


def _say(program: str, message: str) -> None:
    print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
