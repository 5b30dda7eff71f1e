// Reading the planned matrices into their final place, in parallel, converted on the way where the plan says so.
#pragma once
#include "base/poll.h"
#include "base/thread_pool.h"
#include "model/pass.h"
#include "model/plan.h"

namespace nextoken {

/// Fills `storage`, plan.storage_bytes of it, and points the matrices at it. Beside it takes some 300 KiB a thread.
void read_matrices(Plan& plan, uint8_t* storage, ThreadPool& pool, Poll* poll, const Progress& progress);

} // namespace nextoken
