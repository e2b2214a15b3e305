"""napari, in a process of its own; extra `napari`."""
