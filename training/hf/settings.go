package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// settings reads an object of config.json key by key and collects what is wrong.
// A key that is missing or null has the default of its class in transformers.
type settings struct {
	file   string
	path   string // before a key, in messages: "text_config."
	values map[string]json.RawMessage
	faults *[]error
}

func parseSettings(file string, raw []byte) (*settings, error) {
	s := &settings{file: file, faults: new([]error)}
	if err := json.Unmarshal(raw, &s.values); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if s.values == nil {
		return nil, fmt.Errorf("%s is not an object", file)
	}
	return s, nil
}

func (s *settings) err() error { return errors.Join(*s.faults...) }

func (s *settings) fault(key, format string, args ...any) {
	*s.faults = append(*s.faults, fmt.Errorf("%s: %s%s %s", s.file, s.path, key, fmt.Sprintf(format, args...)))
}

func (s *settings) has(key string) bool {
	raw, ok := s.values[key]
	return ok && string(raw) != "null"
}

// get decodes a key into to and tells whether it is there and of the right type.
func (s *settings) get(key, want string, to any) bool {
	if !s.has(key) {
		return false
	}
	if err := json.Unmarshal(s.values[key], to); err != nil {
		s.fault(key, "is %.60s: it must be %s", s.values[key], want)
		return false
	}
	return true
}

// count reads a whole number of at least 1.
func (s *settings) count(key string, otherwise int) int {
	var v float64
	if !s.get(key, "a whole number", &v) {
		return otherwise
	}
	if v < 1 || v > math.MaxInt32 || v != math.Trunc(v) {
		s.fault(key, "is %v: it must be a whole number from 1", v)
		return otherwise
	}
	return int(v)
}

// layers reads the number of layers: their parameters are listed one by one.
func (s *settings) layers(key string, otherwise int) int {
	const most = 4096
	n := s.count(key, otherwise)
	if n > most {
		s.fault(key, "is %d, more than the %d that are supported", n, most)
		return otherwise
	}
	return n
}

func (s *settings) number(key string, otherwise float64) float64 {
	v := otherwise
	s.get(key, "a number", &v)
	return v
}

func (s *settings) text(key, otherwise string) string {
	v := otherwise
	s.get(key, "text", &v)
	return v
}

func (s *settings) truth(key string, otherwise bool) bool {
	v := otherwise
	s.get(key, "true or false", &v)
	return v
}

// ids reads token ids: one, or a list.
func (s *settings) ids(key string) []int32 {
	if !s.has(key) {
		return nil
	}
	var one int32
	if json.Unmarshal(s.values[key], &one) == nil {
		if one < 0 {
			return nil // some configurations say so that there is none
		}
		return []int32{one}
	}
	var many []int32
	if !s.get(key, "a token id or a list of them", &many) || slices.ContainsFunc(many, func(id int32) bool { return id < 0 }) {
		return nil
	}
	return many
}

// sub reads an object within; what is missing is empty.
func (s *settings) sub(key string) *settings {
	inner := &settings{file: s.file, path: s.path + key + ".", faults: s.faults}
	s.get(key, "an object", &inner.values)
	return inner
}

// only checks a setting that changes the function and has one supported value.
func (s *settings) only(key string, supported any) {
	raw, ok := s.values[key]
	if !ok {
		return
	}
	want, err := json.Marshal(supported)
	if err != nil {
		panic(err) // supported values are constants
	}
	if string(raw) != string(want) && string(raw) != "null" {
		s.fault(key, "is %.60s: only %s is supported", raw, want)
	}
}

// neutral are settings of models that derive from the supported ones, with the
// values at which they change nothing. Any other value changes what the model
// computes, so that it cannot be read.
func neutral() map[string][]string {
	return map[string][]string{
		"quantization_config":             {}, // weights that are not what they seem
		"auto_map":                        {}, // the folder brings code of its own
		"is_encoder_decoder":              {"false"},
		"add_cross_attention":             {"false"},
		"pruned_heads":                    {"{}"},
		"partial_rotary_factor":           {"1", "1.0"},
		"attn_logit_softcapping":          {},
		"final_logit_softcapping":         {},
		"logit_scale":                     {"1", "1.0"},
		"logits_scaling":                  {"1", "1.0"},
		"embedding_multiplier":            {"1", "1.0"},
		"residual_multiplier":             {"1", "1.0"},
		"attention_multiplier":            {},
		"query_pre_attn_scalar":           {},
		"qk_layernorm":                    {"false"},
		"use_qk_norm":                     {"false"},
		"num_experts":                     {"0", "1"},
		"num_local_experts":               {"0", "1"},
		"n_routed_experts":                {"0"},
		"kv_lora_rank":                    {},
		"scale_attn_by_inverse_layer_idx": {"false"},
	}
}

// checkNeutral reports settings that are known to change what the model computes.
func (s *settings) checkNeutral() {
	for _, key := range sorted(neutral()) {
		if s.has(key) && !slices.Contains(neutral()[key], string(s.values[key])) {
			s.fault(key, "is %.60s, which changes what the model computes and is not supported", s.values[key])
		}
	}
	var layers []string
	if s.get("layer_types", "a list of text", &layers) {
		for _, l := range layers {
			if l != "full_attention" {
				s.fault("layer_types", "has %.40q: only full_attention is supported", l)
				break
			}
		}
	}
}
