package example_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

var png = []byte("\x89PNG\r\n\x1a\n and so on")

func TestAnArtifactGivesBackItsRowsWithTheirPictures(t *testing.T) {
	yes, second := true, 1
	rows := []*example.Example{
		{ID: "a", Messages: []example.Message{example.Say("user", "Hi <&>"), {Role: "assistant", Content: []example.Part{{Type: "text", Text: "x"}, {Type: "image"}}, Reasoning: "hm"}}, Pictures: [][]byte{png}},
		{ID: "b", Prompt: example.Plain("1+1="), Completion: example.Plain("2"), Label: &yes},
		{ID: "c", Prompt: example.Chat(example.Say("user", "Which?")), Chosen: example.Plain("this"), Rejected: example.Plain("that"), Margin: 2},
		{ID: "d", Prompt: example.Plain("q"), Steps: []string{"s", "t"}, StepLabels: []bool{true, false}},
		{ID: "e", Prompt: example.Plain("q"), Choices: []string{"s", "t"}, Choice: &second},
		{ID: "f", Prompt: example.Plain("2+2="), Problem: &example.Problem{Task: "sum", Answer: "4", Facts: json.RawMessage(`{"a":2}`)}},
	}
	ctx, store := context.Background(), mem.New()
	w := example.NewWriter(store, "train", example.Meta{Title: "t"})
	for _, e := range rows {
		if err := w.Add(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	a, err := w.Close(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := example.Load(ctx, store, a)
	if err != nil {
		t.Fatal(err)
	}
	rows[0].Images = []string{"000000-0.png"}
	if d := cmp.Diff(rows, got); d != "" {
		t.Error(d)
	}
	meta, err := example.LoadMeta(ctx, store, a)
	if err != nil {
		t.Fatal(err)
	}
	if meta.Rows != 6 || meta.Images != 1 || len(meta.Forms) != 6 || meta.Forms[example.Task] != 1 {
		t.Errorf("meta is %+v", meta)
	}
}

func TestAPersonCanReadTheTagsInAShard(t *testing.T) {
	ctx, store := context.Background(), mem.New()
	w := example.NewWriter(store, "train", example.Meta{})
	const plain, said = "<think>a & b</think>", "<answer>'c'</answer>"
	if err := w.Add(ctx, &example.Example{ID: "a", Prompt: example.Plain(plain), Completion: example.Chat(example.Say("assistant", said))}); err != nil {
		t.Fatal(err)
	}
	a, err := w.Close(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := artifact.LoadManifest(ctx, store, a)
	if err != nil {
		t.Fatal(err)
	}
	data, err := artifact.ReadAll(ctx, store, m.Files[0].Digest, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{plain, said} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the shard is %s, want %s in it", data, want)
		}
	}
}

func TestTextsAndContentsAreReadInAllTheirForms(t *testing.T) {
	for _, c := range []struct{ name, row, prompt string }{
		{"a string", `{"prompt": "p"}`, "p"},
		{"messages", `{"prompt": [{"role": "user", "content": "p"}, {"role": "assistant", "content": [{"type": "text", "text": "q"}]}]}`, "p\nq"},
		{"no content", `{"prompt": [{"role": "assistant", "content": null, "tool_calls": []}]}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e example.Example
			if err := json.Unmarshal([]byte(c.row), &e); err != nil {
				t.Fatal(err)
			}
			if got := e.Prompt.String(); got != c.prompt {
				t.Errorf("the prompt is %q, want %q", got, c.prompt)
			}
			if e.Form() != example.Question {
				t.Errorf("the form is %q", e.Form())
			}
		})
	}
}

func TestARowThatMakesNoSenseIsRefusedWithAllItsFaults(t *testing.T) {
	e := &example.Example{Prompt: example.Plain("p"), Chosen: example.Plain("c"), Steps: []string{"s"}, Problem: &example.Problem{}}
	const want = "it has no id\nchosen and rejected go together: it has one of them\nit has 1 completions and 0 labels\nits problem names no task"
	if err := e.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
