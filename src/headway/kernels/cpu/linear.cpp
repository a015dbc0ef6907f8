// y = x W^T + b, with W laid out once in panels of as many outputs as a block of accumulators is wide:
// [panels][inputs][panel]. A panel is read in pieces that stay in the nearest cache for all rows, while the
// next piece is fetched: decoding is bound by memory at few rows and by arithmetic at many, and both overlap.
//
// Each output is one sum over the inputs in order, whatever rows stand beside it: a row's bits never change.

#include <algorithm>

#include <omp.h>

#include "interface.h"
#include "vectors.h"

namespace headway {
namespace {

constexpr int64_t panel = widest * lanes;
constexpr int64_t piece = 96;                 // inputs; of 64 outputs 24 KiB
constexpr int64_t rows_bytes = 1 << 19;       // of x at a time, a part of a core's own cache
constexpr int64_t line = 16;                  // floats that memory hands over at a time

struct Piece {
    const float* weights;  // [inputs][panel]
    const float* next;     // that are fetched meanwhile, `fetched` floats for each input; null: none
    int64_t inputs, fetched;
};

// R rows of a piece: y[R][panel] goes on from what it holds.
template <int R>
void multiply(const Piece& p, const float* x, int64_t x_stride, float* y, int64_t y_stride) {
    Vector acc[R][widest];
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int n = 0; n < widest; n++) acc[r][n] = load(y + r * y_stride + n * lanes);
    const float* next = p.next;
    for (int64_t k = 0; k < p.inputs; k++) {
        if (next) {
            for (int64_t i = 0; i < p.fetched; i += line) __builtin_prefetch(next + i, 0, 2);
            next += p.fetched;
        }
        Vector w[widest];
#pragma GCC unroll 4
        for (int n = 0; n < widest; n++) w[n] = load(p.weights + k * panel + n * lanes);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int n = 0; n < widest; n++) acc[r][n] += x[r * x_stride + k] * w[n];
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int n = 0; n < widest; n++) store(y + r * y_stride + n * lanes, acc[r][n]);
}

using Multiply = void (*)(const Piece&, const float*, int64_t, float*, int64_t);
const Multiply multiply_of[tallest] = {multiply<1>, multiply<2>, multiply<3>,
                                       multiply<4>, multiply<5>, multiply<6>};

// Rows [first, end) of one panel's outputs. The last panel may be broader than y: then sums are kept aside.
void multiply_panel(const Linear& l, const float* x, float* y, int64_t which, int64_t first, int64_t end) {
    const int64_t column = which * panel, width = std::min(panel, l.outputs - column);
    const int64_t blocks = (end - first + tallest - 1) / tallest;
    const float* weights = l.weights + column * l.inputs;
    const float* behind = l.weights + rounded_up(l.outputs, panel) * l.inputs;
    alignas(64) float aside[tallest * panel];
    for (int64_t row = first; row < end; row++)
        for (int64_t i = 0; i < width; i++)
            y[row * l.outputs + column + i] = l.bias ? l.bias[column + i] : 0.0f;
    for (int64_t k = 0; k < l.inputs; k += piece) {
        Piece p{weights + k * panel, nullptr, std::min(piece, l.inputs - k), 0};
        const float* next = p.weights + p.inputs * panel;
        // A piece is fetched evenly over the rows' blocks, of which the first four are enough for all of it.
        const int64_t sharers = std::clamp<int64_t>(panel / line, 1, blocks);
        p.fetched = rounded_up((panel + sharers - 1) / sharers, line);
        for (int64_t row = first, block = 0; row < end; row += tallest, block++) {
            const int64_t from = block * p.fetched * p.inputs;
            const bool some = block * p.fetched < panel && next + from + p.fetched * p.inputs <= behind;
            p.next = some ? next + from : nullptr;
            const int64_t height = std::min<int64_t>(tallest, end - row);
            float* to = y + row * l.outputs + column;
            if (width == panel) {
                multiply_of[height - 1](p, x + row * l.inputs + k, l.inputs, to, l.outputs);
                continue;
            }
            std::fill_n(aside, tallest * panel, 0.0f);
            for (int64_t r = 0; r < height; r++) std::copy_n(to + r * l.outputs, width, aside + r * panel);
            multiply_of[height - 1](p, x + row * l.inputs + k, l.inputs, aside, panel);
            for (int64_t r = 0; r < height; r++) std::copy_n(aside + r * panel, width, to + r * l.outputs);
        }
    }
}

}  // namespace
}  // namespace headway

using namespace headway;

extern "C" int64_t headway_panel() { return panel; }

extern "C" uint64_t headway_sources() { return HEADWAY_SOURCES; }

extern "C" void headway_linear(const Linear* l, const float* x, float* y, int64_t rows) {
    const int64_t panels = (l->outputs + panel - 1) / panel;
#pragma omp parallel
    {
        const int64_t threads = omp_get_num_threads();
        const int64_t most = std::max<int64_t>(tallest, rows_bytes / (l->inputs * 4) / tallest * tallest);
        for (int64_t start = 0; start < rows; start += most) {
            const int64_t count = std::min(most, rows - start);
            // Panels that do not go evenly into threads are cut across, where there are rows enough for it.
            const int64_t cuts = panels % threads && count > tallest ? threads : 1;
            const int64_t height = rounded_up((count + cuts - 1) / cuts, tallest);
#pragma omp for schedule(static) nowait
            for (int64_t i = 0; i < panels * cuts; i++) {
                const int64_t first = start + i % cuts * height;
                const int64_t end = std::min(start + count, first + height);
                if (first < end) multiply_panel(*l, x, y, i / cuts, first, end);
            }
        }
    }
}
