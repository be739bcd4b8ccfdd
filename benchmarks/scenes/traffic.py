"""Cars, boats and people on foot."""

from collections.abc import Iterator, Sequence

import numpy as np

from scenes.basics import Generator, Mover, Scene, pick, shade, still
from scenes.painting import Colour, Floats, Thing, placed, texture, tinted

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
