#include "bench.h"

int main(int argc, char **argv)
{
    return fault_bench_main(argc, argv);
}
