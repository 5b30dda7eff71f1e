// Hashes of the kernels that write, read and attend to the cache.
#pragma once
#include "hash_record.h"
#include "kernels/table.h"

void attention_hashes(const nextoken::KernelTable& kernels, Record& record);
