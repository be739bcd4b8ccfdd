"""``python -m scalor_pyro``, the same as the command ``scalor``."""

import sys

from scalor_pyro.cli import main

if __name__ == "__main__":
    sys.exit(main())
