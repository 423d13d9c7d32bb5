"""Run the command: ``python -m book._ext.make_pdf``."""

import sys

from .command import main

sys.exit(main())
