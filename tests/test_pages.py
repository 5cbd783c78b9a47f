"""What the pages tell a reader to type exists."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from unmix.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "book").rglob("*.md"))]
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)


def text_of(path):
    """The prose of a page or a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def commands(text):
    """Each command line of `unmix` in the blocks and the spans of code of a page."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    spans = [span.replace("\n", " ") for span in re.findall(r"`(unmix [^`]+)`", text)]
    found = [line.split(" #")[0].strip() for line in [*lines, *spans]]
    return [line for line in found if line.startswith("unmix ")]


def unknown(line):
    """What of a command line the program does not know; None if it knows all."""
    words = [word for word in shlex.split(line)[1:] if word not in ("…", "...")]
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0].rstrip(",") not in command.commands:
            return None if words[0].isupper() else words[0]
        command = command.commands[words.pop(0).rstrip(",")]
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    options |= {"--help"}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return next((word for word in given if word not in options), None)


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.stem)
def test_commands_and_their_options_exist(path):
    wrong = {line: unknown(line) for line in commands(text_of(path))}
    assert {line: word for line, word in wrong.items() if word} == {}


def test_the_search_finds_what_it_looks_for():
    page = "Say `unmix runs lst` or\n\n```bash\nmake\nunmix run x --profil tiny  # so\n```\n"
    assert [unknown(line) for line in commands(page)] == ["--profil", "lst"]
    good = "`unmix runs verify --quarantine`, `unmix table … --own`, `unmix COMMAND --help`"
    assert [unknown(line) for line in commands(good)] == [None, None, None]


def test_the_pages_name_commands_at_all():
    found = [line for path in PAGES for line in commands(text_of(path))]
    assert len(found) > 30
