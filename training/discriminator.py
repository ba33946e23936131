"""A critic of latents for the one-step student: is this what the denoiser's pictures look like, for these words? Used by `training.students`.

Latent adversarial distillation (Sauer et al. 2024, arXiv:2403.12015): the critic looks through the frozen denoiser's own eyes. Its down and middle blocks
read latents with some noise on them, told the words and how much noise it is; small heads on what they see are all that learns.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

#: Noise on what is looked at: timesteps at which the denoiser still knows outlines and parts, neither specks alone nor a blur of colours.
LOOKED_AT = (50, 550)
#: Width of the heads.
WIDTH = 64


class Eyes(nn.Module):
    """The half of a U-Net that reads: latents, timesteps and words → what its down blocks and its middle see, (N, C, H, W) each."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = copy.deepcopy(unet).requires_grad_(False).eval()
        # The stock forward goes through what is left of it.
        self.unet.up_blocks, self.unet.conv_norm_out, self.unet.conv_out = nn.ModuleList(), None, nn.Identity()
        self._seen: list[torch.Tensor] = []
        for block in (*self.unet.down_blocks, self.unet.mid_block):
            block.register_forward_hook(self._look)

    def _look(self, block: nn.Module, args: Any, output: Any) -> None:
        # A down block returns what it passes on and, layer by layer, what it kept: the last layer before it shrinks.
        self._seen.append(output[1][0] if isinstance(output, tuple) else output)

    def forward(self, latents: torch.Tensor, timesteps: torch.Tensor, words: torch.Tensor) -> list[torch.Tensor]:
        self._seen.clear()
        self.unet(latents, timesteps, encoder_hidden_states=words, return_dict=False)
        return list(self._seen)


class Head(nn.Module):
    """Features and pooled words → a score at each position; the words say what to look for (projection, Miyato & Koyama 2018, arXiv:1802.05637)."""

    def __init__(self, channels: int, words: int) -> None:
        super().__init__()
        self.read = nn.Sequential(nn.GroupNorm(1, channels), nn.Conv2d(channels, WIDTH, 1), nn.SiLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.SiLU())
        self.score, self.asked = nn.Conv2d(WIDTH, 1, 1), nn.Linear(words, WIDTH, bias=False)

    def forward(self, features: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        found = self.read(features)
        fits = torch.einsum("nchw,nc->nhw", found, self.asked(words)) / WIDTH**0.5
        return (self.score(found)[:, 0] + fits).flatten(1)


class Discriminator(nn.Module):
    """Scores of latents for words, (N, positions of all heads), where the denoiser is; above zero: looks real. Only the heads have parameters that learn."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.eyes = Eyes(unet)
        width, device = unet.config.cross_attention_dim, next(unet.parameters()).device
        nothing = torch.zeros(1, unet.config.in_channels, 8, 8, device=device), torch.zeros(1, device=device), torch.zeros(1, 2, width, device=device)
        with torch.no_grad():
            seen = self.eyes(*nothing)
        self.heads = nn.ModuleList(Head(features.shape[1], width) for features in seen).to(device)

    def forward(self, noised: torch.Tensor, timesteps: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        pooled = words.mean(1)
        return torch.cat([head(each, pooled) for head, each in zip(self.heads, self.eyes(noised, timesteps, words), strict=True)], dim=1)


def critic_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Hinge: real above 1, fake below −1."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_loss(fake: torch.Tensor) -> torch.Tensor:
    """The higher the critic's score, the better."""
    return -fake.mean()
