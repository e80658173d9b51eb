package stage

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// The struct tags that a kind's parameters may carry beside json:
//
//	doc:"What it is, with its unit."
//	enum:"sgd,adamw"      a string that is one of these; of a list: its elements
//	min:"0" max:"1"       bounds that are allowed themselves
//	above:"0" below:"1"   bounds that are not
//
// A string of a type that is Enumerated needs no enum.
//
// SchemaFor shows them to editors, CheckTags enforces them, so that the two
// cannot disagree.
const (
	tagDoc   = "doc"
	tagEnum  = "enum"
	tagMin   = "min"
	tagMax   = "max"
	tagAbove = "above"
	tagBelow = "below"
)

// Enumerated is a string type that lists its values itself: those of a list in
// the program, which a tag would repeat.
type Enumerated interface{ Words() []string }

// wordsOf returns the values that a string field may have.
func wordsOf(f reflect.StructField) ([]string, bool) {
	t := f.Type
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if e, ok := reflect.Zero(t).Interface().(Enumerated); ok && t.Kind() == reflect.String {
		return e.Words(), true
	}
	enum, ok := f.Tag.Lookup(tagEnum)
	return strings.Split(enum, ","), ok
}

// SchemaFor builds the JSON Schema of a parameters struct. Every property is
// optional, because every parameter has a default, and no other is allowed.
// It panics on a struct that has no schema or carries a malformed tag: both are
// mistakes in the program.
func SchemaFor[P any]() json.RawMessage {
	t := reflect.TypeFor[P]()
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{})
	if err != nil {
		panic(fmt.Sprintf("schema of %s: %v", t, err))
	}
	decorate(s, t)
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("schema of %s: %v", t, err))
	}
	return b
}

// decorate copies the tags of t's fields into their properties, at any depth.
func decorate(s *jsonschema.Schema, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer:
		decorate(s, t.Elem())
	case reflect.Slice, reflect.Array:
		if s.Items != nil {
			decorate(s.Items, t.Elem())
		}
	case reflect.Map:
		if s.AdditionalProperties != nil {
			decorate(s.AdditionalProperties, t.Elem())
		}
	case reflect.Struct:
		if len(s.Properties) == 0 {
			return // a type with a JSON form of its own
		}
		s.Required = nil
		for _, f := range reflect.VisibleFields(t) {
			p := s.Properties[jsonName(f)]
			if f.Anonymous || p == nil {
				continue
			}
			decorate(p, f.Type)
			decorateField(p, f)
		}
	}
}

func decorateField(p *jsonschema.Schema, f reflect.StructField) {
	if doc, ok := f.Tag.Lookup(tagDoc); ok {
		p.Description = doc
	}
	values := p
	if p.Items != nil {
		values = p.Items
	}
	if words, ok := wordsOf(f); ok {
		values.Enum = nil
		for _, v := range words {
			values.Enum = append(values.Enum, v)
		}
	}
	for tag, bound := range map[string]**float64{
		tagMin: &values.Minimum, tagMax: &values.Maximum,
		tagAbove: &values.ExclusiveMinimum, tagBelow: &values.ExclusiveMaximum,
	} {
		if v, ok := boundOf(f, tag); ok {
			*bound = &v
		}
	}
}

// CheckTags returns what is wrong with the values of a parameters struct by its
// enum, min, max, above and below tags: every fault, in the order of the fields.
// A pointer that is nil is an absent block and is not looked into.
func CheckTags(params any) []string {
	return checkValue(reflect.ValueOf(params), "")
}

func checkValue(v reflect.Value, path string) []string {
	var faults []string
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			faults = checkValue(v.Elem(), path)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			faults = append(faults, checkValue(v.Index(i), path+"["+strconv.Itoa(i)+"]")...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name := jsonName(f)
			if !f.IsExported() && !f.Anonymous || name == "-" {
				continue
			}
			at := name
			switch {
			case f.Anonymous:
				at = path
			case path != "":
				at = path + "." + name
			}
			faults = append(faults, checkField(v.Field(i), f, at)...)
			faults = append(faults, checkValue(v.Field(i), at)...)
		}
	}
	return faults
}

func checkField(v reflect.Value, f reflect.StructField, path string) []string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return checkField(v.Elem(), f, path)
	case reflect.Slice, reflect.Array:
		var faults []string
		for i := range v.Len() {
			faults = append(faults, checkField(v.Index(i), f, path+"["+strconv.Itoa(i)+"]")...)
		}
		return faults
	case reflect.String:
		if allowed, ok := wordsOf(f); ok && !slices.Contains(allowed, v.String()) {
			return []string{fmt.Sprintf("%s is %q: use %s", path, v.String(), orList(allowed))}
		}
		return nil
	}
	var x float64
	switch {
	case v.CanInt():
		x = float64(v.Int())
	case v.CanUint():
		x = float64(v.Uint())
	case v.CanFloat():
		x = v.Float()
	default:
		return nil
	}
	for _, b := range []struct {
		tag, want string
		holds     func(bound float64) bool
	}{
		{tagMin, "at least", func(b float64) bool { return x >= b }},
		{tagMax, "at most", func(b float64) bool { return x <= b }},
		{tagAbove, "more than", func(b float64) bool { return x > b }},
		{tagBelow, "less than", func(b float64) bool { return x < b }},
	} {
		if bound, ok := boundOf(f, b.tag); ok && !b.holds(bound) {
			return []string{fmt.Sprintf("%s is %v: use %s %v", path, v.Interface(), b.want, f.Tag.Get(b.tag))}
		}
	}
	return nil
}

// boundOf returns the number in a tag.
func boundOf(f reflect.StructField, tag string) (float64, bool) {
	s, ok := f.Tag.Lookup(tag)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("field %s: tag %s:%q is no number", f.Name, tag, s))
	}
	return v, true
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return f.Name
	}
	return name
}

// orList joins words as "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
