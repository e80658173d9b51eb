package tokenizer

import (
	"slices"
	"testing"
)

func TestSplittingAtBlanksChangesNoTokens(t *testing.T) {
	split := readTokenizer(t, "testdata/small/llama2.tokenizer.json")
	whole := readTokenizer(t, "testdata/small/llama2.tokenizer.json")
	if len(split.words.Steps) != 1 {
		t.Fatalf("%d steps: the vocabulary should be split at blanks", len(split.words.Steps))
	}
	whole.words.Steps = nil
	for _, text := range nasty(3000, addedTexts(split)) {
		if a, b := split.Encode(text), whole.Encode(text); !slices.Equal(a, b) {
			t.Fatalf("%q gives %v split and %v whole", shorten(text), a, b)
		}
	}
}

func TestVocabulariesThatMergeAcrossBlanksAreNotSplit(t *testing.T) {
	m, _, err := readBPE([]byte(`{"type":"BPE","vocab":{"a":0,"▁":1,"a▁":2},"merges":["a ▁"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if m.(*bpe).splitsAtBlanks() {
		t.Fatal("it has the token a▁")
	}
}
