"""``python -m geogan`` is ``geogan``."""

from geogan.cli import main

if __name__ == "__main__":
    main()
