"""`python -m stvit_video` is `stvit-video`."""

import sys

from stvit_video.cli import main

sys.exit(main())
