/* What the machine can do: fused multiply-adds of a core and a stream through memory. */
#define CHAINS 12 /* more than latency times ports, and few enough for 16 registers */

#define FMA(BYTES)                                                    \
  float fma##BYTES(long steps) {                                      \
    typedef float vector __attribute__((vector_size(BYTES)));         \
    vector sums[CHAINS], factor = {0}, sum = {0};                     \
    factor += 0.5f;                                                   \
    for (int i = 0; i < CHAINS; ++i) sums[i] = factor * (float)i;           \
    for (long k = 0; k < steps; ++k) {                                \
      _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; ++i)       \
        sums[i] = sums[i] * factor + factor;                          \
    }                                                                 \
    for (int i = 0; i < CHAINS; ++i) sum += sums[i];                  \
    return sum[0];                                                    \
  }

FMA(32)
FMA(64)

void triad(long n, double* restrict a, const double* restrict b, const double* restrict c) {
  for (long i = 0; i < n; ++i) a[i] = b[i] + 0.5 * c[i];
}
