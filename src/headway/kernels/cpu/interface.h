// What Python may call, by ctypes: plain C, sizes in 64 bits. `library.py` mirrors it. Python checks sizes.
#pragma once

#include <cstdint>

struct Attention {
    int64_t heads, kv_heads, head_dim, block_size;
    int64_t window;     // how many keys a query sees, its own among them; 0: all before it
    int64_t sequences;  // how many there are of them
    const int64_t* slices;  // [sequences][4]: first row, count, start, where its table begins in `tables`
    const int64_t* tables;
    float scale;
};

struct Turn {
    int64_t rows, heads, kv_heads, head_dim;
    const int64_t* slots;     // [rows]
    const float *cos, *sin;   // [rows][head_dim / 2]
    const float *q_norm, *k_norm;  // [head_dim], or neither
    float eps;
};

struct Linear {
    int64_t inputs, outputs;
    const float* weights;  // [panels][inputs][panel], the last panel filled up with zeros
    const float* bias;     // [outputs], or null
};

#pragma GCC visibility push(default)
extern "C" {

// The mix of V that each query [rows][heads] of `qkv` [rows][heads + 2 kv_heads][head_dim] sees.
void headway_attend(const Attention* plan, const float* qkv, const float* keys, const float* values,
                    float* out);

// Norm where asked, turn by position, write K and V to their slots. Queries are turned in place.
void headway_turn(const Turn* plan, float* qkv, float* keys, float* values);

// x += added, unless that is null; then out = x / rms(x) * weight.
void headway_add_norm(float* x, const float* added, const float* weight, float eps, float* out, int64_t rows,
                      int64_t width);

// out = silu(gate) * up, of [rows][gate, up].
void headway_silu_gate(const float* gate_up, float* out, int64_t rows, int64_t width);

// y [rows][outputs] = x [rows][inputs] W^T + b.
void headway_linear(const Linear* map, const float* x, float* y, int64_t rows);

// How many outputs a panel of weights holds.
int64_t headway_panel();

// The digest of all sources that setup.py took when it built this library.
uint64_t headway_sources();

// Where this library finds OpenMP: the caller compares it with where torch does.
const void* headway_openmp();

}
#pragma GCC visibility pop
