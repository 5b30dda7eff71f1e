// Attention over latents. A block becomes floats once for all rows of a call, as keys and, where values can not be read
// as they stand, later as values: with the heads of a model sharing it that costs little, and it stands in memory once.

static void latent_values(const AttentionArgs& args, int64_t segment, int64_t b, Span seen_keys, const void* block,
                          const Workspace& w, float* out, int64_t out_stride) {
  const int64_t stride = padded16(args.head_dim);
  if (args.kv_type == KvType::f32) {
    const float* const v = (const float*)block;
    value_tiles(args, segment, b, v, stride, v, w, out, out_stride);
  } else if (args.kv_type == KvType::f16 && tile_count(args.n_tokens * args.group) < TILES_WORTH_EXPANDING) {
    const uint16_t* const v = (const uint16_t*)block;
    value_tiles(args, segment, b, v, stride, v, w, out, out_stride);
  } else {
    const float* const v = expand_values(args, block, seen_keys.begin, seen_keys.end, w.expanded);
    value_tiles(args, segment, b, v, padded16(args.latent_dim), v, w, out, out_stride);
  }
}

static void segment_latent(const AttentionArgs& args, int64_t segment, float* max, float* sum, float* out,
                           int64_t out_stride, const Workspace& w) {
  const int64_t rows = args.n_tokens * args.group, first = segment * (ATTENTION_SEGMENT / KV_BLOCK);
  const Span all = {seen(args, 0, segment).begin, seen(args, args.n_tokens - 1, segment).end};
  const int64_t begin = all.begin / KV_BLOCK, end = all.empty() ? begin : (all.end - 1) / KV_BLOCK + 1;
  for (int64_t b = begin; b < end; ++b) {
    const Span s = within_block(all, b);
    const float* const k = expand_keys(args, args.k_blocks[first + b], s.begin / 16, (s.end + 15) / 16, w.expanded);
    score_tiles(args, segment, b, k, k, w);
  }
  for (int64_t r = 0; r < rows; ++r) {
    weights_of_row(w.scores + r * ATTENTION_SEGMENT, seen(args, r / args.group, segment), RowBias(args, r, segment),
                   max + r, sum + r);
    for (int64_t d = 0; d < padded16(args.latent_dim); d += 16) store16(out + r * out_stride + d, zero16());
  }
  for (int64_t b = begin; b < end; ++b) {
    const Span s = within_block(all, b);
    latent_values(args, segment, b, s, args.k_blocks[first + b], w, out, out_stride);
  }
}
