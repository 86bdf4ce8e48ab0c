"""The Inception score and means over classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.metrics.distances import GROUPS, Estimate, blocks, enough, group_sizes, jackknife, membership


def inception_score(logits: np.ndarray) -> Estimate:
    """exp(E KL(p(y|x) || p(y))) of logits (N, C), Salimans et al. 2016, Sec. 4, with the jackknife interval.

    Over the whole set as one split, in its order: the usual ten splits of N/10 are each lower.
    """
    negative_entropies = np.zeros(GROUPS)  # sums over each group of p log p
    marginals = np.zeros((GROUPS, logits.shape[1]))  # sums over each group of p
    for i, block in blocks(logits):
        log_p = block - block.max(1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
        group = membership(i, len(block))
        negative_entropies += group @ (np.exp(log_p) * log_p).sum(1)
        marginals += group @ np.exp(log_p)

    def score(kept: np.ndarray) -> float:
        n = group_sizes(len(logits))[kept].sum()
        p = marginals[kept].sum(0) / n
        p = p[p > 0]  # 0 log 0 = 0
        return float(np.exp(negative_entropies[kept].sum() / n - (p * np.log(p)).sum()))

    value = score(np.ones(GROUPS, dtype=bool))
    if not enough(len(logits)):
        return Estimate(value)
    return jackknife(value, [score(np.arange(GROUPS) != g) for g in range(GROUPS)])


def class_means(estimates: Sequence[Estimate]) -> Estimate:
    """Mean over classes, which are independent; the interval where every class has one."""
    value = float(np.mean([e.value for e in estimates]))
    halves = [(e.high - e.low) / 2 for e in estimates if e.low is not None and e.high is not None]
    if len(halves) < len(estimates):
        return Estimate(value)
    half = float(np.linalg.norm(halves)) / len(halves)
    return Estimate(value, value - half, value + half)
