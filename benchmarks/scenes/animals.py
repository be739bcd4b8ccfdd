"""Animals from above, or in the sky."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import shift

from scenes.basics import Generator, Mover, Scene, pick, shade, spread, still, wander
from scenes.painting import Colour, Floats, Thing, placed, texture, tinted

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
