"""Cached against uncached decoding, as `nextoken bench cache` measures it.

python bench/cache.py smollm2-135m --full --json cache.json --png cache.png
"""

from nextoken.cli import main

if __name__ == "__main__":
    import sys

    main(["bench", "cache", *sys.argv[1:]])
