"""Scores from the logits of a classifier, and means of estimates over classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.metrics.distances import GROUPS, Estimate, blocks, enough, group_sizes, jackknife, membership
from components.metrics.intervals import share

CONFIDENT = 0.9  # probability of a class


def inception_score(logits: np.ndarray) -> Estimate:
    """Return exp(E KL(p(y|x) || p(y))) of logits (N, C), with its interval. Salimans et al. 2016, Sec. 4.

    The whole set is one split; the scores of the usual ten splits of N/10 are lower.
    """
    negative_entropies = np.zeros(GROUPS)  # sums over each group of p log p
    marginals = np.zeros((GROUPS, logits.shape[1]))  # sums over each group of p
    for i, block in blocks(logits):
        log_p = block - block.max(1, keepdims=True)
        log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
        group = membership(i, len(block))
        negative_entropies += group @ (np.exp(log_p) * log_p).sum(1)
        marginals += group @ np.exp(log_p)

    def score(groups: np.ndarray) -> float:
        n = group_sizes(len(logits))[groups].sum()
        p = marginals[groups].sum(0) / n
        p = p[p > 0]  # 0 log 0 = 0
        return float(np.exp(negative_entropies[groups].sum() / n - (p * np.log(p)).sum()))

    value = score(np.ones(GROUPS, dtype=bool))
    if not enough(len(logits)):
        return Estimate(value)
    return jackknife(value, [score(np.arange(GROUPS) != g) for g in range(GROUPS)])


def confident_rate(logits: np.ndarray) -> Estimate:
    """Return the share of logits (N, C) that give a class a probability of at least `CONFIDENT`."""
    confident = 0
    for _, block in blocks(logits):
        margins = block - block.max(1, keepdims=True)
        confident += int(
            (1 / np.exp(margins).sum(1) >= CONFIDENT).sum()
        )  # 1 / sum is the largest probability
    return share(confident, len(logits))


def class_means(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean over independent classes, with an interval if every class has one."""
    value = float(np.mean([e.value for e in estimates]))
    halves = [(e.high - e.low) / 2 for e in estimates if e.low is not None and e.high is not None]
    if len(halves) < len(estimates):
        return Estimate(value)
    half = float(np.linalg.norm(halves)) / len(halves)
    return Estimate(value, value - half, value + half)
