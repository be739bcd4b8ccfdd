"""Small building blocks."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from scalor_pyro.layers.networks import enlarged

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(SIDES, st.tuples(st.integers(1, 70), st.integers(1, 70)))
def test_enlarged_is_bilinear_interpolation(small: tuple[int, int], large: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *small, dtype=torch.float64)
    expected = F.interpolate(images, large, mode="bilinear")
    torch.testing.assert_close(enlarged(images, large), expected, rtol=0, atol=1e-6)
