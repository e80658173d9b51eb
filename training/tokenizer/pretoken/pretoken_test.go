package pretoken

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestSplitting(t *testing.T) {
	for _, c := range []struct {
		name, raw, text string
		want            []string
	}{
		{"nothing", `null`, "a b", []string{"a b"}},
		{"matches alone", `{"type":"Split","pattern":{"String":"-"},"behavior":"Isolated"}`, "a--b", []string{"a", "-", "-", "b"}},
		{"matches left out", `{"type":"Split","pattern":{"String":"-"},"behavior":"Removed"}`, "-a--b", []string{"a", "b"}},
		{"matches only", `{"type":"Split","pattern":{"String":"-"},"behavior":"Removed","invert":true}`, "-a--b", []string{"-", "-", "-"}},
		{"matches with what is before", `{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithPrevious"}`, "the-final--count", []string{"the-", "final-", "-", "count"}},
		{"matches with what is after", `{"type":"Split","pattern":{"String":"-"},"behavior":"MergedWithNext"}`, "the-final--count", []string{"the", "-final", "-", "-count"}},
		{"matches together", `{"type":"Split","pattern":{"String":"-"},"behavior":"Contiguous"}`, "the-final--count", []string{"the", "-", "final", "--", "count"}},
		{"BERT's words", `{"type":"BertPreTokenizer"}`, "Hi, it's\u00a0me!", []string{"Hi", ",", "it", "'", "s", "me", "!"}},
		{"words and signs", `{"type":"Whitespace"}`, " a_1 ++b", []string{"a_1", "++", "b"}},
		{"numbers", `{"type":"Digits"}`, "a12½b", []string{"a", "12½", "b"}},
		{"digits", `{"type":"Digits","individual_digits":true}`, "a12", []string{"a", "1", "2"}},
		{"a mark for spaces", `{"type":"Metaspace","replacement":"▁"}`, "a b  c", []string{"▁a", "▁b", "▁", "▁c"}},
		{"no mark before", `{"type":"Metaspace","replacement":"▁","add_prefix_space":false}`, "a b", []string{"a", "▁b"}},
		{"a mark before the first only", `{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]}`, "a b", []string{"▁a", "b"}},
		{"lengths", `{"type":"FixedLength","length":2}`, "aébcd", []string{"aé", "bc", "d"}},
		{"names of bytes, for what follows", `{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"Split","pattern":{"String":"Ġ"},"behavior":"Isolated"}]}`, "a b", []string{"a", "Ġ", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse(json.RawMessage(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			words := []Word{{Text: c.text, First: true}}
			for _, step := range s.Steps {
				var next []Word
				for _, w := range words {
					next = step(next, w)
				}
				words = next
			}
			var got []string
			for _, w := range words {
				got = append(got, w.Text)
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPreTokenizersThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`{"type":"Spaces"}`, "type Spaces is not known"},
		{`{"type":"UnicodeScripts"}`, "type UnicodeScripts is not known"},
		{`{"invert":true}`, "it has no type"},
		{`{"type":"Sequence","pretokenizers":[{"type":"Digits"},{"type":"X"}]}`, "part 1: type X"},
		{`{"type":"Split","pattern":{"String":"a"},"behavior":"Left"}`, `behavior "Left"`},
		{`{"type":"Split","behavior":"Isolated"}`, "there is no pattern"},
		{`{"type":"Metaspace","replacement":"ab"}`, "is no character"},
		{`{"type":"Metaspace","replacement":"a","prepend_scheme":"last"}`, "prepend_scheme last"},
		{`{"type":"Metaspace","replacement":"a","add_prefix_space":false,"prepend_scheme":"first"}`, "add_prefix_space is off"},
		{`{"type":"CharDelimiterSplit","delimiter":""}`, "is no character"},
		{`{"type":"FixedLength","length":0}`, "at least 1"},
	} {
		if _, err := Parse(json.RawMessage(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Fatalf("%s gives %v, want %s", c.raw, err, c.want)
		}
	}
}
