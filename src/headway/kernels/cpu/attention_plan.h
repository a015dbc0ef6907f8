// How one call of attention is cut into items that threads take one by one, and the memory they work in.
//
// Only who does what is decided here. What comes out does not depend on it.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "attention_tiles.h"
#include "interface.h"

namespace headway {
namespace {

constexpr int64_t most_rows = 126;        // queries that share a tile's K and V: whole blocks of `tallest`
constexpr int64_t tiles_at_once = 4;      // of a decode, so that one long context keeps all threads busy

// Some rows of one sequence and one K/V head: positions x the query heads that share it. One whose tiles are
// looked at by several has room for their shares at `parts`, beginning with that of `tile_base`; else -1.
struct Item {
    int64_t sequence, kv_head, first, positions, tile_first, tile_end, parts, tile_base;
};

struct Freed {
    void operator()(float* p) const { std::free(p); }
};

// Grows and is kept: a thread's own, so nothing is allocated in a step once it has been as large.
class Scratch {
  public:
    float* floats(int64_t n) {
        if (n > held_) {
            kept_.reset(static_cast<float*>(std::aligned_alloc(64, rounded_up(n * 4, 64))));
            if (!kept_) std::abort();
            held_ = n;
        }
        return kept_.get();
    }

  private:
    std::unique_ptr<float, Freed> kept_;
    int64_t held_ = 0;
};

thread_local Scratch scratch, shared_parts;

// What all items of one call share.
struct Call {
    const Attention& plan;
    const float *qkv, *keys, *values;
    float* out;
    int64_t group;  // query heads of a K/V head
    int64_t wide;   // head_dim in whole vectors
    float* parts;
    std::vector<Item> items, joins;

    const float* query(int64_t row, int64_t head) const {
        return qkv + (row * (plan.heads + 2 * plan.kv_heads) + head) * plan.head_dim;
    }
    float* answer(int64_t row, int64_t head) const { return out + (row * plan.heads + head) * plan.head_dim; }
    float* part(const Item& item, int64_t tile) const;
};

float* Call::part(const Item& item, int64_t tile) const {
    return parts + item.parts + (tile - item.tile_base) * Share::floats(item.positions * group, wide);
}

void plan_items(Call& call) {
    const Attention& plan = call.plan;
    const int64_t together = std::max<int64_t>(1, most_rows / call.group);
    const int64_t share = Share::floats(call.group, call.wide);
    int64_t floats = 0;
    for (int64_t s = 0; s < plan.sequences; s++) {
        const int64_t count = plan.slices[4 * s + 1], start = plan.slices[4 * s + 2];
        for (int64_t first = 0; first < count; first += together) {
            const int64_t positions = std::min(together, count - first);
            const int64_t seen = plan.window ? std::max<int64_t>(0, start + first - plan.window + 1) : 0;
            const int64_t tile_first = seen / tile_keys;
            const int64_t tile_end = (start + first + positions - 1) / tile_keys + 1;
            const bool split = count == 1 && tile_end - tile_first > tiles_at_once;
            for (int64_t head = 0; head < plan.kv_heads; head++) {
                if (!split) {
                    call.items.push_back({s, head, first, positions, tile_first, tile_end, -1, 0});
                    continue;
                }
                call.joins.push_back({s, head, first, positions, tile_first, tile_end, floats, tile_first});
                for (int64_t tile = tile_first; tile < tile_end; tile += tiles_at_once)
                    call.items.push_back({s, head, first, positions, tile,
                                          std::min(tile_end, tile + tiles_at_once), floats, tile_first});
                floats += (tile_end - tile_first) * share;
            }
        }
    }
    call.parts = shared_parts.floats(floats);
}

}  // namespace
}  // namespace headway
