"""`tinyprof golden MODEL.gguf`: the expected outputs of one's own model."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyprof.options import json_option
from tinyprof.terminal import CheckFailed, ProgressLine, WrongUse, emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof_models.golden import ModelGolden

HEAD = ("activations", "cache", "prompt", "tokens", "least lead")
PROMPT_CHARACTERS = 40


@click.command("golden")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="Instead of the suites'; may be repeated.")
@click.option("--tokens", default=64, show_default=True, type=click.IntRange(1, 4096), help="Tokens for each prompt.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the golden file here.  [default: stdout]")  # fmt: skip
@json_option
def command(model: Path, prompts: tuple[str, ...], tokens: int, out: Path | None, as_json: bool) -> None:
    """Makes the expected outputs of a model.

    MODEL is a shipped model's name or a GGUF file. What the reference engine says to each prompt, for every kind of
    activations and cache, with each token's lead: name the file in an agent's golden_files, and runs of that model
    are checked against it.
    """
    from tinyprof_models.catalogue import shipped_models

    if any(not prompt for prompt in prompts):
        raise WrongUse("a prompt is empty")
    shipped = shipped_models().get(str(model))
    made_of = model if shipped is None else shipped.path
    made = _made(made_of, prompts, tokens)
    from tinyprof_models.make_golden import golden_text

    models = {made_of.name: made}
    if out is not None:
        out.write_text(golden_text(models), encoding="utf-8")
    if as_json:
        emit_json(models)
    elif out is None:
        click.echo(golden_text(models), nl=False)
    else:
        click.echo(_summary(made))
        click.echo(f"{out} has the golden outputs of {made_of.name}", err=True)


def _made(model: Path, prompts: tuple[str, ...], tokens: int) -> "ModelGolden":
    try:
        from tinyprof_models.engine import ContextFullError
        from tinyprof_models.make_golden import PROMPTS, make_golden
        from tinyprof_models.model_file import ModelError
    except ModuleNotFoundError as why:
        if why.name not in ("gguf", "numpy"):
            raise
        raise CheckFailed(f"the reference engine needs {why.name}: pip install 'tinyprof[demo]'") from None
    with ProgressLine() as line:
        try:
            return make_golden(
                model,
                prompts or PROMPTS,
                tokens,
                lambda activations, cache, prompt: line.show(f"{activations}, cache {cache}: {prompt!r}"),
            )
        except ModelError as why:
            raise (WrongUse if why.code == "model_missing" else CheckFailed)(one_line(str(why))) from None
        except (ContextFullError, UnicodeEncodeError) as why:
            raise WrongUse(one_line(str(why))) from None


def _summary(made: "ModelGolden") -> str:
    rows = [
        (output.activations, output.kv_cache, one_line(case.prompt)[:PROMPT_CHARACTERS], str(len(case.tokens)),
         f"{case.least_margin:.4f}")
        for output in made.outputs
        for case in output.cases
    ]  # fmt: skip
    return table(HEAD, rows, right="lllrr")
