// Activations on their way into a matmul: floats, and the int8 or bf16 forms its weights multiply with.
#pragma once
#include <cstdint>

#include "base/buffer.h"
#include "base/view.h"
#include "kernels/matrix.h"

namespace nextoken {

/// Room for `max_rows` rows of `max_k`; which forms are valid is known to who wrote them last. On a device, or in the
/// processor's memory if `memory` is null.
class Hidden {
 public:
  Hidden() = default;
  Hidden(int64_t max_rows, int64_t max_k, Memory* memory = nullptr);

  /// The float rows, now of k columns; the other forms are stale until quantised again.
  Rows<float> reset(int64_t rows, int64_t k);
  Rows<float> rows() const { return x_; }
  Activations form(ActivationForm form) const;

  struct Q32Row {
    int8_t* codes;
    float *scale, *scaled_sum;
    int32_t* sum;
  };
  struct Q256Row {
    int8_t* codes;
    float* scale;
    int32_t* sum;
  };
  Q32Row q32_row(int64_t row) const;
  Q256Row q256_row(int64_t row) const;
  /// Row `row` becomes row `from_row` of `from`, floats and those forms.
  void copy_row(int64_t row, const Hidden& from, int64_t from_row, unsigned forms);
  float* bf16_row(int64_t row) const { return bf16_.as<float>() + row * x_.stride; }

 private:
  Rows<float> x_;
  int64_t max_k_ = 0;
  Buffer float_, bf16_;
  Buffer codes32_, scale32_, scaled_sum32_, sum32_;
  Buffer codes256_, scale256_, sum256_;
};

/// Bit set of the forms the parts of a linear map need: bit (1 << form).
unsigned forms_of(const Linear& linear);

} // namespace nextoken
