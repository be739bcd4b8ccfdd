"""What objects look like in scenes that nobody trained on: embeddings of their glimpses, chunk after chunk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scalor_pyro.data.movers import gain_for
from scalor_pyro.embedding.program import told_apart
from scalor_pyro.experiments.made_up.glimpses import TrackedGlimpses
from scalor_pyro.tracks.any_scene.embedding import EVERY, Embedder, network
from scalor_pyro.tracks.any_scene.looks import Differences
from tests.fakes import make_tracks

FRAMES, SIZE, SIDE = 22, (40, 90), 8


class Seen:
    """Squares of several colours that brighten, over a grey scene."""

    def __init__(self, there: Mapping[int, Sequence[int]]) -> None:
        """:param there: by identity, the frames in which it is seen."""
        self.frames = torch.full((FRAMES, 3, *SIZE), 0.5)
        self.owner = torch.full((FRAMES, *SIZE), -2)
        self.differences = Differences(self.frames[0].clone(), gain_for(0.3))
        rows = []
        for place, (identity, when) in enumerate(there.items()):
            y, x = 15, 10 + 20 * place
            for t in when:
                self.frames[t, place % 3, y : y + SIDE, x : x + SIDE] += 0.1 + 0.01 * t
                self.owner[t, y : y + SIDE, x : x + SIDE] = identity
                rows.append((t, identity, x + SIDE / 2, y + SIDE / 2))
        self.tracks = make_tracks(rows, side=SIDE)

    def embedded(self, chunk: int = FRAMES, device: str = "cpu") -> np.ndarray:
        """Embeddings of all rows. (R, D)

        :param chunk: frames in each chunk.
        """
        embedder, found = Embedder(self.differences), np.full((len(self.tracks), network().config.features), np.nan)
        for start in range(0, FRAMES, chunk):
            part = slice(start, start + chunk)
            rows = np.nonzero((self.tracks.frame >= start) & (self.tracks.frame < start + chunk))[0]
            here = self.tracks.rows(rows)
            here = replace(here, frame=here.frame - start)
            with torch.inference_mode():
                found[rows] = embedder.advance(self.frames[part].to(device), self.owner[part].to(device), here)
        return found

    def of(self, identity: int, found: np.ndarray) -> dict[int, np.ndarray]:
        """What an object looks like, by frame."""
        mine = self.tracks.identity == identity
        return dict(zip(self.tracks.frame[mine].tolist(), found[mine], strict=True))


def test_objects_are_looked_at_when_they_are_found_and_in_every_fourth_frame() -> None:
    seen = Seen({5: range(FRAMES), 9: [2, 3, 4, 5, 6, 11, 12, 13]})
    found = seen.embedded()
    always, returning = seen.of(5, found), seen.of(9, found)
    changes = [t for t in range(1, FRAMES) if not np.array_equal(always[t], always[t - 1])]
    assert changes == list(range(EVERY, FRAMES, EVERY))
    # Found in 2, looked at in 4, found again in 11, looked at in 12.
    alike = [(2, 3), (4, 5), (5, 6), (12, 13)]
    assert all(np.array_equal(returning[a], returning[b]) for a, b in alike)
    assert len({returning[t].tobytes() for t in (2, 4, 11, 12)}) == 4


@pytest.mark.parametrize("chunk", [1, 5, 16])
def test_chunks_do_not_matter(chunk: int) -> None:
    seen = Seen({5: range(FRAMES), 0: range(3, 18), 9: [0, 4, 5, 6, 15, 16, 17]})
    np.testing.assert_allclose(seen.embedded(chunk), seen.embedded(), atol=1e-4)


@pytest.mark.cuda
def test_a_gpu_says_the_same() -> None:
    seen = Seen({5: range(FRAMES), 9: [0, 4, 5, 6]})
    np.testing.assert_allclose(seen.embedded(device="cuda"), seen.embedded(), atol=1e-2)


def test_the_order_of_rows_does_not_matter_and_frames_may_be_empty() -> None:
    seen = Seen({5: range(8, 12), 9: [9, 10]})
    found = seen.embedded(4)
    order = np.random.default_rng(0).permutation(len(found))
    seen.tracks = seen.tracks.rows(order)
    np.testing.assert_allclose(seen.embedded(4), found[order], atol=1e-4)


def test_the_packaged_network_tells_objects_of_unseen_videos_apart() -> None:
    clips: Tensor = torch.from_numpy(TrackedGlimpses(1, "test").batch(0, 6)).float() / 255
    with torch.inference_mode():
        right, chance = told_apart(network(), clips).nanmean(0).tolist()
    assert right > 0.6 and right > 3 * chance
