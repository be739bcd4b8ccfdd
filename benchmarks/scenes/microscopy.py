"""What a microscope shows."""

from collections.abc import Iterator

import numpy as np

from scenes.basics import Generator, Mover, Scene, spread, still, wander
from scenes.painting import Floats, Thing, placed, texture, tinted

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
