"""What a scene is."""

import random
from abc import ABC, abstractmethod

from PIL import Image

from simulator.scenes.brush import Size, vignette


class Scene(ABC):
    """Painted once in the constructor, then asked for its picture at each moment."""

    corners = 0.4  # how dark they are
    every = 2  # one frame in so many is drawn, those between are blends of their neighbours

    def __init__(self, size: Size, seconds: float, rng: random.Random) -> None:
        self.size, self.seconds, self.rng = size, seconds, rng
        self.width, self.height = size
        self.unit = min(size)
        self.wide = self.width / self.height
        self._corners = vignette(size, self.corners)
        self.paint()

    @abstractmethod
    def paint(self) -> None:
        """Everything that does not change from frame to frame."""

    @abstractmethod
    def frame(self, moment: float) -> Image.Image:
        """The picture at this second."""

    def picture(self, moment: float) -> Image.Image:
        frame = self.frame(moment)
        frame.paste((0, 0, 0), (0, 0), self._corners)
        return frame

    def travel(self, share: float) -> float:
        """How far, in pixels, a layer slides over the whole clip: `share` of the width every ten seconds."""
        return self.width * share * min(self.seconds, 16) / 10
