"""Settings of the generative model and its guide."""

import math
from dataclasses import dataclass
from typing import Literal

from scalor_pyro.config.checks import positive, probability, require
from scalor_pyro.config.options import option


@dataclass(frozen=True)
class ModelConfig:
    """The generative model and its guide. The fields after `switches` are listed in docs/deviations.md."""

    image_size: tuple[int, int] = (64, 64)  # H, W in px
    view: tuple[int, int] | None = None  # H, W in px of the images trained on; None: image_size. See views.py
    channels: int = 3  # C
    cells: tuple[int, int] = (8, 8)  # G_y, G_x: the discovery grid
    slots: int = option(16, "most objects that are followed at a time", metavar="K")  # carried from frame to frame
    first_shortlist: int = 16  # M in the first frame: must hold all that is there; 0 = every cell
    shortlist: int = 16  # M in later frames; 0 = every cell
    object_size: float = 14.0  # px, the typical object
    aspect: float = 1.0  # height / width of the typical object, whose area is object_size²
    box_margin: float = 1.25  # side of the typical box / object_size
    size_range: float = 0.15  # a box is within 1 ± size_range of the typical one
    aspect_range: float = 0.2  # log aspect is within ± aspect_range of the typical one's
    cell_reach: float = 0.75  # centre of a proposal: within this many cells of its cell's centre
    move_range: float = 0.2  # a propagated centre deviates at most this part of the half-image a frame
    z_what_dim: int = 32
    glimpse_size: int = 16  # S
    feature_dim: int = 48  # channels of the frame features
    tracker_dim: int = 128  # posterior RNN of an object
    prior_dim: int = 64  # prior RNN of an object
    sigma: float = option(0.2, "standard deviation of a pixel; smaller values let fainter objects count")
    background: Literal["none", "moving", "static"] = "none"  # static: one scene, set by Scalor.set_scene
    z_bg_grid: int = 4  # the latent of a moving background starts as the frame on this coarse grid
    z_bg_extra: int = 16  # further numbers of it, for what the grid leaves out
    z_bg_light: int = 4  # numbers of a static background's latent, for slow changes of light
    flicker: float = 0.0  # over a static background, a pixel's σ is at least so many times what the scene varies there
    presence_threshold: float = 0.5  # z_pres above it counts as an object that is carried on
    first_looks: int = 3  # looks at the first frame of a video before tracks begin; training and traces have one
    mask_threshold: float = 0.3  # a pixel belongs to an object's mask above it (for rejection)
    logit_bound: float = 8.8  # presence logits lie within ± this
    # --- switches: where the default leaves the paper ---
    rejection: bool = True  # off only for ablations
    reject_among_proposals: bool = True  # a stronger proposal of the same frame rejects, too
    reject_among_propagated: bool = True  # an older object that covers a younger one for two frames ends its track
    propagated_overlap: float = 0.6  # …: above this share of the younger one's mask
    reject_by_colour: bool = False  # an overlap counts only where mean colours are alike
    colour_threshold: float = 0.15  # …: mean absolute difference per channel below this
    constant_velocity: bool = True  # deviations are from where the last displacement leads
    explain_away: bool = True  # what others explain, and the own template, are inputs of the guide
    object_attention: bool = True  # attend at object scale instead of half the view
    attention: bool = True  # off only for ablations: propagation does not look at the frame
    inertia: bool = True  # appearance deviates from the last frame's; size and depth, too, and return to their middle
    colour_start: bool = False  # the glimpse's own colour starts z_what
    contrast_input: bool = False  # local contrast as a further input of the frame encoder
    difference_input: bool = True  # the difference from the scene as one, where the background is static

    def __post_init__(self) -> None:
        positive(
            self, "slots", "object_size", "aspect", "box_margin", "glimpse_size", "sigma", "z_what_dim", "feature_dim"
        )
        positive(self, "tracker_dim", "prior_dim", "move_range", "cell_reach")
        positive(self, "z_bg_grid", "z_bg_light", "logit_bound", "first_looks")
        require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (colour)")
        backgrounds = ("none", "moving", "static")
        require(self.background in backgrounds, "background", self.background, "'none', 'moving' or 'static'")
        require(self.glimpse_size % 8 == 0, "glimpse_size", self.glimpse_size, "a multiple of 8")
        require(self.z_what_dim >= self.channels, "z_what_dim", self.z_what_dim, f"at least {self.channels}")
        require(0 <= self.size_range < 1, "size_range", self.size_range, "a number from 0 to below 1")
        require(0 <= self.aspect_range < 2, "aspect_range", self.aspect_range, "a number from 0 to below 2")
        require(self.feature_dim % 8 == 0, "feature_dim", self.feature_dim, "a multiple of 8")
        require(self.z_bg_extra >= 0, "z_bg_extra", self.z_bg_extra, "0 or more")
        require(self.flicker >= 0 and math.isfinite(self.flicker), "flicker", self.flicker, "a number from 0")
        probability(self, "presence_threshold", "mask_threshold", "colour_threshold", "propagated_overlap")
        require(min(self.cells) > 0, "cells", self.cells, "at least 1 each way")
        for size, cells in zip(self.image_size, self.cells, strict=True):
            require(
                size >= 16 and size % 4 == 0,
                "image_size",
                self.image_size,
                "at least 16 px each way, in multiples of 4",
            )
            require(
                size % cells == 0 and (size // cells) % 4 == 0,
                "cells",
                self.cells,
                f"a grid whose cells divide the image {self.image_size} into multiples of 4 px",
            )
        for name in ("first_shortlist", "shortlist"):
            value = getattr(self, name)
            require(0 <= value <= self.n_cells, name, value, f"0 (every cell) to {self.n_cells}")

    @property
    def views(self) -> tuple[float, float]:
        """How many times an image is as (high, wide) as those trained on."""
        (height, width), (trained_height, trained_width) = self.image_size, self.view or self.image_size
        return height / trained_height, width / trained_width

    @property
    def n_cells(self) -> int:
        """N = G_y · G_x."""
        return self.cells[0] * self.cells[1]

    def proposals(self, first: bool) -> int:
        """M: how many cells are shortlisted in the first frame, or in a later one."""
        return (self.first_shortlist if first else self.shortlist) or self.n_cells
