// One tile of keys against a block of queries: scores, weighted sums of values, and the merging of shares.
//
// Every function here is of its arguments alone and sums in a fixed order; attention.cpp says why.
#pragma once

#include <algorithm>
#include <limits>

#include "vectors.h"

namespace headway {
namespace {

constexpr int64_t tile_keys = 128;        // a tile's K and V, 64 wide, lie in the cache nearest to a core
constexpr float nothing = -std::numeric_limits<float>::infinity();

// scores[row][key] of R rows and N vectors of keys. q: [dim][R]; k: [dim][tile_keys].
template <int R, int N>
void score(const float* q, const float* k, float* scores, int64_t dim) {
    Vector acc[R][N] = {};
    for (int64_t d = 0; d < dim; d++) {
        Vector keys[N];
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) keys[n] = load(k + d * tile_keys + n * lanes);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int n = 0; n < N; n++) acc[r][n] += q[d * R + r] * keys[n];
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) store(scores + r * tile_keys + n * lanes, acc[r][n]);
}

// out[row][column ...] of R rows and N vectors: the sum of weights[row][key] * values[key], key by key.
template <int R, int N>
void mix(const float* weights, const float* const* values, int64_t first, int64_t end, int64_t column,
         float* out, int64_t stride) {
    Vector acc[R][N] = {};
    for (int64_t key = first; key < end; key++) {
        const float* value = values[key] + column;
        Vector v[N];
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) v[n] = load(value + n * lanes);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++)
#pragma GCC unroll 4
            for (int n = 0; n < N; n++) acc[r][n] += weights[r * tile_keys + key] * v[n];
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) store(out + r * stride + column + n * lanes, acc[r][n]);
}

using Score = void (*)(const float*, const float*, float*, int64_t);
using Mix = void (*)(const float*, const float* const*, int64_t, int64_t, int64_t, float*, int64_t);

#define ROWS(f, n) {f<1, n>, f<2, n>, f<3, n>, f<4, n>, f<5, n>, f<6, n>}
#if defined(__AVX512F__)
const Score scores_of[widest][tallest] = {ROWS(score, 1), ROWS(score, 2), ROWS(score, 3), ROWS(score, 4)};
const Mix mix_of[widest][tallest] = {ROWS(mix, 1), ROWS(mix, 2), ROWS(mix, 3), ROWS(mix, 4)};
#else
const Score scores_of[widest][tallest] = {ROWS(score, 1), ROWS(score, 2)};
const Mix mix_of[widest][tallest] = {ROWS(mix, 1), ROWS(mix, 2)};
#endif

// `lanes` dimensions from `d` on of `lanes` keys, to [dim][tile_keys].
inline void turn_over(const float* const* keys, int64_t d, float* to) {
    Vector rows[lanes];
#pragma GCC unroll 16
    for (int i = 0; i < lanes; i++) rows[i] = load(keys[i] + d);
    transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; i++) store(to + i * tile_keys, rows[i]);
}

// What some keys say to some rows: the largest score, the weights' sum, the weighted sum of values.
struct Share {
    float *most, *sum, *mixed;

    static int64_t floats(int64_t rows, int64_t wide) { return rounded_up(rows, lanes) * 2 + rows * wide; }
    static Share at(float* p, int64_t rows) {
        const int64_t tall = rounded_up(rows, lanes);
        return {p, p + tall, p + 2 * tall};
    }
    void clear(int64_t rows, int64_t wide) const {
        std::fill_n(most, rounded_up(rows, lanes), nothing);
        std::fill_n(sum, rounded_up(rows, lanes), 0.0f);
        std::fill_n(mixed, rows * wide, 0.0f);
    }
};

// Never inlined: in one place the compiler rounds in one way, whoever calls.
__attribute__((noinline)) void merge(Share held, Share tile, int64_t rows, int64_t wide) {
    for (int64_t block = 0; block < rows; block += lanes) {
        const Vector old = load(held.most + block), found = load(tile.most + block);
        const Vector most = old > found ? old : found;
        const Vector floor = most == nothing ? Vector{} : most;  // who has seen nothing keeps nothing
        const Vector kept = exp2(old - floor), taken = exp2(found - floor);
        store(held.most + block, most);
        store(held.sum + block, kept * load(held.sum + block) + taken * load(tile.sum + block));
        for (int64_t row = block; row < std::min(block + lanes, rows); row++) {
            const float keep = kept[row - block], take = taken[row - block];
            float* to = held.mixed + row * wide;
            const float* from = tile.mixed + row * wide;
            for (int64_t d = 0; d < wide; d += lanes)
                store(to + d, keep * load(to + d) + take * load(from + d));
        }
    }
}

}  // namespace
}  // namespace headway
