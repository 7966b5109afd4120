"""Samples of a sweep, as tests/sample.h does it for the tests in C: BCDA_TEST_SEED and
BCDA_TEST_EXHAUSTIVE of the environment."""
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
    """How far the next case of a sweep is, where about one in `one_in` is to run."""
    return 1 if EXHAUSTIVE else _random.randint(1, 2 * one_in - 1)
