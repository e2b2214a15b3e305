"""The lab's own end of an upload: what the cloud's client sends, kept as Zarr arrays that the archive serves."""
