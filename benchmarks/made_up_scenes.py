"""Sixteen made-up scenes of kinds that the package's generators do not make, to report scores on: nobody tunes on them.

    python benchmarks/made_up_scenes.py runs/scenes
    python benchmarks/made_up_scenes.py runs/scenes --sheets runs/sheets --only ants bees
    python benchmarks/rivals.py runs/scenes --out runs/scene-scores --untuned

Each is a pure function of the seed, drawn by code of its own (``scene_painting.py``). A folder for each holds clip.mkv
and gt.txt in MOTChallenge text, with the box of the whole object as far as it is in the picture; an object of which
less than half is in view and not hidden has the flag 0 and need not be found.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image, ImageDraw
from scene_painting import SEEN, Colour, Floats, Row, Thing, painted, placed, texture, tinted
from scipy.ndimage import gaussian_filter, shift

from scalor_pyro.cli.errors import command
from scalor_pyro.files import write_atomically

VIDEO, TRUTH = "clip.mkv", "gt.txt"
# Of JPEG: each frame is compressed as cameras do it. The video itself is lossless: encoders are not reproducible.
QUALITY = 88
SEED = 20
# Pictures of a contact sheet.
SHOWN = 6

Generator = np.random.Generator
Grounds = Callable[[int], Floats]


class Scene(NamedTuple):
    """A video that is about to be drawn."""

    frames: int
    ground: Grounds  # (H, W, 3) by frame
    things: Iterator[list[Thing]]  # of each frame, from back to front
    grey: bool = False
    blur: float = 0.5  # px
    noise: float = 0.012
    photons: float = 0.0  # at full brightness; 0: no shot noise


@dataclass
class Mover:
    """An object with a state; angles in radians, px and px a frame."""

    identity: int
    x: float
    y: float
    heading: float
    speed: float
    size: float
    colour: Colour
    phase: float = 0.0
    state: dict[str, float] = field(default_factory=dict)

    def step(self) -> None:
        """Straight on."""
        self.x += self.speed * float(np.cos(self.heading))
        self.y += self.speed * float(np.sin(self.heading))

    def within(self, size: tuple[int, int], margin: float) -> bool:
        """Whether it is in the picture, or near."""
        return -margin < self.x < size[1] + margin and -margin < self.y < size[0] + margin


def wander(mover: Mover, generator: Generator, size: tuple[int, int], turn: float, inside: float) -> None:
    """A correlated random walk that turns back towards the middle at the border."""
    mover.heading += float(generator.normal(0, turn))
    if not mover.within(size, -inside):
        home = np.arctan2(size[0] / 2 - mover.y, size[1] / 2 - mover.x)
        mover.heading += 0.2 * float(np.sin(home - mover.heading))
    mover.step()


def spread(generator: Generator, count: int, size: tuple[int, int], apart: float, margin: float) -> Floats:
    """Places that are not nearer to each other than `apart`, if there is room; (count, 2) of x, y."""
    places: list[Floats] = []
    while len(places) < count:
        tries = generator.uniform([margin, margin], [size[1] - margin, size[0] - margin], (40, 2))
        free = [each for each in tries if all(np.hypot(*(each - other)) > apart for other in places)]
        places.append(free[0] if free else tries[0])
    return np.array(places)


def still(ground: Floats) -> Grounds:
    """A background that does not change."""
    return lambda _: ground


def shade(colour: Colour, factor: float) -> Colour:
    """Darker or lighter."""
    red, green, blue = (float(np.clip(each * factor, 0, 1)) for each in colour)
    return red, green, blue


def pick(generator: Generator, colours: Sequence[Colour]) -> Colour:
    """One of some colours."""
    return colours[int(generator.integers(len(colours)))]


# ------------------------------------------------------------------ cars on a road, from above


ROAD_LANES = ((66.0, 1), (100.0, 1), (140.0, -1), (174.0, -1))
PAINTS: tuple[Colour, ...] = (
    (0.85, 0.85, 0.86), (0.15, 0.16, 0.18), (0.7, 0.12, 0.1), (0.13, 0.25, 0.55), (0.5, 0.52, 0.55), (0.8, 0.7, 0.3),
)  # fmt: skip


def cars(generator: Generator) -> Scene:
    size = (240, 320)
    ground = tinted((0.36, 0.36, 0.37), 0.02 * texture(generator, size, (0.7, 6)))
    grass = tinted((0.28, 0.38, 0.2), 0.05 * texture(generator, size, (1, 8)))
    ground[:48], ground[192:] = grass[:48], grass[192:]
    for y in (50, 118, 121, 188):
        ground[y : y + 2] = 0.8
    for y in (82, 156):
        for x in range(0, 320, 28):
            ground[y : y + 2, x : x + 14] = 0.78
    return Scene(140, still(ground), _traffic(generator))


def _traffic(generator: Generator) -> Iterator[list[Thing]]:
    crowns = [(x, 42 + generator.uniform(-8, 8), generator.uniform(10, 17)) for x in (30, 95, 260, 290)]
    on_road: list[list[Mover]] = [[] for _ in ROAD_LANES]
    count = 0
    for t in range(-70, 140):
        for lane, (y, way) in enumerate(ROAD_LANES):
            queue = on_road[lane]
            entry = -35.0 if way > 0 else 355.0
            if (not queue or abs(queue[-1].x - entry) > 75) and generator.random() < 0.06:
                lorry = generator.random() < 0.2
                length = 44.0 if lorry else float(generator.uniform(24, 29))
                speed = float(generator.uniform(1.4, 1.9) if lorry else generator.uniform(1.8, 3.2))
                car = Mover(count, entry, y, 0.0 if way > 0 else np.pi, speed, length, pick(generator, PAINTS))
                car.state["wanted"] = speed
                queue.append(car)
                count += 1
            for k, car in enumerate(queue):
                gap = abs(queue[k - 1].x - car.x) - (queue[k - 1].size + car.size) / 2 if k else 999.0
                car.speed += 0.2 * (min(car.state["wanted"], max(0.0, 0.12 * (gap - 8))) - car.speed)
                car.step()
            on_road[lane] = [car for car in queue if -70 < car.x < 390]
        if t >= 0:
            yield [_car(car) for queue in on_road for car in queue] + [_tree(*each) for each in crowns] + [_bridge()]


def _car(car: Mover) -> Thing:
    long, wide = car.size / 2, 6.5 if car.size < 40 else 8.0
    thing = Thing(car.identity, car.x, car.y, long + 10)
    body = [(-long, -wide + 2), (-long + 2, -wide), (long - 4, -wide), (long, -wide + 3), (long, wide - 3),
            (long - 4, wide), (-long + 2, wide), (-long, wide - 2)]  # fmt: skip
    thing.polygon(placed(body, car.x + 3, car.y + 4, car.heading), (0.0, 0.0, 0.0), 0.4, body=False)
    thing.polygon(placed(body, car.x, car.y, car.heading), car.colour)
    if car.size < 40:
        for front, back in ((0.45, 0.15), (-0.5, -0.75)):
            glass = [
                (front * long, -wide + 2),
                (front * long, wide - 2),
                (back * long, wide - 3),
                (back * long, 3 - wide),
            ]
            thing.polygon(placed(glass, car.x, car.y, car.heading), (0.08, 0.1, 0.13))
    else:
        cab = [(long - 9, -wide + 1), (long - 9, wide - 1), (long - 10, wide - 1), (long - 10, -wide + 1)]
        thing.polygon(placed(cab, car.x, car.y, car.heading), (0.1, 0.1, 0.1))
    for side in (-wide + 2, wide - 2):
        thing.ellipse(placed([(long - 1, side)], car.x, car.y, car.heading)[0], (1.2, 1.2), 0, (1.0, 0.97, 0.8))
    return thing


def _tree(x: float, y: float, radius: float) -> Thing:
    thing = Thing(None, x, y, radius + 8)
    for k in range(7):
        at = (x + 0.5 * radius * np.cos(2.4 * k), y + 0.5 * radius * np.sin(2.4 * k))
        thing.ellipse(at, (0.6 * radius, 0.6 * radius), 0, shade((0.16, 0.3, 0.12), 1 + 0.12 * (k % 3)))
    return thing


def _bridge() -> Thing:
    thing = Thing(None, 206, 120, 125)
    thing.polygon([(198, -4), (214, -4), (214, 244), (198, 244)], (0.55, 0.53, 0.5))
    thing.polygon([(198, -4), (200, -4), (200, 244), (198, 244)], (0.7, 0.68, 0.64))
    return thing


# ------------------------------------------------------------------ ants on sand


def ants(generator: Generator) -> Scene:
    size = (300, 300)
    ground = tinted((0.72, 0.62, 0.48), 0.05 * texture(generator, size, (0.6, 1.5, 12)))
    return Scene(140, still(ground), _colony(generator, size))


def _colony(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    places = spread(generator, 15, size, 26, 20)
    crawling = [
        Mover(k, x, y, generator.uniform(0, 6.28), generator.uniform(1.0, 2.4), generator.uniform(7, 9.5),
              shade((0.25, 0.13, 0.08), generator.uniform(0.6, 1.5)))
        for k, (x, y) in enumerate(places)
    ]  # fmt: skip
    for t in range(140):
        for ant in crawling:
            near = any(np.hypot(ant.x - o.x, ant.y - o.y) < 14 for o in crawling if o is not ant)
            speed, ant.speed = ant.speed, ant.speed * (0.35 if near else 1.0)  # they stop to touch
            wander(ant, generator, size, 0.12, 8)
            ant.phase += ant.speed * 0.7
            ant.speed = speed
        yield [_ant(ant, t) for ant in crawling]


def _ant(ant: Mover, t: int) -> Thing:
    thing, long = Thing(ant.identity, ant.x, ant.y, 2.1 * ant.size), ant.size

    def at(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return placed(points, ant.x, ant.y, ant.heading, long)

    for k, root in enumerate((0.2, 0.05, -0.12)):
        for side in (-1, 1):
            swing = 0.22 * float(np.sin(ant.phase + np.pi * ((k + (side > 0)) % 2)))
            reach = (0.35, 0.02, -0.35)[k] + swing
            leg = at([(root, 0), (root + 0.5 * reach, 0.42 * side), (root + reach, 0.78 * side)])
            thing.line(leg, 0.9, shade(ant.colour, 0.8))
    for side in (-1, 1):
        feel = 0.1 * float(np.sin(0.9 * t + side + ant.identity))
        thing.line(at([(0.55, 0.05 * side), (0.95, (0.3 + feel) * side)]), 0.7, ant.colour)
    for place, radii in ((-0.62, (0.42, 0.28)), (0.0, (0.3, 0.15)), (0.48, (0.24, 0.22))):
        thing.ellipse(at([(place, 0)])[0], (radii[0] * long, radii[1] * long), ant.heading, ant.colour)
    thing.ellipse(at([(-0.68, -0.08)])[0], (0.13 * long, 0.07 * long), ant.heading, shade(ant.colour, 2.2))
    return thing


# ------------------------------------------------------------------ worms over gravel


def worms(generator: Generator) -> Scene:
    size = (320, 320)
    stones = np.tanh(1.6 * texture(generator, size, (3.0,))) + 0.5 * texture(generator, size, (0.8,))
    return Scene(150, still(tinted((0.45, 0.45, 0.45), 0.07 * stones)), _swimming(generator, size), grey=True)


def _swimming(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    crawlers = [
        Mover(k, x, y, generator.uniform(0, 6.28), generator.uniform(1.1, 1.9), generator.uniform(4.2, 6.0),
              (0.86, 0.86, 0.86), generator.uniform(0, 6))
        for k, (x, y) in enumerate(spread(generator, 9, size, 60, 40))
    ]  # fmt: skip
    paths: list[list[tuple[float, float]]] = [[] for _ in crawlers]
    for t in range(-60, 150):
        for worm, path in zip(crawlers, paths, strict=True):
            worm.phase += 0.28
            straight, worm.heading = worm.heading, worm.heading + 0.9 * float(np.sin(worm.phase))
            worm.step()
            worm.heading = straight
            worm.heading += float(generator.normal(0, 0.05))
            if not worm.within(size, -35):
                home = np.arctan2(size[0] / 2 - worm.y, size[1] / 2 - worm.x)
                worm.heading += 0.06 * float(np.sin(home - worm.heading))
            path.insert(0, (worm.x, worm.y))
            del path[400:]
        if t >= 0:
            yield [_worm(worm, path) for worm, path in zip(crawlers, paths, strict=True)]


def _worm(worm: Mover, path: Sequence[tuple[float, float]]) -> Thing:
    line = np.array(path)
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    where = np.linspace(0, 11 * worm.size, 40)
    x, y = np.interp(where, along, line[:, 0]), np.interp(where, along, line[:, 1])
    thing = Thing(worm.identity, float(x.mean()), float(y.mean()), 8 * worm.size)
    taper = [min(1.0, 0.45 + k / 9, 0.25 + (39 - k) / 14) * worm.size / 2 for k in range(40)]
    for inner, grey in ((1.0, 0.62), (0.62, 0.92)):
        thing.discs(list(zip(x, y, strict=True)), [inner * radius for radius in taper], (grey, grey, grey))
    return thing


# ------------------------------------------------------------------ bacteria that divide


def bacteria(generator: Generator) -> Scene:
    size = (256, 256)
    ground = tinted((0.6, 0.6, 0.6), 0.012 * texture(generator, size, (1.0, 40)))
    return Scene(130, still(ground), _culture(generator, size), grey=True, blur=0.8, noise=0.02)


def _culture(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    rods = [
        Mover(k, x, y, generator.uniform(0, 6.28), 0.0, generator.uniform(16, 26), (0.25, 0.25, 0.25))
        for k, (x, y) in enumerate(spread(generator, 8, size, 40, 50))
    ]
    count = len(rods)
    for rod in rods:
        rod.state.update(
            divides=generator.uniform(27, 33), drift_x=generator.normal(0, 0.25), drift_y=generator.normal(0, 0.25)
        )
    for _ in range(130):
        for rod in list(rods):
            rod.size *= 1.0085
            rod.heading += float(generator.normal(0, 0.03))
            rod.x += rod.state["drift_x"] + float(generator.normal(0, 0.5))
            rod.y += rod.state["drift_y"] + float(generator.normal(0, 0.5))
            if rod.size > rod.state["divides"]:
                rods.remove(rod)
                for side in (-1, 1):
                    x, y = placed([(side * rod.size / 4, 0)], rod.x, rod.y, rod.heading)[0]
                    half = Mover(count, x, y, rod.heading + generator.normal(0, 0.1), 0, rod.size / 2 - 0.5, rod.colour)
                    half.state.update(rod.state, divides=generator.uniform(27, 33))
                    rods.append(half)
                    count += 1
        _push_apart(rods)
        yield [_rod(rod) for rod in rods]


def _push_apart(rods: list[Mover]) -> None:
    for _ in range(3):
        knots = [placed([(s * (r.size / 2 - 4), 0) for s in (-1, 0, 1)], r.x, r.y, r.heading) for r in rods]
        for i, one in enumerate(rods):
            for j in range(i):
                for p in knots[i]:
                    for q in knots[j]:
                        gap = np.subtract(p, q)
                        distance = float(np.hypot(*gap)) + 1e-6
                        if distance < 8.5:
                            push = 0.12 * (8.5 - distance) * gap / distance
                            one.x, one.y = one.x + push[0], one.y + push[1]
                            rods[j].x, rods[j].y = rods[j].x - push[0], rods[j].y - push[1]


def _rod(rod: Mover) -> Thing:
    thing, half = Thing(rod.identity, rod.x, rod.y, rod.size / 2 + 8), rod.size / 2 - 4
    ends = placed([(-half, 0), (half, 0)], rod.x, rod.y, rod.heading)
    thing.line(ends, 11.5, (0.8, 0.8, 0.8), 0.7, body=False)  # the halo of phase contrast
    thing.line(ends, 8, (0.3, 0.3, 0.3))
    thing.line(ends, 5, (0.2, 0.2, 0.2))
    pinch = (rod.size / rod.state["divides"] - 0.88) / 0.12
    if pinch > 0:
        middle = placed([(0, -4.5), (0, -3), (0, 3), (0, 4.5)], rod.x, rod.y, rod.heading)
        thing.line(middle[:2], 2, (0.65, 0.65, 0.65), float(min(1, pinch)), body=False)
        thing.line(middle[2:], 2, (0.65, 0.65, 0.65), float(min(1, pinch)), body=False)
    return thing


# ------------------------------------------------------------------ balls that bounce


BALLS: tuple[Colour, ...] = (
    (0.9, 0.75, 0.1), (0.1, 0.2, 0.6), (0.75, 0.1, 0.1), (0.4, 0.1, 0.45), (0.9, 0.4, 0.1), (0.1, 0.4, 0.15),
    (0.45, 0.1, 0.1), (0.1, 0.1, 0.1), (0.93, 0.93, 0.88),
)  # fmt: skip


def balls(generator: Generator) -> Scene:
    size = (200, 320)
    ground = tinted((0.1, 0.42, 0.25), 0.012 * texture(generator, size, (0.6, 30)))
    ground[:12], ground[-12:], ground[:, :12], ground[:, -12:] = ((0.35, 0.2, 0.1),) * 4
    return Scene(130, still(ground), _table(generator, size))


def _table(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    count, radius = 14, 10.0
    place = spread(generator, count, size, 24, 24)
    angle, speed = generator.uniform(0, 6.28, count), generator.uniform(1.0, 4.0, count)
    velocity = speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    rolled = np.zeros(count)
    low, high = np.array([12 + radius] * 2), np.array([size[1] - 12 - radius, size[0] - 12 - radius])
    for _ in range(130):
        for _ in range(2):
            place += velocity / 2
            velocity = np.where((place < low) & (velocity < 0) | (place > high) & (velocity > 0), -velocity, velocity)
            _collide(place, velocity, 2 * radius)
        rolled += np.hypot(*velocity.T) / radius
        yield [_ball(k, place[k], velocity[k], radius, rolled[k], BALLS[k % len(BALLS)]) for k in range(count)]


def _collide(place: Floats, velocity: Floats, touch: float) -> None:
    for i in range(len(place)):
        for j in range(i):
            gap = place[i] - place[j]
            distance = float(np.hypot(*gap))
            along = gap / max(distance, 1e-6)
            closing = float((velocity[i] - velocity[j]) @ along)
            if distance < touch and closing < 0:
                velocity[i] -= closing * along
                velocity[j] += closing * along


def _ball(k: int, place: Floats, velocity: Floats, radius: float, rolled: float, colour: Colour) -> Thing:
    x, y = float(place[0]), float(place[1])
    thing = Thing(k, x, y, radius + 8)
    thing.ellipse((x + 3, y + 4), (radius, radius), 0, (0, 0, 0), 0.35, body=False)
    thing.ellipse((x, y), (radius, radius), 0, shade(colour, 0.75))
    thing.ellipse((x - 1, y - 1), (0.85 * radius, 0.85 * radius), 0, colour)
    turn, ahead = float(np.sin(rolled)), float(np.arctan2(velocity[1], velocity[0]))
    if np.cos(rolled) > 0 and k % 2:
        spot = placed([(0.6 * radius * turn, 0)], x, y, ahead)[0]
        thing.ellipse(spot, (0.35 * radius * max(0.3, float(np.cos(rolled))), 0.35 * radius), ahead, (0.95, 0.95, 0.9))
    thing.ellipse((x - 0.35 * radius, y - 0.4 * radius), (2, 1.5), -0.7, (1, 1, 1), 0.9)
    return thing


# ------------------------------------------------------------------ leaves on a stream


AUTUMN: tuple[Colour, ...] = (
    (0.75, 0.35, 0.1),
    (0.8, 0.6, 0.15),
    (0.5, 0.25, 0.1),
    (0.6, 0.15, 0.1),
    (0.45, 0.5, 0.15),
)


def leaves(generator: Generator) -> Scene:
    size = (280, 280)
    bed = 0.04 * texture(generator, size, (2, 10))
    waves = texture(generator, size, (5,))

    def ground(t: int) -> Floats:
        light = np.roll(waves, (t // 2, 2 * t), (0, 1)) * np.roll(waves, (-t, t), (0, 1))
        return tinted((0.2, 0.29, 0.28), bed + 0.02 * np.clip(light, -1, 2))

    return Scene(140, ground, _drifting(generator, size))


def _drifting(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    on_water: list[Mover] = []
    count = 0
    for t in range(-150, 140):
        if generator.random() < 0.09:
            y, colour = float(generator.uniform(10, size[0] - 10)), pick(generator, AUTUMN)
            speed, long = float(generator.uniform(1.2, 2.4)), float(generator.uniform(16, 26))
            on_water.append(Mover(count, -25, y, generator.uniform(0, 6.28), speed, long, colour))
            on_water[-1].state["spin"] = float(generator.normal(0, 0.05))
            count += 1
        for leaf in on_water:
            leaf.x += leaf.speed * (1 + 0.3 * float(np.sin(leaf.y / 30)))
            leaf.y += 0.7 * float(np.sin(leaf.x / 35 + leaf.identity)) + float(generator.normal(0, 0.1))
            leaf.heading += leaf.state["spin"]
        on_water = [leaf for leaf in on_water if leaf.x < size[1] + 30]
        if t >= 0:
            yield [_leaf(leaf) for leaf in on_water]


def _leaf(leaf: Mover) -> Thing:
    thing, half = Thing(leaf.identity, leaf.x, leaf.y, leaf.size), leaf.size / 2
    along = np.linspace(-1, 1, 12)
    wide = 0.5 * (1 - along**2) ** 0.8 * (1 - 0.25 * along) * (1 + 0.12 * np.cos(9 * along))
    outline = [*zip(along, wide, strict=True), *zip(along[::-1], -wide[::-1], strict=True)]
    shadow = placed(outline, leaf.x + 2, leaf.y + 3, leaf.heading, half)
    thing.polygon(shadow, (0, 0.03, 0.03), 0.35, body=False)
    thing.polygon(placed(outline, leaf.x, leaf.y, leaf.heading, half), leaf.colour)
    under = placed(outline[12:] + [(1, 0), (-1, 0)], leaf.x, leaf.y, leaf.heading, half)
    thing.polygon(under, shade(leaf.colour, 0.8))
    thing.line(placed([(-1.3, 0), (0.9, 0)], leaf.x, leaf.y, leaf.heading, half), 0.8, shade(leaf.colour, 0.5))
    return thing


# ------------------------------------------------------------------ birds in the sky


def birds(generator: Generator) -> Scene:
    size = (240, 400)
    clouds = texture(generator, size, (14, 30))
    fall = np.linspace(0.12, -0.1, size[0])[:, None]

    def ground(t: int) -> Floats:
        white = np.clip(shift(clouds, (0, 0.12 * t), order=1, mode="wrap"), 0, 2)[..., None] / 2
        sky = np.array((0.5, 0.66, 0.85)) - fall[..., None] * np.array((1.0, 0.7, 0.3))
        return np.asarray(sky * (1 - 0.7 * white) + 0.92 * 0.7 * white)

    return Scene(130, ground, _flock(generator, size))


def _flock(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    flying = [
        Mover(k, generator.uniform(-260, 120), generator.uniform(40, 200), 0.0, generator.uniform(2.0, 2.8),
              generator.uniform(11, 15), shade((0.22, 0.2, 0.2), generator.uniform(0.6, 1.3)), generator.uniform(0, 6))
        for k in range(18)
    ]  # fmt: skip
    for bird in flying:
        bird.state.update(beat=generator.uniform(0.55, 0.9), from_left=1.0)
    for k in range(18, 24):  # some against them
        flying.append(
            Mover(k, generator.uniform(200, 560), generator.uniform(30, 210), np.pi, generator.uniform(1.5, 2.5),
                  generator.uniform(8, 11), (0.85, 0.85, 0.87), generator.uniform(0, 6),
                  {"beat": 0.5, "from_left": 0.0})
        )  # fmt: skip
    for _ in range(130):
        for bird in flying:
            others = [o for o in flying if o is not bird and o.state["from_left"] == bird.state["from_left"]]
            apart = [(bird.x - o.x, bird.y - o.y) for o in others if np.hypot(bird.x - o.x, bird.y - o.y) < 22]
            ahead = 0.0 if bird.state["from_left"] else np.pi
            bird.heading += 0.08 * float(np.sin(ahead - bird.heading)) + float(generator.normal(0, 0.04))
            bird.heading += 0.004 * (120 - bird.y) / 30 * (1 if bird.state["from_left"] else -1)
            bird.y += 0.03 * sum(dy for _, dy in apart)
            bird.phase += bird.state["beat"]
            bird.step()
        yield [_bird(bird) for bird in flying]


def _bird(bird: Mover) -> Thing:
    thing, half = Thing(bird.identity, bird.x, bird.y, 1.5 * bird.size), bird.size
    lift = float(np.sin(bird.phase))
    for side in (-1, 1):
        span = side * (0.35 + 0.6 * abs(float(np.cos(bird.phase))))
        wing = [
            (0.28, 0.1 * side),
            (0.22 - 0.1 * lift, 0.55 * span),
            (-0.15, span),
            (-0.22, 0.5 * span),
            (-0.2, 0.08 * side),
        ]
        thing.polygon(placed(wing, bird.x, bird.y, bird.heading, half), shade(bird.colour, 1.0 + 0.15 * side * lift))
    body = (0.55 * half, 0.13 * half)
    thing.ellipse((bird.x, bird.y), body, bird.heading, shade(bird.colour, 0.85))
    tail = placed([(-0.45, 0), (-0.85, -0.16), (-0.85, 0.16)], bird.x, bird.y, bird.heading, half)
    thing.polygon(tail, shade(bird.colour, 0.9))
    thing.ellipse(placed([(0.5, 0)], bird.x, bird.y, bird.heading, half)[0], (0.13 * half,) * 2, 0, bird.colour)
    return thing


# ------------------------------------------------------------------ drops on a window


def drops(generator: Generator) -> Scene:
    size = (320, 240)
    lights = np.zeros((*size, 3))
    for _ in range(26):
        y, x, r = generator.uniform(90, 320), generator.uniform(0, 240), generator.uniform(6, 15)
        spot = np.hypot(np.arange(240)[None] - x, np.arange(320)[:, None] - y) < r
        lights[spot] += np.array(
            pick(generator, ((0.5, 0.35, 0.12), (0.45, 0.12, 0.1), (0.4, 0.4, 0.32), (0.1, 0.25, 0.3)))
        )
    ground = 0.1 + np.clip(gaussian_filter(lights, (2.5, 2.5, 0)), 0, 0.75)
    ground += np.linspace(0.14, 0.0, 320)[:, None, None] * np.array((0.5, 0.7, 1.2))
    return Scene(140, still(ground), _rain(generator, ground))


def _rain(generator: Generator, ground: Floats) -> Iterator[list[Thing]]:
    size, count, on_glass = ground.shape[:2], 0, []
    for t in range(-160, 140):
        if generator.random() < 0.11 or (t < -100 and generator.random() < 0.1):
            y = float(generator.uniform(-14, 200)) if t < -20 else -12.0
            drop = Mover(
                count, float(generator.uniform(8, 232)), y, np.pi / 2, 0, float(generator.uniform(4.5, 8.5)), (0, 0, 0)
            )
            drop.state["moves"] = float(generator.integers(6, 30)) if t >= -20 else float(generator.integers(0, 40))
            on_glass.append(drop)
            count += 1
        for drop in on_glass:
            drop.state["moves"] -= 1
            if drop.state["moves"] < -14 - 2 * drop.size:  # it sticks for a while
                drop.state["moves"] = float(generator.integers(6, 28))
            wanted = 0.36 * drop.size if drop.state["moves"] < 0 else 0.0
            drop.speed += 0.3 * (wanted - drop.speed)
            drop.heading = np.pi / 2 + float(generator.normal(0, 0.25))
            drop.step()
        on_glass = [drop for drop in on_glass if drop.y < size[0] + 20]
        if t >= 0:
            yield [_drop(drop, ground) for drop in on_glass]


def _drop(drop: Mover, ground: Floats) -> Thing:
    x, y, r = drop.x, drop.y, drop.size
    thing, tall = Thing(drop.identity, x, y, 3.2 * r + 4), r * (1.15 + 0.12 * drop.speed)
    if drop.speed > 0.4:
        tail = [(x - 0.3 * r, y), (x - 0.15 * r, y - 2.8 * r), (x + 0.15 * r, y - 2.8 * r), (x + 0.3 * r, y)]
        thing.polygon(tail, (0.6, 0.65, 0.7), 0.13, body=False)
    behind = ground[int(np.clip(2 * 160 - y, 0, 319)), int(np.clip(x, 0, 239))]  # a lens turns what is behind over
    seen: Colour = (float(behind[0]), float(behind[1]), float(behind[2]))
    thing.ellipse((x, y), (r, tall), 0, (0.03, 0.04, 0.06))
    thing.ellipse((x, y + 0.12 * r), (0.84 * r, 0.84 * tall), 0, shade(seen, 1.25))
    thing.ellipse((x, y + 0.5 * tall), (0.6 * r, 0.32 * tall), 0, (0.75, 0.8, 0.85), 0.55)
    thing.ellipse((x - 0.35 * r, y - 0.45 * tall), (0.2 * r, 0.16 * r), 0.6, (1, 1, 1), 0.95)
    return thing


# ------------------------------------------------------------------ letters over a page


def letters(generator: Generator) -> Scene:
    size = (256, 256)
    page = Thing(None, 128, 128, 128)
    for row in range(12, 250, 11):
        for x in range(8, 250, 6):
            if generator.random() < 0.83:
                page.text(chr(97 + int(generator.integers(26))), (x, row), 8, 0, (0.45, 0.43, 0.4))
    paper = tinted((0.9, 0.87, 0.8), 0.012 * texture(generator, size, (1, 25)))
    ink = page.opacity[:256, :256, None]
    return Scene(120, still(paper * (1 - ink) + page.colour[:256, :256]), _alphabet(generator, size))


def _alphabet(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    inks: tuple[Colour, ...] = (
        (0.75, 0.1, 0.15),
        (0.1, 0.2, 0.65),
        (0.05, 0.4, 0.2),
        (0.5, 0.15, 0.5),
        (0.1, 0.1, 0.1),
    )
    moving = [
        Mover(k, x, y, generator.uniform(0, 6.28), generator.uniform(0.8, 2.6), generator.uniform(22, 32),
              pick(generator, inks), generator.uniform(0, 6.28))
        for k, (x, y) in enumerate(spread(generator, 12, size, 34, 20))
    ]  # fmt: skip
    spins = generator.normal(0, 0.03, len(moving))
    for _ in range(120):
        for letter, spin in zip(moving, spins, strict=True):
            wander(letter, generator, size, 0.03, 14)
            letter.phase += spin
        yield [_letter(letter) for letter in moving]


def _letter(letter: Mover) -> Thing:
    thing = Thing(letter.identity, letter.x, letter.y, letter.size)
    thing.text("SCALORPYETMBXKRQ"[letter.identity], (letter.x, letter.y), letter.size, letter.phase, letter.colour)
    return thing


# ------------------------------------------------------------------ people walking over a square


CLOTHES: tuple[Colour, ...] = (
    (0.5, 0.12, 0.12), (0.12, 0.2, 0.4), (0.2, 0.2, 0.2), (0.75, 0.72, 0.65), (0.2, 0.35, 0.2), (0.6, 0.45, 0.2),
)  # fmt: skip


def walkers(generator: Generator) -> Scene:
    size = (288, 384)
    ground = tinted((0.55, 0.53, 0.5), 0.02 * texture(generator, size, (0.8, 20)))
    ground[:70] = tinted((0.45, 0.36, 0.3), 0.03 * texture(generator, size, (0.8, 5)))[:70]
    for x in range(12, 384, 46):
        ground[12:44, x : x + 22] = (0.22, 0.26, 0.3)
    for k in range(14):  # slabs that grow towards the camera
        ground[int(70 + 218 * (k / 14) ** 1.7)] *= 0.82
    return Scene(150, still(ground), _square(generator, size))


def _square(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    on_foot: list[Mover] = []
    count = 0
    for t in range(-220, 150):
        if generator.random() < 0.045:
            y, right = float(generator.uniform(85, 270)), generator.random() < 0.5
            for k in range(1 + int(generator.random() < 0.3)):  # alone, or two together
                scale = 0.35 + 0.65 * y / size[0]
                x, heading = (-30.0, 0.0) if right else (414.0, np.pi)
                speed = float(generator.uniform(1.5, 1.7) if k == 0 else on_foot[-1].speed / scale) * scale
                body = Mover(count, x - 8 * k, y + 7 * k, heading + generator.normal(0, 0.08), speed, 62,
                             pick(generator, CLOTHES), generator.uniform(0, 6))  # fmt: skip
                body.state.update(legs=generator.uniform(0.15, 0.4), build=generator.uniform(0.9, 1.1))
                on_foot.append(body)
                count += 1
        for body in on_foot:
            body.step()
            body.phase += 0.3
        on_foot = [body for body in on_foot if body.within((size[0], size[1]), 45)]
        if t >= 0:
            ordered = sorted(
                [(body.y, _walker(body, size[0])) for body in on_foot] + _posts(), key=lambda each: each[0]
            )
            yield [thing for _, thing in ordered]


def _posts() -> list[tuple[float, Thing]]:
    posts = []
    for x, y in ((120.0, 170.0), (292.0, 230.0)):
        thing = Thing(None, x, y - 70, 78)
        thing.line([(x, y), (x, y - 120)], 4, (0.15, 0.16, 0.16))
        thing.ellipse((x, y - 122), (7, 6), 0, (0.85, 0.83, 0.75))
        posts.append((y, thing))
    return posts


def _walker(body: Mover, height: int) -> Thing:
    scale = body.state["build"] * body.size * (0.35 + 0.65 * body.y / height)
    thing, way = Thing(body.identity, body.x, body.y - scale / 2, 0.8 * scale), 1 if np.cos(body.heading) > 0 else -1
    swing = float(np.sin(body.phase))

    def at(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(body.x + way * scale * a, body.y - scale * b) for a, b in points]

    skin, trousers = (0.72, 0.55, 0.45), (body.state["legs"],) * 3
    thing.ellipse((body.x, body.y), (0.2 * scale, 0.05 * scale), 0, (0.1, 0.1, 0.1), 0.4, body=False)
    for side in (-1, 1):
        ahead = side * swing
        knee = (0.09 * ahead + 0.02, 0.26)
        thing.line(at([(0, 0.5), knee, (0.17 * ahead - 0.03 * (ahead < 0), 0.02)]), 0.085 * scale, trousers)
    thing.line(
        at([(0, 0.78), (-0.12 * swing, 0.6), (-0.14 * swing + 0.05, 0.46)]), 0.06 * scale, shade(body.colour, 0.7)
    )
    thing.polygon(at([(-0.1, 0.82), (0.1, 0.82), (0.085, 0.46), (-0.085, 0.46)]), body.colour)
    thing.line(
        at([(0, 0.78), (0.12 * swing, 0.6), (0.14 * swing + 0.05, 0.46)]), 0.06 * scale, shade(body.colour, 0.85)
    )
    thing.ellipse(at([(0.01, 0.92)])[0], (0.065 * scale, 0.08 * scale), 0, skin)
    thing.ellipse(at([(-0.01, 0.955)])[0], (0.065 * scale, 0.05 * scale), 0, (0.2, 0.13, 0.08))
    return thing


# ------------------------------------------------------------------ starfish on the sea bed


def starfish(generator: Generator) -> Scene:
    size = (300, 300)
    sand = 0.03 * texture(generator, size, (0.7, 3, 25))
    light = texture(generator, size, (7,))

    def ground(t: int) -> Floats:
        rays = np.exp(-((light + np.roll(light, (t, t // 2), (0, 1))) ** 2) * 3)
        return tinted((0.3, 0.42, 0.42), sand + 0.045 * rays)

    return Scene(150, ground, _creeping(generator, size))


def _creeping(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    colours: tuple[Colour, ...] = ((0.8, 0.35, 0.15), (0.55, 0.25, 0.5), (0.75, 0.6, 0.35), (0.65, 0.15, 0.2))
    stars = [
        Mover(k, x, y, generator.uniform(0, 6.28), generator.uniform(0.4, 1.1), generator.uniform(16, 27),
              pick(generator, colours), generator.uniform(0, 6.28))
        for k, (x, y) in enumerate(spread(generator, 8, size, 62, 36))
    ]  # fmt: skip
    spins = generator.choice([-1, 1], len(stars)) * generator.uniform(0.008, 0.035, len(stars))
    for t in range(150):
        for star, spin in zip(stars, spins, strict=True):
            wander(star, generator, size, 0.04, 26)
            star.phase += float(spin)
        yield [_star(star, t) for star in stars]


def _star(star: Mover, t: int) -> Thing:
    thing = Thing(star.identity, star.x, star.y, star.size + 8)
    outline, arms = [], []
    for k in range(5):
        curl = 0.18 * float(np.sin(0.05 * t + 1.3 * k + star.identity))
        way = star.phase + 2 * np.pi * k / 5
        tip = placed([(1, 0)], 0, 0, way + curl)[0]
        outline += [
            placed([(0.36, 0)], 0, 0, way - np.pi / 5)[0],
            *placed([(0.75, -0.13)], 0, 0, way + curl * 0.7),
            tip,
        ]
        outline += placed([(0.75, 0.13)], 0, 0, way + curl * 0.7)
        arms.append(tip)
    thing.polygon(placed(outline, star.x + 3, star.y + 4, 0, star.size), (0.03, 0.06, 0.08), 0.4, body=False)
    thing.polygon(placed(outline, star.x, star.y, 0, star.size), star.colour)
    thing.polygon(placed(outline, star.x, star.y, 0, 0.75 * star.size), shade(star.colour, 1.15))
    for arm in arms:
        for part in (0.2, 0.4, 0.6, 0.78):
            dot = placed([arm], star.x, star.y, 0, part * star.size)[0]
            thing.ellipse(dot, (1.1, 1.1), 0, shade(star.colour, 1.6))
    return thing


# ------------------------------------------------------------------ boats with wakes


def boats(generator: Generator) -> Scene:
    size = (240, 360)
    swell, chop = texture(generator, size, (9,)), texture(generator, size, (1.3,))

    def ground(t: int) -> Floats:
        moved = 0.018 * np.roll(swell, (t // 2, t), (0, 1)) + 0.014 * np.roll(chop, (t, t // 3), (0, 1))
        return tinted((0.13, 0.27, 0.38), moved)

    return Scene(140, ground, _harbour(generator, size))


def _harbour(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    hulls: tuple[Colour, ...] = ((0.9, 0.9, 0.88), (0.75, 0.2, 0.15), (0.2, 0.3, 0.5), (0.55, 0.4, 0.25))
    afloat: list[Mover] = []
    count, wakes = 0, dict[int, list[tuple[float, float, float]]]()
    for t in range(-150, 140):
        if generator.random() < 0.05:
            heading = float(generator.choice([0.0, np.pi]) + generator.normal(0, 0.3))
            x = -40.0 if np.cos(heading) > 0 else 400.0
            speed, long = float(generator.uniform(1.0, 2.6)), float(generator.uniform(20, 34))
            afloat.append(
                Mover(count, x, float(generator.uniform(20, 220)), heading, speed, long, pick(generator, hulls))
            )
            wakes[count] = []
            count += 1
        for boat in afloat:
            boat.heading += float(generator.normal(0, 0.012))
            boat.step()
            wakes[boat.identity].insert(0, (boat.x, boat.y, boat.heading))
            del wakes[boat.identity][32:]
        afloat = [boat for boat in afloat if boat.within(size, 60)]
        if t >= 0:
            yield [_wake(boat, wakes[boat.identity]) for boat in afloat] + [_boat(boat) for boat in afloat]


def _wake(boat: Mover, path: Sequence[tuple[float, float, float]]) -> Thing:
    thing = Thing(None, path[len(path) // 2][0], path[len(path) // 2][1], 60)
    for side in (-1, 1):
        for k in range(4, len(path) - 1, 2):
            ends = [
                placed([(-boat.size / 2, side * (2 + 0.28 * j * boat.speed))], *path[j])[0]
                for j in (k, min(k + 2, len(path) - 1))
            ]
            thing.line(ends, 1.6, (0.85, 0.9, 0.92), 0.5 * (1 - k / 34))
    return thing


def _boat(boat: Mover) -> Thing:
    thing, half = Thing(boat.identity, boat.x, boat.y, boat.size / 2 + 6), boat.size / 2
    hull = [(-1, -0.3), (0.3, -0.34), (0.7, -0.2), (1, 0), (0.7, 0.2), (0.3, 0.34), (-1, 0.3)]
    thing.polygon(placed(hull, boat.x, boat.y, boat.heading, half), boat.colour)
    deck = [(-0.9, -0.2), (0.25, -0.24), (0.7, 0), (0.25, 0.24), (-0.9, 0.2)]
    thing.polygon(placed(deck, boat.x, boat.y, boat.heading, half), (0.7, 0.58, 0.42))
    cabin = [(-0.35, -0.18), (0.2, -0.16), (0.2, 0.16), (-0.35, 0.18)]
    thing.polygon(placed(cabin, boat.x, boat.y, boat.heading, half), (0.94, 0.94, 0.94))
    glass = [(0.2, -0.15), (0.32, -0.1), (0.32, 0.1), (0.2, 0.15)]
    thing.polygon(placed(glass, boat.x, boat.y, boat.heading, half), (0.1, 0.15, 0.2))
    return thing


# ------------------------------------------------------------------ insects at a lamp


def insects(generator: Generator) -> Scene:
    y, x = np.mgrid[:240, :240]
    far = np.hypot(y - 120, x - 120)
    glow = 0.75 * np.exp(-((far / 16) ** 2)) + 0.28 * np.exp(-far / 45)
    ground = 0.03 + glow[..., None] * np.array((1.0, 0.88, 0.6))
    return Scene(140, still(ground), _swarm(generator), blur=0.6, noise=0.02)


def _swarm(generator: Generator) -> Iterator[list[Thing]]:
    place = 120 + generator.normal(0, 55, (12, 2))
    velocity = generator.normal(0, 2.0, (12, 2))
    bodies = generator.uniform(2.2, 3.6, 12)
    for t in range(140):
        gap = 120 - place
        far = np.hypot(*gap.T)[:, None] + 1e-6
        turned = np.stack([-gap[:, 1], gap[:, 0]], 1) / far
        velocity += 0.0035 * gap - 6.0 * gap / far**2 + 0.1 * turned + generator.normal(0, 0.55, (12, 2))
        speed = np.hypot(*velocity.T)[:, None]
        velocity *= np.clip(speed, 1.0, 4.2) / speed
        before, place = place, place + velocity
        yield [_insect(k, before[k], place[k], bodies[k], t) for k in range(12)]


def _insect(k: int, before: Floats, place: Floats, half: float, t: int) -> Thing:
    x, y = float(place[0]), float(place[1])
    thing, heading = Thing(k, x, y, 14), float(np.arctan2(*(place - before)[::-1]))
    near = float(np.exp(-np.hypot(x - 120, y - 120) / 80))
    tone = 0.35 + 0.5 * near
    colour: Colour = (tone, 0.93 * tone, 0.75 * tone)
    trail = [(float(x - 0.6 * (place - before)[0]), float(y - 0.6 * (place - before)[1])), (x, y)]
    thing.line(trail, 1.2 * half, colour, 0.45, body=False)  # exposure
    for side in (-1, 1):
        root = placed([(-0.3, 0.9 * side)], x, y, heading, half)[0]
        thing.ellipse(root, (0.9 * half, 0.6 * half), heading + side * (0.7 + 0.4 * (t % 2)), colour, 0.55)
    thing.ellipse((x, y), (1.4 * half, 0.6 * half), heading, shade(colour, 1.25))
    return thing


# ------------------------------------------------------------------ cells in phase contrast


def cells(generator: Generator) -> Scene:
    size = (256, 256)
    ground = tinted((0.5, 0.5, 0.5), 0.02 * texture(generator, size, (1.2, 50)))
    return Scene(140, still(ground), _dish(generator, size), grey=True, blur=0.9, noise=0.02)


def _dish(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    crawling = [
        Mover(
            k,
            x,
            y,
            generator.uniform(0, 6.28),
            generator.uniform(0.4, 1.3),
            generator.uniform(11, 16),
            (0.42, 0.42, 0.42),
        )
        for k, (x, y) in enumerate(spread(generator, 11, size, 42, 24))
    ]
    bumps = [generator.normal(0, 0.1, (3, 2)) for _ in crawling]
    grains = [generator.normal(0, 0.35, (7, 2)) for _ in crawling]
    for _ in range(140):
        things = []
        for k, cell in enumerate(crawling):
            for other in crawling[:k]:
                gap = np.array([cell.x - other.x, cell.y - other.y])
                lacking = 0.85 * (cell.size + other.size) - float(np.hypot(*gap))
                if lacking > 0:
                    push = 0.15 * lacking * gap / (np.hypot(*gap) + 1e-6)
                    cell.x, cell.y, other.x, other.y = (
                        cell.x + push[0],
                        cell.y + push[1],
                        other.x - push[0],
                        other.y - push[1],
                    )
            wander(cell, generator, size, 0.15, 24)
            bumps[k] = 0.95 * bumps[k] + generator.normal(0, 0.035, (3, 2))
            grains[k] = np.clip(grains[k] + generator.normal(0, 0.03, (7, 2)), -0.6, 0.6)
            things.append(_cell(cell, bumps[k], grains[k]))
        yield things


def _cell(cell: Mover, bumps: Floats, grains: Floats) -> Thing:
    thing, around = Thing(cell.identity, cell.x, cell.y, 2 * cell.size), np.linspace(0, 2 * np.pi, 40, endpoint=False)
    orders = np.arange(2, 5)[:, None]
    wobble = (bumps[:, :1] * np.cos(orders * around) + bumps[:, 1:] * np.sin(orders * around)).sum(0)
    radius = np.clip(1 + 0.22 * np.cos(around) + wobble, 0.55, 1.6)
    outline = list(zip(radius * np.cos(around), radius * np.sin(around), strict=True))
    thing.polygon(placed(outline, cell.x, cell.y, cell.heading, 1.22 * cell.size), (0.8, 0.8, 0.8), 0.55, body=False)
    thing.polygon(placed(outline, cell.x, cell.y, cell.heading, 1.08 * cell.size), (0.92, 0.92, 0.92), 0.6, body=False)
    thing.polygon(placed(outline, cell.x, cell.y, cell.heading, cell.size), (0.33, 0.33, 0.33))
    thing.polygon(placed(outline, cell.x, cell.y, cell.heading, 0.82 * cell.size), (0.46, 0.46, 0.46))
    nucleus = placed([(-0.15, 0.05)], cell.x, cell.y, cell.heading, cell.size)[0]
    thing.ellipse(nucleus, (0.4 * cell.size, 0.32 * cell.size), cell.heading, (0.36, 0.36, 0.36))
    thing.ellipse(nucleus, (1.6, 1.6), 0, (0.62, 0.62, 0.62))
    for grain in placed(grains.tolist(), cell.x, cell.y, cell.heading, cell.size):
        thing.ellipse(grain, (1.1, 1.1), 0, (0.7, 0.7, 0.7), 0.8)
    return thing


# ------------------------------------------------------------------ fluorescent spots that blink


def spots(generator: Generator) -> Scene:
    size = (128, 128)
    haze = 0.05 + 0.025 * np.clip(texture(generator, size, (20,)), -1, 3)
    ground = np.repeat(haze[..., None], 3, 2)
    return Scene(150, still(ground), _blinking(generator, size), grey=True, blur=0.0, noise=0.008, photons=140)


def _blinking(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    diffusing = [
        Mover(k, x, y, generator.uniform(0, 6.28), generator.choice([0.0, 0.0, 0.9]), generator.uniform(1.4, 2.0),
              (1, 1, 1), 0.0, {"bright": generator.uniform(0.25, 0.6), "dark": 0.0})
        for k, (x, y) in enumerate(spread(generator, 20, size, 11, 6))
    ]  # fmt: skip
    for _ in range(150):
        things = []
        for spot in diffusing:
            spot.x += float(generator.normal(0, 0.7))
            spot.y += float(generator.normal(0, 0.7))
            wander(spot, generator, size, 0.1, 4)
            spot.state["dark"] -= 1
            if spot.state["dark"] < -8 and generator.random() < 0.03:
                spot.state["dark"] = float(generator.integers(2, 7))
            if spot.state["dark"] <= 0:
                thing = Thing(spot.identity, spot.x, spot.y, 9)
                thing.soft(
                    (spot.x, spot.y), spot.size, spot.colour, spot.state["bright"] * generator.uniform(0.85, 1.15)
                )
                things.append(thing)
        yield things


# ------------------------------------------------------------------ bees on a comb


def bees(generator: Generator) -> Scene:
    size = (320, 320)
    y, x = np.mgrid[:320, :320].astype(np.float64)
    comb = np.zeros(size)
    for angle in (0, np.pi / 3, 2 * np.pi / 3):
        comb += np.cos(2 * np.pi / 13 * (x * np.cos(angle) + y * np.sin(angle)))
    ground = tinted((0.55, 0.4, 0.18), 0.075 * np.tanh(-comb) + 0.025 * texture(generator, size, (0.8, 30)))
    return Scene(140, still(ground), _hive(generator, size))


def _hive(generator: Generator, size: tuple[int, int]) -> Iterator[list[Thing]]:
    walking = [
        Mover(k, x, y, generator.uniform(0, 6.28), 1.0, generator.uniform(12, 14),
              shade((0.75, 0.52, 0.15), generator.uniform(0.75, 1.15)), 0.0,
              {"left": float(generator.integers(5, 40)), "does": 1.0})
        for k, (x, y) in enumerate(spread(generator, 24, size, 32, 22))
    ]  # fmt: skip
    for t in range(140):
        for bee in walking:
            bee.state["left"] -= 1
            if bee.state["left"] < 0:  # rest, walk, or dance
                bee.state["does"] = float(generator.choice([0, 1, 1, 1, 2]))
                bee.state["left"] = float(generator.integers(12, 45))
            bee.speed = {0.0: 0.05, 1.0: 1.3, 2.0: 0.7}[bee.state["does"]]
            wander(bee, generator, size, 0.02 if bee.state["does"] == 0 else 0.1, 16)
            for other in walking:
                gap = np.array([bee.x - other.x, bee.y - other.y])
                if other is not bee and 0 < np.hypot(*gap) < 17:
                    bee.x, bee.y = bee.x + 0.05 * gap[0], bee.y + 0.05 * gap[1]
        yield [_bee(bee, t) for bee in walking]


def _bee(bee: Mover, t: int) -> Thing:
    thing, half = Thing(bee.identity, bee.x, bee.y, 1.9 * bee.size), bee.size
    heading = bee.heading + (0.35 * float(np.sin(1.9 * t)) if bee.state["does"] == 2 else 0.0)

    def at(a: float, b: float) -> tuple[float, float]:
        return placed([(a, b)], bee.x, bee.y, heading, half)[0]

    for side in (-1, 1):
        for root, tip in ((0.35, 0.6), (0.15, 0.05), (0.05, -0.35)):
            thing.line([at(root, 0.1 * side), at(tip, 0.55 * side)], 1.1, (0.12, 0.08, 0.05), body=False)
    thing.ellipse(at(-0.45, 0), (0.58 * half, 0.32 * half), heading, bee.colour)
    for stripe in (-0.2, -0.5, -0.78):
        wide = 0.3 * (1 - ((stripe + 0.45) / 0.58) ** 2) ** 0.5
        thing.line([at(stripe, -wide), at(stripe, wide)], 1.7, (0.15, 0.09, 0.04))
    thing.ellipse(at(0.28, 0), (0.3 * half, 0.27 * half), heading, (0.42, 0.28, 0.12))
    thing.ellipse(at(0.68, 0), (0.17 * half, 0.22 * half), heading, (0.13, 0.09, 0.06))
    for side in (-1, 1):
        thing.ellipse(
            at(-0.25, 0.3 * side),
            (0.52 * half, 0.17 * half),
            heading - 0.35 * side,
            (0.85, 0.85, 0.8),
            0.35,
            body=False,
        )
    return thing


# ------------------------------------------------------------------ files


SCENES: dict[str, Callable[[Generator], Scene]] = {
    "ants": ants, "bacteria": bacteria, "balls": balls, "bees": bees, "birds": birds, "boats": boats, "cars": cars,
    "cells": cells, "drops": drops, "insects": insects, "leaves": leaves, "letters": letters, "spots": spots,
    "starfish": starfish, "walkers": walkers, "worms": worms,
}  # fmt: skip


def drawn(name: str, seed: int = SEED) -> Iterator[tuple[Any, list[Row]]]:
    """The frames of a scene as a camera sees them, (H, W, 3) bytes, with their truth."""
    generator = np.random.default_rng([seed, sorted(SCENES).index(name)])
    scene = SCENES[name](generator)
    camera = np.random.default_rng([seed, len(SCENES) + sorted(SCENES).index(name)])
    for t, things in enumerate(scene.things):
        picture, rows = painted(scene.ground(t), things)
        picture = gaussian_filter(picture, (scene.blur, scene.blur, 0)) if scene.blur else picture
        if scene.grey:
            picture = np.repeat(picture.mean(-1, keepdims=True), 3, -1)
        channels = 1 if scene.grey else 3
        if scene.photons:
            bright = np.clip(picture[..., :channels], 0, None)
            picture = np.broadcast_to(camera.poisson(bright * scene.photons) / scene.photons, picture.shape)
        picture = picture + camera.normal(0, scene.noise, (*picture.shape[:2], channels))
        yield compressed(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)), rows


def compressed(picture: Any) -> Any:
    """A picture after JPEG."""
    with io.BytesIO() as file:
        Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
        return np.asarray(Image.open(file).convert("RGB"))


def mot_lines(frame: int, rows: Sequence[Row]) -> list[str]:
    """The truth of a frame (from 0), in MOTChallenge text; its numbers count from 1."""
    return [
        f"{frame + 1},{row.identity + 1},{row.box[0] + 1:g},{row.box[1] + 1:g},{row.box[2]:g},{row.box[3]:g},"
        f"{int(row.seen >= SEEN)},-1,-1,-1"
        for row in rows
    ]


def write(folder: Path, name: str, seed: int = SEED) -> list[tuple[Any, list[Row]]]:
    """Draw a scene into its folder; returns what was drawn."""
    frames = list(drawn(name, seed))
    (folder / name).mkdir(parents=True, exist_ok=True)
    with av.open(str(folder / name / VIDEO), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, _ = frames[0][0].shape
        stream.pix_fmt = "bgr0"
        for picture, _ in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    text = [line for t, (_, rows) in enumerate(frames) for line in mot_lines(t, rows)]
    write_atomically(folder / name / TRUTH, ("\n".join(text) + "\n").encode())
    return frames


def sheet(frames: Sequence[tuple[Any, list[Row]]]) -> Image.Image:
    """Some frames beside each other, with the boxes of the truth: red where an object need not be found."""
    chosen = np.linspace(0, len(frames) - 1, SHOWN).astype(int)
    height, width, _ = frames[0][0].shape
    paper = Image.new("RGB", (3 * width, (SHOWN + 2) // 3 * height))
    for place, t in enumerate(chosen):
        picture = Image.fromarray(frames[t][0])
        pen = ImageDraw.Draw(picture)
        for row in frames[t][1] if place % 2 else []:
            left, top, wide, high = row.box
            colour = "yellow" if row.seen >= SEEN else "red"
            pen.rectangle((left, top, left + wide - 1, top + high - 1), outline=colour)
            pen.text((left, top), str(row.identity), fill=colour)
        paper.paste(picture, (place % 3 * width, place // 3 * height))
    return paper


@command
def main(arguments: list[str] | None = None) -> int:
    """Draw the scenes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="FOLDER", help=f"for NAME/{VIDEO} and NAME/{TRUTH} of each scene")
    parser.add_argument("--only", nargs="+", default=list(SCENES), choices=list(SCENES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=SEED, help="(default: %(default)s)")
    parser.add_argument("--sheets", type=Path, metavar="DIR", help="also a picture of some frames of each")
    options = parser.parse_args(arguments)
    for name in options.only:
        frames = write(options.out, name, options.seed)
        if options.sheets is not None:
            options.sheets.mkdir(parents=True, exist_ok=True)
            sheet(frames).save(options.sheets / f"{name}.png")
        seen = sum(row.seen >= SEEN for _, rows in frames for row in rows) / len(frames)
        numbers = {row.identity for _, rows in frames for row in rows}
        print(f"{name}: {len(frames)} frames, {len(numbers)} objects, {seen:.1f} in a frame", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
