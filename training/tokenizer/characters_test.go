package tokenizer

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"
)

func TestCharactersAreTokens(t *testing.T) {
	tok, err := Characters(slices.Values([]string{"47+85=", "<think>1 2</think>", "é\n"}), CharacterOptions{
		Tags: []string{"<think>", "</think>"}, Template: []string{"[BOS]", "$A", "[EOS]"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if tok.Size() != 5+2+11 { // \n, blank, +, 1, 2, 4, 5, 7, 8, =, é
		t.Errorf("it has %d tokens", tok.Size())
	}
	for _, text := range []string{"47+85=12", "<think>4 +\n7</think>é", ""} {
		ids := tok.Encode(text)
		if got := tok.DecodePlain(ids); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
	unknown, _ := tok.ID("[UNK]")
	if got := tok.Encode("4x7"); len(got) != 3 || got[1] != unknown {
		t.Errorf("4x7 is %v", got)
	}
	if got := tok.EncodeSpecial("4"); len(got) != 3 || got[0] != 1 || got[2] != 2 {
		t.Errorf("wrapped 4 is %v", got)
	}
	data, err := tok.JSON()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("testdata/small/characters.tokenizer.json") // which the reference has seen
	if err != nil || !bytes.Equal(data, kept) {
		t.Errorf("the file is another than the one that is kept (%v)", err)
	}
}

func TestWordsAreTokens(t *testing.T) {
	tok, err := Words(slices.Values([]string{"fox often :", " the fox sees the fox ."}), CharacterOptions{Template: []string{"[BOS]", "$A", "[EOS]"}})
	if err != nil {
		t.Fatal(err)
	}
	if tok.Size() != 5+7 { // fox, often, :, the, fox with a blank, sees, .
		t.Errorf("it has %d tokens", tok.Size())
	}
	for text, want := range map[string]int{"fox often : the fox sees the fox .": 9, " the": 1, "": 0} {
		ids := tok.Encode(text)
		if got := tok.DecodePlain(ids); got != text || len(ids) != want {
			t.Errorf("%q comes back as %q of %d tokens", text, got, len(ids))
		}
	}
	unknown, _ := tok.ID("[UNK]")
	if got := tok.Encode("fox barks"); len(got) != 2 || got[1] != unknown {
		t.Errorf("fox barks is %v", got)
	}
	if _, err := Words(slices.Values([]string{"a [BOS]b"}), CharacterOptions{}); err != nil {
		t.Errorf("a special token within a text: %v", err)
	}
}

func TestCharactersThatCannotBe(t *testing.T) {
	if _, err := Characters(slices.Values([]string{"<think>"}), CharacterOptions{Tags: []string{"<think>"}}); !errors.Is(err, ErrNoText) {
		t.Errorf("got %v", err)
	}
	for _, o := range []CharacterOptions{{Tags: []string{"x"}}, {Tags: []string{"<a>", "<a>"}}, {Most: 2}, {Template: []string{"[CLS]"}}} {
		if _, err := Characters(slices.Values([]string{"abc"}), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
