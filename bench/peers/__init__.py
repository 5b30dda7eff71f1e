"""nextoken beside other engines and beside the machine's own limits: `python -m bench.peers --help`."""
