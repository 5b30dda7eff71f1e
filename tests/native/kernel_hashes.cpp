// Every kernel of every instruction set that runs here, over made-up numbers: one hash a kernel.
//
//   kernel_hashes                      print "kernel hash" lines; 1 if instruction sets differ
//   kernel_hashes kernel_hashes.txt    compare with the lines on record too
//
// The same program runs on other processors, compilers and systems; it needs neither Python nor any other file.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "attention_hashes.h"
#include "base/exact_math.h"
#include "base/float_environment.h"
#include "hash_record.h"
#include "kernels/multiply.h"
#include "kernels/select.h"
#include "quant/pack.h"

using namespace nextoken;

namespace {

struct Weights {
  WeightType type;
  std::vector<int64_t> scales; // offsets of f16 scales in a block, or one less of bytes: they must stay finite
};
const Weights WEIGHTS[] = {{WeightType::f32, {}},      {WeightType::f16, {}},
                           {WeightType::bf16, {}},     {WeightType::q4_0, {0}},
                           {WeightType::q4_1, {0, 2}}, {WeightType::q5_0, {0}},
                           {WeightType::q5_1, {0, 2}}, {WeightType::q8_0, {0}},
                           {WeightType::q4_k, {0, 2}}, {WeightType::q5_k, {0, 2}},
                           {WeightType::q6_k, {208}},  {WeightType::q2_k, {80, 82}},
                           {WeightType::q3_k, {108}},  {WeightType::iq1_s, {0}},
                           {WeightType::iq2_xxs, {0}}, {WeightType::iq2_xs, {0}},
                           {WeightType::iq2_s, {0}},   {WeightType::iq3_xxs, {0}},
                           {WeightType::iq3_s, {0}},   {WeightType::iq4_nl, {0}},
                           {WeightType::iq4_xs, {0}},  {WeightType::tq1_0, {52}},
                           {WeightType::tq2_0, {64}},  {WeightType::iq1_m, {54}},
                           {WeightType::mxfp4, {-1}},  {WeightType::nvfp4, {-1, 0, 1, 2}}};

/// n elements as a file has them: any codes for types with codes, numbers for the others.
std::vector<uint8_t> random_weights(const Weights& w, int64_t n, Random& random) {
  const quant::TypeInfo& info = quant::type_info(w.type);
  std::vector<uint8_t> bytes((size_t)(n / info.block_size * info.block_bytes));
  if (w.scales.empty()) {
    quant::quantize(w.type, random.numbers(n).data(), n, bytes.data());
    return bytes;
  }
  for (uint8_t& b : bytes) b = (uint8_t)(random.word() >> 24);
  for (size_t block = 0; block < bytes.size(); block += (size_t)info.block_bytes)
    for (const int64_t at : w.scales) bytes[block + (size_t)at + 1] &= 0x8f; // below 2^-11, as scales are
  return bytes;
}

void matmuls(const KernelTable& kernels, Record& record) {
  for (const Weights& w : WEIGHTS) {
    const quant::TypeInfo& info = quant::type_info(w.type);
    const std::string name = info.name;
    for (const int64_t blocks : {1, 2, 3, 11}) {
      Random random((uint64_t)w.type * 100 + (uint64_t)blocks);
      const int64_t n_rows = 37, k = info.block_size == 1 ? 13 * blocks : info.block_size * blocks;
      const std::vector<uint8_t> bytes = random_weights(w, n_rows * k, random);
      const OwnedMatrix m = pack_matrix(w.type, bytes.data(), n_rows, k);
      for (const int64_t tokens : {1, 2, 3, 4, 5, 8, 13}) {
        const Floats x = random.numbers(tokens * k);
        Floats out((size_t)(tokens * n_rows));
        multiply(kernels, m.matrix, {x.data(), tokens, k, k}, {out.data(), tokens, n_rows, n_rows}, 2, 9);
        record.add("matmul " + name, out);
      }
      Floats row((size_t)k);
      for (int64_t r = 0; r < n_rows; ++r) {
        kernels.unpack_row(w.type, m.matrix.panels, m.matrix.panel_bytes, r, k, row.data());
        record.add("unpack_row " + name, row);
      }
      if (!quant::can_quantize(w.type)) continue;
      const Floats x = random.numbers(4 * k);
      std::vector<uint8_t> quantized((size_t)(4 * k / info.block_size * info.block_bytes));
      quant::quantize(w.type, x.data(), 4 * k, quantized.data());
      record.add("quantize " + name, quantized);
    }
  }
}

const char SMALLEST_NUMBERS[] = "matmul bf16 of the smallest numbers";

/// QEMU up to 10 flushes what would round up to 2^-126, as no x86 processor does. Asks one multiplication, no kernel:
/// on a processor a wrong kernel is never taken for a wrong emulator.
bool flushes_before_rounding() {
#if defined(__x86_64__)
  const unsigned mode = _mm_getcsr();
  volatile float a = 0x1.000002p-63f, b = 0x0.fffffep-63f, product;
  _mm_setcsr(mode | 0x8040); // FTZ, DAZ: as for bf16
  product = a * b;           // 2^-126 - 2^-172
  _mm_setcsr(mode);
  return product == 0.0f;
#else
  return false;
#endif
}

/// bf16 sums around 2^-126, where what is flushed to zero depends on when a result is rounded.
void smallest_numbers(const KernelTable& kernels, Record& record) {
  Random random(126);
  const auto number = [&] {
    const int exponents[] = {-63, -63, -63, -64, -75, -76, -80, -95};
    const uint32_t word = random.word();
    const float magnitude = std::ldexp(word % 8 ? 1.0f : 1.5f, exponents[word / 8 % 8]);
    return word & 64 ? -magnitude : magnitude;
  };
  const int64_t n_rows = 37, tokens = 9, k = 70;
  Floats weights((size_t)(n_rows * k)), x((size_t)(tokens * k)), out((size_t)(tokens * n_rows));
  for (float& w : weights) w = number();
  for (float& v : x) v = number();
  std::vector<uint8_t> bytes(weights.size() * 2);
  quant::quantize(WeightType::bf16, weights.data(), n_rows * k, bytes.data());
  const OwnedMatrix m = pack_matrix(WeightType::bf16, bytes.data(), n_rows, k);
  multiply(kernels, m.matrix, {x.data(), tokens, k, k}, {out.data(), tokens, n_rows, n_rows}, 2, 9);
  record.add(SMALLEST_NUMBERS, out);
}

void rows(const KernelTable& kernels, Record& record) {
  for (const int64_t n : {1, 2, 15, 16, 17, 31, 48, 255, 256, 257, 576, 1024, 1500, 2305}) {
    Random random((uint64_t)n);
    const Floats x = random.numbers(n), w = random.numbers(n);
    Floats y((size_t)n);
    kernels.rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
    record.add("rms_norm", y);
    for (const Gate gate : {Gate::silu, Gate::gelu_tanh}) {
      kernels.gated_activation(gate, x.data(), w.data(), n, y.data());
      record.add("gated_activation", y);
    }
    kernels.layer_norm(x.data(), w.data(), nullptr, 1e-5f, n, y.data());
    record.add("layer_norm", y);
    kernels.layer_norm(x.data(), w.data(), x.data(), 1e-5f, n, y.data());
    record.add("layer_norm", y);
    for (const Gate gate : {Gate::gelu, Gate::relu, Gate::relu_squared}) {
      kernels.activation(gate, x.data(), n, y.data());
      record.add("activation", y);
      kernels.gated_activation(gate, x.data(), w.data(), n, y.data());
      record.add("activation", y);
    }
    kernels.gated_activation(Gate::clamped_silu, x.data(), w.data(), n, y.data());
    record.add("clamped_silu", y);
    y = x;
    kernels.clamp(0.7f, n, y.data());
    record.add("clamp", y);
    y = x;
    kernels.add(w.data(), n, y.data());
    kernels.multiply(0.3f, n, y.data());
    kernels.soft_cap(7.0f, n, y.data());
    record.add("add multiply soft_cap", y);
    Floats largest(2);
    kernels.softmax(x.data(), n, y.data());
    kernels.max_sum_exp(x.data(), n, &largest[0], &largest[1]);
    record.add("softmax", y);
    record.add("softmax", largest);
    record.add("argmax", std::vector<int64_t>{kernels.argmax(x.data(), n)});
    const int64_t k = n / 256 * 256;
    std::vector<int8_t> codes((size_t)k);
    Floats scale((size_t)k), scaled_sum((size_t)k);
    std::vector<int32_t> sum((size_t)k);
    kernels.quantize_q32(x.data(), k, codes.data(), scale.data(), scaled_sum.data(), sum.data());
    record.add("quantize_q32", codes);
    record.add("quantize_q32", scaled_sum);
    kernels.quantize_q256(x.data(), k, codes.data(), scale.data(), sum.data());
    record.add("quantize_q256", codes);
    record.add("quantize_q256", scale);
    for (const RopePairs pairs : {RopePairs::adjacent, RopePairs::halves}) {
      y = x;
      kernels.rope(pairs, w.data(), w.data() + n / 2, n / 2 * 2, y.data());
      record.add("rope", y);
    }
  }
}

/// What no instruction set chooses, but compilers and processors could spoil.
void portable(Record& record) {
  Random random(1);
  std::vector<double> y;
  for (int i = 0; i < 20000; ++i) {
    const double x = random.number() * (i % 3 ? 20.0 : 3000.0);
    const double positive = std::fabs(x) + 1e-3;
    for (const double v : {exact_sin(x), exact_cos(x), exact_exp(-positive), exact_log(positive), exact_tanh(x),
                           exact_pow(positive, 0.7)})
      y.push_back(v);
  }
  record.add("exact_math", y);
}

std::map<std::string, uint64_t> hashes_of(const std::string& isa) {
  const DefaultFloatEnvironment environment;
  const KernelTable& kernels = kernel_table(isa.c_str());
  Record record;
  matmuls(kernels, record);
  if (!flushes_before_rounding()) smallest_numbers(kernels, record);
  rows(kernels, record);
  attention_hashes(kernels, record);
  portable(record);
  return record.hashes;
}

int differences(const std::map<std::string, uint64_t>& hashes, const std::map<std::string, uint64_t>& expected,
                const std::string& isa, const std::string& from) {
  int n = 0;
  for (const auto& [name, hash] : hashes) {
    const auto it = expected.find(name);
    if (it != expected.end() && it->second == hash) continue;
    std::printf("%s: '%s' differs from %s\n", isa.c_str(), name.c_str(), from.c_str());
    ++n;
  }
  return n;
}

std::map<std::string, uint64_t> on_record(const char* path) {
  std::ifstream file(path);
  std::map<std::string, uint64_t> expected;
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.rfind(' ');
    expected[line.substr(0, space)] = std::stoull(line.substr(space + 1), nullptr, 16);
  }
  return expected;
}

} // namespace

int main(int argc, char** argv) {
  if (flushes_before_rounding())
    std::fprintf(argc > 1 ? stdout : stderr,
                 "left out: '%s': this emulator flushes denormals before it rounds, as no x86 processor does\n",
                 SMALLEST_NUMBERS);
  const std::map<std::string, uint64_t> plain = hashes_of("scalar");
  int wrong = 0;
  for (const std::string& isa : kernel_names())
    if (isa != "scalar") wrong += differences(hashes_of(isa), plain, isa, "scalar");
  if (argc > 1) {
    std::map<std::string, uint64_t> expected = on_record(argv[1]);
    if (flushes_before_rounding()) expected.erase(SMALLEST_NUMBERS);
    wrong += differences(plain, expected, "scalar", argv[1]);
    wrong += differences(expected, plain, argv[1], "scalar");
    std::printf("kernel hashes:");
    for (const std::string& isa : kernel_names()) std::printf(" %s", isa.c_str());
    std::printf(wrong ? ": %d differ\n" : ": all equal\n", wrong);
  } else {
    for (const auto& [name, hash] : plain) std::printf("%s %016llx\n", name.c_str(), (unsigned long long)hash);
  }
  return wrong != 0;
}
