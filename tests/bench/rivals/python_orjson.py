"""Python, as the file comes, with orjson in json's place: see README.md."""
import orjson
from python_stream import main

main(orjson.loads)
