#!/usr/bin/env python3
"""Checks that the generated declarations of the bindings match the headers (bindings/generate
--check)."""
import os
import subprocess
import sys

from house import ROOT

sys.exit(subprocess.run([sys.executable, os.path.join(ROOT, "bindings", "generate"),
                         "--check"], check=False).returncode)
