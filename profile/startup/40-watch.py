"""`watch(camera)`: its frames and the run in a browser, live; `watch()` for everything."""

watch = instrument.page.watch
