// Which format a weight type in blocks has.
#pragma once
#include "kernels/cuda/line_formats.h"

namespace nextoken::cuda {

template <class Format>
struct Of {
  using F = Format;
};

/// of32(Of<F>) or of256(Of<F>); false for a type that is not in blocks, or not known here.
template <class Of32, class Of256>
bool with_format(WeightType type, Of32 of32, Of256 of256) {
  switch (type) {
    case WeightType::q4_0:
      return of32(Of<Q4<false>>()), true;
    case WeightType::q4_1:
      return of32(Of<Q4<true>>()), true;
    case WeightType::q5_0:
      return of32(Of<Q5<false>>()), true;
    case WeightType::q5_1:
      return of32(Of<Q5<true>>()), true;
    case WeightType::q8_0:
      return of32(Of<Q8_0>()), true;
    case WeightType::iq4_nl:
      return of32(Of<IQ4_NL>()), true;
    case WeightType::mxfp4:
      return of32(Of<MXFP4>()), true;
    case WeightType::nvfp4:
      return of32(Of<NVFP4>()), true;
    case WeightType::q2_k:
      return of256(Of<Q2_K>()), true;
    case WeightType::q3_k:
    case WeightType::tq1_0:
    case WeightType::tq2_0:
      return of256(Of<Q3_K>()), true;
    case WeightType::q4_k:
      return of256(Of<Q4_K>()), true;
    case WeightType::q5_k:
      return of256(Of<Q5_K>()), true;
    case WeightType::q6_k:
      return of256(Of<Q6_K>()), true;
    case WeightType::iq1_s:
    case WeightType::iq2_xxs:
      return of256(Of<Table<8, 3>>()), true;
    case WeightType::iq1_m:
    case WeightType::iq2_xs:
    case WeightType::iq2_s:
      return of256(Of<Table<16, 3>>()), true;
    case WeightType::iq3_xxs:
    case WeightType::iq3_s:
    case WeightType::iq4_xs:
      return of256(Of<Table<8, 4>>()), true;
    default:
      return false;
  }
}

} // namespace nextoken::cuda
