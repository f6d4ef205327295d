"""Episodes played and drawn: what is on the pictures, whole files, and what is refused."""

import io
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ltro_jax import RunError, SettingsError, export_policy, load_policy, render
from ltro_jax.envs.scenes import BattleScene, ChainScene, ParticleScene
from ltro_jax.export.episodes import Episode, film
from ltro_jax.export.film import _check_form, play
from ltro_jax.export.paint import paint_battle, paint_chain, paint_particles

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def pixels(paint: Any, scenes: Any, step: int) -> np.ndarray:
    """`[height, width, 3]` of one picture."""
    figure = Figure(figsize=(3.0, 3.0), dpi=100)
    canvas = FigureCanvasAgg(figure)
    paint(figure.add_axes((0.0, 0.0, 1.0, 1.0)), jax.tree.map(np.asarray, scenes), step)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).max(-1) < 3).sum())


def test_a_battle_shows_who_lives_and_who_attacks():
    health = np.array([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0]], np.float32)
    position = np.broadcast_to(np.array([[0.0, 0.0], [0.0, 6.0], [10.0, 3.0]]), (2, 3, 2))
    is_ally = np.broadcast_to([True, True, False], (2, 3))
    target = np.array([[-1, -1, -1], [2, -1, 1]])
    scenes = BattleScene(position, np.full((2, 3), 0.5), health, target, is_ally)
    before, after = (pixels(paint_battle, scenes, step) for step in (0, 1))
    assert count(before, ORANGE) > 4 * count(after, ORANGE) > 0  # a cross and a line are left of the enemy
    calm = pixels(paint_battle, scenes._replace(target=np.full((2, 3), -1)), 1)
    assert (calm != after).any() and count(calm, BLUE) > 0.5 * count(before, BLUE)


def test_particles_show_what_is_said_and_meant():
    position = np.array([[[0.0, 0.0], [0.5, 0.5], [-0.5, 0.5]]] * 2)
    velocity = np.array([np.zeros((2, 2)), [[1.0, 0.0], [0.0, 0.0]]])
    goal = np.array([[-1, 2]] * 2)
    message, speaks = np.array([np.zeros((2, 1)), [[1.0], [0.0]]]), np.array([[True, False]] * 2)
    scenes = ParticleScene(position, velocity, np.full((2, 3), 0.1), goal, message, speaks)
    first, second = (pixels(paint_particles, scenes, step) for step in (0, 1))
    ink, green = (64, 64, 64), (0, 158, 115)  # of what is said and of velocities, and of the landmark
    assert count(second, ink) - 50 > count(first, ink) and count(first, green) > 50
    aimless = pixels(paint_particles, scenes._replace(goal=np.full((2, 2), -1)), 0)
    assert count(aimless, green) == 0


def test_a_chain_is_followed():
    joint = np.stack([np.arange(4.0)[::-1], np.zeros(4)], axis=-1)
    still = ChainScene(np.stack([joint, joint]), np.array([[0, 1]] * 2))
    moved = still._replace(joint=np.stack([joint, joint + np.array([0.5, 0.0])]))
    one, two = pixels(paint_chain, still, 1), pixels(paint_chain, moved, 1)
    assert (one[60:240] != two[60:240]).any()  # the grid moves past
    centre = one[140:160, 60:240]
    np.testing.assert_array_equal(centre == 153, two[140:160, 60:240] == 153)  # the links stay in the middle


@pytest.fixture(scope="module")
def speaker(tiny: Any, stored: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A policy that nobody trained."""
    config = tiny(task="mpe/simple_speaker_listener", episode_length=6)
    return stored(config, tmp_path_factory.mktemp("runs") / "run")


def test_a_gif_of_whole_episodes(speaker, tmp_path):
    out = render(speaker, tmp_path / "new" / "episodes.gif", episodes=2, fps=5)
    with Image.open(out) as image:
        frames: int = image.n_frames  # type: ignore[attr-defined]
        assert frames == 2 * 7 and image.size == (340, 360) and image.info["loop"] == 0
        durations = []
        for index in range(frames):
            image.seek(index)
            durations.append(image.info["duration"])
        assert durations == [*[200] * 6, 1200] * 2  # the last picture stays for a second
    again = render(export_policy(speaker, tmp_path / "policy"), tmp_path / "again.gif", episodes=2, fps=5)
    assert again.read_bytes() == out.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"new", "again.gif", "policy"}


def test_episodes_are_those_of_the_environment(speaker):
    policy = load_policy(speaker)
    scene: Any = policy.env.scene  # type: ignore[attr-defined]
    first, second = play(policy, scene, 2, sampled=True)
    assert first.rewards.shape == (6,) and first.scenes.position.shape == (7, 5, 2) and first.won is None
    assert (first.scenes.position[0] != second.scenes.position[0]).any()
    (greedy,) = play(policy, scene, 1, max_steps=2)
    assert greedy.rewards.shape == (2,)
    np.testing.assert_allclose(greedy.scenes.position[0], first.scenes.position[0], rtol=1e-5)
    assert (greedy.scenes.position[2] != first.scenes.position[2]).any()
    listener, landmark = first.scenes.position[1:, 1], first.scenes.position[0, first.scenes.goal[0, 1]]
    np.testing.assert_allclose(first.rewards, -2 * ((listener - landmark) ** 2).sum(-1), rtol=1e-4)  # of both agents
    assert first.scenes.goal[:, 0].tolist() == [-1] * 7 and first.scenes.speaks[0].tolist() == [True, False]


def test_an_episode_ends_where_it_is_over(tiny, stored, tmp_path):
    policy = load_policy(stored(tiny(episode_length=3), tmp_path / "run"))
    (episode,) = play(policy, lambda env_state: env_state[0], 1)  # steps taken
    assert episode.scenes.tolist() == [0, 1, 2, 3] and episode.rewards.shape == (3,)


def test_long_episodes_are_thinned(monkeypatch):
    monkeypatch.setattr("ltro_jax.export.episodes.MAX_PICTURES", 5)
    joint = np.cumsum(np.ones((11, 3, 2)), axis=0) + np.arange(3.0)[:, None]
    data = film([Episode(ChainScene(joint, np.zeros((11, 1), int)), np.ones(10, np.float32))], "swim", 10, ".gif")
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 5  # type: ignore[attr-defined]  # steps 0, 3, 6, 9 and the last
    with pytest.raises(ValueError, match=r"saved as \.gif or \.mp4"):
        film([], "", 10, ".avi")


def test_bodies_are_pages(tmp_path):
    body: Any = SimpleNamespace(env=SimpleNamespace(webpage=None), spec=SimpleNamespace(name="mabrax/ant_4x2"))
    _check_form(body, tmp_path / "x.html", 1)
    with pytest.raises(
        SettingsError, match=r"x\.gif is not possible: mabrax/ant_4x2 is drawn as \.html; use that suffix"
    ):
        _check_form(body, tmp_path / "x.gif", 1)
    with pytest.raises(
        SettingsError, match="episodes = 2 do not fit on one page; draw one episode, and select another"
    ):
        _check_form(body, tmp_path / "x.html", 2)


def test_what_is_refused(speaker, tiny, stored, tmp_path, monkeypatch):
    probe = stored(tiny(), tmp_path / "probe")
    monkeypatch.setattr("ltro_jax.export.episodes.FFMpegWriter.isAvailable", lambda: False)
    cases = [
        (
            speaker,
            "x.html",
            {},
            "x.html is not possible: mpe/simple_speaker_listener is drawn as .gif or .mp4; use that suffix",
        ),
        (speaker, "x", {}, "x is not possible: mpe/simple_speaker_listener is drawn as .gif or .mp4; use that suffix"),
        (speaker, "x.mp4", {}, "ffmpeg is not on the PATH; install it, or choose .gif"),
        (speaker, "x.gif", {"fps": 0}, "fps = 0 is not allowed; it must be at least 1"),
        (probe, "x.gif", {}, "task = 'probe/matching' cannot be drawn; choose a task of mpe, smax, swimmer or mab"),
    ]
    for path, name, options, sentence in cases:
        with pytest.raises(SettingsError, match=sentence.replace(".", r"\.")):
            render(path, tmp_path / name, **options)
        assert not (tmp_path / name).exists()
    with pytest.raises(RunError, match="seed 4 is not in"):
        render(speaker, tmp_path / "x.gif", seed=4)
    joint = np.zeros((1, 3, 2))
    episode = Episode(ChainScene(joint, np.zeros((1, 1), int)), np.zeros(0, np.float32))
    monkeypatch.setattr("ltro_jax.export.film.play", lambda *_: [episode])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*x\.gif: .*; choose another file with -o"):
        render(speaker, tmp_path / "file" / "x.gif")
