"""Makes `import detectron2` work in the Python that runs this file, before anything else is installed but torch and
setuptools. `--help` says how."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.diffu_base.commands.install_detectron2 import main

if __name__ == "__main__":
    sys.exit(main())
