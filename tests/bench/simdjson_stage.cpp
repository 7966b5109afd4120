// Measures simdjson's DOM alone on the lines of a file, as stages.c measures yajl: reused parser,
// pieces of a batch, in the CPU cache. Reads resourceType, id and meta.lastUpdated of each line.
//
//     bench-simdjson PLAIN    prints "<CPU seconds> <wall seconds> <kernel>"
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include "bench.h"
}

namespace
{
constexpr size_t TEXT = 256 * 1024; // bytes of a batch, as in stages.c

size_t used;

// What follows the line in the buffer is the padding that simdjson reads.
void run_line(simdjson::dom::parser &parser, const char *line, size_t len)
{
    simdjson::dom::object resource;
    std::string_view type, id, updated;

    if (parser.parse(line, len, false).get(resource) || resource["resourceType"].get(type) ||
        resource["id"].get(id) || resource["meta"]["lastUpdated"].get(updated))
        throw std::runtime_error("a line is not a resource with type, id and lastUpdated");
    used += type.size() + id.size() + updated.size();
}

void run_piece(simdjson::dom::parser &parser, const char *at, size_t len)
{
    const char *end = at + len;

    while (auto lf = static_cast<const char *>(std::memchr(at, '\n', size_t(end - at)))) {
        run_line(parser, at, size_t(lf - at));
        at = lf + 1;
    }
}

// Reads the next lines, as many as fit. Returns their length; 0 at the end of the file.
size_t read_piece(FILE *file, std::string &rest, std::vector<char> &hot)
{
    std::copy(rest.begin(), rest.end(), hot.begin());
    size_t len = rest.size() + std::fread(hot.data() + rest.size(), 1, TEXT - rest.size(), file);
    size_t whole = len;

    while (whole && hot[whole - 1] != '\n')
        whole--;
    if (len && !whole)
        throw std::runtime_error("no end of a line was found");
    rest.assign(hot.data() + whole, len - whole);
    return whole;
}

void run(const char *path)
{
    FILE *file = std::fopen(path, "r");
    simdjson::dom::parser parser;
    std::vector<char> hot(TEXT + simdjson::SIMDJSON_PADDING);
    std::string rest;
    double cpu = 0, wall = 0;

    if (!file)
        throw std::runtime_error("the file cannot be opened");
    while (size_t len = read_piece(file, rest, hot)) {
        double cpu_before = bench_cpu(), wall_before = bench_wall();
        run_piece(parser, hot.data(), len);
        wall += bench_wall() - wall_before;
        cpu += bench_cpu() - cpu_before;
    }
    std::fclose(file);
    std::printf("%.6f %.6f %s\n", cpu, wall, simdjson::get_active_implementation()->name().c_str());
}
} // namespace

int main(int argc, char **argv)
try {
    if (argc != 2)
        return 2;
    run(argv[1]);
    return used ? 0 : 1;
} catch (const std::exception &e) {
    std::fprintf(stderr, "bench-simdjson: %s\n", e.what());
    return 1;
}
