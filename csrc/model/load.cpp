#include "model/load.h"

#include "kernels/cpu_kernels.h"
#include "kernels/table.h"
#include "model/connect.h"
#include "model/plan.h"
#include "model/read.h"

namespace nextoken {

std::unique_ptr<Model> load_model(const Spec& spec, const TensorSources& sources, const std::vector<std::string>& paths,
                                  const std::vector<const File*>& headers, int n_threads, const char* isa, bool check,
                                  Poll* poll, const Progress& progress) {
  validate(spec);
  const KernelTable& table = kernel_table(isa);
  std::vector<File> files;
  for (const std::string& path : paths) files.emplace_back(path);
  for (size_t i = 0; i < files.size() && i < headers.size(); ++i) files[i].check_same(*headers[i]);
  auto model = std::make_unique<Model>();
  model->spec = spec;
  Plan plan(sources, files, check);
  plan_weights(spec, plan, model->weights);

  require_memory(plan.storage_bytes, "the weights");
  model->weights.storage = Buffer(plan.storage_bytes, "the weights");
  model->pool = std::make_unique<ThreadPool>(n_threads);
  model->kernels = std::make_unique<CpuKernels>(table, *model->pool);
  plan.fingerprint.add(spec);
  read_matrices(plan, model->weights.storage.data(), *model->pool, poll, progress);
  for (const File& file : files) file.check_unchanged();
  model->fingerprint = plan.fingerprint.hex();
  connect(*model);
  return model;
}

} // namespace nextoken
