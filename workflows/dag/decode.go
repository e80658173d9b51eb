package dag

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// decoder fills Go values from a tree, by their json tags, and collects what
// does not fit.
type decoder struct {
	faults faults
	stage  string // the stage that is being read
}

func (d *decoder) fault(check string, line int, format string, args ...any) {
	d.faults.add(Fault{Check: check, Stage: d.stage, Line: line}, format, args...)
}

var (
	rawType    = reflect.TypeFor[json.RawMessage]()
	inputsType = reflect.TypeFor[Inputs]()
	stageType  = reflect.TypeFor[Stage]()
)

// decode fills v. Null leaves it as it is. path names the place for people.
func (d *decoder) decode(t *tree, v reflect.Value, path string) {
	if t.shape == null {
		return
	}
	switch v.Type() {
	case rawType:
		raw, err := t.canonical()
		if err != nil {
			d.fault(CheckSyntax, t.line, "%s: %v", path, err)
			return
		}
		v.SetBytes(raw)
		return
	case inputsType:
		if t.shape == text {
			v.Set(reflect.ValueOf(Inputs{t.text}))
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(t, v.Elem(), path)
	case reflect.Struct:
		d.object(t, v, path)
	case reflect.Slice:
		d.list(t, v, path)
	case reflect.Map:
		d.mapping(t, v, path)
	case reflect.String:
		d.text(t, v, path)
	case reflect.Int:
		n, err := strconv.Atoi(t.text)
		if t.shape != number || err != nil {
			d.fault(CheckWrongType, t.line, "%s: want a whole number, have %s", path, t)
			return
		}
		v.SetInt(int64(n))
	case reflect.Bool:
		if t.shape != boolean {
			d.fault(CheckWrongType, t.line, "%s: want true or false, have %s", path, t)
			return
		}
		v.SetBool(t.text == "true")
	default:
		panic("decode into " + v.Type().String())
	}
}

// text takes text, and scalars whose form is that of a word in YAML only by
// accident: a name like 123, a limit like 3.
func (d *decoder) text(t *tree, v reflect.Value, path string) {
	if t.shape != text && t.shape != number {
		d.fault(CheckWrongType, t.line, "%s: want text, have %s", path, t)
		return
	}
	v.SetString(t.text)
}

func (d *decoder) object(t *tree, v reflect.Value, path string) {
	if t.shape != object {
		d.fault(CheckWrongType, t.line, "%s: want a mapping with the keys %s; have %s",
			cmp.Or(path, "the text"), strings.Join(keysOf(v.Type()), ", "), t)
		return
	}
	if v.Type() == stageType {
		if id := t.find("id"); id != nil && id.shape == text {
			d.stage = id.text
		}
		defer func() { d.stage = "" }()
	}
	known := keysOf(v.Type())
	for _, k := range t.keys {
		at := k.name
		if path != "" && v.Type() != stageType {
			at = path + "." + k.name
		}
		field := fieldOf(v, k.name)
		if !field.IsValid() {
			in := ""
			if path != "" && (d.stage == "" || v.Type() != stageType) {
				in = " in " + path
			}
			d.fault(CheckUnknownKey, k.line, "unknown key %q%s: %s", k.name, in, instead(k.name, known))
			continue
		}
		d.decode(k.value, field, at)
	}
}

func (d *decoder) list(t *tree, v reflect.Value, path string) {
	if t.shape != list {
		want := "a list"
		if t.shape == text && v.Type().Elem().Kind() == reflect.String {
			want = "a list, e.g. [" + t.text + "]"
		}
		if v.Type() == inputsType {
			want = "\"stage.output\" or a list of them"
		}
		d.fault(CheckWrongType, t.line, "%s: want %s, have %s", path, want, t)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(t.items), len(t.items)))
	for i, item := range t.items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if item.shape == null {
			d.fault(CheckWrongType, item.line, "%s: there is nothing here: fill it in or remove it", at)
			continue
		}
		d.decode(item, v.Index(i), at)
	}
}

func (d *decoder) mapping(t *tree, v reflect.Value, path string) {
	if t.shape != object {
		d.fault(CheckWrongType, t.line, "%s: want a mapping, have %s", path, t)
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(t.keys)))
	for _, k := range t.keys {
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(k.value, item, path+"."+k.name)
		v.SetMapIndex(reflect.ValueOf(k.name), item)
	}
}

// String describes a value for a message.
func (t *tree) String() string {
	switch t.shape {
	case boolean, number:
		return t.text
	case text:
		if len(t.text) > 40 {
			return strconv.Quote(t.text[:40]) + "..."
		}
		return strconv.Quote(t.text)
	case null, list, object:
	}
	return t.shape.String()
}

// keysOf lists the keys of a struct in the order of its fields.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = nameInJSON(t.Field(i))
	}
	return keys
}

// nameInJSON returns the key of a field.
func nameInJSON(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return cmp.Or(name, f.Name)
}

func fieldOf(v reflect.Value, key string) reflect.Value {
	for i, k := range keysOf(v.Type()) {
		if k == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}
