"""The kinds of runs: the config of each, and the command that trains it."""

from collections.abc import Container, Mapping
from typing import Any, NamedTuple, TypeGuard

from scalor_pyro.config.baselines import SequentialVAEConfig, SequentialVAERun, SQAIRRun, VRNNRun
from scalor_pyro.config.checks import ConfigError, require
from scalor_pyro.config.movers import AnySceneRunConfig, EmbeddingRunConfig, SizesRunConfig
from scalor_pyro.config.plain import config_from_dict
from scalor_pyro.config.public import PublicRunConfig
from scalor_pyro.config.run import ClipRunConfig, RunConfig, VideoRunConfig


class Kind(NamedTuple):
    """What runs of a kind have in common."""

    config: type[Any]
    trained_by: str  # the command


# By the field `kind` of the config.
KINDS: dict[str, Kind] = {
    "synthetic": Kind(RunConfig, "examples/train_mnist.py"),
    "video": Kind(VideoRunConfig, "scalor train"),
    "clips": Kind(ClipRunConfig, "scalor_pyro.train"),
    "any-scene": Kind(AnySceneRunConfig, "examples/train_any_scene.py"),
    "sizes": Kind(SizesRunConfig, "examples/train_sizes.py"),
    "embedding": Kind(EmbeddingRunConfig, "examples/train_embedding.py"),
    "public": Kind(PublicRunConfig, "examples/train_public.py"),
    "vrnn": Kind(VRNNRun, "examples/baselines.py vrnn"),
    "sequential-vae": Kind(SequentialVAERun, "examples/baselines.py sequential-vae"),
    "sqair": Kind(SQAIRRun, "examples/baselines.py sqair"),
}


def name_of(config: type[Any]) -> str:
    """The kind of runs with this config.

    :raises ConfigError: if there is none.
    """
    for name, kind in KINDS.items():
        if kind.config is config:
            return name
    raise ConfigError(f"config: expected that of one of the kinds {', '.join(KINDS)}, got {config.__name__}.")


def kind_of(values: Any, expected: Container[str] = ()) -> str:
    """The kind of a run.

    :param values: its config as plain values. Version 0.1 did not save the kind: it is inferred.
    :param expected: kinds to prefer where the fields leave a choice.
    :raises ConfigError: if these are not the config of a run.
    """
    require(isinstance(values, Mapping), "config", values, "a table of settings")
    kind = values["kind"] if "kind" in values else _inferred(values, expected)
    require(kind is not None or "kind" in values, "config", values, "the settings of a run")
    require(isinstance(kind, str) and kind in KINDS, "kind", kind, f"one of {', '.join(KINDS)}")
    return str(kind)


def _inferred(values: Mapping[str, Any], expected: Container[str]) -> str | None:
    """The kind of a run by the fields of its config; None if they are of no run."""
    model = values.get("model", {})
    require(isinstance(model, Mapping), "model", model, "a table of settings")
    if "video" in values:
        return "video"
    if "data" not in values:
        return None
    if "memory_dim" in model:  # the models of whole frames have the same fields, and differ in the size of the latent
        of_frames = [name for name in ("vrnn", "sequential-vae") if name in expected]
        sequential = model.get("latent_dim") == SequentialVAEConfig().latent_dim
        return of_frames[0] if len(of_frames) == 1 else "sequential-vae" if sequential else "vrnn"
    return "sqair" if "width" in model else "synthetic"


def run_from_dict(values: Any) -> Any:
    """The config of a run of any kind, from plain values.

    :raises ConfigError: for values that are not the config of a run; the message begins with the name of the field.
    """
    return config_from_dict(KINDS[kind_of(values)].config, values)


def sees_differences(config: object) -> TypeGuard[AnySceneRunConfig | VideoRunConfig]:
    """Whether the model of a run sees differences from the background image, not frames as they are."""
    return isinstance(config, AnySceneRunConfig) or isinstance(config, VideoRunConfig) and config.sees_differences
