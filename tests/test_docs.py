"""The pages for users: their Python runs, their links lead somewhere, and their words are those of the glossary.

`make docs` checks the links between the pages of the site; here are those of the pages outside of it.
"""

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
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
PAGES = sorted([*(ROOT / name for name in OUTSIDE), *ROOT.glob("docs/**/*.md")])
# Its programs run each in a process of its own, see test_extend.py.
OWN_TEST = {"docs/extend.md"}
WITH_PYTHON = {
    "README.md",
    "docs/index.md",
    "docs/outputs.md",
    "docs/own_video.md",
    "docs/pyro.md",
    "docs/tutorial.md",
    "docs/weights.md",
}
# A section, the last of its page, that quotes messages as they should not be.
QUOTED = "## Messages, before and after"
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
# Phrases that have to be read twice, or that name a thing by another word than the glossary, and what to write instead.
REFUSED = {
    r"\bbut\b[^.|]{0,60}\bwas expected\b": "expected …, got …",
    r"\bwhat there is\b": "name it",
    r"\bwhat is there is\b": "name it",
    r"\bof (before|now)\b": "earlier, current",
    r"\blaws?\b": "distribution, prior, rule",
    r"\b(videos?|ones?) of one's own\b": "your own videos",
    r"\bthat there is not\b": "if there is no …",
    r"\bis (not )?to be (found|seen|had|given|trusted)\b": "must be, can be",
    r"\bwho (leaves|stands|comes|is new)\b": "an object that …",
    r"\b(one|it) takes (it|them|itself) for\b": "mistakes … for",
    r"\btold apart\b": "distinguished",
    r"\bgoes? on (with|as|for)\b": "continues",
    r"\bthe last word\b": "takes precedence",
    r"\bcompare orders\b": "compare magnitudes",
    r"\bby a script that was not kept\b": "mark it as exploratory",
}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


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


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_words_are_plain(page: Path) -> None:
    text = page.read_text(encoding="utf-8").partition(QUOTED)[0]
    for pattern, instead in REFUSED.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            line = text.count("\n", 0, match.start()) + 1
            pytest.fail(f"{name_of(page)}, line {line}: {match[0]!r}; write: {instead}")


def anchor_of(heading: str) -> str:
    """A heading's anchor, as MkDocs and GitHub both make it from plain words."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower())).strip("-")


@pytest.mark.parametrize("name", OUTSIDE)
def test_links_outside_the_site_lead_somewhere(name: str) -> None:
    for link in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = ROOT / (path or name)
        assert target.exists(), f"{name} links to {link}, which does not exist"
        if anchor:
            anchors = {anchor_of(heading) for heading in HEADING.findall(target.read_text(encoding="utf-8"))}
            assert anchor in anchors, f"{name} links to {link}, a section that does not exist"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/**/*.md"):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation, f"mkdocs.yml does not list {page}"


def test_every_room_has_an_api_page() -> None:
    rooms = {path.parent.name for path in ROOT.glob("scalor_pyro/*/__init__.py")} - {"cli"}  # which is a command
    assert {page.stem for page in ROOT.glob("docs/api/*.md")} == rooms | {"index"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small package of that name, and the Markdown that the site shows of its docstring."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "hooks"))
    import griffe
    from sphinx_docstrings import SphinxDocstrings

    def markdown(docstring: str) -> str:
        package = tmp_path / "scalor_pyro"
        package.mkdir()
        (package / "__init__.py").write_text("from scalor_pyro.part import Thing\n")
        code = f'r"""{docstring}"""\n\n\nclass Thing:\n    def work(self): ...\n'
        (package / "part.py").write_text(code)
        extensions = griffe.load_extensions(SphinxDocstrings)
        loaded = griffe.load("scalor_pyro", search_paths=[tmp_path], extensions=extensions, try_relative_path=False)
        docstring_of_part = loaded["part"].docstring
        assert docstring_of_part is not None
        return str(docstring_of_part.value)

    return markdown


def test_roles_become_links(written: Any) -> None:
    found = written("See :class:`~scalor_pyro.Thing`, :meth:`Thing.work` and :func:`poutine.do`; ``x``.\n\n:param a: b")
    assert '<autoref identifier="scalor_pyro.part.Thing" optional><code>Thing</code></autoref>' in found
    assert '<autoref identifier="scalor_pyro.part.Thing.work" optional><code>Thing.work()</code></autoref>' in found
    assert found.endswith("and `poutine.do()`; `x`.\n\n:param a: b"), (
        "other packages are named, fields are left to Griffe"
    )


def test_a_reference_to_nothing_is_reported(written: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert "`scalor_pyro.gone`" in written("See :mod:`scalor_pyro.gone`.")
    assert "scalor_pyro.part: the docstring refers to scalor_pyro.gone, which does not exist." in caplog.text


FORMATTED = r"""Use it::

    with a:
        b

=====  =====  =======
site   shape  meaning
=====  =====  =======
``x``  (B)    a|b
              more
=====  =====  =======

.. math::

    a &= b \\
    c &= \frac{d}{2}

The end.
"""


def test_blocks_tables_and_formulas(written: Any) -> None:
    found = found = written(FORMATTED)
    assert "Use it:\n\n```python\nwith a:\n    b\n```\n" in found
    assert "| site | shape | meaning |\n| --- | --- | --- |\n| `x` | (B) | a\\|b more |\n" in found
    assert found.count("<mtr>") == 2 and "<mfrac>" in found and "&=" not in found and found.endswith("The end.")
