"""The checkout that this package is imported from, if it is one."""

from pathlib import Path


def checkout() -> Path | None:
    """Return the top directory of the checkout; None when beamstream is installed as a wheel."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "pyproject.toml").is_file() and (root / "src" / "beamstream").is_dir() else None
