package command

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tinyModel is a folder with a tokenizer of characters and a chat template.
func tinyModel(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../../training/tokenizer/testdata/small/characters.tokenizer.json")
	require.NoError(t, err)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tokenizer.json": string(data), "tokenizer_config.json": `{"bos_token": "[BOS]", "eos_token": "[EOS]"}`,
		"chat_template.jinja": "{% for m in messages %}{{ '4' if m.role == 'user' else '5' }}{{ m.content }}[EOS]\n{% endfor %}{% if add_generation_prompt %}5{% endif %}",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// show runs tempera data show.
func show(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var b, e bytes.Buffer
	a := newApp(strings.NewReader(""), &b, &e)
	root := Root(a)
	root.SetArgs(append([]string{"data", "show"}, args...))
	code = a.report(root.ExecuteContext(t.Context()))
	return b.String() + e.String(), code
}

func rowFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const shownRows = `{"messages": [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]}
{"prompt": "<think>12", "chosen": "7", "rejected": "8"}
{"nothing": 1}
`

func TestDataShowMarksWhatIsLearned(t *testing.T) {
	out, code := show(t, rowFile(t, shownRows), "--model", tinyModel(t))
	require.Zero(t, code, out)
	require.Equal(t, `rows.jsonl#1 (messages)
whole: 10 tokens, 2 learned
4|1|+|1|=|[EOS]|5{2|[EOS]}

rows.jsonl#2 (preference)
chosen: 6 tokens, 2 learned
[BOS]|<think>|1|2{7|[EOS]}
rejected: 6 tokens, 2 learned
[BOS]|<think>|1|2{8|[EOS]}

rows.jsonl#3 ()
  cannot be used: row cannot be used: it has no messages, no prompt
`, strings.ReplaceAll(out, "[EOS]|\n|5", "[EOS]|5"))
}

func TestDataShowWithoutAModelShowsTexts(t *testing.T) {
	out, code := show(t, rowFile(t, shownRows), "-n", "1", "--skip", "1")
	require.Zero(t, code, out)
	require.Equal(t, "rows.jsonl#2 (preference)\nprompt: <think>12\nchosen: 7\nrejected: 8\n", out)
}

func TestDataShowWritesAPage(t *testing.T) {
	page := filepath.Join(t.TempDir(), "rows.html")
	out, code := show(t, rowFile(t, strings.Replace(shownRows, "12", "1<b>&2", 1)), "--model", tinyModel(t), "--html", page)
	require.Zero(t, code, out)
	f, err := os.Open(page)
	require.NoError(t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	for _, want := range []string{
		`<span class="t learned" title="token 8, id 11, &#34;2&#34;">2</span>`, `<span class="t given" title="token 1, id 5, &#34;&lt;think&gt;&#34;">&lt;think&gt;</span>`,
		"Cannot be used: row cannot be used: it has no messages",
	} {
		require.Contains(t, string(data), want)
	}
}

func TestDataShowColoursTokens(t *testing.T) {
	rows := []shownRow{{ID: "a", Form: "completion", Texts: []shownText{{Name: "whole", Learned: 1, Tokens: []shownToken{{Text: "p\n"}, {Text: "c", Learn: true}}}}}}
	var b bytes.Buffer
	printRows(&b, rows, true)
	require.Equal(t, "a (completion)\nwhole: 2 tokens, 1 learned\n"+colourGiven+"p⏎"+colourReset+"\n"+colourGiven+colourReset+colourLighter+"c"+colourReset+"\n", b.String())
}

func TestDataShowRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"a file that is not there", "no such file", []string{"nowhere.jsonl"}},
		{"an unknown format", `format is "csv"`, []string{"x.jsonl", "--format", "csv"}},
		{"no rows", "--number is 0", []string{"x.jsonl", "-n", "0"}},
		{"a folder without a tokenizer", "tokenizer.json", []string{rowFile(t, shownRows), "--model", t.TempDir()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := show(t, c.args...)
			require.Equal(t, exitWrong, code)
			require.Contains(t, out, c.want)
		})
	}
}
