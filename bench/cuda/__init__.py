"""A card, checked and measured where nothing can be downloaded: `make test-cuda` and `make bench-cuda`."""
