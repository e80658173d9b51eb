package source

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact/mem"
)

func TestParametersAreCheckedStrictly(t *testing.T) {
	for _, c := range []struct{ name, source, params, want string }{
		{"nothing means the defaults", "scenes", ``, ""},
		{"an empty object too", "emoji", `{}`, ""},
		{"an unknown key lists the known ones", "scenes", `{"objects":3}`, "it takes image, min_objects"},
		{"a value of another type names the right one", "webdataset", `{"from":"pairs"}`, "from is a string: it takes a list"},
		{"a wrong type", "emoji", `{"concepts":"many"}`, "concepts is a string: it takes a whole number"},
		{"a value out of range", "scenes", `{"max_objects":99}`, "max_objects is 99"},
		{"own data needs a place", "webdataset", `{}`, "from is empty"},
		{"own data in a place", "webdataset", `{"from":["/data"]}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind, err := Find(c.source)
			require.NoError(t, err)
			err = kind.Check(json.RawMessage(c.params))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Find("imagenet")
	require.ErrorContains(t, err, "use scenes, emoji, webdataset")
}

func TestAGeneratedSourceHasADefaultCount(t *testing.T) {
	kind, err := Find("scenes")
	require.NoError(t, err)
	s, err := kind.Open(context.Background(), Env{Store: mem.New()}, Request{Params: json.RawMessage(`{"image":8}`)})
	require.NoError(t, err)
	n := 0
	for _, err := range s.Samples(context.Background(), 0) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, DefaultCount, n)
}
