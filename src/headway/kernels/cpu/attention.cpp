// Paged attention over one layer's cache: decodes and chunks, grouped heads, a sliding window.
//
// The keys of a sequence are cut into tiles at absolute positions, and a tile's share of a query's answer is
// a function of that query and that tile alone: scores are summed over dimensions in order, weights lane
// by lane, values key by key. Shares are then merged in order. So a query gets the same bits
// alone or in company, as a decode or in a chunk, whoever computes it and with however many threads.
//
// Floats in, floats out. What the arguments may be is checked by the caller, once a step.

#include <algorithm>
#include <utility>

#include "attention_plan.h"
#include "interface.h"
#include "vectors.h"

namespace headway {
namespace {

constexpr float log2_e = 1.44269504f;

// One thread's work on one item: its queries, a tile's K turned over, its V, and what is known so far.
class Worker {
  public:
    Worker(const Call& call, const Item& item)
        : call_(call), plan_(call.plan), item_(item), slice_(call.plan.slices + 4 * item.sequence),
          rows_(item.positions * call.group), wide_(call.wide) {
        const int64_t share = Share::floats(rows_, wide_), panel = tile_keys * wide_;
        float* p = scratch.floats(2 * panel + rows_ * (wide_ + tile_keys) + 2 * share);
        auto take = [&p](int64_t n) { return std::exchange(p, p + n); };
        keys_ = take(panel), values_ = take(panel);
        queries_ = take(rows_ * wide_), scores_ = take(rows_ * tile_keys);
        held_ = Share::at(take(share), rows_), tile_ = Share::at(take(share), rows_);
    }

    void run() {
        lay_out_queries();
        if (item_.parts >= 0) {
            for (int64_t tile = item_.tile_first; tile < item_.tile_end; tile++) {
                tile_ = Share::at(call_.part(item_, tile), rows_);
                look_at(tile);
            }
            return;
        }
        held_.clear(rows_, wide_);
        for (int64_t tile = item_.tile_first; tile < item_.tile_end; tile++) {
            look_at(tile);
            merge(held_, tile_, rows_, wide_);
        }
        write_out();
    }

    // Of an item whose tiles were looked at by others.
    void put_together(int64_t tiles_first, int64_t tiles_end) {
        held_.clear(rows_, wide_);
        for (int64_t tile = tiles_first; tile < tiles_end; tile++)
            merge(held_, Share::at(call_.part(item_, tile), rows_), rows_, wide_);
        write_out();
    }

  private:
    int64_t position(int64_t row) const { return slice_[2] + item_.first + row / call_.group; }
    int64_t sees_from(int64_t row) const {
        return plan_.window ? std::max<int64_t>(0, position(row) - plan_.window + 1) : 0;
    }

    // Blocks of `tallest` rows, [dim][rows of the block], so that one address leads to all. In powers of two.
    void lay_out_queries() {
        for (int64_t row = 0; row < rows_; row++) {
            const int64_t block = row / tallest * tallest, height = std::min<int64_t>(tallest, rows_ - block);
            const float* q = call_.query(slice_[0] + item_.first + row / call_.group,
                                         item_.kv_head * call_.group + row % call_.group);
            float* to = queries_ + block * plan_.head_dim + row - block;
            for (int64_t d = 0; d < plan_.head_dim; d++) to[d * height] = q[d] * (plan_.scale * log2_e);
        }
    }

    // One tile's share in `tile_`.
    void look_at(int64_t tile) {
        const int64_t origin = tile * tile_keys;
        const int64_t first = std::max<int64_t>(sees_from(0) - origin, 0);
        const int64_t end = std::min(position(rows_ - 1) + 1 - origin, tile_keys);
        find(origin, first, end);
        turn_keys_over(first, end);
        if (rows_ > tallest || wide_ != plan_.head_dim) copy_values(first, end);
        const int64_t from = first / lanes, to = (end + lanes - 1) / lanes;
        for (int64_t block = 0; block < rows_; block += tallest) {
            const int64_t height = std::min<int64_t>(tallest, rows_ - block);
            for (int64_t v = from; v < to; v += widest)
                scores_of[std::min<int64_t>(widest, to - v) - 1][height - 1](
                    queries_ + block * plan_.head_dim, keys_ + v * lanes,
                    scores_ + block * tile_keys + v * lanes, plan_.head_dim);
            for (int64_t row = block; row < block + height; row++) weigh(row, origin, from, to);
            for (int64_t d = 0; d < wide_; d += widest * lanes)
                mix_of[std::min<int64_t>(widest, (wide_ - d) / lanes) - 1][height - 1](
                    scores_ + block * tile_keys, value_of_, first, end, d, tile_.mixed + block * wide_,
                    wide_);
        }
    }

    // Where the tile's keys lie, those that some row sees.
    void find(int64_t origin, int64_t first, int64_t end) {
        const int64_t* table = plan_.tables + slice_[3];
        const int64_t step = plan_.kv_heads * plan_.head_dim;
        for (int64_t key = first; key < end;) {
            const int64_t block = (origin + key) / plan_.block_size;
            const int64_t offset = (origin + key) % plan_.block_size;
            const int64_t stop = std::min(end, key + plan_.block_size - offset);
            int64_t at = (table[block] * plan_.block_size + offset) * step + item_.kv_head * plan_.head_dim;
            for (; key < stop; key++, at += step) {
                key_of_[key] = call_.keys + at;
                value_of_[key] = call_.values + at;
            }
        }
    }

    // To [dim][key], zeros where no row sees the key: what lies there may be anything.
    void turn_keys_over(int64_t first, int64_t end) {
        const int64_t dim = plan_.head_dim;
        for (int64_t group = first / lanes * lanes; group < end; group += lanes) {
            for (int64_t key = std::max(first, group); key < std::min(end, group + lanes); key++)
                for (int64_t d = 0; d < dim; d += 16) {
                    __builtin_prefetch(value_of_[key] + d);
                    if (key + lanes < end) __builtin_prefetch(key_of_[key + lanes] + d);
                }
            for (int64_t d = 0; d < dim; d += lanes)
                if (group >= first && group + lanes <= end && d + lanes <= dim)
                    turn_over(key_of_ + group, d, keys_ + d * tile_keys + group);
                else
                    turn_some_over(group, std::max(first, group), std::min(end, group + lanes), d);
        }
    }

    // Kept out of the loop above, where its branches would cost the whole ones their registers.
    __attribute__((noinline)) void turn_some_over(int64_t group, int64_t first, int64_t end, int64_t d) {
        alignas(64) float filled[lanes * lanes] = {};
        const float* rows[lanes];
        for (int64_t i = 0; i < lanes; i++) rows[i] = filled + i * lanes;
        for (int64_t key = first; key < end; key++)
            std::copy_n(key_of_[key] + d, std::min<int64_t>(lanes, plan_.head_dim - d),
                        filled + (key - group) * lanes);
        turn_over(rows, 0, keys_ + d * tile_keys + group);
    }

    // Side by side and filled up to whole vectors: heads a power of two apart would push each other out.
    void copy_values(int64_t first, int64_t end) {
        for (int64_t key = first; key < end; key++) {
            float* to = values_ + key * wide_;
            std::memcpy(to, value_of_[key], static_cast<size_t>(plan_.head_dim) * 4);
            std::fill(to + plan_.head_dim, to + wide_, 0.0f);
            value_of_[key] = to;
        }
    }

    // A row's scores become weights, 0 for keys that it does not see.
    void weigh(int64_t row, int64_t origin, int64_t from, int64_t to) {
        float* scores = scores_ + row * tile_keys;
        const int32_t low = static_cast<int32_t>(std::max(sees_from(row) - origin, from * lanes));
        const int32_t high = static_cast<int32_t>(std::min(position(row) + 1 - origin, to * lanes));
        Vector most = splat(nothing);
        for (int64_t v = from; v < to; v++) {
            Vector s = load(scores + v * lanes);
            if (v * lanes < low || (v + 1) * lanes > high) {
                const Mask key = counting() + static_cast<int32_t>(v * lanes);
                s = (key >= low) & (key < high) ? s : splat(nothing);
                store(scores + v * lanes, s);
            }
            most = s < most ? most : s;
        }
        const float peak = largest(most);
        const Vector floor = splat(peak == nothing ? 0.0f : peak);
        Vector total = {};
        for (int64_t v = from; v < to; v++) {
            const Vector weight = exp2(load(scores + v * lanes) - floor);
            store(scores + v * lanes, weight);
            total += weight;
        }
        tile_.most[row] = peak;
        tile_.sum[row] = sum(total);
    }

    void write_out() const {
        for (int64_t row = 0; row < rows_; row++) {
            float* to = call_.answer(slice_[0] + item_.first + row / call_.group,
                                     item_.kv_head * call_.group + row % call_.group);
            const float* from = held_.mixed + row * wide_;
            for (int64_t d = 0; d < plan_.head_dim; d++) to[d] = from[d] / held_.sum[row];
        }
    }

    const Call& call_;
    const Attention& plan_;
    const Item& item_;
    const int64_t* slice_;
    const int64_t rows_, wide_;
    const float* key_of_[tile_keys];
    const float* value_of_[tile_keys];
    float *keys_, *values_, *queries_, *scores_;
    Share held_, tile_;
};

}  // namespace
}  // namespace headway

extern "C" void headway_attend(const Attention* plan, const float* qkv, const float* keys,
                               const float* values, float* out) {
    using namespace headway;
    Call call{*plan, qkv, keys, values, out, plan->heads / plan->kv_heads, rounded_up(plan->head_dim, lanes),
              nullptr, {}, {}};
    plan_items(call);
    const auto items = static_cast<int64_t>(call.items.size());
    const auto joins = static_cast<int64_t>(call.joins.size());
#pragma omp parallel
    {
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < items; i++) Worker(call, call.items[i]).run();
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < joins; i++) {
            const Item& join = call.joins[i];
            Worker(call, join).put_together(join.tile_first, join.tile_end);
        }
    }
}
