// Which kernels this machine can run. Apart from table.h, which the kernels themselves include.
#pragma once
#include <string>
#include <vector>

#include "kernels/table.h"

namespace nextoken {

/// The names kernel_table() takes on this machine, best first.
std::vector<std::string> kernel_names();

} // namespace nextoken
