"""Names in Pyro's parameter store: no two living models share one, and a model that is gone leaves nothing."""

import copy
import gc
import pickle
from collections.abc import Callable
from pathlib import Path

import pyro
import pytest
import torch
from pyro.infer import SVI, Predictive, Trace_ELBO
from torch import Tensor

from scalor_pyro.config import ModelConfig
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.model.views import with_view

Make = Callable[..., Scalor]


@pytest.fixture(autouse=True)
def _no_model_is_left() -> None:
    gc.collect()


def stored() -> set[str]:
    """The names of the models in the store."""
    return {name.partition("$$$")[0] for name in pyro.get_param_store()}


def changed_by_a_step(scalor: Scalor, x: Tensor) -> int:
    """How many parameters a step of SVI changes."""
    before = [parameter.clone() for parameter in scalor.parameters()]
    SVI(scalor.model, scalor.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO()).step(x)
    return sum(not torch.equal(mine, start) for mine, start in zip(scalor.parameters(), before, strict=True))


COPIES: dict[str, Callable[[Scalor], Scalor]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda scalor: pickle.loads(pickle.dumps(scalor)),
}


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_is_trained_apart_from_its_origin(
    scalor: Scalor, videos: Tensor, copied: Callable[[Scalor], Scalor], clear: bool
) -> None:
    everything = len(list(scalor.parameters()))
    assert changed_by_a_step(scalor, videos) == everything
    other = copied(scalor)
    if clear:
        pyro.clear_param_store()
    kept = [parameter.clone() for parameter in scalor.parameters()]
    assert changed_by_a_step(other, videos) == everything
    assert all(torch.equal(mine, start) for mine, start in zip(scalor.parameters(), kept, strict=True))
    assert changed_by_a_step(scalor, videos) == everything
    assert stored() == {"scalor", "scalor_2"}


def test_a_pickled_model_and_a_new_one_stay_apart(
    scalor: Scalor, tiny: Callable[..., ModelConfig], videos: Tensor
) -> None:
    content = pickle.dumps(scalor)
    new = Scalor(tiny())
    new.guide(videos)
    loaded = pickle.loads(content)
    assert changed_by_a_step(loaded, videos) == changed_by_a_step(new, videos) == len(list(new.parameters()))


def test_models_get_names_in_the_order_in_which_they_run(make_scalor: Make, videos: Tensor) -> None:
    idle, first, second = make_scalor(), make_scalor(), make_scalor()
    first.guide(videos)
    second.guide(videos)
    assert (first.store_name.name, second.store_name.name) == ("scalor", "scalor_2")
    del first
    gc.collect()
    idle.guide(videos)
    assert idle.store_name.name == "scalor" and stored() == {"scalor", "scalor_2"}


def test_a_model_that_is_gone_leaves_nothing(make_scalor: Make, videos: Tensor) -> None:
    for _ in range(3):
        scalor = make_scalor()
        larger = with_view(scalor, (64, 48))
        larger.guide(torch.rand(1, 2, 3, 64, 48))
        assert stored() == {"scalor"}
        del larger
        assert stored() == set(), "at once, without a garbage collection"
        changed_by_a_step(scalor, videos)
        with torch.no_grad():
            Predictive(scalor.model, guide=scalor.guide, num_samples=2)(videos[:, :1], frames=2)
        del scalor
        gc.collect()
        assert stored() == set()


def test_clearing_the_store_in_between_does_no_harm(make_scalor: Make, videos: Tensor) -> None:
    first, second = make_scalor(), make_scalor()
    for scalor in (first, second):
        scalor.guide(videos)
    pyro.clear_param_store()
    del first, scalor
    assert changed_by_a_step(second, videos) == len(list(second.parameters()))
    assert stored() == {"scalor_2"}


def test_a_saved_store_is_loaded_by_name(
    make_scalor: Make, tiny: Callable[..., ModelConfig], videos: Tensor, tmp_path: Path
) -> None:
    scalor = make_scalor()
    changed_by_a_step(scalor, videos)
    trained = [parameter.detach().clone() for parameter in scalor.parameters()]
    pyro.get_param_store().save(str(tmp_path / "store.pt"))
    del scalor
    gc.collect()
    torch.manual_seed(99)  # as in another process
    again = Scalor(tiny())
    pyro.get_param_store().load(str(tmp_path / "store.pt"))
    parameters = list(again.parameters())
    again.guide(videos)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(parameters, trained, strict=True))
    assert changed_by_a_step(again, videos) == len(trained)
    pyro.get_param_store().load(str(tmp_path / "store.pt"))  # back to what was saved
    again.guide(videos)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(again.parameters(), trained, strict=True))


def test_pyros_own_way_of_loading_works(make_scalor: Make, videos: Tensor, tmp_path: Path) -> None:
    scalor = make_scalor()
    scalor.guide(videos)
    pyro.get_param_store().save(str(tmp_path / "store.pt"))
    expected = scalor.decoder.bias.detach().clone()
    with torch.no_grad():
        scalor.decoder.bias.zero_()
    pyro.clear_param_store()
    pyro.get_param_store().load(str(tmp_path / "store.pt"))
    pyro.module("scalor", scalor, update_module_params=True)
    assert torch.equal(scalor.decoder.bias, expected)
    assert changed_by_a_step(scalor, videos) == len(list(scalor.parameters()))


def test_a_store_of_another_model_is_refused(make_scalor: Make, videos: Tensor, tmp_path: Path) -> None:
    scalor = make_scalor()
    scalor.guide(videos)
    pyro.get_param_store().save(str(tmp_path / "store.pt"))
    del scalor
    gc.collect()
    other = make_scalor(z_what_dim=10)
    pyro.get_param_store().load(str(tmp_path / "store.pt"))
    with pytest.raises(ValueError, match=r"scalor\$\$\$.* in Pyro's parameter store: expected shape .*, got"):
        other.guide(videos)


def test_replaced_parameters_count(scalor: Scalor, videos: Tensor) -> None:
    scalor.guide(videos)
    new = {name: torch.full_like(value, 0.01) for name, value in scalor.state_dict().items()}
    scalor.load_state_dict(new, assign=True)
    scalor.guide(videos)
    assert bool((scalor.decoder.bias == 0.01).all()), "those in the store are older"
    assert changed_by_a_step(scalor, videos) > 0


def test_a_scope_of_the_store_gives_the_parameters_back(scalor: Scalor, videos: Tensor) -> None:
    scalor.guide(videos)
    with pyro.get_param_store().scope():
        changed_by_a_step(scalor, videos)
    kept = [parameter.clone() for parameter in scalor.parameters()]
    scalor.guide(videos)
    assert all(torch.equal(mine, start) for mine, start in zip(scalor.parameters(), kept, strict=True))


def test_particles_side_by_side_are_refused(scalor: Scalor, videos: Tensor) -> None:
    message = "Scalor runs one particle at a time: use vectorize_particles=False or parallel=False"
    for nesting in (2, float("inf")):
        elbo = Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=nesting)
        with pytest.raises(ValueError, match=message):
            elbo.loss(scalor.model, scalor.guide, videos)
    for guide in (None, scalor.guide):
        with pytest.raises(ValueError, match=message):
            Predictive(scalor.model, guide=guide, num_samples=3, parallel=True)(videos, frames=4)
    Trace_ELBO(num_particles=2).loss(scalor.model, scalor.guide, videos)
