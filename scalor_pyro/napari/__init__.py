"""The plugin for napari: a reader for tracks and masks, and a widget that tracks the selected image.

napari finds it by napari.yaml. ``pip install scalor_pyro[napari]`` installs what it needs; the rest of the package does
not import it.
"""
