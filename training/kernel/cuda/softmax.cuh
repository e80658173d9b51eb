// Sums of exponentials in one pass over numbers that may be of any size.
#pragma once
#include "row.cuh"

constexpr int ignore_index = -100; // the target of rows that do not count
constexpr float lowest = -1e30f; // below all logits, and finite: differences are no NaN

// Exponentials are Σ exp(z - top) of the numbers seen so far, top being the largest of them, at least `lowest`.
struct Exponentials {
  float top = lowest, sum = 0.f;

  // reach makes top the given number and returns it less the old one, by which what a caller sums up along with it changes.
  MEMBER float reach(float to) {
    float step = to - top;
    sum *= fast_exp(-step);
    top = to;
    return step;
  }
  template <int N> MEMBER float largest(const float (&z)[N]) const {
    float t = top;
    LOOP_UNROLLED for (int i = 0; i < N; i++) t = fmaxf(t, z[i]);
    return t;
  }
  // add takes N numbers; -INFINITY stands for nothing.
  template <int N> MEMBER void add(const float (&z)[N]) {
    reach(largest(z));
    LOOP_UNROLLED for (int i = 0; i < N; i++) sum += fast_exp(z[i] - top);
  }
};
