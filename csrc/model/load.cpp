#include "model/load.h"

#include <string>

#include "base/errors.h"
#include "kernels/cpu_kernels.h"
#include "kernels/table.h"
#include "model/connect.h"
#include "model/plan.h"
#include "model/read.h"

namespace nextoken {
namespace {

/// Experts of a layer multiply the same form of their activations.
void check_experts(const Weights& weights) {
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const std::vector<Expert>& experts = weights.layers[i].experts;
    for (size_t e = 1; e < experts.size(); ++e) {
      for (Matrix Expert::* member : {&Expert::gate, &Expert::up, &Expert::down}) {
        const Matrix &first = experts[0].*member, &other = experts[e].*member;
        if (first.form == other.form) continue;
        throw UnsupportedError("experts 0 and " + std::to_string(e) + " of layer " + std::to_string(i) +
                               " have weights of types " + quant::type_info(first.type).name + " and " +
                               quant::type_info(other.type).name + ", which are not multiplied side by side");
      }
    }
  }
}

/// Whether the device computes what this model needs and has room for its weights, before any memory is taken.
void check(const Device& device, const Plan& plan) {
  for (const PlannedMatrix& planned : plan.matrices) {
    if (device.multiplies(planned.matrix->type)) continue;
    throw UnsupportedError("tensor '" + planned.source->name + "' is of type " +
                           quant::type_info(planned.matrix->type).name + ", which " + device.name() +
                           " does not multiply with yet");
  }
  const int64_t free = device.free_bytes();
  if (plan.storage_bytes <= free) return;
  throw OutOfMemory("not enough memory for the weights on " + device.name() + ": " +
                    std::to_string(plan.storage_bytes) + " bytes needed, " + std::to_string(free) + " of " +
                    std::to_string(device.total_bytes()) + " free");
}

} // namespace

std::unique_ptr<Model> load_model(const Spec& spec, const TensorSources& sources, const std::vector<std::string>& paths,
                                  const std::vector<const File*>& headers, int n_threads, const char* isa,
                                  Device* device, bool check, Poll* poll, const Progress& progress) {
  validate(spec);
  const KernelTable& table = kernel_table(isa);
  std::vector<File> files;
  for (const std::string& path : paths) files.emplace_back(path);
  for (size_t i = 0; i < files.size() && i < headers.size(); ++i) files[i].check_same(*headers[i]);
  auto model = std::make_unique<Model>();
  model->spec = spec;
  Plan plan(sources, files, check);
  plan_weights(spec, plan, model->weights);
  check_experts(model->weights);
  if (device) nextoken::check(*device, plan);

  if (!device) require_memory(plan.storage_bytes, "the weights");
  model->weights.storage = Buffer(device, plan.storage_bytes, "the weights");
  model->pool = std::make_unique<ThreadPool>(n_threads);
  model->device = device;
  model->kernels = device ? device->make_kernels() : std::make_unique<CpuKernels>(table, *model->pool);
  plan.fingerprint.add(spec);
  read_matrices(plan, model->weights.storage.data(), device, *model->pool, poll, progress);
  for (const File& file : files) file.check_unchanged();
  model->fingerprint = plan.fingerprint.hex();
  connect(*model);
  return model;
}

} // namespace nextoken
