"""Settings of the generative model and its guide."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from scalor_pyro.config.checks import at_least_1, positive, probability, require, require_choice, require_sides
from scalor_pyro.config.data import MOST_OBJECTS, MOST_PIXELS
from scalor_pyro.config.options import option

# Limits far above any use, as in scalor_pyro.config.data.
MOST_FEATURES, MOST_GRID, MOST_ASPECT = 65_536, 1024, 100
MOST_PERSPECTIVE = 3
# Farther out σ(−z_depth) hardly changes, so depths no longer order objects.
MOST_DEPTH = 8


@dataclass(frozen=True)
class ModelConfig:
    """The generative model and its guide. docs/deviations.md explains the fields after `switches`."""

    image_size: tuple[int, int] = (64, 64)  # H, W in px
    view: tuple[int, int] | None = None  # H, W in px of the training images; None: image_size. See views.py
    channels: int = 3  # C
    cells: tuple[int, int] = (8, 8)  # G_y, G_x: the discovery grid
    slots: int = option(16, "most objects that are followed at a time", metavar="K")
    first_shortlist: int = 16  # M in the first frame: at least its number of objects; 0: every cell
    shortlist: int = 16  # M in later frames; 0: every cell
    object_size: float = 14.0  # px, the typical object
    aspect: float = 1.0  # height / width of the typical object, whose area is object_size²
    box_margin: float = 1.25  # side of the typical box / object_size
    size_range: float = 0.15  # a box's side / that of the typical box is within 1 ± size_range
    aspect_range: float = 0.2  # a box's log aspect is within ± aspect_range of the typical one
    perspective: float = 0.0  # log of the typical box's size at the bottom of the image over that at the top
    cell_reach: float = 0.75  # a proposal's centre is within this many cells of its cell's centre
    move_range: float = 0.2  # a centre deviates by at most this share of half the image per frame
    z_what_dim: int = 32
    glimpse_size: int = 16  # S
    feature_dim: int = 48  # channels of the frame encoder's features
    tracker_dim: int = 128  # posterior RNN of an object
    prior_dim: int = 64  # prior RNN of an object
    sigma: float = option(0.2, "standard deviation of a pixel; smaller values let fainter objects count")
    background: Literal["none", "moving", "static"] = "none"  # static: one image, set by Scalor.set_background_image
    z_bg_grid: int = 4  # a moving background's latent starts as the frame on a coarse grid of this side
    z_bg_extra: int = 16  # more dimensions of that latent, for what the grid leaves out
    z_bg_light: int = 4  # dimensions of a static background's latent: slow changes of light
    flicker: float = 0.0  # over a static background, a pixel's σ is at least this × its variation in the background
    presence_threshold: float = 0.5  # an object with z_pres above this is propagated
    first_looks: int = 3  # passes over the first frame before tracking starts; training and traces use one
    mask_threshold: float = 0.3  # a pixel belongs to an object's mask above this (for rejection)
    logit_bound: float = 8.8  # presence logits are within ± this
    # --- switches: where the default differs from the paper ---
    rejection: bool = True  # off only for ablations
    reject_among_proposals: bool = True  # a stronger proposal of the same frame also rejects
    reject_among_propagated: bool = (
        True  # an older object that covers a younger one for two frames ends the younger's track
    )
    propagated_overlap: float = 0.6  # … if it covers more than this share of the younger one's mask
    reject_by_colour: bool = False  # an overlap counts only if the mean colours are similar
    colour_threshold: float = 0.15  # … by a mean absolute difference per channel below this
    constant_velocity: bool = True  # positions deviate from the last position plus the last displacement
    explain_away: bool = True  # the guide also sees what other objects explain, and the object's own template
    object_attention: bool = True  # attend at the object's scale instead of half the view
    attention: bool = True  # off only for ablations: propagation then ignores the frame
    inertia: bool = (
        True  # appearance, size and depth deviate from the last frame's; size and depth return to their mean
    )
    depth_step: float = 0.1  # … and depth goes this share of the way, in each frame, to where its RNN wants it
    depth_range: float = 2.0  # … which is within ± this
    colour_start: bool = False  # z_what starts with the glimpse's own colour
    contrast_input: bool = False  # local contrast as another input of the frame encoder
    difference_input: bool = True  # the difference from a static background image as another

    def __post_init__(self) -> None:
        at_least_1(self, "slots", most=MOST_OBJECTS)
        at_least_1(self, "first_looks", most=100)
        at_least_1(self, "glimpse_size", "z_bg_grid", most=MOST_GRID)
        at_least_1(self, "z_what_dim", "feature_dim", "tracker_dim", "prior_dim", "z_bg_light", most=MOST_FEATURES)
        positive(self, "object_size", most=MOST_PIXELS)
        positive(self, "sigma", "box_margin", "move_range", most=100)
        positive(self, "depth_step", most=1)
        positive(self, "depth_range", most=MOST_DEPTH)
        positive(self, "cell_reach", "logit_bound", most=1000)
        require(
            1 / MOST_ASPECT <= self.aspect <= MOST_ASPECT, "aspect", self.aspect, f"1/{MOST_ASPECT} to {MOST_ASPECT}"
        )
        require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (colour)")
        require_choice(self, "background", "none", "moving", "static")
        require(self.glimpse_size % 8 == 0, "glimpse_size", self.glimpse_size, "a multiple of 8")
        require(self.z_what_dim >= self.channels, "z_what_dim", self.z_what_dim, f"at least {self.channels}")
        require(0 <= self.size_range < 1, "size_range", self.size_range, "a number from 0 to below 1")
        require(0 <= self.aspect_range < 2, "aspect_range", self.aspect_range, "a number from 0 to below 2")
        far = MOST_PERSPECTIVE
        require(abs(self.perspective) <= far, "perspective", self.perspective, f"a number from -{far} to {far}")
        require(self.feature_dim % 8 == 0, "feature_dim", self.feature_dim, "a multiple of 8")
        extra = self.z_bg_extra
        require(0 <= extra <= MOST_FEATURES, "z_bg_extra", extra, f"a whole number from 0 to {MOST_FEATURES:,}")
        require(0 <= self.flicker <= 1000, "flicker", self.flicker, "a number from 0 to 1000")
        probability(self, "presence_threshold", "mask_threshold", "colour_threshold", "propagated_overlap")
        self._require_grid()

    def _require_grid(self) -> None:
        """Refuse sizes of the image, or of the grid over it, that the networks cannot have."""
        require_sides("image_size", self.image_size, 16, MOST_PIXELS)
        if self.view is not None:
            require_sides("view", self.view, 1, MOST_PIXELS)
        require(all(size % 4 == 0 for size in self.image_size), "image_size", self.image_size, "multiples of 4 px")
        fits = all(
            cells > 0 and size % cells == 0 and (size // cells) % 4 == 0
            for size, cells in zip(self.image_size, self.cells, strict=True)
        )
        expected = f"a grid whose cells divide the image {self.image_size} into multiples of 4 px"
        require(fits, "cells", self.cells, expected)
        for name in ("first_shortlist", "shortlist"):
            value = getattr(self, name)
            require(0 <= value <= self.n_cells, name, value, f"0 (every cell) to {self.n_cells}")

    @property
    def has_background_image(self) -> bool:
        """Whether the background is a known image, from which frames differ where objects are."""
        return self.background == "static"

    @property
    def views(self) -> tuple[float, float]:
        """The height and width of an image, as multiples of those of the training images."""
        (height, width), (trained_height, trained_width) = self.image_size, self.view or self.image_size
        return height / trained_height, width / trained_width

    @property
    def n_cells(self) -> int:
        """N = G_y · G_x."""
        return self.cells[0] * self.cells[1]

    def proposals(self, first: bool) -> int:
        """M: the number of shortlisted cells, in the first frame or in a later one."""
        return (self.first_shortlist if first else self.shortlist) or self.n_cells


@dataclass(frozen=True)
class BoxRanges:
    """Bounds of boxes: the fields of a :class:`ModelConfig` that have these names.

    :raises ConfigError: for bounds that no model can have.
    """

    object_size: float
    size_range: float
    aspect: float
    aspect_range: float
    perspective: float = 0.0

    def __post_init__(self) -> None:
        self.of(ModelConfig())  # checks them

    def of(self, config: ModelConfig) -> ModelConfig:
        """The config of the same networks, with these bounds."""
        return replace(config, **asdict(self))

    def between(self, top: float, bottom: float) -> "BoxRanges":
        """The bounds in a part of the image.

        :param top: of the part, as a share of the image's height; so is `bottom`.
        """
        nearer = math.exp(self.perspective * (top + bottom - 1) / 2)
        return replace(self, object_size=self.object_size * nearer, perspective=self.perspective * (bottom - top))


def bounds_of(config: ModelConfig) -> BoxRanges:
    """The bounds of a model's boxes."""
    return BoxRanges(*(getattr(config, each.name) for each in fields(BoxRanges)))
