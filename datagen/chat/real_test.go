package chat

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tempera/datagen/example"
	"tempera/training/tokenizer"
)

// TestPiecesAreTheWholeText encodes conversations with the tokenizers and templates
// of the folders in $TEMPLATE_DIR, and compares with encoding the whole text at once,
// as transformers does: cutting it where learning begins and ends must not show.
// `task test:templates` sets all up.
func TestPiecesAreTheWholeText(t *testing.T) {
	dirs := filepath.SplitList(os.Getenv("TEMPLATE_DIR"))
	if len(dirs) == 0 {
		t.Skip("TEMPLATE_DIR is not set: run `task test:templates` to compare on real models")
	}
	var folders []string
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "*", "models"))
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, found...)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(filepath.Dir(folder)), func(t *testing.T) {
			tok, settings, err := tokenizer.Load(os.DirFS(folder))
			if err != nil {
				t.Skip(err)
			}
			if settings.ChatTemplate == "" || settings.BOS == nil && settings.EOS == nil {
				t.Skip("it has no chat template")
			}
			compareWhole(t, tok, settings)
		})
	}
}

func compareWhole(t *testing.T, tok *tokenizer.Tokenizer, settings tokenizer.Settings) {
	t.Helper()
	o := Options{Special: Special{EOS: settings.EOS.ID, BOS: settings.EOS.ID, Pad: settings.EOS.ID, Stop: settings.Stop}, Learn: Assistant}
	if settings.BOS != nil {
		o.Special.BOS = settings.BOS.ID
	}
	for _, turn := range []string{"<|im_end|>", "<|eot_id|>", "<end_of_turn>"} { // what generation_config.json says where it is there
		if id, ok := tok.ID(turn); ok {
			o.Special.Stop = append(o.Special.Stop, id)
		}
	}
	e, err := New(tok, settings.ChatTemplate, o)
	if err != nil {
		t.Fatal(err)
	}
	learned := 0
	for _, text := range []string{"Hello!", " with a blank", "a\n\nb\n", "1234567 + 1 = 1234568", "naïve 日本 👍🏽", "def f():\n\treturn 1\n", "", "...", "'s"} {
		x := &example.Example{ID: text, Messages: say("user", "What? "+text, "assistant", text, "user", text, "assistant", "Yes."+text)}
		r := e.row(x)
		full, err := r.rendered(x.Messages, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Whole(x)
		if err != nil {
			t.Fatal(err)
		}
		learned += got.Learned()
		want := tok.Encode(full)
		if n := len(got.Tokens); n > len(want) || !slices.Equal(got.Tokens, want[:n]) {
			t.Errorf("%q: got %q, want %q", text, names(tok, got.Tokens), names(tok, want))
		}
		last := got.Tokens[len(got.Tokens)-1]
		if !e.stops(last) || !got.Learn[len(got.Learn)-1] {
			t.Errorf("%q: it ends with %q", text, names(tok, []int32{last}))
		}
		p, err := e.Prompt(x)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Tokens, got.Tokens[:got.Prompt]) {
			t.Errorf("%q: the prompt is %q, want %q", text, names(tok, p.Tokens), names(tok, got.Tokens[:got.Prompt]))
		}
	}
	t.Logf("%d tokens are learned", learned)
}

func names(tok *tokenizer.Tokenizer, ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i], _ = tok.Token(id)
	}
	return out
}

// A template's own marks and those that are found by prefixes are the same.
func TestMarksAndPrefixesAgree(t *testing.T) {
	talk := say("user", "U", "assistant", "A", "user", "V", "assistant", "B")
	a, err := encoder(t, chatML, Options{Learn: Assistant}).Whole(&example.Example{Messages: talk})
	if err != nil {
		t.Fatal(err)
	}
	b, err := encoder(t, marked, Options{Learn: Assistant}).Whole(&example.Example{Messages: talk})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Tokens, b.Tokens) || !slices.Equal(a.Learn, b.Learn) || a.Prompt != b.Prompt {
		t.Errorf("by prefixes %v, by marks %v", a, b)
	}
}

func BenchmarkWhole(b *testing.B) {
	template, err := os.ReadFile("../../training/tokenizer/jinja/testdata/qwen3.jinja")
	if err != nil {
		b.Fatal(err)
	}
	e := encoder(b, string(template), Options{Learn: Assistant})
	x := &example.Example{Messages: say("system", "You are brief.", "user", "What is it?", "assistant", "It is a question.", "user", "And now?", "assistant", "Another.")}
	for b.Loop() {
		if _, err := e.Whole(x); err != nil {
			b.Fatal(err)
		}
	}
}
