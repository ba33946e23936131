"""A critic of patches, against which networks that make pictures learn to decide where an edge is. Used by `training.autoencoder`, `polish`, `upscaler`.

SRGAN (Ledig et al. 2017, arXiv:1609.04802) with hinge losses; and the critic sees what a picture was made from, as in pix2pix (Isola et al. 2017,
arXiv:1611.07004). All pictures here are in 0..1.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from training.common import autocast


class Critic(nn.Module):
    """N × 3 × h × w pictures, and what they were made from at the same size → scores of patches some 50 pixels wide, N × 1 × h/8 × w/8."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        sizes = (6, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(sizes))
        self.last = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, pictures: torch.Tensor, base: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        # What was added to the base is all there is to judge, and it is faint: louder, it is learned sooner.
        hidden, features = torch.cat([5 * (pictures - base), 2 * base - 1], 1), list[torch.Tensor]()
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.2)
            features.append(hidden)
        return self.last(hidden), features


def adversarial(critic: Critic, made: torch.Tensor, high: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """What the critic holds against the pictures made: its score, and how far its features are from the true pictures' (pix2pixHD, arXiv:1711.11585)."""
    critic.requires_grad_(False)
    with autocast(made.device):
        score, features = critic(made, base)
    with torch.no_grad(), autocast(made.device):
        _, wanted = critic(high, base)
    critic.requires_grad_(True)
    apart = torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(features, wanted, strict=True)]).sum()
    held: torch.Tensor = 4 * apart - score.float().mean()
    return held


def judged(critic: Critic, made: torch.Tensor, high: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """The critic's own loss (hinge): true pictures above 1, made ones below −1."""
    with autocast(made.device):
        scores = critic(torch.cat([high, made]), torch.cat([base, base]))[0]
    true, false = scores.float().chunk(2)
    return F.relu(1 - true).mean() + F.relu(1 + false).mean()


def learn(critic: Critic, judge: torch.optim.Optimizer, made: torch.Tensor, high: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """One step of the critic; returns its loss."""
    wrong = judged(critic, made, high, base)
    judge.zero_grad()
    torch.autograd.backward(wrong)
    judge.step()
    return wrong.detach()


def balance(last: torch.Tensor, losses: tuple[torch.Tensor, torch.Tensor], share: float) -> torch.Tensor:
    """The weight that makes the second loss pull at `last`, a layer's weight, with `share` of the first one's force (VQGAN, Esser et al. 2021,
    arXiv:2012.09841).
    """
    first, second = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in losses)
    weight: torch.Tensor = share * first / (second + 1e-8)
    return weight
