#!/usr/bin/env python3
"""The declarations that the bindings read match the headers (bindings/generate --check)."""
import os
import subprocess
import sys

from house import ROOT

sys.exit(subprocess.run([sys.executable, os.path.join(ROOT, "bindings", "generate"),
                         "--check"], check=False).returncode)
