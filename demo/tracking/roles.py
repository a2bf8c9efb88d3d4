"""Who a clip is about: saliency, main people and bystanders, and the people that `--person` asks for."""

from __future__ import annotations

import numpy as np

from common.errors import WrongOption
from demo.boxes import area, centre
from demo.types import Bools, Doubles, Floats, Shots, Tracks2D

# Chosen by eye, not measured.
CENTRAL = 0.35  # of the picture's sides, sigma of the prior that main people are near its middle
# Share of the most salient person's saliency from which on people are main people too. Saliency counts areas:
# at the same place a person of 45 % of the height has .2.
MAIN_SHARE = 0.2


def saliency(boxes: Floats | Doubles, size: tuple[int, int]) -> Doubles:
    """Return how large, long and central people are in the picture, (P,).

    It is the area of the boxes (P, T, 4) summed over frames, weighted by nearness to the picture's middle.
    """
    offset = centre(boxes.astype(np.float64)) / size - 0.5
    prior = np.exp(-0.5 * ((offset / CENTRAL) ** 2).sum(-1))
    return np.asarray(np.nansum(area(boxes.astype(np.float64)) * prior, axis=1))


def main_people(tracks: Tracks2D, shots: Shots, size: tuple[int, int]) -> Bools:
    """Return which people (P,) a shot is about: the most salient, and others near it (`MAIN_SHARE`)."""
    share = saliency(tracks.boxes, size)
    shot = shot_of(tracks, shots)
    best = np.array([share[shot == own].max() for own in shot])
    return share >= MAIN_SHARE * best


def shot_of(tracks: Tracks2D, shots: Shots) -> np.ndarray:
    """Return the shot (P,) in which each person is. A person is in one shot only."""
    inside = np.isfinite(tracks.boxes[..., 0])
    return shots.index[inside.argmax(1)] if len(tracks) else np.zeros(0, np.int32)


def select_person(tracks: Tracks2D, person: str, shots: Shots, size: tuple[int, int]) -> Tracks2D:
    """Return the tracks that `--person` asks for: "all", "main" (one a shot) or one person's id.

    Raises:
        WrongOption: no track has that id.
    """
    if person == "all":
        return tracks
    if person in ("main", "largest"):
        share, shot = saliency(tracks.boxes, size), shot_of(tracks, shots)
        order = np.argsort(-share, kind="stable")
        _, first = np.unique(shot[order], return_index=True)
        return tracks.select(np.sort(order[first]))
    chosen = [at for at, number in enumerate(tracks.ids.tolist()) if str(number) == person]
    if not chosen and len(tracks):
        known = ", ".join(map(str, tracks.ids.tolist()))
        raise WrongOption(f'--person {person}: not in the clip; choose "all", "main" or one of: {known}')
    return tracks.select(chosen)
