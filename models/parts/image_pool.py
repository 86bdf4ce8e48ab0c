"""The pool of earlier samples from which a discriminator learns. Shrivastava et al. 2017, Sec. 2.3.

https://arxiv.org/abs/1612.07828. It steadies adversarial training, which otherwise forgets what it has seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Up to `size` earlier samples; each of a batch is exchanged for one of them with probability 1/2.

    Its images are buffers, so that each shard has its own and a resumed training has them again. It belongs
    into a network that its phase trains, since the buffers of all others are restored.

    Args:
        size: Images kept; 0: none, and every sample is passed on.
        shape: (C, H, W) of an image.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int]):
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))  # of images in it

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return samples (N, C, H, W) or earlier ones in their place, without gradients.

        While the pool has room, a sample is kept and passed on. After that it is passed on, or replaces a
        random one, which is passed on instead.
        """
        if not self.size:
            return x.detach()
        passed, count = x.detach().clone(), int(self.count)
        for i in range(len(x)):
            if count < self.size:
                self.images[count] = x[i]
                count += 1
            elif torch.rand(()) < 0.5:
                j = int(torch.randint(self.size, ()))
                passed[i] = self.images[j]
                self.images[j] = x[i]
        self.count.fill_(count)
        return passed
