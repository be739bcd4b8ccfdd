"""Constants are made once, also for a recorded step, which must not read memory that is given back."""

import pytest
import torch
from torch import Tensor

from scalor_pyro.layers.constants import KEPT, made_once

GPU = torch.device("cuda", 0)


def test_a_recorded_step_reads_constants_that_are_never_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    @made_once
    def counted(device: torch.device, count: int) -> Tensor:
        made.append(count)
        return torch.arange(count)  # here on the CPU

    capturing = False
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: capturing)
    before = [counted(GPU, count) for count in range(KEPT + 10)]
    capturing = True
    assert all(counted(GPU, count) is before[count] for count in range(KEPT + 10))
    assert made == list(range(KEPT + 10))
    assert counted(GPU, 1000) is not counted(GPU, 1000), "what is made during a recording belongs to it"
    capturing = False
    assert counted(GPU, 1000) is counted(GPU, 1000)
