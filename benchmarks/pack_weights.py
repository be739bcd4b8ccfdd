"""Add a recorded run to the pretrained weights, and write the page of model cards.

python benchmarks/tables.py runs/digits-vld --mnist mnist.npz
python benchmarks/pack_weights.py runs/digits-vld --name digits-vld --mnist mnist.npz
python benchmarks/pack_weights.py runs/sizes --name sizes
python benchmarks/pack_weights.py runs/embedding --name embedding
python benchmarks/pack_weights.py

The first command writes the record of the run, from which the card is made. The second rounds the weights to half
precision and scores the rounded ones: the scores must not change. Without a run, it writes the page alone.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from records import NLL, SCORES, Finished, finished
from tables import MARKED, RECORDS, shown_commit
from torch import Tensor

from scalor_pyro.cli.errors import command
from scalor_pyro.config import (
    AnySceneRunConfig,
    ConfigError,
    DataConfig,
    EmbeddingRunConfig,
    RunConfig,
    SizesRunConfig,
    config_from_dict,
    config_to_dict,
)
from scalor_pyro.config.movers import EMBEDDED
from scalor_pyro.config.presets import PRESETS
from scalor_pyro.data import SyntheticVideos
from scalor_pyro.embedding.program import GlimpseEmbedding
from scalor_pyro.evaluation.metrics import markdown, without_nan
from scalor_pyro.experiments.made_up.any_scene import scores as scores_on_movers
from scalor_pyro.experiments.made_up.embedding import scores as scores_of_embedding
from scalor_pyro.experiments.made_up.sizes import scores as scores_of_sizes
from scalor_pyro.experiments.synthetic import TEST_SEED, evaluate
from scalor_pyro.experiments.videos import RESULTS
from scalor_pyro.files import write_atomically
from scalor_pyro.model.program import StoredModule
from scalor_pyro.model.scalor import Scalor
from scalor_pyro.runs.cards import card_of, data_of, rounded, shown_data, write_pretrained
from scalor_pyro.runs.configs import first_difference
from scalor_pyro.runs.loading import load_config, load_model, load_run
from scalor_pyro.runs.pretrained import ANY_SCENE, EMBEDDING, SIZES, file_of, names
from scalor_pyro.runs.weights import copy_weights, read_about, read_weights
from scalor_pyro.sizes.program import ObjectSizes
from scalor_pyro.sizes.videos import LARGEST as LARGEST_OBJECT
from scalor_pyro.sizes.videos import SMALLEST as SMALLEST_OBJECT

# Largest difference in MOTA between the rounded weights and the run.
TOLERANCE = 0.002
# Largest file in MB: every clone and every installation contains it.
LARGEST, MB = 4, 10**6
# Metrics that a card leaves out.
LEFT_OUT = ("discoveries", "foreground_share", "steps", "training_minutes")
PAGE = Path(__file__).parents[1] / "docs" / "weights.md"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="folder of a finished run of train_mnist.py")
    parser.add_argument(
        "--name",
        choices=[*PRESETS, ANY_SCENE, *BESIDE],
        metavar="NAME",
        help="name of the preset that RUN was trained with; any-scene: a run of train_any_scene.py or"
        " average_any_scene.py; sizes, embedding: one of train_sizes.py or train_embedding.py",
    )
    parser.add_argument("--mnist", type=Path, metavar="FILE", help="MNIST, for a run with digits of it")
    return parser.parse_args(arguments)


def pack(run: Path, name: str, mnist: Path | None) -> Path:
    """Round and score the weights of a run, and put them into the package.

    :raises ValueError: if it is a run of another setting, the file would be too large, or rounding costs too much.
    """
    of = finished(run, videos=1)
    config = of.config
    require_setting(run, config, name)
    record = recorded(of)
    weights = rounded(copy_weights(of.program()))
    require_small(run, weights)
    scores = scored(config, weights, record["videos"], mnist)
    require_unchanged(scores, record)
    card = {**{key: value for key, value in record.items() if key not in (*SCORES, *NLL)}, **scores}
    path = file_of(name)
    write_pretrained(path, weights, config, card)
    return path


def pack_any_scene(run: Path) -> Path:
    """Round and score the weights of a run for any scene, or of the mean of some, and put them into the package.

    :raises ValueError: if it is not finished, the file would be too large, or rounding costs too much.
    """
    config = load_config(run, AnySceneRunConfig)
    record: dict[str, Any] = json.loads((run / RESULTS).read_text(encoding="utf-8"))
    scalor = Scalor.from_pretrained(run)
    weights = rounded(copy_weights(scalor))
    require_small(run, weights)
    scalor.load_state_dict(weights)
    scores = without_nan(scores_on_movers(scalor, config, record["videos"]))
    require_unchanged(scores, record)
    record |= record.pop("provenance")
    path = file_of(ANY_SCENE)
    write_pretrained(path, weights, config, {**record, **scores})
    return path


class Beside(NamedTuple):
    """A network that is packed beside the weights for any scene."""

    file: Path
    config: type[SizesRunConfig] | type[EmbeddingRunConfig]
    program: Callable[[Any], StoredModule]
    scores: Callable[[Any, int, int], dict[str, float]]
    unchanged: tuple[str, ...]  # scores that must not change


# By the name of the file.
BESIDE = {
    SIZES.stem: Beside(SIZES, SizesRunConfig, ObjectSizes, scores_of_sizes, ("place_error", "side_error")),
    EMBEDDING.stem: Beside(EMBEDDING, EmbeddingRunConfig, GlimpseEmbedding, scores_of_embedding, ("right",)),
}


def pack_beside(run: Path, network: Beside) -> Path:
    """Round and score the weights of a run of train_sizes.py or train_embedding.py, and put them into the package.

    :raises ValueError: if it is not finished, or rounding costs too much.
    """
    config, weights = load_run(run, network.config)
    record: dict[str, Any] = json.loads((run / RESULTS).read_text(encoding="utf-8"))
    weights = rounded(weights)
    program = network.program(config.model)
    program.load_state_dict(weights)
    scores = network.scores(program, config.seed, record["videos"])
    require_unchanged(scores, record, network.unchanged)
    record |= record.pop("provenance")
    network.file.parent.mkdir(exist_ok=True)
    write_pretrained(network.file, weights, config, {**record, **scores})
    return network.file


def require_small(run: Path, weights: dict[str, Tensor]) -> None:
    """Refuse weights that every clone and installation would have to carry."""
    size = sum(value.numel() * value.element_size() for value in weights.values()) / MB
    if size > LARGEST:
        raise ConfigError(f"{run}: expected weights of at most {LARGEST} MB, got {size:.1f} MB.")


def require_unchanged(
    scores: Mapping[str, Any], record: Mapping[str, Any], keys: Sequence[str] = ("mota", "mota_strict")
) -> None:
    """Refuse weights that rounding has changed."""
    for key in keys:
        if abs(scores[key] - record[key]) > TOLERANCE:
            raise ConfigError(f"Rounding changes {key}: expected {record[key]:.4f} as recorded, got {scores[key]:.4f}.")


def recorded(of: Finished) -> dict[str, Any]:
    """The record of a run.

    :raises ConfigError: if there is none.
    """
    path = RECORDS / f"{of.setting}-{of.config.seed}.json"
    if not path.is_file():
        raise ConfigError(f"{of.folder} is not recorded: run benchmarks/tables.py, which writes {path}.")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def require_setting(run: Path, config: RunConfig, name: str) -> None:
    """Refuse a run that was trained on other videos than those of the preset."""
    wanted = replace(PRESETS[name]().data, digits=config.data.digits)  # MNIST, or those of scikit-learn
    difference = first_difference(config_to_dict(config.data), config_to_dict(wanted))
    if difference:
        raise ConfigError(f"{run} is not a run of {name} ({difference}).")


def scored(config: RunConfig, weights: dict[str, Tensor], count: int, mnist: Path | None) -> dict[str, Any]:
    """The scores on the unseen videos that all runs of a setting are scored on."""
    scalor = Scalor(config.model)
    scalor.load_state_dict(weights)
    videos = SyntheticVideos(config.evaluated, TEST_SEED, "test", mnist)
    scores: dict[str, Any] = without_nan(evaluate(scalor, videos, count))
    return scores


def page(before: str) -> str:
    """The page with the cards of all files.

    :param before: the page with its old cards.
    :raises ConfigError: if it has no markers for them.
    """
    cards = "\n".join([*map(section, names()), section_of_sizes(), section_of_embedding()])
    after, count = MARKED.subn(lambda match: f"{match[1]}\n{cards}\n{match[3]}", before)
    if count != 1:
        raise ConfigError(f"{PAGE}: expected one pair of markers for the cards, got {count}.")
    return after


def section(name: str) -> str:
    """The card of a model."""
    config, card = card_of(name)
    model, data = config.model, data_of(config)
    numbers = sum(value.numel() for value in load_model(name)[1].values())
    box = model.object_size * model.box_margin
    speeds = f", {data.speed_min:g}–{data.speed_max:g} px per frame" if isinstance(data, DataConfig) else ""
    area = f"{data.image_size[1]} × {data.image_size[0]} px"
    low, high = box * (1 - model.size_range), box * (1 + model.size_range)
    start = config.train.start_from
    who = "Each" if "mean_of" in card else "It"
    before = "" if start is None else f" {who} went on from `{start}` as packaged at that commit."
    return f"""### {name}

{markdown({shown_data(data): card}, LEFT_OUT)}
- **Data**: {shown_data(data)}{speeds}, {data.frames} frames of
  {area}; scored on {card["videos"]} videos.
- **Cost**: {card["steps"]} steps, {card["training_minutes"]:.1f} minutes on {card["machine"]}; {numbers:,} numbers in
  {file_of(name).stat().st_size / MB:.1f} MB.
- **Limits**: boxes are {low:.0f} to {high:.0f} px wide and high, but for their aspect; of more than {model.slots}
  objects at a time in {area}, some are not followed.
- **From**: {origin(card)}, torch {card["torch"]}.{before}
"""


def origin(card: Mapping[str, Any]) -> str:
    """The command that made the weights, or those that made the runs whose mean they are."""
    made = card.get("mean_of", [card])
    runs = [f"`{run['command']}`, seed {run['seed']}, commit {shown_commit(run)}" for run in made]
    if len(runs) == 1:
        return runs[0]
    return f"{'; '.join(runs)}. Their mean: `{card['command']}`, commit {shown_commit(card)}"


def section_of_sizes() -> str:
    """The card of the network that brings videos to the scale of the weights for any scene."""
    about = read_about(SIZES)
    config, card = config_from_dict(SizesRunConfig, about["config"]), about["card"]
    numbers = sum(value.numel() for value in read_weights(SIZES)[1].values())
    height, width = config.model.image_size
    data = f"made-up movers of {SMALLEST_OBJECT:g} to {LARGEST_OBJECT:g} px, {config.videos:,} videos"
    sides = f"{card['side_error']:.3f} (median {card['median_side_error']:.3f}, bias {card['bias']:+.3f})"
    places = f"{card['place_error']:.3f}"
    return f"""### The sizes of objects

A network that brings videos to the scale of the weights for any scene ([Sizes](any_scene.md#told-by-a-network)). It
tracks nothing, and has no name.

- **Data**: {data} of {width} × {height} px.
- **Scores** on {card["videos"]} unseen videos: the mean error of the logarithm of an object's side is {places}, that
  of the typical side of a video {sides}; {card["covered"]:.1%} of the
  places are rightly told as object or not.
- **Cost**: {card["steps"]} steps, {card["training_minutes"]:.1f} minutes on {card["machine"]}; {numbers:,} numbers in
  {SIZES.stat().st_size / MB:.1f} MB.
- **From**: `{card["command"]}`, seed {card["seed"]}, commit {shown_commit(card)}, torch {card["torch"]}.
"""


def section_of_embedding() -> str:
    """The card of the network that tells objects apart."""
    about = read_about(EMBEDDING)
    config, card = config_from_dict(EmbeddingRunConfig, about["config"]), about["card"]
    numbers = sum(value.numel() for value in read_weights(EMBEDDING)[1].values())
    return f"""### Which glimpses are of one object

A network that embeds glimpses of objects, so that those of one object lie near each other. Linking tells objects apart
by it where videos are seen as differences from their scene ([Looks](any_scene.md#looks)). It tracks nothing, and has no
name.

- **Data**: glimpses of the objects of {config.videos:,} made-up videos, up to {config.model.per_object} of each of up
  to {EMBEDDED // config.model.per_object} objects.
- **Scores** on {card["videos"]} unseen videos: of {card["right"]:.1%} of the later glimpses, the object is told rightly
  by the earlier ones; by chance it would be {card["chance"]:.1%}.
- **Cost**: {card["steps"]} steps, {card["training_minutes"]:.1f} minutes on {card["machine"]}; {numbers:,} numbers in
  {EMBEDDING.stat().st_size / MB:.1f} MB.
- **From**: `{card["command"]}`, seed {card["seed"]}, commit {shown_commit(card)}, torch {card["torch"]}.
"""


@command
def main(arguments: list[str] | None = None) -> int:
    """Pack and write the page."""
    options = parse(arguments)
    if (options.run is None) != (options.name is None):
        raise ConfigError("Give RUN and --name together, or neither to write the page alone.")
    if options.run is not None:
        if options.name in BESIDE:
            path = pack_beside(options.run, BESIDE[options.name])
        elif options.name == ANY_SCENE:
            path = pack_any_scene(options.run)
        else:
            path = pack(options.run, options.name, options.mnist)
        print(f"{path} is written.")
    write_atomically(PAGE, page(PAGE.read_text(encoding="utf-8")).encode())
    print(f"The cards are in {PAGE}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
