// What is done to each row by itself: add and norm, turn and write to the cache, gate. A row gets the same
// bits whatever stands beside it.

#include <algorithm>
#include <cmath>

#include <omp.h>

#include "interface.h"
#include "vectors.h"

namespace headway {
namespace {

constexpr int64_t worth_sharing = 1 << 13;  // floats; below it, waking the threads costs more than they save

float root_mean_square(const float* x, int64_t width, float eps) {
    Vector squares = {};
    int64_t i = 0;
    for (; i + lanes <= width; i += lanes) squares += load(x + i) * load(x + i);
    if (i < width) {
        const Vector rest = load_some(x + i, width - i);
        squares += rest * rest;
    }
    return std::sqrt(sum(squares) / static_cast<float>(width) + eps);
}

// Half a vector apart on both sides of the middle: dimension i turns with i + dim / 2.
void turn(float* from, float* to, const float* cos, const float* sin, int64_t half) {
    for (int64_t i = 0; i < half; i++) {
        const float a = from[i], b = from[i + half];
        to[i] = a * cos[i] - b * sin[i];
        to[i + half] = b * cos[i] + a * sin[i];
    }
}

void norm_head(float* head, const float* weight, int64_t dim, float eps) {
    const float scale = 1.0f / root_mean_square(head, dim, eps);
    for (int64_t i = 0; i < dim; i++) head[i] *= scale * weight[i];
}

}  // namespace
}  // namespace headway

using namespace headway;

extern "C" void headway_turn(const Turn* plan, float* qkv, float* keys, float* values) {
    const int64_t dim = plan->head_dim, all = plan->heads + 2 * plan->kv_heads, kept = plan->kv_heads * dim;
#pragma omp parallel for schedule(static) if (plan->rows * all * dim >= worth_sharing)
    for (int64_t row = 0; row < plan->rows; row++) {
        float* heads = qkv + row * all * dim;
        const float *cos = plan->cos + row * dim / 2, *sin = plan->sin + row * dim / 2;
        float* key = keys + plan->slots[row] * kept;
        for (int64_t head = 0; head < plan->heads + plan->kv_heads; head++, heads += dim) {
            const bool query = head < plan->heads;
            if (plan->q_norm) norm_head(heads, query ? plan->q_norm : plan->k_norm, dim, plan->eps);
            turn(heads, query ? heads : key + (head - plan->heads) * dim, cos, sin, dim / 2);
        }
        std::copy_n(heads, kept, values + plan->slots[row] * kept);
    }
}

extern "C" void headway_add_norm(float* x, const float* added, const float* weight, float eps, float* out,
                                 int64_t rows, int64_t width) {
#pragma omp parallel for schedule(static) if (rows * width >= worth_sharing)
    for (int64_t row = 0; row < rows; row++) {
        float* to = x + row * width;
        if (added)
            for (int64_t i = 0; i < width; i++) to[i] += added[row * width + i];
        const float scale = 1.0f / root_mean_square(to, width, eps);
        for (int64_t i = 0; i < width; i++) out[row * width + i] = to[i] * scale * weight[i];
    }
}

extern "C" void headway_silu_gate(const float* gate_up, float* out, int64_t rows, int64_t width) {
    const Vector one = splat(1.0f), to_base = splat(-1.44269504f);
    auto gated = [&](Vector gate, Vector up) { return gate / (one + exp2(gate * to_base)) * up; };
#pragma omp parallel for schedule(static) if (rows * width >= worth_sharing)
    for (int64_t row = 0; row < rows; row++) {
        const float *gate = gate_up + row * 2 * width, *up = gate + width;
        float* to = out + row * width;
        int64_t i = 0;
        for (; i + lanes <= width; i += lanes) store(to + i, gated(load(gate + i), load(up + i)));
        if (i < width) {
            const Vector rest = gated(load_some(gate + i, width - i), load_some(up + i, width - i));
            std::memcpy(to + i, &rest, static_cast<size_t>(width - i) * 4);
        }
    }
}

extern "C" const void* headway_openmp() { return reinterpret_cast<const void*>(&omp_get_max_threads); }
