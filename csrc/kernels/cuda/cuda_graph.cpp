// Graphs of launches, made node by node: nothing is captured from a stream, which several models may share.
#include "kernels/cuda/cuda_card.h"

namespace nextoken::cuda {
namespace {

/// `place` holds the address of the arguments, which the parameters point to.
cudaKernelNodeParams parameters(const Launch& launch, const Words* args, void** place) {
  cudaKernelNodeParams p{};
  *place = const_cast<Words*>(args);
  p.func = const_cast<void*>(launch.kernel);
  p.gridDim = dim3((unsigned)launch.grid.x, (unsigned)launch.grid.y, (unsigned)launch.grid.z);
  p.blockDim = dim3((unsigned)launch.threads);
  p.sharedMemBytes = (unsigned)launch.shared_bytes;
  p.kernelParams = place;
  return p;
}

/// A graph that can not be made is no failure of the card.
bool fine(cudaError_t result) {
  if (result != cudaSuccess) cudaGetLastError();
  return result == cudaSuccess;
}

} // namespace

Graph::Graph(Card& card, const std::vector<Launch>& launches, const std::vector<Words>& args) : card_(card) {
  if (!card_.ready() || !fine(cudaGraphCreate(&graph_, 0))) return;
  for (const Launch& launch : launches) {
    void* place = nullptr;
    const cudaKernelNodeParams p = parameters(launch, &args[(size_t)launch.args_at], &place);
    const cudaGraphNode_t* const before = nodes_.empty() ? nullptr : &nodes_.back();
    cudaGraphNode_t node = nullptr;
    if (!fine(cudaGraphAddKernelNode(&node, graph_, before, before ? 1 : 0, &p))) return;
    nodes_.push_back(node);
  }
  if (!fine(cudaGraphInstantiate(&made_, graph_, 0))) made_ = nullptr;
}

Graph::~Graph() {
  if (made_) cudaGraphExecDestroy(made_);
  if (graph_) cudaGraphDestroy(graph_);
}

bool Graph::update(size_t i, const Launch& launch, const Words* args) {
  void* place = nullptr;
  const cudaKernelNodeParams p = parameters(launch, args, &place);
  return fine(cudaGraphExecKernelNodeSetParams(made_, nodes_[i], &p));
}

bool Graph::launch() { return card_.ready() && fine(cudaGraphLaunch(made_, card_.stream_)); }

} // namespace nextoken::cuda
