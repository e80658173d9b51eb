package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// answer is what the reference says of a text.
type answer struct {
	IDs     []int32 `json:"ids"`
	Wrapped []int32 `json:"wrapped"`
	Text    string  `json:"text"`
	Plain   string  `json:"plain"`
}

// nastyTexts is how many texts every tokenizer is compared on.
const nastyTexts = 12_000

// TestTokenizersAgreeWithTheReference compares every tokenizer.json below the
// folders of $TOKENIZER_DIR, a list as in $PATH, and those in testdata/small with
// Hugging Face's own library, run in Node, which reads what JSON writes. `task
// test:tokenizers` sets all up.
func TestTokenizersAgreeWithTheReference(t *testing.T) {
	script := os.Getenv("TOKENIZER_ORACLE")
	if script == "" {
		t.Skip("TOKENIZER_ORACLE is not set: run `task test:tokenizers` to compare with the reference")
	}
	for _, path := range tokenizerFiles(t, append(filepath.SplitList(os.Getenv("TOKENIZER_DIR")), "testdata/small")...) {
		t.Run(path, func(t *testing.T) {
			tok := readTokenizer(t, path)
			texts := nasty(nastyTexts, addedTexts(tok))
			answers := ask(t, script, written(t, tok), texts)
			faults := 0
			for i, text := range texts {
				fault := disagreement(tok, text, answers[i])
				if fault == "" {
					continue
				}
				if faults++; faults <= 5 {
					t.Errorf("%q %s", shorten(text), fault)
				}
			}
			t.Logf("%d of %d texts agree", len(texts)-faults, len(texts))
		})
	}
}

// written is the file that the tokenizer writes itself.
func written(t *testing.T, tok *Tokenizer) string {
	t.Helper()
	data, err := tok.JSON()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tokenizerFiles(t testing.TB, dirs ...string) []string {
	t.Helper()
	var paths []string
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, "tokenizer.json") {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func readTokenizer(t testing.TB, path string) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// addedTexts are the texts of some of the added tokens.
func addedTexts(tok *Tokenizer) []string {
	var texts []string
	for i, a := range tok.Added() {
		if i < 30 || i%500 == 0 {
			texts = append(texts, a.Text)
		}
	}
	return texts
}

func ask(t *testing.T, script, path string, texts []string) []answer {
	t.Helper()
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for _, text := range texts {
		if err := e.Encode(text); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("node", script, path)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s %s: %v", script, path, err)
	}
	answers := make([]answer, 0, len(texts))
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(texts) {
		t.Fatalf("%d answers to %d texts", len(answers), len(texts))
	}
	return answers
}

// disagreement says what is otherwise than the reference has it.
func disagreement(tok *Tokenizer, text string, want answer) string {
	ids := tok.Encode(text)
	wrapped := tok.EncodeSpecial(text)
	var b strings.Builder
	s := tok.DecodePlainStream()
	for _, id := range wrapped {
		b.WriteString(s.Next(id))
	}
	b.WriteString(s.End())
	plain := tok.DecodePlain(wrapped)
	switch {
	case !slices.Equal(ids, want.IDs):
		return differ("gives", names(tok, ids), names(tok, want.IDs))
	case !slices.Equal(wrapped, want.Wrapped):
		return differ("is wrapped as", names(tok, wrapped), names(tok, want.Wrapped))
	case tok.Decode(ids) != want.Text:
		return differ("comes back as", []string{tok.Decode(ids)}, []string{want.Text})
	case plain != want.Plain && !slices.ContainsFunc(wrapped, func(id int32) bool { return staysInTheReference(tok, id) }):
		return differ("comes back plain as", []string{plain}, []string{want.Plain})
	case b.String() != plain:
		return differ("is streamed as", []string{b.String()}, []string{plain})
	}
	return ""
}

// staysInTheReference says that a token is special but that the reference does
// not leave it out of plain text (see DecodePlain).
func staysInTheReference(tok *Tokenizer, id int32) bool {
	a, ok := tok.addedByID(id)
	return ok && a.Special && tok.normalForm(a) != a.Text
}

func names(tok *Tokenizer, ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i], _ = tok.Token(id)
	}
	return out
}

// differ shows the first difference of two lists.
func differ(verb string, got, want []string) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	show := func(list []string) string {
		b, _ := json.Marshal(list[min(at, len(list)):min(at+6, len(list))])
		return shorten(string(b))
	}
	return verb + " " + show(got) + ", want " + show(want)
}

func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
