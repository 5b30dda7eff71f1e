// What a load will read: every tensor checked against the spec and the file before any memory is taken.
#pragma once
#include <cfloat>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/fingerprint.h"
#include "model/load.h"
#include "model/model.h"

namespace nextoken {

/// A matrix of the model and where its rows come from.
struct PlannedMatrix {
  Matrix* matrix;
  const TensorSource* source;
  int64_t row_bytes; // in the file
  int64_t place;     // in storage
};

class Plan {
 public:
  /// `check`: weights must be finite.
  Plan(const TensorSources& sources, const File& file, bool check) : check(check), sources_(sources), file_(file) {}

  bool has(const std::string& role) const { return sources_.count(role) != 0; }

  void matrix(const std::string& role, int64_t n_rows, int64_t k, Matrix& m);

  /// Of finite numbers, each at least `least`; any numbers where neither `check` nor a bound asks. Read at once.
  void vector(const std::string& role, int64_t n, std::vector<float>& v, float least = -FLT_MAX);

  /// The biases of matrices whose outputs stand side by side: empty if the file has none of them, zero where it lacks
  /// one.
  struct Bias {
    std::string role;
    int64_t n;
  };
  void biases(const std::vector<Bias>& parts, std::vector<float>& v);

  /// Throws FormatError that names the roles no tensor plays.
  void require_complete() const;

  const bool check;
  std::vector<PlannedMatrix> matrices;
  int64_t storage_bytes = 0, file_bytes = 0;
  Fingerprint fingerprint;

 private:
  const TensorSource* find(const std::string& role);
  void require_bytes(const TensorSource& source, int64_t nbytes) const;

  const TensorSources& sources_;
  const File& file_;
  std::vector<std::string> missing_;
};

/// Everything a model of that spec consists of.
void plan_weights(const Spec& spec, Plan& plan, Weights& weights);

} // namespace nextoken
