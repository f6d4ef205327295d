"""One picture of each kind of scene, on empty axes."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, Rectangle

from ltro_jax.analysis.style import COLOURS
from ltro_jax.envs.scenes import BattleScene, ChainScene, ParticleScene

ALLY, ENEMY, INK = COLOURS[0], COLOURS[1], "0.25"
LANDMARKS = ("#009E73", "#CC79A7", "#E69F00")  # of landmarks that each belong to one agent
AGENTS = ("#0072B2", "#D55E00", "#56B4E9", "#F0E442")
BESIDE = 0.15  # distance of a line of attack from the line between the two units
PLANE = 1.3, 1.8  # limits of the visible half-width of the plane; all entities start within ±1
TRAIL = 8  # steps of a trail
LOOK_AHEAD = 0.3  # seconds of motion that a velocity arrow shows


def paint_particles(axes: Axes, scenes: ParticleScene, step: int) -> None:
    """Agents with their trail and velocity, landmarks, a dotted line from each agent to its landmark, and messages.

    Args:
        scenes: leaves `[T + 1, …]` of a whole episode; the view fits all of it.
        step: the step to paint, 0 to T.
    """
    position, goal = scenes.position[step], scenes.goal[step]
    num_agents = len(goal)
    meant = goal.max() >= 0
    reach = np.clip(np.abs(scenes.position).max() + 0.2, *PLANE)
    _fit(axes, np.array([[-reach, -reach], [reach, reach]]))
    for index in range(num_agents, len(position)):
        colour = LANDMARKS[(index - num_agents) % len(LANDMARKS)] if meant else INK
        size = scenes.radius[step, index]
        axes.add_patch(Rectangle(position[index] - size, 2 * size, 2 * size, color=colour, zorder=2))
    for agent in range(num_agents):
        colour = AGENTS[agent % len(AGENTS)]
        trail = scenes.position[max(0, step - TRAIL) : step + 1, agent]
        axes.plot(*trail.T, color=colour, alpha=0.35, linewidth=2, solid_capstyle="round", zorder=1)
        if goal[agent] >= 0:
            ends = np.stack([position[agent], position[goal[agent]]])
            axes.plot(*ends.T, color=colour, linewidth=0.8, linestyle=":", zorder=1)
        axes.add_patch(Circle(position[agent], scenes.radius[step, agent], color=colour, alpha=0.8, zorder=3))
        ahead = scenes.velocity[step, agent] * LOOK_AHEAD
        if np.linalg.norm(ahead) > 0.02:
            arrow = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
            axes.annotate("", position[agent] + ahead, position[agent], arrowprops=arrow, zorder=4)
    _messages(axes, scenes, step)


def _messages(axes: Axes, scenes: ParticleScene, step: int) -> None:
    """A row of cells for each agent that speaks; a larger number is a darker cell."""
    message = np.clip(scenes.message[step], 0.0, 1.0)
    for row, agent in enumerate(np.flatnonzero(scenes.speaks[step])):
        low = 0.02 + 0.055 * row
        axes.text(0.02, low + 0.008, "says", transform=axes.transAxes, color=AGENTS[agent], fontsize=8, zorder=5)
        for column, value in enumerate(message[agent]):
            where = (0.12 + 0.05 * column, low)
            cell = {"transform": axes.transAxes, "zorder": 5}
            axes.add_patch(Rectangle(where, 0.045, 0.045, facecolor=INK, alpha=float(value), **cell))
            axes.add_patch(Rectangle(where, 0.045, 0.045, fill=False, edgecolor=AGENTS[agent], linewidth=0.8, **cell))


def paint_battle(axes: Axes, scenes: BattleScene, step: int) -> None:
    """Units by side with their health, a line from each attacker to its target, and a cross for each dead unit."""
    position, health, radius = scenes.position[step], scenes.health[step], scenes.radius[step]
    colours = [ALLY if ally else ENEMY for ally in scenes.is_ally[step]]
    _fit(axes, scenes.position.reshape(-1, 2), margin=1.5, ratio=1.6)
    target = scenes.target[step]
    before = scenes.health[max(0, step - 1)]
    attacks = [unit for unit in range(len(target)) if target[unit] >= 0 and min(before[unit], before[target[unit]]) > 0]
    lines = [_beside(position[unit], position[target[unit]], BESIDE) for unit in attacks]
    shots = LineCollection(lines, colors=[colours[unit] for unit in attacks], linewidths=1.0, alpha=0.7, zorder=1)
    axes.add_collection(shots, autolim=False)
    for unit in np.flatnonzero(health <= 0):
        axes.plot(*position[unit], marker="x", color=colours[unit], alpha=0.5, markersize=6, zorder=2)
    for unit in np.flatnonzero(health > 0):
        axes.add_patch(Circle(position[unit], radius[unit], color=colours[unit], zorder=3))
        width, low = 2.4 * radius[unit], position[unit] + (-1.2 * radius[unit], 1.3 * radius[unit])
        axes.add_patch(Rectangle(low, width, 0.3 * radius[unit], color="0.85", zorder=4))
        axes.add_patch(Rectangle(low, width * health[unit], 0.3 * radius[unit], color=colours[unit], zorder=5))
    for name, colour, ours in (("allies", ALLY, True), ("enemies", ENEMY, False)):
        alive, here = int((health[scenes.is_ally[step] == ours] > 0).sum()), 0.02 if ours else 0.98
        words = {"transform": axes.transAxes, "ha": "left" if ours else "right", "fontsize": 8}
        axes.text(here, 0.02, f"{name}: {alive}", color=colour, **words)


def _beside(start: np.ndarray, end: np.ndarray, distance: float) -> np.ndarray:
    """The line `[2, 2]` from start to end, shifted to its right: two units that attack each other have two lines."""
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    return np.stack([start, end]) + distance * np.array([along[1], -along[0]])


def paint_chain(axes: Axes, scenes: ChainScene, step: int) -> None:
    """Links, and hinges in the colours of the agents that drive them; the view follows the middle, the ticks do not."""
    joint, agent = scenes.joint[step], scenes.agent[step]
    reach = 0.55 * (len(joint) - 1)
    left, right = joint[:, 0].mean() - reach, joint[:, 0].mean() + reach
    axes.set(xlim=(left, right), ylim=(-0.4 * reach, 0.4 * reach), aspect="equal", xlabel="x in metres")
    axes.grid(axis="x", color="0.85")
    axes.set(yticks=[], axisbelow=True)
    axes.plot(*joint.T, color="0.6", linewidth=5, solid_capstyle="round", zorder=1)
    colours = [COLOURS[index % len(COLOURS)] for index in agent]
    axes.scatter(*joint[1:-1].T, c=colours, s=16, zorder=2)
    axes.plot(*joint[0], marker="o", color=INK, markersize=6, zorder=3)


def _fit(axes: Axes, points: np.ndarray, margin: float = 0.0, ratio: float = 1.0) -> None:
    """Set a view of all points without ticks, `ratio` times as wide as high."""
    low, high = points.min(0), points.max(0)
    centre, half = (low + high) / 2, (high - low) / 2 + margin
    half = max(half[0] / ratio, half[1]) * np.array([ratio, 1.0])
    (left, bottom), (right, top) = centre - half, centre + half
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
