"""The desktop viewer: pyqtgraph on PySide6; extra `qt`."""
