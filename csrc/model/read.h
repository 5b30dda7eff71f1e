// Reading the planned matrices into their final place, in parallel, converted on the way where the plan says so.
#pragma once
#include "base/poll.h"
#include "base/thread_pool.h"
#include "kernels/device.h"
#include "model/pass.h"
#include "model/plan.h"

namespace nextoken {

/// Fills `storage`, plan.storage_bytes of it, and points the matrices at it. Beside it takes some 300 KiB a thread; and
/// where storage is a device's two buffers of 32 MiB, or of a piece of a file if that is larger.
void read_matrices(Plan& plan, uint8_t* storage, Device* device, ThreadPool& pool, Poll* poll,
                   const Progress& progress);

} // namespace nextoken
