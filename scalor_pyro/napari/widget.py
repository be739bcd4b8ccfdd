"""The widget: track the objects of an image layer in a thread, and add them as a layer of tracks, and one of labels."""

import math
from typing import Any

import napari
from magicgui import magic_factory
from napari.qt.threading import thread_worker
from napari.utils.notifications import show_info

from scalor_pyro.napari.following import Found, Wanted, follow_array, frames_of_image
from scalor_pyro.runs.pretrained import ANY_SCENE
from scalor_pyro.tracks.table import to_napari
from scalor_pyro.tracks.tracker import CHUNK


@magic_factory(
    call_button="Track",
    image={"label": "image", "tooltip": "a film: time, y, x"},
    weights={"label": "weights", "tooltip": "a run folder of scalor train, or a name that scalor weights lists"},
    object_size={"label": "object size, px", "tooltip": "0: the film says", "min": 0.0, "max": 10_000.0},
    masks={"label": "masks, too"},
    link={"label": "link tracks"},
)
def track_widget(
    viewer: napari.viewer.Viewer,
    image: napari.layers.Image,
    weights: str = ANY_SCENE,
    object_size: float = 0.0,
    masks: bool = False,
    link: bool = True,
) -> Any:
    """Track the objects of an image layer.

    :return: the worker, which has begun.
    :raises ConfigError: if the layer is no film.
    """
    frames = frames_of_image(image.data, bool(image.rgb))
    chunks = math.ceil(len(frames) / CHUNK)
    work = thread_worker(follow_array, progress={"total": chunks, "desc": f"tracking {image.name}"})
    worker = work(frames, Wanted(weights, object_size, masks, link))
    place = {"scale": image.scale[-3:], "translate": image.translate[-3:]}
    worker.returned.connect(lambda found: add_layers(viewer, image.name, found, place))
    worker.start()
    return worker


def add_layers(viewer: napari.viewer.Viewer, name: str, found: Found, place: dict[str, Any]) -> None:
    """Add what was found over the image.

    :param place: scale and translation of the image.
    """
    if found.labels is not None:
        viewer.add_labels(found.labels, name=f"{name} masks", **place)
    if not len(found.tracks):
        show_info(f"{name}: no objects were found.")
        return
    data, properties = to_napari(found.tracks)
    viewer.add_tracks(data, properties=properties, name=f"{name} tracks", **place)
