package dag

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// shapeFaults compares a tree with the Go type that it is to be decoded into and
// returns every unknown key and wrong type. What is at fault is taken out of the
// tree, so that the rest can be decoded and checked in the same go.
func shapeFaults(t *tree, typ reflect.Type, path string) []string {
	if t.shape == null || hasOwnForm(typ) {
		return nil
	}
	wrong := func(want string) []string {
		is := t.String()
		t.shape = null
		return []string{fmt.Sprintf("%s is %s: use %s", path, is, want)}
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return shapeFaults(t, typ.Elem(), path)
	case reflect.Struct:
		if t.shape != object {
			return wrong("a mapping")
		}
		return keyFaults(t, typ, path)
	case reflect.Map:
		if t.shape != object {
			return wrong("a mapping")
		}
		var faults []string
		for _, k := range t.keys {
			faults = append(faults, shapeFaults(k.value, typ.Elem(), join(path, k.name))...)
		}
		return faults
	case reflect.Slice, reflect.Array:
		if t.shape != list {
			return wrong("a list")
		}
		var faults []string
		for i, item := range t.items {
			faults = append(faults, shapeFaults(item, typ.Elem(), path+"["+strconv.Itoa(i)+"]")...)
		}
		return faults
	case reflect.String:
		if t.shape != text {
			return wrong("text")
		}
	case reflect.Bool:
		if t.shape != boolean {
			return wrong("true or false")
		}
	case reflect.Float32, reflect.Float64:
		if _, err := strconv.ParseFloat(t.text, typ.Bits()); t.shape != number || err != nil {
			return wrong("a number")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if _, err := strconv.ParseInt(t.text, 10, typ.Bits()); t.shape != number || err != nil {
			return wrong("a whole number")
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if _, err := strconv.ParseUint(t.text, 10, typ.Bits()); t.shape != number || err != nil {
			return wrong("a whole number, at least 0")
		}
	}
	return nil
}

// keyFaults checks the keys of an object that becomes a struct.
func keyFaults(t *tree, typ reflect.Type, path string) []string {
	var names []string
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(typ) {
		if name := f.Tag.Get("json"); !f.Anonymous && f.IsExported() && name != "-" {
			name = nameInJSON(f)
			names = append(names, name)
			fields[name] = f.Type
		}
	}
	var faults []string
	kept := t.keys[:0]
	for _, k := range t.keys {
		field, ok := fields[k.name]
		if !ok {
			faults = append(faults, fmt.Sprintf("there is no parameter %q: %s", join(path, k.name), instead(k.name, names)))
			continue
		}
		faults = append(faults, shapeFaults(k.value, field, join(path, k.name))...)
		kept = append(kept, k)
	}
	t.keys = kept
	return faults
}

// hasOwnForm tells that a type decides itself what its JSON is.
func hasOwnForm(typ reflect.Type) bool {
	p := reflect.PointerTo(typ)
	return typ.Kind() == reflect.Interface ||
		p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
