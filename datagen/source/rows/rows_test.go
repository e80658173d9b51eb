package rows

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"tempera/datagen/example"
	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/infra/artifact/mem"
)

// read returns the rows of files, its faults and what was skipped.
func read(t testing.TB, env Env, p Params) (rows []*example.Example, faults, skipped []string) {
	t.Helper()
	env.Skipped = func(reason string) { skipped = append(skipped, reason) }
	if env.Scratch == "" {
		env.Scratch = t.TempDir()
	}
	stream, _, err := Open(t.Context(), env, p)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range stream {
		var fault *sample.Fault
		switch {
		case errors.As(err, &fault):
			faults = append(faults, fault.Error())
		case err != nil:
			t.Fatal(err)
		default:
			rows = append(rows, e)
		}
	}
	return rows, faults, skipped
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// brief is a row in a few words: its form, and its texts.
func brief(e *example.Example) string {
	var b strings.Builder
	b.WriteString(string(e.Form()))
	for _, m := range e.Messages {
		b.WriteString("|" + m.Role + ":" + m.Text())
		for _, p := range m.Content {
			if p.Type == "image" {
				b.WriteString("#")
			}
		}
	}
	for _, t := range []*example.Text{e.Prompt, e.Completion, e.Chosen, e.Rejected} {
		if t != nil {
			b.WriteString("|" + t.String())
		}
	}
	for i, s := range e.Steps {
		b.WriteString("|" + s)
		if !e.StepLabels[i] {
			b.WriteString("!")
		}
	}
	if e.Label != nil && !*e.Label {
		b.WriteString("!")
	}
	return b.String()
}

func TestRealFiles(t *testing.T) {
	for _, c := range []struct {
		name, file, format string
		want               []string // begins of the rows
		skipped            int
	}{
		{"GSM8K", "gsm8k/train.jsonl", "", []string{"completion|Natalia sold clips to 48", "completion|Weng earns $12", "completion|Betty is saving"}, 0},
		{"solutions of GSM8K", "prefs/solutions.jsonl", "", []string{"labelled|Janet’s ducks lay 16", "labelled|Janet’s", "labelled|Janet’s", "labelled|Janet’s", "labelled|A robe", "labelled|A robe", "labelled|A robe", "labelled|A robe", "labelled|Josh", "labelled|Josh", "labelled|Josh", "labelled|Josh"}, 0},
		{"PandaLM", "prefs/pandalm.json", "", []string{"preference|The sentence you are given", "preference|The sentence", "preference|"}, 1},
		{"NLVR", "nlvr/dev/dev.json", "", []string{"completion|Is this true of the picture? ", "completion|Is this true"}, 0},
		{"ChatterBot", "chatterbot/ai.yml", "", []string{"messages|user:What is AI?|assistant:Artificial Intelligence is", "messages|user:What is AI?|assistant:AI is", "messages|user:Are you sentient?|assistant:Sort of."}, 0},
		{"ChatterBot's blocks", "chatterbot/coding.yml", "", []string{"messages|user:can you write a sorting algorithm?|assistant:Sure. Here's quicksort in Python:\n\n```\ndef quicksort(arr):"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, faults, skipped := read(t, Env{}, Params{From: []string{filepath.Join("testdata", c.file)}, Format: c.format})
			if len(faults) > 0 || len(rows) != len(c.want) || len(skipped) != c.skipped {
				t.Fatalf("%d rows, faults %v, skipped %v", len(rows), faults, skipped)
			}
			for i, e := range rows {
				if !strings.HasPrefix(brief(e), c.want[i]) {
					t.Errorf("row %d is %s", i, brief(e))
				}
				if e.ID == "" || !strings.Contains(e.Source, "#") {
					t.Errorf("row %d is called %q, from %q", i, e.ID, e.Source)
				}
			}
		})
	}
}

func TestWhatRealRowsSay(t *testing.T) {
	rows, _, _ := read(t, Env{}, Params{From: []string{"testdata/gsm8k/train.jsonl"}})
	if p := rows[0].Problem; p == nil || p.Task != "number" || p.Answer != "72" || !strings.HasSuffix(p.Traces[0], "in April and May.") {
		t.Errorf("the problem is %+v", p)
	}
	rows, _, _ = read(t, Env{}, Params{From: []string{"testdata/nlvr"}, Style: Chat, System: "Look."})
	e := rows[0]
	if len(e.Pictures) != 1 || !bytes.HasPrefix(e.Pictures[0], []byte("\x89PNG")) || e.Problem.Answer != "true" || *e.Choice != 0 || *rows[1].Choice != 1 {
		t.Errorf("the row is %+v", e)
	}
	if m := e.Prompt.Messages; len(m) != 2 || m[0].Text() != "Look." || m[1].Content[0].Type != "image" {
		t.Errorf("the prompt is %+v", m)
	}
	rows, faults, skipped := read(t, Env{}, Params{From: []string{"testdata/prefs/solutions.jsonl"}, Format: "solution_pairs"})
	if len(faults) > 0 || len(rows)+len(skipped) < 3 {
		t.Errorf("%d pairs, faults %v, skipped %v", len(rows), faults, skipped)
	}
	rows, _, _ = read(t, Env{}, Params{From: []string{"testdata/prefs/pandalm.json"}})
	if e := rows[0]; e.Margin != 1 || e.Chosen.Plain != "If you have any questions, please let me know." || e.Source != "pandalm.json#2" {
		t.Errorf("the first pair is %+v", e)
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ name, row, want string }{
		{"TRL's conversation", `{"messages": [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]}`, "messages|user:U|assistant:A"},
		{"prompt and completion", `{"prompt": "P", "completion": "C"}`, "completion|P|C"},
		{"messages as prompt and completion", `{"prompt": [{"role": "user", "content": "P"}], "completion": [{"role": "assistant", "content": "C"}]}`, "completion|P|C"},
		{"a preference", `{"prompt": "P", "chosen": "C", "rejected": "R"}`, "preference|P|C|R"},
		{"a preference with its prompt inside", `{"chosen": [{"role": "user", "content": "P"}, {"role": "assistant", "content": "C"}], "rejected": [{"role": "user", "content": "P"}, {"role": "assistant", "content": "R"}]}`, "preference|P|C|R"},
		{"strings that share a prompt", `{"chosen": "Human: hi Assistant: yes", "rejected": "Human: hi Assistant: yep"}`, "preference|Human: hi Assistant:| yes| yep"},
		{"a label", `{"prompt": "P", "completion": "C", "label": false}`, "labelled|P|C!"},
		{"steps", `{"prompt": "P", "completions": ["S", "T"], "labels": [true, false]}`, "stepwise|P|S|T!"},
		{"a prompt alone", `{"prompt": "P"}`, "prompt|P"},
		{"ShareGPT", `{"id": "x", "conversations": [{"from": "human", "value": "U"}, {"from": "gpt", "value": "A"}], "system": "S"}`, "messages|system:S|user:U|assistant:A"},
		{"ShareGPT's preferences", `{"conversations": [{"from": "human", "value": "U"}], "chosen": {"from": "gpt", "value": "C"}, "rejected": {"from": "gpt", "value": "R"}}`, "preference|U|C|R"},
		{"ShareGPT's tools", `{"conversations": [{"from": "human", "value": "U"}, {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"a\": 1}}"}, {"from": "observation", "value": "O"}, {"from": "gpt", "value": "A"}], "tools": "[{\"name\": \"f\"}]"}`, "messages|user:U|assistant:|tool:O|assistant:A"},
		{"Alpaca", `{"instruction": "I", "input": "N", "output": "O"}`, "completion|I\n\nN|O"},
		{"Alpaca without input", `{"instruction": "I", "input": "", "output": "O"}`, "completion|I|O"},
		{"GSM8K", `{"question": "Q", "answer": "W\n#### 1,000"}`, "completion|Q|W\n#### 1,000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, faults, _ := read(t, Env{}, Params{From: []string{write(t, "rows.jsonl", []byte(c.row))}})
			if len(faults) > 0 || len(rows) != 1 {
				t.Fatalf("%d rows, faults %v", len(rows), faults)
			}
			if got := brief(rows[0]); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestFieldsSayWhatIsWhat(t *testing.T) {
	path := write(t, "rows.jsonl", []byte(`{"q": {"text": "2+2"}, "a": 4, "s": "sums"}`))
	rows, faults, _ := read(t, Env{}, Params{From: []string{path}, Fields: map[string]string{"prompt": "q.text", "answer": "a", "slice": "s"}})
	if len(faults) > 0 || len(rows) != 1 {
		t.Fatalf("%v", faults)
	}
	if e := rows[0]; e.Form() != example.Task || e.Prompt.Plain != "2+2" || e.Problem.Answer != "4" || e.Slice != "sums" {
		t.Errorf("the row is %+v", e)
	}
}

func TestStyles(t *testing.T) {
	plain := write(t, "rows.jsonl", []byte(`{"prompt": "P", "chosen": "C", "rejected": "R"}`))
	rows, _, _ := read(t, Env{}, Params{From: []string{plain}, Style: Chat, System: "S"})
	if e := rows[0]; len(e.Prompt.Messages) != 2 || e.Prompt.Messages[1].Role != "user" || e.Chosen.Messages[0].Role != "assistant" {
		t.Errorf("the chat is %+v", e)
	}
	chat := write(t, "rows.jsonl", []byte(`{"prompt": [{"role": "user", "content": "P"}], "completion": [{"role": "assistant", "content": "C"}]}`))
	rows, _, _ = read(t, Env{}, Params{From: []string{chat}, Style: Plain})
	if e := rows[0]; e.Prompt.Messages != nil || e.Prompt.Plain != "P" || e.Completion.Plain != "C" {
		t.Errorf("the plain row is %+v", e)
	}
}

// pixel is an image of one pixel.
func pixel(t testing.TB, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	if format == "gif" {
		if err := gif.Encode(&b, image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.Black}), nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	data, err := picture.New(1, 1).PNG()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestImages(t *testing.T) {
	dir := t.TempDir()
	png := pixel(t, "png")
	for name, data := range map[string][]byte{"a.png": png, "b.gif": pixel(t, "gif"), "broken.png": []byte("no")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	uri := "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
	shown := `"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}, {"role": "assistant", "content": "!"}]`
	for _, c := range []struct{ name, row, want string }{
		{"a path", `{"images": ["a.png"], ` + shown + `}`, ""},
		{"a data URI", `{"image": "` + uri + `", ` + shown + `}`, ""},
		{"an object with bytes", `{"images": [{"bytes": "` + base64.StdEncoding.EncodeToString(png) + `", "path": null}], ` + shown + `}`, ""},
		{"one that becomes a PNG", `{"images": [{"path": "b.gif"}], ` + shown + `}`, ""},
		{"in the message", `{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "` + uri + `"}}]}, {"role": "assistant", "content": "!"}]}`, ""},
		{"LLaVA's tag", `{"image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]}`, ""},
		{"a plain row", `{"prompt": "P", "completion": "C", "images": ["a.png"]}`, ""},
		{"one that is missing", `{"images": ["c.png"], ` + shown + `}`, "rows.jsonl#1: no image: image 0: openat c.png: no such file or directory"},
		{"one that is broken", `{"images": ["broken.png"], ` + shown + `}`, "rows.jsonl#1: unknown image format: image 0"},
		{"a path that leads out", `{"images": ["../a.png"], ` + shown + `}`, "rows.jsonl#1: unsafe path"},
		{"one elsewhere", `{"images": ["https://example.org/a.png"], ` + shown + `}`, "is not fetched"},
		{"fewer than are shown", `{` + shown + `}`, "rows.jsonl#1: row cannot be used: its texts show 1 images, and it has 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, "rows.jsonl")
			if err := os.WriteFile(path, []byte(c.row), 0o600); err != nil {
				t.Fatal(err)
			}
			rows, faults, _ := read(t, Env{}, Params{From: []string{path}})
			if c.want != "" {
				if len(faults) != 1 || !strings.Contains(faults[0], c.want) {
					t.Errorf("got %v, want %s", faults, c.want)
				}
				return
			}
			if len(faults) > 0 || len(rows) != 1 || len(rows[0].Pictures) != 1 || !bytes.HasPrefix(rows[0].Pictures[0], []byte("\x89PNG")) {
				t.Errorf("%d rows, faults %v", len(rows), faults)
			}
		})
	}
}

func TestBadRowsAreFaultsWithTheirLines(t *testing.T) {
	for _, c := range []struct{ name, file, data, want string }{
		{"a line that is no JSON", "rows.jsonl", "{\"prompt\": \"P\"}\n\n{no}\n", "rows.jsonl#3: not JSON"},
		{"a row without fields", "rows.jsonl", "{\"prompt\": \"P\", \"completion\": \"C\"}\n{\"text\": \"x\"}\n", "rows.jsonl#2: row cannot be used: it has no messages, no prompt"},
		{"keys of no format", "rows.jsonl", `{"a": 1, "b": 2}`, "no format has rows with the keys a, b: give format one of nlvr"},
		{"an array that breaks", "rows.json", "[\n{\"prompt\": \"P\"},\n{\"prompt\": \n]", "rows.json#3: not JSON"},
		{"a row of an array", "rows.json", "[\n{\"prompt\": \"P\"},\n\n  {\"prompt\": 1}]", "rows.json#4: row cannot be used: prompt"},
		{"something that is no row", "rows.json", "[1]", "rows.json#1: not JSON"},
		{"a role that nobody has", "rows.jsonl", `{"messages": [{"role": "critic", "content": "x"}]}`, `nobody is called "critic"`},
		{"steps and labels that differ", "rows.jsonl", `{"prompt": "P", "completions": ["a"], "labels": []}`, "it has 1 completions and 0 labels"},
		{"a file that is no Parquet", "rows.parquet", "PAR1 no", "rows.parquet: unreadable"},
		{"YAML of something else", "rows.yml", "a: [b", "rows.yml: not YAML of dialogues"},
		{"a dialogue with a hole", "rows.yml", "conversations:\n- - a\n  - b\n- - c\n  -\n", "rows.yml#4: row cannot be used: a dialogue has something that is no text"},
		{"an answer without a result", "rows.jsonl", "{\"question\": \"Q\", \"answer\": \"W #### \"}", "answer does not end with ####"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, faults, _ := read(t, Env{}, Params{From: []string{write(t, c.file, []byte(c.data))}})
			if len(faults) == 0 || !strings.Contains(strings.Join(faults, "\n"), c.want) {
				t.Errorf("got %v, want %s", faults, c.want)
			}
		})
	}
}

// part is a message in a Parquet file.
type part struct {
	Role    string `parquet:"role"`
	Content string `parquet:"content,optional"`
}

type parquetRow struct {
	Messages []part `parquet:"messages,list"`
	Images   []struct {
		Bytes []byte `parquet:"bytes,optional"`
		Path  string `parquet:"path,optional"`
	} `parquet:"images,list"`
}

func parquetFile(t testing.TB) []byte {
	t.Helper()
	row := parquetRow{Messages: []part{{"user", "<image>What?"}, {"assistant", "That."}}}
	row.Images = append(row.Images, struct {
		Bytes []byte `parquet:"bytes,optional"`
		Path  string `parquet:"path,optional"`
	}{Bytes: pixel(t, "png")})
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.Compression(&parquet.Zstd))
	if _, err := w.Write([]parquetRow{row, row}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquetWithImages(t *testing.T) {
	rows, faults, _ := read(t, Env{}, Params{From: []string{write(t, "rows.parquet", parquetFile(t))}})
	if len(faults) > 0 || len(rows) != 2 {
		t.Fatalf("%d rows, faults %v", len(rows), faults)
	}
	if e := rows[1]; brief(e) != "messages|user:What?#|assistant:That." || !bytes.Equal(e.Pictures[0], pixel(t, "png")) || e.Source != "rows.parquet#2" {
		t.Errorf("row is %s from %s", brief(e), e.Source)
	}
}

// Rows in the store are read as those on disk are, with the images beside them.
func TestRowsInTheStore(t *testing.T) {
	store := mem.New()
	for name, data := range map[string][]byte{
		"sets/a/rows.jsonl": []byte(`{"prompt": "P", "completion": "C", "images": ["i/x.png"]}`), "sets/a/i/x.png": pixel(t, "png"),
		"sets/b.parquet": parquetFile(t), "sets/notes.txt": []byte("no"),
	} {
		if err := store.Write(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
	rows, faults, _ := read(t, Env{Names: store}, Params{From: []string{"store:sets/"}})
	if len(faults) > 0 || len(rows) != 3 || len(rows[0].Pictures) != 1 {
		t.Errorf("%d rows, faults %v", len(rows), faults)
	}
}

// What is written as shards is read by the same reader as people's files.
func TestOurOwnShardsAreReadBack(t *testing.T) {
	rows, _, _ := read(t, Env{}, Params{From: []string{"testdata/gsm8k/train.jsonl", "testdata/prefs/pandalm.json", "testdata/chatterbot/ai.yml"}})
	var b bytes.Buffer
	for _, e := range rows {
		if err := json.NewEncoder(&b).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	again, faults, _ := read(t, Env{}, Params{From: []string{write(t, "rows.jsonl", b.Bytes())}, Format: "trl"})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for i := range again {
		again[i].Source = rows[i].Source
	}
	if d := cmp.Diff(rows, again); d != "" {
		t.Error(d)
	}
}

func TestParamsAreCheckedAtOnce(t *testing.T) {
	err := Params{From: []string{"https://x"}, Format: "csv", Style: "loud", System: "S", Fields: map[string]string{"prose": "x"}}.Validate()
	for _, want := range []string{`scheme "https"`, `format is "csv"`, `style is "loud"`, "only chats have a system", `fields has "prose"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	for _, err := range []error{Params{}.Validate(), Params{From: []string{"x"}, Format: fieldsName}.Validate()} {
		if err == nil {
			t.Error("it is taken")
		}
	}
}

func TestFormatsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All() {
		if f.Name == "" || f.Summary == "" || seen[f.Name] {
			t.Errorf("format %q", f.Name)
		}
		seen[f.Name] = true
	}
}

// Whatever a file has, its rows are usable or faults.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"gsm8k/train.jsonl", "prefs/pandalm.json", "chatterbot/ai.yml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Ext(name), data)
	}
	f.Add(".jsonl", []byte(`{"messages": [{"from": "function_call", "value": "{}"}], "images": [{"bytes": "x"}], "tools": "["}`))
	f.Add(".json", []byte(`[{"chosen": [], "rejected": []}, {"prompt": {}, "label": null}]`))
	f.Fuzz(func(t *testing.T, ext string, data []byte) {
		if extension("x"+ext) == "" || ext == ".parquet" || strings.ContainsAny(ext, "/\x00") {
			t.Skip()
		}
		rows, _, _ := read(t, Env{}, Params{From: []string{write(t, "rows"+ext, data)}, MaxFile: 1 << 20})
		for _, e := range rows {
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", e.Source, err)
			}
		}
	})
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetFile(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, _, _ := read(t, Env{}, Params{From: []string{write(t, "rows.parquet", data)}, MaxFile: 1 << 20})
		for _, e := range rows {
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", e.Source, err)
			}
		}
	})
}
