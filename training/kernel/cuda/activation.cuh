// The activations of package kernel and their slopes.
#pragma once
#include "device.cuh"

enum { IDENTITY, GELU_TANH, GELU_ERF, SILU, QUICK_GELU }; // in the order of kernel.Activation

DEVICE float sigmoid(float x) { return 1.f / (1.f + fast_exp(-x)); }

// tanh of the polynomial in GELU's first form.
DEVICE float gelu_tanh(float x) {
  const float c = 0.7978845608028654f; // sqrt(2/pi)
  return 1.f - 2.f / (1.f + fast_exp(2.f * c * (x + 0.044715f * x * x * x)));
}

DEVICE float activation(int kind, float x) {
  switch (kind) {
  case GELU_TANH: return 0.5f * x * (1.f + gelu_tanh(x));
  case GELU_ERF: return 0.5f * x * (1.f + erff(0.7071067811865476f * x));
  case SILU: return x * sigmoid(x);
  case QUICK_GELU: return x * sigmoid(1.702f * x);
  default: return x;
  }
}

DEVICE float slope(int kind, float x) {
  switch (kind) {
  case GELU_TANH: {
    const float c = 0.7978845608028654f;
    float t = gelu_tanh(x);
    return 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * c * (1.f + 3.f * 0.044715f * x * x);
  }
  case GELU_ERF: return 0.5f * (1.f + erff(0.7071067811865476f * x)) + 0.3989422804014327f * x * fast_exp(-0.5f * x * x);
  case SILU: {
    float s = sigmoid(x);
    return s + x * s * (1.f - s);
  }
  case QUICK_GELU: {
    float s = sigmoid(1.702f * x);
    return s + 1.702f * x * s * (1.f - s);
  }
  default: return 1.f;
  }
}
