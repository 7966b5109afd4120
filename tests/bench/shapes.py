"""Makes files of resources whose text is unlike that of claims, for the measurement of the line reader."""
import json
import os
import random

LINE = 8 * 1024  # bytes of a line, about
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
LATIN = "abcdefghijklmnopqrstuvwxyz"
ESCAPES = ('\\"', "\\\\", "\\n", "\\/", "\\u00e9")


def word(source, letters, length):
    return "".join(source.choices(letters, k=length))


def words(source, letters, count):
    return " ".join(word(source, letters, source.randint(3, 10)) for _ in range(count))


def cyrillic(source):
    notes = [f'{{"text":"{words(source, CYRILLIC, 12)}"}}' for _ in range(LINE // 180)]
    return '"note":[' + ",".join(notes) + "]"


def escapes(source):
    """Five escapes in 80 bytes."""
    text = "".join(word(source, LATIN, 12) + source.choice(ESCAPES) for _ in range(LINE // 16))
    return '"note":[{"text":"' + text + '"}]'


def numbers(source):
    found = (f"{source.uniform(-1000, 1000):.{source.randint(1, 6)}f}" for _ in range(LINE // 9))
    return '"data":[' + ",".join(found) + "]"


def base64(source):
    return '"content":[{"attachment":{"data":"' + word(source, BASE64, LINE) + '"}}]'


SHAPES = {"Cyrillic text": cyrillic, "five escapes in 80 bytes": escapes, "only numbers": numbers,
          "one long base64 string": base64}
SPACES = "white space after : and ,"


def write_shapes(folder, claims, size):
    """Writes one file of about `size` bytes for each shape. The file with white space has the lines of the
    file `claims`. Returns {shape: path}."""
    source, paths = random.Random(1), {}
    for number, (shape, make) in enumerate(SHAPES.items()):
        paths[shape] = os.path.join(folder, f"shape-{number}.ndjson")
        with open(paths[shape], "w", encoding="utf-8") as f:
            while f.tell() < size:
                f.write(f'{{"id":"{f.tell()}","meta":{{"lastUpdated":"2026-01-01T00:00:00Z"}},'
                        f'{make(source)},"resourceType":"DocumentReference"}}\n')
    paths[SPACES] = os.path.join(folder, "shape-spaces.ndjson")
    with open(claims, encoding="utf-8") as lines, open(paths[SPACES], "w", encoding="utf-8") as f:
        while f.tell() < size and (line := lines.readline()):
            f.write(json.dumps(json.loads(line), ensure_ascii=False) + "\n")
    return paths
