// Sums of exponentials in one pass over numbers that may be of any size.
#pragma once
#include "row.cuh"

constexpr int ignore_index = -100; // the target of rows that do not count
constexpr float lowest = -1e30f; // below all logits, and finite: differences are no NaN

// Step is a change of a largest number: by how much, and what exponentials shrink by.
struct Step {
  float by, factor;
};

// Exponentials are Σ exp(z - top) of the numbers seen so far, top being the largest of them, at least `lowest`.
struct Exponentials {
  float top = lowest, sum = 0.f;

  // reach makes top the given number, which is no smaller. What a caller sums up along with it changes by the step.
  MEMBER Step reach(float to) {
    Step s = {to - top, fast_exp(top - to)};
    sum *= s.factor;
    top = to;
    return s;
  }
  template <int M> MEMBER float largest(const float (&z)[M]) const {
    float t = top;
    LOOP_UNROLLED for (int i = 0; i < M; i++) t = fmaxf(t, z[i]);
    return t;
  }
  // add takes M numbers; -INFINITY stands for nothing.
  template <int M> MEMBER void add(const float (&z)[M]) {
    reach(largest(z));
    LOOP_UNROLLED for (int i = 0; i < M; i++) sum += fast_exp(z[i] - top);
  }
};
