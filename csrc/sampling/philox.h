// Random numbers that are a pure function of (seed, sequence, position): no state, so no order of calls matters.
#pragma once
#include <array>
#include <cstdint>

namespace nextoken::sampling {

/// Philox4x32-10; Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// A multiple of 2^-53 in [0, 1). The seed is the key, (position, sequence) the counter, each low word first.
double uniform(uint64_t seed, uint64_t sequence, uint64_t position);

} // namespace nextoken::sampling
