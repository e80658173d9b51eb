package dag

import (
	"bytes"
	"encoding/json"

	"tempera/workflows/stage"
)

// The parameters by which kinds that compute with models take a device.
const (
	deviceParam    = "device"
	precisionParam = "precision"
)

// onDevice are the parameters of a stage with the device of the defaults, where its kind takes one and the stage names none. A stage that names its
// device has its own precision too.
func (d Defaults) onDevice(params json.RawMessage, kind stage.Descriptor) json.RawMessage {
	var given map[string]json.RawMessage
	if len(params) > 0 && json.Unmarshal(params, &given) != nil || !kind.HasParameter(deviceParam) {
		return params // what is wrong with them is told elsewhere
	}
	if _, own := given[deviceParam]; own {
		return params
	}
	for _, p := range []struct{ name, value string }{{precisionParam, d.Precision}, {deviceParam, d.Device}} {
		if _, own := given[p.name]; p.value != "" && !own {
			params = withText(params, p.name, p.value)
		}
	}
	return params
}

// withText puts a text before the keys of an object, which stay as they are written. params may be empty or null.
func withText(params json.RawMessage, name, value string) json.RawMessage {
	text, err := json.Marshal(map[string]string{name: value})
	if err != nil {
		panic(err) // of texts there is no error
	}
	rest, isObject := bytes.CutPrefix(bytes.TrimSpace(params), []byte("{"))
	rest = bytes.TrimSpace(rest)
	if !isObject || bytes.Equal(rest, []byte("}")) {
		return text
	}
	return append(append(text[:len(text)-1], ','), rest...)
}
