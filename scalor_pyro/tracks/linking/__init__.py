"""Linking of tracks: of a whole video (:mod:`offline`) and of a stream (:mod:`online`), by appearance and place."""

from scalor_pyro.tracks.linking.offline import LinkOptions, link, link_in
from scalor_pyro.tracks.linking.results import Linked

__all__ = ["LinkOptions", "Linked", "link", "link_in"]
