"""`python -m nextoken`: the command line, where its script is not on the PATH."""

from nextoken.cli import main

if __name__ == "__main__":
    main()
