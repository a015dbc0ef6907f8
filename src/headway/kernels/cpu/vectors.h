// Vectors of floats as wide as the instruction set that this file is compiled for, and what is done with
// them. Compiler extensions in place of intrinsics: one source serves every set, also those not from Intel.
//
// Nothing here may be compiled with -ffast-math: masks are infinities, and a NaN must come out as one.
#pragma once

#include <cstdint>
#include <cstring>

namespace headway {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif

// How many vectors wide a block of accumulators is: 6 rows of so many, with operands, fill the registers.
#if defined(__AVX512F__)
constexpr int widest = 4;
#else
constexpr int widest = 2;
#endif
constexpr int tallest = 6;

typedef float Vector __attribute__((vector_size(lanes * 4)));
typedef int32_t Mask __attribute__((vector_size(lanes * 4)));
typedef float Loose __attribute__((vector_size(lanes * 4), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
inline void store(float* to, Vector v) { *reinterpret_cast<Loose*>(to) = v; }
inline Vector splat(float x) { return x - Vector{}; }

inline int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

inline Mask counting() {
    Mask m;
    for (int i = 0; i < lanes; i++) m[i] = i;
    return m;
}

// The first `n` of the floats at `from`, then zeros; what lies behind them is not touched.
inline Vector load_some(const float* from, int64_t n) {
    Vector v = {};
    std::memcpy(&v, from, static_cast<size_t>(n) * 4);
    return v;
}

inline float sum(Vector v) {
    float total = 0;
    for (int i = 0; i < lanes; i++) total += v[i];
    return total;
}

inline float largest(Vector v) {
    float most = v[0];
    for (int i = 1; i < lanes; i++) most = v[i] > most ? v[i] : most;
    return most;
}

// 2^x with an error of about one unit in the last place; 0 below 2^-126, 2^126 above it, NaN for NaN.
inline Vector exp2(Vector x) {
    const Vector low = splat(-126.0f), high = splat(126.0f), shift = splat(12582912.0f);  // 1.5 * 2^23
    Vector in = x < low ? low : x;
    in = in > high ? high : in;
    const Vector shifted = in + shift;  // its lowest bits are the nearest whole number
    const Vector f = in - (shifted - shift);
    Vector y = f * 1.52527338e-5f + 1.54035304e-4f;
    y = y * f + 1.33335581e-3f;
    y = y * f + 9.61812911e-3f;
    y = y * f + 5.55041087e-2f;
    y = y * f + 2.40226507e-1f;
    y = y * f + 6.93147181e-1f;
    y = y * f + 1.0f;
    y = reinterpret_cast<Vector>(reinterpret_cast<Mask>(y) + (reinterpret_cast<Mask>(shifted) << 23));
    y = x < low ? Vector{} : y;
    return x == x ? y : x;  // a NaN's own lower bits went into the exponent above
}

inline Vector interleaved(Vector a, Vector b, int half) {
#if defined(__clang__)
    Vector out;  // clang finds the shuffle in this
    for (int i = 0; i < lanes; i++) out[i] = (i % 2 ? b : a)[half * lanes / 2 + i / 2];
    return out;
#else
    Mask from;
    for (int i = 0; i < lanes; i++) from[i] = half * lanes / 2 + i / 2 + i % 2 * lanes;
    return __builtin_shuffle(a, b, from);
#endif
}

// Rows become columns: the perfect shuffle, once for each bit of a lane's number.
inline void transpose(Vector (&rows)[lanes]) {
    Vector next[lanes];
#pragma GCC unroll 4
    for (int width = 1; width < lanes; width *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < lanes / 2; i++) {
            next[2 * i] = interleaved(rows[i], rows[i + lanes / 2], 0);
            next[2 * i + 1] = interleaved(rows[i], rows[i + lanes / 2], 1);
        }
#pragma GCC unroll 16
        for (int i = 0; i < lanes; i++) rows[i] = next[i];
    }
}

}  // namespace headway
