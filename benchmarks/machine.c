/* What the machine can do: fused multiply-adds of a core and a stream through memory. */
#define CHAINS 12 /* more than latency times ports, and few enough for 16 registers */

/* All numbers come from the caller: of a chain whose numbers it knows, the compiler computes the end itself. */
#define FMA(BYTES)                                                                    \
  float fma##BYTES(long steps, const float* starts, float factor, float term) {       \
    typedef float vector __attribute__((vector_size(BYTES)));                         \
    const vector zero = {0}, factors = zero + factor, terms = zero + term;            \
    vector sums[CHAINS], sum = zero;                                                  \
    for (int i = 0; i < CHAINS; ++i) sums[i] = zero + starts[i];                      \
    for (long k = 0; k < steps; ++k) {                                                \
      _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; ++i)                       \
        sums[i] = sums[i] * factors + terms;                                          \
    }                                                                                 \
    for (int i = 0; i < CHAINS; ++i) sum += sums[i];                                  \
    return sum[0];                                                                    \
  }

FMA(32)
FMA(64)

void triad(long n, double* restrict a, const double* restrict b, const double* restrict c) {
  for (long i = 0; i < n; ++i) a[i] = b[i] + 0.5 * c[i];
}
