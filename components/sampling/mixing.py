"""Grids of style mixing: images of one point of W with the styles of some layers of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.sampling.styles import Key, Styles


def mixing_grid(styles: Styles, rows: Sequence[Key], columns: Sequence[Key], layers: slice) -> np.ndarray:
    """Return the images of a grid, uint8 ((R + 1)(C + 1), C, H, W). Karras, Laine & Aila 2019, Fig. 3.

    The first line has the images of `columns`, after a white one, and the first column those of `rows`.
    The others are those of their rows, noise inputs included, with the columns' styles of some layers.

    Args:
        styles: the generator.
        rows: the points of rows.
        columns: the points of columns.
        layers: the layers whose styles the columns give.
    """
    of_columns = [styles.styles(key) for key in columns]
    ws, noises = list(of_columns), [key.noises for key in columns]
    for key in rows:
        own = styles.styles(key)
        ws.append(own)
        for other in of_columns:
            mixed = own.clone()
            mixed[layers] = other[layers]
            ws.append(mixed)
        noises += [key.noises] * (1 + len(columns))
    images = np.concatenate(list(styles.images(ws, noises)))
    return np.concatenate([np.full_like(images[:1], 255), images])
