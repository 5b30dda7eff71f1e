// The last step of a load: what the pass reads of each layer, from the spec.
#pragma once
#include "model/model.h"

namespace nextoken {

void connect(Model& model);

} // namespace nextoken
