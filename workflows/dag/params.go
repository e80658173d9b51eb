package dag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"tempera/workflows/stage"
)

// DecodeParams reads a JSON object over defaults and returns every fault:
// unknown keys (with the nearest known one), wrong types, values outside the
// ranges of the tags that stage.SchemaFor describes, and what P's method
// Validate() error reports. raw may be empty.
func DecodeParams[P any](defaults P, raw []byte) (P, []string) {
	known, err := json.Marshal(defaults)
	if err != nil {
		panic(fmt.Sprintf("defaults of %T: %v", defaults, err))
	}
	var p P // a copy that shares no slices with the defaults
	if err := json.Unmarshal(known, &p); err != nil {
		panic(fmt.Sprintf("defaults of %T: %v", defaults, err))
	}
	faults := decodeOver(&p, raw)
	faults = append(faults, stage.CheckTags(p)...)
	if v, ok := any(p).(interface{ Validate() error }); ok && len(faults) == 0 {
		if err := v.Validate(); err != nil {
			faults = messagesOf(err)
		}
	}
	return p, faults
}

// decodeOver decodes what fits and returns what does not.
func decodeOver(p any, raw []byte) []string {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	t, err := readTree(raw)
	if err != nil {
		return []string{err.Error()}
	}
	if t.shape != object && t.shape != null {
		return []string{fmt.Sprintf("the parameters are %s: use a mapping", t)}
	}
	faults := shapeFaults(t, reflect.TypeOf(p).Elem(), "")
	fits, err := t.canonical()
	if err == nil {
		err = json.Unmarshal(fits, p)
	}
	if err != nil {
		faults = append(faults, strings.TrimPrefix(err.Error(), "json: "))
	}
	return faults
}
