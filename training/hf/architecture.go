package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tempera/training/model"
)

// architecture is a layout of folders.
type architecture struct {
	class     string // as "architectures" of config.json has it: LlamaForCausalLM
	modelType string // as "model_type" has it: llama
	task      string // as model cards name what the model does
	// owns tells whether a model of ours would be written in this layout, if it can
	// be at all. The first that owns one decides.
	owns func(c model.Config) bool
	// read makes a configuration of config.json. What is not supported it notes in
	// the settings; special tokens are found elsewhere.
	read func(s *settings) model.Config
	// write makes config.json, without what all have. What the layout cannot say it
	// notes in the faults.
	write func(c model.Config, f *faults) object
	// tensors maps every parameter of the configuration.
	tensors func(m *mapping)
	// strays tells of a tensor that is no parameter and means nothing, such as a mask.
	strays func(name string) bool
	// prefix begins the names of tensors in some folders and is missing in others.
	prefix string
}

// architectures lists the layouts. Adding one is one file and one line here.
func architectures() []architecture {
	return []architecture{gpt2(), llama(), qwen2(), clip(), siglip(), llamaScore()}
}

// object is a JSON object to write.
type object map[string]any

func (o object) encode() ([]byte, error) {
	raw, err := json.MarshalIndent(o, "", "  ") // keys come out sorted, as transformers has them
	return append(raw, '\n'), err
}

// Names lists the known architectures, for messages.
func Names() []string {
	var names []string
	for _, a := range architectures() {
		names = append(names, a.class)
	}
	return names
}

// find finds the layout of a config.json.
func find(s *settings) (architecture, error) {
	var classes []string
	s.get("architectures", "a list of text", &classes)
	modelType := s.text("model_type", "")
	for _, a := range architectures() {
		for _, c := range classes {
			if c == a.class {
				return a, nil
			}
		}
		if len(classes) == 0 && modelType == a.modelType {
			return a, nil
		}
	}
	what := fmt.Sprintf("%.200q", strings.Join(classes, ", "))
	if len(classes) == 0 {
		what = fmt.Sprintf("of model_type %.60q", modelType)
	}
	return architecture{}, fmt.Errorf("config.json: the architecture %s is not supported: use one of %s", what, strings.Join(Names(), ", "))
}

// layoutOf finds the layout in which a model of ours is written.
func layoutOf(c model.Config) (architecture, object, error) {
	for _, a := range architectures() {
		if !a.owns(c) {
			continue
		}
		var f faults
		o := a.write(c, &f)
		if c.LoRA != nil {
			f.add("lora is kept beside the weights: merge it into them first")
		}
		if err := errors.Join(f...); err != nil {
			return a, nil, fmt.Errorf("the model has no %s form: %w", a.class, err)
		}
		o["architectures"], o["model_type"] = []string{a.class}, a.modelType
		return a, o, nil
	}
	return architecture{}, nil, fmt.Errorf("a model of kind %s has no Hugging Face form here: models of kind %s and %s have one (%s)",
		c.Kind, model.LM, model.CLIP, strings.Join(Names(), ", "))
}

// Exportable tells whether Write can write a model of a configuration, or why not
// and what to set.
func Exportable(c model.Config) error {
	_, _, err := layoutOf(c.Resolve())
	return err
}

// Task is what Hugging Face calls what an exportable model does; "" for another.
func Task(c model.Config) string {
	a, _, err := layoutOf(c.Resolve())
	if err != nil {
		return ""
	}
	return a.task
}

// faults collects what a layout cannot say.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// must notes a setting of ours that the layout does not have.
func must[T comparable](f *faults, key string, is, want T) {
	if is != want {
		f.add("%s is %v, it must be %v", key, is, want)
	}
}

// activations pairs our names with those of transformers; of several of theirs
// for one of ours, the first is written.
func activations() []struct {
	ours   model.Activation
	theirs []string
} {
	return []struct {
		ours   model.Activation
		theirs []string
	}{
		{model.GELU, []string{"gelu"}},
		{model.GELUTanh, []string{"gelu_pytorch_tanh", "gelu_new", "gelu_fast"}},
		{model.QuickGELU, []string{"quick_gelu"}},
		{model.SiLU, []string{"silu", "swish"}},
	}
}

// activation reads the name of an activation.
func (s *settings) activation(key, otherwise string) model.Activation {
	name := s.text(key, otherwise)
	var known []string
	for _, a := range activations() {
		for _, theirs := range a.theirs {
			if theirs == name {
				return a.ours
			}
		}
		known = append(known, a.theirs...)
	}
	s.fault(key, "is %.60q: supported are %s", name, strings.Join(known, ", "))
	return ""
}

// activationName is what transformers calls an activation of ours.
func activationName(a model.Activation) string {
	for _, known := range activations() {
		if known.ours == a {
			return known.theirs[0]
		}
	}
	return string(a)
}
