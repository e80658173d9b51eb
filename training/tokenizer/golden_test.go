package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "ask the reference again for testdata/small/*.golden.ndjson (needs TOKENIZER_ORACLE)")

// golden is a text with what the reference says of it.
type golden struct {
	Of string
	answer
}

// TestSmallTokenizersAgreeWithTheReference holds every kind of tokenizer against
// what Hugging Face's library said, which it is not asked again for.
func TestSmallTokenizersAgreeWithTheReference(t *testing.T) {
	paths := tokenizerFiles(t, "testdata/small")
	if len(paths) < 14 {
		t.Fatalf("%d tokenizers", len(paths))
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			tok := readTokenizer(t, path)
			stored := strings.TrimSuffix(path, "tokenizer.json") + "golden.ndjson"
			if *update {
				writeGolden(t, tok, stored)
			}
			cases := readGolden(t, stored)
			if len(cases) < 150 {
				t.Fatalf("%d cases", len(cases))
			}
			for _, c := range cases {
				if fault := disagreement(tok, c.Of, c.answer); fault != "" {
					t.Fatalf("%q %s", c.Of, fault)
				}
			}
		})
	}
}

func writeGolden(t *testing.T, tok *Tokenizer, stored string) {
	t.Helper()
	var texts []string
	for _, text := range nasty(400, addedTexts(tok)) {
		if len(text) <= 80 {
			texts = append(texts, text)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i, a := range ask(t, os.Getenv("TOKENIZER_ORACLE"), written(t, tok), texts) {
		if err := e.Encode(golden{texts[i], a}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(stored, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, stored string) []golden {
	t.Helper()
	data, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	var cases []golden
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c golden
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}
