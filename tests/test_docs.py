"""The pages for users: every snippet of Python is run, in the order of its page, beside a run of the name it uses."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from scalor_pyro.config import RunConfig, Stage
from scalor_pyro.config.presets import preset
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.plots import generated_files as generation_files
from scalor_pyro.training.loop import train

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
WITH_PYTHON = {
    "README.md",
    "docs/outputs.md",
    "docs/own_video.md",
    "docs/pyro.md",
    "docs/tutorial.md",
    "docs/weights.md",
}
# Its programs run each in a process of its own, see test_extend.py.
OWN_TEST = {"docs/extend.md"}
# What a fence may say; nothing else can hide Python that is not run.
LANGUAGES = {"python", "sh", "text"}
# The page whose commands are run, too, in the order of the page; and what would take minutes there.
TUTORIAL = "docs/tutorial.md"
SHORTER = {
    "frames=60": "frames=12",
    "frames=240": "frames=24",
    "--steps 400": "--steps 2",
    "--frames 16": "--frames 9",
    "--frames 8": "--frames 2",
}
FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*(.*)")


class Snippet(NamedTuple):
    page: Path
    line: int  # of its fence, from 1
    language: str
    code: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def snippets(page: Path) -> Iterator[Snippet]:
    """All fenced blocks of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: tuple[int, str, str] | None = None
    for number, line in enumerate(lines, start=1):
        fence = FENCE.fullmatch(line)
        if fence is None:
            continue
        marks, language = fence.groups()
        if opened is None:
            opened = number, marks, language
        elif marks == opened[1] and not language:
            yield Snippet(page, opened[0], opened[2], "\n".join(lines[opened[0] : number - 1]))
            opened = None
    assert opened is None, f"{name_of(page)}, line {opened and opened[0]}: a block is not closed"


def tiny_run() -> RunConfig:
    """Videos as large and as long as those of `make demo`, and little else."""
    config = preset("digits", "VLD")
    return replace(
        config,
        data=replace(config.data, digits="uci"),
        model=replace(config.model, feature_dim=16, tracker_dim=16, prior_dim=8, z_what_dim=8, glimpse_size=8),
        train=replace(config.train, steps=3, curriculum=(Stage(1.0, 2, 2),)),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_run: Path) -> Path:
    """Where runs/demo is a trained run, and runs/street one on street.mp4."""
    folder, config = tmp_path_factory.mktemp("docs"), tiny_run()
    videos = SyntheticVideos(config.data, config.seed, "train")
    run = folder / "runs" / "demo"
    scalor = Scalor(config.model)
    torch.nn.init.constant_(scalor.discovery_posterior.presence_head.bias, 3.0)  # it finds something untrained, too
    train(scalor, videos, config, run, progress=False, tensorboard=False)
    shutil.copytree(small_run / "runs" / "street", folder / "runs" / "street")
    shutil.copy(small_run / "street.mkv", folder / "street.mp4")  # the content tells the format
    return folder


@pytest.mark.parametrize("page", sorted(WITH_PYTHON - {TUTORIAL}))
def test_snippets_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {"__name__": page}
    for snippet in snippets(ROOT / page):
        if snippet.language == "python":
            code = "\n" * snippet.line + snippet.code  # so that an error names the page's own line
            exec(compile(code, str(snippet.page), "exec"), namespace)


def test_the_tutorial_can_be_gone_through(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from record_tutorial import beside, frames_of, recorded

    monkeypatch.chdir(tmp_path)
    for name in ("save_strip", "write_generation_player"):  # which take most of the time
        monkeypatch.setattr(generation_files, name, lambda *_: None)
    page = (ROOT / TUTORIAL).read_text(encoding="utf-8")
    assert "```text\n```" not in page, "what commands print is recorded"
    for words, fewer in SHORTER.items():
        assert page.count(words) == 1
        page = page.replace(words, fewer)
    printed = recorded(page)
    assert "frames       12, " in printed and "frames       24, " in printed
    assert recorded(printed) == printed, "what was run is not run again"
    named = set(re.findall(r"\b(?:tracks|forecast|dreams|runs)/[\w./-]+", page))
    assert len(named) > 5 and all(Path(name).exists() for name in named), "the page speaks of files that are there"
    assert beside(frames_of("tracks/digits-tracks.mp4", (3, 8))).size[0] > 2 * 160


def test_no_snippet_is_left_out() -> None:
    found = [snippet for page in PAGES for snippet in snippets(page)]
    for snippet in found:
        where = f"{name_of(snippet.page)}, line {snippet.line}"
        assert snippet.language in LANGUAGES, f"{where}: {snippet.language!r}, but one of {LANGUAGES} was expected"
    assert {name_of(snippet.page) for snippet in found if snippet.language == "python"} == WITH_PYTHON | OWN_TEST
