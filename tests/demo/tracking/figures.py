"""A standing figure for tests of the tracking stages."""

import numpy as np

# a standing figure of COCO-17 joints in a unit box: x 0.2..0.8, y 0..1
FIGURE = np.array(
    (
        *((0.5, 0.05), (0.52, 0.02), (0.48, 0.02), (0.55, 0.0), (0.45, 0.0), (0.7, 0.2), (0.3, 0.2)),
        *((0.8, 0.4), (0.2, 0.4), (0.8, 0.55), (0.2, 0.55), (0.6, 0.55), (0.4, 0.55)),
        *((0.6, 0.8), (0.4, 0.8), (0.6, 1.0), (0.4, 1.0)),
    ),
    np.float32,
)
