package command

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/workflows/dag"
)

func TestSettingsReachIntoParameters(t *testing.T) {
	for _, c := range []struct{ name, before, set, after string }{
		{"a number stays a number", `{}`, "seeds=5", `{"seeds":5}`},
		{"a large seed keeps its digits", `{}`, "seed=9007199254740993", `{"seed":9007199254740993}`},
		{"a path makes the objects on the way", `{}`, "arm.steps=10", `{"arm":{"steps":10}}`},
		{"a path keeps what is beside it", `{"arm":{"batch":8}}`, "arm.steps=10", `{"arm":{"batch":8,"steps":10}}`},
		{"a list is JSON", `{}`, `arms=["raw","oracle"]`, `{"arms":["raw","oracle"]}`},
		{"what is no JSON is text", `{}`, "source=emoji", `{"source":"emoji"}`},
		{"two words are text", `{}`, "note=1 2", `{"note":"1 2"}`},
		{"a value may hold an equals sign", `{}`, "note=a=b", `{"note":"a=b"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			object, err := decodeObject([]byte(c.before))
			require.NoError(t, err)
			settings, err := parseSettings([]string{c.set})
			require.NoError(t, err)
			require.NoError(t, settings[0].apply(object))
			got, err := json.Marshal(object)
			require.NoError(t, err)
			require.Equal(t, c.after, string(got))
		})
	}
}

func TestWrongSettingsAreAllNamed(t *testing.T) {
	_, err := parseSettings([]string{"novalue", "=1", "good=1"})
	require.ErrorContains(t, err, `"novalue"`)
	require.ErrorContains(t, err, `"=1"`)
	require.NotContains(t, err.Error(), "good")

	settings, err := parseSettings([]string{"seeds.x=1"})
	require.NoError(t, err)
	require.ErrorContains(t, settings[0].apply(map[string]any{"seeds": 5}), "seeds is not an object")
}

func TestSettingsOfASpecNameTheStage(t *testing.T) {
	spec := &dag.Spec{Stages: []dag.Stage{{ID: "train", Params: json.RawMessage(`{"steps":1,"batch":2}`)}}}
	settings, err := parseSettings([]string{"train.steps=7", "trian.steps=7", "steps=7"})
	require.NoError(t, err)
	require.NoError(t, settings[0].applyToSpec(spec))
	require.JSONEq(t, `{"steps":7,"batch":2}`, string(spec.Stages[0].Params))
	require.ErrorContains(t, settings[1].applyToSpec(spec), `did you mean "train"`)
	require.ErrorContains(t, settings[2].applyToSpec(spec), "train.steps")
}

func TestParamsComeFromTheLineAFileOrStandardInput(t *testing.T) {
	a := &app{in: strings.NewReader(`{"seeds": 3}`)}
	object, err := a.readObject("-")
	require.NoError(t, err)
	require.Equal(t, json.Number("3"), object["seeds"])
	for _, bad := range []string{"[1]", "{", `{} {}`, "@/nonexistent"} {
		_, err := a.readObject(bad)
		var e *exitError
		require.ErrorAs(t, err, &e, bad)
		require.Equal(t, exitWrong, e.code)
	}
}
