"""A run says where it comes from, and nothing where that is not known."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalor_pyro.config import RunConfig
from scalor_pyro.config.presets import PRESETS, paper, preset, setting_of
from scalor_pyro.experiments import baselines
from scalor_pyro.runs import provenance
from scalor_pyro.runs.provenance import MadeBy, Source, command_line, machine, source_of


def git(folder: Path, *arguments: str) -> str:
    person = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", str(folder), *person, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package at the top of a checkout, all of it committed."""
    folder = tmp_path / "checkout" / "scalor_pyro"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text("")
    git(folder.parent, "init")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--message", "Begin")
    return folder


def test_source_is_the_commit_and_whether_it_was_changed(package: Path) -> None:
    commit = git(package, "rev-parse", "HEAD")
    (package.parent / "notes.txt").write_text("decides nothing")
    assert source_of(package) == Source(commit, changed=False)
    (package.parent / "examples").mkdir()
    (package.parent / "examples" / "new.py").write_text("")
    assert source_of(package) == Source(commit, changed=True)
    (package.parent / "examples" / "new.py").unlink()
    (package / "model.py").write_text("changed")
    assert source_of(package) == Source(commit, changed=True)


def test_checkout_of_another_project_is_not_its_source(package: Path, tmp_path: Path) -> None:
    installed = package.parent / ".venv" / "scalor_pyro"
    beside = package.parent / "copied"  # at the top, but not of the project
    alone = tmp_path / "scalor_pyro"
    for folder in (installed, beside, alone):
        folder.mkdir(parents=True)
        (folder / "model.py").write_text("")
        assert source_of(folder) == Source(None, None), folder


def test_without_git_the_source_is_not_known(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert source_of(package) == Source(None, None)


def test_machine_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
    assert machine(torch.device("cpu")).endswith(" cores, 1 thread")
    assert machine(torch.device("cuda")).endswith(", A GPU")
    monkeypatch.setattr(provenance, "Path", lambda path: Path("/nowhere"))
    assert len(machine(torch.device("cpu")).split(", ")) == 3, "a name of some kind, where there is no such file"


def test_command_can_be_pasted() -> None:
    assert command_line("/somewhere/examples/a.py", ["--mnist", "a file"]) == "python examples/a.py --mnist 'a file'"


def test_known_before_anything_is_trained() -> None:
    found = provenance.provenance(MadeBy("python x.py", "bg"), "cpu", processes=2, resumed=True)
    assert (found["command"], found["preset"], found["processes"], found["resumed"]) == ("python x.py", "bg", 2, True)


def other_budget(config: RunConfig, **budget: float) -> RunConfig:
    return replace(config, train=replace(config.train, **budget))


@pytest.mark.parametrize("name", PRESETS)
def test_setting_is_the_preset(name: str) -> None:
    config = PRESETS[name]()
    assert setting_of(replace(config, seed=3)) == name
    assert setting_of(paper(config)) == f"paper-{name}"


def test_another_budget_is_another_setting_but_for_the_paper() -> None:
    config = preset("digits", "VLD")
    assert setting_of(other_budget(config, minutes=60.0)) == "digits-vld-60-minutes"
    assert setting_of(other_budget(config, steps=7)) == "digits-vld-7-steps"
    assert setting_of(other_budget(paper(config), minutes=60.0)) == "paper-digits-vld"
    assert setting_of(replace(config, data=replace(config.data, digits="uci"))) == "digits-vld"
    assert setting_of(replace(config, model=replace(config.model, rejection=False))) is None


def test_setting_of_a_baseline() -> None:
    config = baselines.baseline("sqair", "sprites", "VLD")
    assert baselines.setting_of(replace(config, seed=1, train=replace(config.train, steps=9))) == "sqair-sprites-vld"
    assert baselines.setting_of(baselines.baseline("vrnn", "sprites", "MD", background=True)) == "vrnn-bg"
    assert baselines.setting_of(replace(config, model=replace(config.model, slots=5))) is None
