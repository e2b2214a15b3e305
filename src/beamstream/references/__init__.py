"""Darks and flats: averaged from frames, kept as files, found again by what they fit."""

from beamstream.references.average import Average
from beamstream.references.file import StoredReference, stored
from beamstream.references.npy import export_npy, import_npy
from beamstream.references.reference import Kind, Reference, ReferenceHeader
from beamstream.references.store import ReferenceStore

__all__ = [
    "Average",
    "Kind",
    "Reference",
    "ReferenceHeader",
    "ReferenceStore",
    "StoredReference",
    "export_npy",
    "import_npy",
    "stored",
]
