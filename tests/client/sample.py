"""Sampling of long loops over similar cases, as tests/sample.h does it for the tests in C. The
environment variables BCDA_TEST_SEED and BCDA_TEST_EXHAUSTIVE have the same effect."""
import os
import random
import sys

EXHAUSTIVE = os.environ.get("BCDA_TEST_EXHAUSTIVE") == "1"
SEED = int(os.environ.get("BCDA_TEST_SEED") or random.SystemRandom().randrange(2 ** 32))
if not EXHAUSTIVE:
    print(f"# BCDA_TEST_SEED={SEED}")
    sys.stdout.flush()
_random = random.Random(SEED)


def gap(one_in):
    """Returns the distance to the next case to run, if about one case in `one_in` is to run."""
    return 1 if EXHAUSTIVE else _random.randint(1, 2 * one_in - 1)
