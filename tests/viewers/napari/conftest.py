"""The display and the viewer that the tests here share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for napari_display, which tests of the callback use as well
from napari_display import address, display, line, viewer_home

__all__ = ["address", "display", "line", "viewer_home"]
