"""Entry point of `python -m radstream_distill`."""

import sys

from radstream_distill.cli import main

if __name__ == "__main__":
    sys.exit(main())
