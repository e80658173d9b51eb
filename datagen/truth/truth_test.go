package truth

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/sample"
	"tempera/datagen/source/scenes"
)

func TestCaptionsOfOtherScenesAreMostlyFalse(t *testing.T) {
	var made []sample.Sample
	for s, err := range (&scenes.Source{Count: 200}).Samples(context.Background(), 4) {
		require.NoError(t, err)
		made = append(made, s)
	}
	right := 0
	for i, s := range made {
		yes, known := CaptionIsTrue(s)
		require.True(t, yes && known)
		other := made[(i+1)%len(made)]
		if v, known := Judge(s.Facts, other.Caption); known && v.WhollyTrue {
			right++
			require.True(t, Same(Key(s.Facts), Key(other.Facts)) || v.ObjectsExact)
		}
	}
	require.Less(t, right, 4)
}

func TestSame(t *testing.T) {
	fact := func(source, scene string) sample.Facts {
		return sample.Facts{Source: source, Truth: &sample.Truth{Caption: "c", Scene: json.RawMessage(scene)}}
	}
	const swapped = `{"objects":[{"color":"red","shape":"ring","size":"small","x":20,"y":5},{"color":"blue","shape":"ring","size":"small","x":4,"y":6}]}`
	const other = `{"objects":[{"color":"blue","shape":"ring","size":"small","x":8,"y":9},{"color":"red","shape":"ring","size":"small","x":28,"y":5}]}`
	for _, c := range []struct {
		name string
		a, b sample.Facts
		want bool
	}{
		{"scenes with the same objects in the same relation", fact("scenes", swapped), fact("scenes", other), true},
		{"emoji seen from the other side", fact("emoji", `{"concepts":["pear","dog"],"relation":"left"}`), fact("emoji", `{"concepts":["dog","pear"],"relation":"right"}`), true},
		{"emoji in another relation", fact("emoji", `{"concepts":["pear","dog"],"relation":"left"}`), fact("emoji", `{"concepts":["pear","dog"],"relation":"above"}`), false},
		{"without a truth nothing is the same", sample.Facts{Source: "x"}, sample.Facts{Source: "x"}, false},
		{"broken scenes are not the same", fact("scenes", `{}`), fact("scenes", `{}`), false},
		{"equal true captions of a folder", sample.Facts{Truth: &sample.Truth{Caption: "a dog"}}, sample.Facts{Truth: &sample.Truth{Caption: "a dog"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Same(Key(c.a), Key(c.b))) })
	}
}

func TestWhatIsNotKnownIsNotJudged(t *testing.T) {
	_, known := Judge(sample.Facts{Source: "webdataset"}, "a dog")
	require.False(t, known)
	_, known = CaptionIsTrue(sample.Sample{Caption: "a dog"})
	require.False(t, known)
	yes, known := CaptionIsTrue(sample.Sample{Caption: "a dog", Facts: sample.Facts{Truth: &sample.Truth{Caption: "a cat"}}})
	require.True(t, known)
	require.False(t, yes)
}
