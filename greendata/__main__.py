"""``python -m greendata``."""

from greendata.cli import main

if __name__ == "__main__":
    main()
