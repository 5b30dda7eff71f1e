// How a long native call asks whether to go on.
#pragma once

namespace nextoken {

/// Called on the calling thread once a work piece; throws to stop the call. Cheap enough for that.
class Poll {
 public:
  virtual ~Poll() = default;
  virtual void operator()() = 0;
};

} // namespace nextoken
