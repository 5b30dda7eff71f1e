// Rows of matrices whose numbers are codes times scales of a second tensor: FP8 and MXFP4 of Hugging Face folders.
#pragma once
#include <cstdint>
#include <vector>

#include "model/plan.h"

namespace nextoken {

/// Rows [first, last) of the matrix as its planned type: F32, each element its code times its scale in float, or MXFP4,
/// whose codes and scales stay what they are. NaN where a code or a scale is no number.
void read_scaled_rows(const Plan& plan, const PlannedMatrix& planned, int64_t first, int64_t last, uint8_t* out);

} // namespace nextoken
