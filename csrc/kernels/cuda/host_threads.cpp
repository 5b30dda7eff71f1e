// Between stacks one jumps: what makes them, ucontext, would ask the system about signals each time.
#undef _FORTIFY_SOURCE // which takes a jump to another stack for a mistake
#if defined(__APPLE__)
#define _XOPEN_SOURCE 700
#endif
#include "kernels/cuda/host_threads.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

namespace nextoken::cuda {
namespace {

constexpr int WARP_THREADS = 32;
constexpr size_t STACK_BYTES = 64 << 10;

enum class State : uint8_t { runs, waits_for_warp, waits_for_block, ended };

struct Fiber {
  ucontext_t start;
  sigjmp_buf place;
  State state = State::ended;
  bool begun = false;
};

/// Kept from launch to launch: to map them anew takes longer than most kernels.
char* stacks(size_t bytes) {
  thread_local std::vector<char> kept;
  if (kept.size() < bytes) kept = std::vector<char>(bytes);
  return kept.data();
}

} // namespace

struct HostThreads::Fibers {
  std::vector<Fiber> all;
  bool backwards;
  std::function<void(int)> run;
  sigjmp_buf scheduler;
  std::exception_ptr thrown;

  /// A fiber's life: block after block.
  [[noreturn]] void live(int thread) {
    for (;;) {
      try {
        run(thread);
      } catch (...) {
        thrown = std::current_exception();
      }
      pause(all[(size_t)thread], State::ended);
    }
  }
  static void enter(unsigned upper, unsigned lower, int thread) {
    reinterpret_cast<Fibers*>((uintptr_t)upper << 32 | lower)->live(thread);
  }
  void resume(Fiber& fiber) {
    if (sigsetjmp(scheduler, 0)) return;
    fiber.state = State::runs;
    if (fiber.begun) siglongjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.start);
  }
  void pause(Fiber& fiber, State state) {
    fiber.state = state;
    if (!sigsetjmp(fiber.place, 0)) siglongjmp(scheduler, 1);
  }

  /// Those whose waiting is over: whole warps, or else the block.
  bool release(size_t begin, size_t end, State waiting) {
    const auto of = [&](size_t i) { return all.begin() + (std::ptrdiff_t)i; };
    if (!std::all_of(of(begin), of(end), [&](const Fiber& f) { return f.state == waiting; })) return false;
    std::for_each(of(begin), of(end), [](Fiber& f) { f.state = State::runs; });
    return true;
  }
  bool release() {
    bool some = false;
    for (size_t i = 0; i < all.size(); i += WARP_THREADS)
      some = release(i, i + WARP_THREADS, State::waits_for_warp) || some;
    return some || release(0, all.size(), State::waits_for_block);
  }
};

HostThreads::HostThreads(int n, bool backwards, std::function<void(int)> run)
    : fibers_(new Fibers{std::vector<Fiber>((size_t)n), backwards, std::move(run), {}, nullptr}) {
  char* stack = stacks((size_t)n * STACK_BYTES);
  const auto self = reinterpret_cast<uintptr_t>(fibers_.get());
  for (int t = 0; t < n; ++t, stack += STACK_BYTES) {
    ucontext_t& start = fibers_->all[(size_t)t].start;
    getcontext(&start);
    start.uc_stack.ss_sp = stack;
    start.uc_stack.ss_size = STACK_BYTES;
    makecontext(&start, reinterpret_cast<void (*)()>(&Fibers::enter), 3, (unsigned)(self >> 32), (unsigned)self, t);
  }
}

HostThreads::~HostThreads() = default;

void HostThreads::run_block() {
  std::vector<Fiber>& all = fibers_->all;
  for (Fiber& fiber : all) fiber.state = State::runs;
  do {
    for (size_t i = 0; i < all.size(); ++i) {
      Fiber& fiber = all[fibers_->backwards ? all.size() - 1 - i : i];
      if (fiber.state == State::runs) fibers_->resume(fiber);
    }
    if (fibers_->thrown) std::rethrow_exception(fibers_->thrown);
  } while (fibers_->release());
  if (!std::all_of(all.begin(), all.end(), [](const Fiber& f) { return f.state == State::ended; }))
    throw std::logic_error("threads of a block wait in different places");
}

void HostThreads::wait(int thread, Wait for_whom) {
  fibers_->pause(fibers_->all[(size_t)thread], for_whom == Wait::warp ? State::waits_for_warp : State::waits_for_block);
}

} // namespace nextoken::cuda
