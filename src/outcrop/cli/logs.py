"""``outcrop logs``: what requests came, from the request log; what invocation logs say, by SQL."""

import json
import sys
from typing import Annotated

import typer

from outcrop.cli.log_queries import query
from outcrop.cli.options import ConfigOption, DataDirOption, plain_errors, read_config
from outcrop.cli.request_lines import Follower, Found, read_last, wants
from outcrop.server.request_log import Line, log_files

app = typer.Typer(no_args_is_help=True)
app.command()(query)

_MS_PER_S = 1000


@app.callback()
def logs() -> None:
    """What requests came, and what became of them."""


@app.command()
def tail(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="The lines as they are logged.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="Only requests that failed.")] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="PATTERN", help="Only calls of it: 'anthropic.*'."),
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the last requests."""
    with plain_errors():
        files = log_files(read_config(data_dir, config).data_dir)
    wanted = wants(model, errors=errors)
    # Begun before the last ones are read, so that none is lost in between.
    follower = Follower(files[0], wanted) if follow else None
    shown = read_last(files, lines, wanted)
    _show(shown, as_json=as_json)
    if follower is None:
        return
    seen = {raw for raw, _ in shown}
    try:
        for raw, line in follower.follow():
            if raw not in seen:
                _show([(raw, line)], as_json=as_json)
            seen.discard(raw)
    except KeyboardInterrupt:
        raise typer.Exit from None
    finally:
        follower.close()


def _show(found: list[Found], *, as_json: bool) -> None:
    for raw, line in found:
        typer.echo(_json(raw) if as_json else _text(line))
    sys.stdout.flush()


def _json(raw: bytes) -> str:
    """The same JSON, without characters that a terminal would obey."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in raw.decode())


def _text(line: Line) -> str:
    parts = [line.time, str(line.status), f"{line.service}.{line.operation}", _took(line)]
    if line.model:
        parts += [line.model, f"{line.input_tokens}+{line.output_tokens} tokens"]
    if line.engine:
        parts.append(f"by {line.engine}")
    if line.error_code:
        parts.append(line.error_code)
    text = "  ".join([*parts, line.principal or "-", line.request_id])
    # Callers choose names: none of them moves the cursor.
    return "".join(one if one.isprintable() else "?" for one in text)


def _took(line: Line) -> str:
    if line.latency_ms < _MS_PER_S:
        return f"{line.latency_ms} ms"
    return f"{line.latency_ms / _MS_PER_S:.1f} s"
