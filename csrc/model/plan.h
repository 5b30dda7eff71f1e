// What is to be read where: every tensor checked against the spec and the files before any memory is taken.
#pragma once
#include <cfloat>
#include <string>
#include <vector>

#include "base/file.h"
#include "kernels/matrix.h"
#include "model/fingerprint.h"
#include "model/model.h"
#include "model/sources.h"
#include "quant/pack.h"

namespace nextoken {

/// A matrix of the model and where its rows come from.
struct PlannedMatrix {
  Matrix* matrix;
  const TensorSource* source;
  int64_t offset;    // in the file
  WeightType type;   // of its rows as they are read: the source's, or f32 where columns were quantised
  int64_t row_bytes; // of such a row
  int64_t place;     // in storage
  int64_t index;     // of those that stand one behind the other in the tensor
  bool converted() const { return matrix->type != type; }
};

class Plan {
 public:
  Plan(const TensorSources& sources, const std::vector<File>& files, bool check)
      : check(check), sources_(sources), files_(files) {}

  bool has(const std::string& role) const { return sources_.count(role) != 0; }
  const File& file_of(const TensorSource& source) const { return files_[(size_t)source.file]; }
  const File& file_of(const Scales& scales) const { return files_[(size_t)scales.file]; }

  void matrix(const std::string& role, int64_t n_rows, int64_t k, Matrix& m);

  /// One matrix of each expert, from a tensor that has them one behind the other, or from one each: role.0, role.1, ...
  void experts(const std::string& role, int64_t n_rows, int64_t k, std::vector<Expert>& experts,
               Matrix Expert::* member);

  /// One matrix of each of n heads, from a tensor that has them one behind the other.
  void heads(const std::string& role, int64_t n, int64_t n_rows, int64_t k, std::vector<Matrix>& heads);

  /// Of finite numbers, each at least `least`; any numbers where neither `check` nor a bound asks. Read at once.
  void vector(const std::string& role, int64_t n, std::vector<float>& v, float least = -FLT_MAX);
  /// A norm of the spec's kind over n elements, and its bias, "<role>_bias", if the file has one.
  void norm(const Spec& spec, const std::string& role, int64_t n, Norm& norm);
  /// The weights of so many norms over `each` elements side by side: "<role>.0", "<role>.1" and on.
  void norms(const Spec& spec, const std::string& role, int64_t n, int64_t each, Norm& norm);
  /// The biases of matrices whose outputs stand side by side: empty if the file has none of them, zero where it lacks
  /// one.
  struct Bias {
    std::string role;
    int64_t n;
  };
  void biases(const std::vector<Bias>& parts, std::vector<float>& v);

  /// A vector of each expert, from a tensor that has them one behind the other; none if the file has none.
  void expert_biases(const std::string& role, int64_t n, std::vector<Expert>& experts,
                     std::vector<float> Expert::* member);

  /// Throws FormatError that names the roles asked for and not there.
  void require_complete() const;

  const bool check; // that weights are finite
  std::vector<PlannedMatrix> matrices;
  int64_t storage_bytes = 0, file_bytes = 0;
  Fingerprint fingerprint;

 private:
  /// The matrix that stands behind `index` others of its size; returns the bytes one takes in the file.
  int64_t add(const TensorSource& source, int64_t index, int64_t n_rows, int64_t k, Matrix& m);
  void stacked(const std::string& role, int64_t n_rows, int64_t k, const std::vector<Matrix*>& matrices);
  const TensorSource* find(const std::string& role);
  void require_bytes(const TensorSource& source, int64_t nbytes) const;
  void require_scales(const TensorSource& source, int64_t line, int64_t n_lines) const;

  const TensorSources& sources_;
  const std::vector<File>& files_;
  std::vector<std::string> missing_;
};

/// Everything a model of that spec consists of.
void plan_weights(const Spec& spec, Plan& plan, Weights& weights);

} // namespace nextoken
