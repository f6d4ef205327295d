"""Episodes as moving pictures: GIF by Pillow, MP4 by ffmpeg, drawn frame by frame without a display."""

import io
import math
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib
import numpy as np
from matplotlib.animation import FFMpegWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ltro_jax.envs.scenes import BattleScene, ChainScene, ParticleScene
from ltro_jax.export.paint import paint_battle, paint_chain, paint_particles


class Form(NamedTuple):
    """How to paint one kind of scene."""

    paint: Callable[[Axes, Any, int], None]
    inches: tuple[float, float]
    place: tuple[float, float, float, float]  # of the axes: left, bottom, width, height as fractions of the picture


FORMS: dict[type, Form] = {
    ParticleScene: Form(paint_particles, (3.4, 3.6), (0.02, 0.02, 0.96, 0.91)),
    BattleScene: Form(paint_battle, (4.2, 2.8), (0.02, 0.02, 0.96, 0.89)),
    ChainScene: Form(paint_chain, (4.8, 2.4), (0.02, 0.18, 0.96, 0.72)),
}
SUFFIXES = (".gif", ".mp4")
DOTS_PER_INCH = 100
MAX_PICTURES = 300  # of all episodes together; if they are longer, every second, third, … step is drawn
HOLD = 1.0  # seconds that the last picture of an episode stays
COLOURS_OF_A_GIF, PICTURES_FOR_THE_COLOURS = 128, 8


class Episode(NamedTuple):
    """One episode of T steps."""

    scenes: Any  # a Scene or the states for a web page, leaves [T + 1, …]
    rewards: np.ndarray  # [T] float32, the team's
    won: bool | None = None  # None if nothing can be won, or the episode did not end


def film(episodes: Sequence[Episode], title: str, fps: int, suffix: str) -> bytes:
    """The contents of a file with the episodes in sequence.

    Args:
        episodes: at least one; all have the same kind of scene.
        title: first words of the title of each picture; the step and the return so far follow.
        fps: frames per second.
        suffix: `.gif` or `.mp4`.
    Raises:
        ValueError: the suffix is another one, or ffmpeg is not on the PATH or fails.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"a film is saved as {' or '.join(SUFFIXES)}; got {suffix!r}")
    if suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise ValueError("ffmpeg is not on the PATH; install it, or choose .gif")
    with matplotlib.rc_context({"font.size": 8, "axes.titlesize": 8}):
        figure = Figure(figsize=FORMS[type(episodes[0].scenes)].inches, dpi=DOTS_PER_INCH)
        canvas = FigureCanvasAgg(figure)
        painted = _painted(figure, episodes, title, round(HOLD * fps))
        if suffix == ".gif":
            return _gif([(_snapshot(canvas), round(1000 * frames / fps)) for frames in painted])
        return _mp4(figure, painted, fps)


def _painted(figure: Figure, episodes: Sequence[Episode], title: str, hold: int) -> Iterator[int]:
    """Paint one picture after another, always with the last of an episode; yields the number of frames of each."""
    form = FORMS[type(episodes[0].scenes)]
    axes = figure.add_axes(form.place)
    stride = math.ceil(sum(len(episode.rewards) + 1 for episode in episodes) / MAX_PICTURES)
    for episode in episodes:
        length = len(episode.rewards)
        scenes = jax.tree.map(np.asarray, episode.scenes)
        for step in [*range(0, length, stride), length]:
            axes.clear()
            form.paint(axes, scenes, step)
            outcome = {None: "", True: " · won", False: " · not won"}[episode.won if step == length else None]
            axes.set_title(f"{title} · step {step} · return {episode.rewards[:step].sum():.2f}{outcome}")
            yield 1 + hold * (step == length)


def _snapshot(canvas: FigureCanvasAgg) -> Image.Image:
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba())[..., :3])


def _gif(pictures: Sequence[tuple[Image.Image, int]]) -> bytes:
    """A GIF of pictures and their milliseconds; a common palette halves the file."""
    images, durations = [picture for picture, _ in pictures], [milliseconds for _, milliseconds in pictures]
    some = images[:: max(1, len(images) // PICTURES_FOR_THE_COLOURS)]
    sheet = Image.new("RGB", (some[0].width, some[0].height * len(some)))
    for index, image in enumerate(some):
        sheet.paste(image, (0, index * image.height))
    palette = sheet.quantize(COLOURS_OF_A_GIF, Image.Quantize.MAXCOVERAGE)  # keeps white white
    first, *others = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images)
    with io.BytesIO() as file:
        first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
        return file.getvalue()


def _mp4(figure: Figure, painted: Iterator[int], fps: int) -> bytes:
    writer = FFMpegWriter(fps=fps)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "film.mp4"
        try:
            with writer.saving(figure, str(file), DOTS_PER_INCH):
                for frames in painted:
                    for _ in range(frames):
                        writer.grab_frame()
        except subprocess.CalledProcessError as error:
            raise ValueError(f"ffmpeg failed with exit status {error.returncode}") from error
        return file.read_bytes()
