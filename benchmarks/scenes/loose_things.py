"""Things that are moved by others: balls, leaves, drops and letters."""

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter

from scenes.basics import Generator, Mover, Scene, pick, shade, spread, still, wander
from scenes.painting import Colour, Floats, Thing, placed, texture, tinted

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
