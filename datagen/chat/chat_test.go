package chat

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tempera/datagen/example"
	"tempera/training/tokenizer"
)

const (
	chatML = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
	marked = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
	// forgetful writes the thoughts of the last turn only, as reasoning models' templates do.
	forgetful = "{% for m in messages %}[{{ m.role }}]{{ m.reasoning_content if loop.last }}{{ m.content }}[EOS]{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
	// counting begins with the number of messages: no conversation is the begin of another.
	counting = "{{ messages|length }}{% for m in messages %}[{{ m.role }}]{{ m.content }}[EOS]{% endfor %}"
	// always writes the begin of an answer, asked or not, as Llama 3's first template did.
	always = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}[assistant]"
)

// words is a tokenizer of bytes and tags.
func words(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Train(slices.Values([]string{"a few words to make a tokenizer of"}), tokenizer.TrainOptions{
		VocabSize: 300, Extra: []string{"<|im_start|>", "<|im_end|>", "<image>"}, Tags: []string{"<think>"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func encoder(t testing.TB, template string, o Options) *Encoder {
	t.Helper()
	tok := words(t)
	id := func(s string) int32 {
		id, ok := tok.ID(s)
		if !ok {
			t.Fatalf("no token %s", s)
		}
		return id
	}
	o.Special.BOS, o.Special.EOS, o.Special.Stop = id("[BOS]"), id("[EOS]"), []int32{id("<|im_end|>")}
	if o.ImageTokens > 0 {
		o.Special.Image = id("<image>")
	}
	e, err := New(tok, template, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// show writes what is learned in braces.
func show(e *Encoder, x Encoded) string {
	var b strings.Builder
	for i := 0; i < len(x.Tokens); {
		k := i
		for k < len(x.Tokens) && x.Learn[k] == x.Learn[i] {
			k++
		}
		text := e.tokenizer.Decode(x.Tokens[i:k])
		if x.Learn[i] {
			text = "{" + text + "}"
		}
		b.WriteString(text)
		i = k
	}
	return b.String()
}

func say(pairs ...string) (m []example.Message) {
	for i := 0; i < len(pairs); i += 2 {
		m = append(m, example.Say(pairs[i], pairs[i+1]))
	}
	return m
}

func TestWhatIsLearned(t *testing.T) {
	talk := say("system", "S", "user", "U", "assistant", "A", "user", "V", "assistant", "B")
	ends := say("user", "U", "assistant", "A", "user", "V")
	tool := say("assistant", "A", "tool", "T", "assistant", "B")
	for _, c := range []struct {
		name, template string
		learn          Learn
		row            example.Example
		want           string
	}{
		{"a plain completion with its end", "", Completion, example.Example{Prompt: example.Plain("1+1="), Completion: example.Plain("2")}, "[BOS]1+1={2[EOS]}"},
		{"all of a plain row but its begin", "", All, example.Example{Prompt: example.Plain("1+1="), Completion: example.Plain("2")}, "[BOS]{1+1=2[EOS]}"},
		{"tags are tokens, and special tokens in strings are not", "", Completion, example.Example{Prompt: example.Plain("[EOS]"), Completion: example.Plain("<think>")}, "[BOS][EOS]{<think>[EOS]}"},
		{"the last turn of a conversation", chatML, Completion, example.Example{Messages: talk}, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n{B<|im_end|>}"},
		{"every turn of the assistant", chatML, Assistant, example.Example{Messages: talk}, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n{A<|im_end|>}\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n{B<|im_end|>}"},
		{"everything", chatML, All, example.Example{Messages: talk[1:3]}, "<|im_start|>{user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n}"},
		{"what the template marks", marked, Assistant, example.Example{Messages: talk[1:]}, "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n{A<|im_end|>}\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n{B<|im_end|>}"},
		{"a conversation that goes on after the last turn", chatML, Completion, example.Example{Messages: ends}, "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n{A<|im_end|>}\n<|im_start|>user\nV<|im_end|>\n"},
		{"messages as prompt and completion", chatML, Completion, example.Example{Prompt: &example.Text{Messages: talk[:4]}, Completion: &example.Text{Messages: talk[4:]}}, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n{B<|im_end|>}"},
		{"the turns of a prompt too", chatML, Assistant, example.Example{Prompt: &example.Text{Messages: talk[1:4]}, Completion: &example.Text{Messages: talk[4:]}}, "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n{A<|im_end|>}\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n{B<|im_end|>}"},
		{"not what tools answer", chatML, Completion, example.Example{Prompt: &example.Text{Messages: talk[1:2]}, Completion: &example.Text{Messages: tool}}, "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n{A<|im_end|>}\n<|im_start|>tool\nT<|im_end|>\n<|im_start|>assistant\n{B<|im_end|>}"},
		{"a string after messages is what the model writes", chatML, Completion, example.Example{Prompt: &example.Text{Messages: talk[1:2]}, Completion: example.Plain("<think>A")}, "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n{<think>A[EOS]}"},
		{"turns of a template that always goes on", always, Assistant, example.Example{Messages: talk[1:]}, "[user]U<|im_end|>[assistant]{A<|im_end|>}[user]V<|im_end|>[assistant]{B<|im_end|>}"},
		{"the last turn where earlier ones are written otherwise", forgetful, Completion, example.Example{Messages: []example.Message{example.Say("user", "U"), {Role: "assistant", Reasoning: "hm ", Content: talk[2].Content}}}, "[user]U[EOS][assistant]{hm A[EOS]}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := encoder(t, c.template, Options{Learn: c.learn})
			got, err := e.Whole(&c.row)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, show(e, got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Sampling begins where learning does: the tokens of the prompt are the same.
func TestACompletionBeginsWithItsPrompt(t *testing.T) {
	rows := []example.Example{
		{Prompt: example.Plain("a few wo"), Chosen: example.Plain("rds"), Rejected: example.Plain(" words")},
		{Prompt: example.Chat(say("user", "U")...), Chosen: example.Chat(say("assistant", "\nA")...), Rejected: example.Plain("\n\nB")},
	}
	e := encoder(t, chatML, Options{})
	for _, x := range rows {
		p, err := e.Prompt(&x)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []*example.Text{x.Chosen, x.Rejected} {
			c, err := e.Completion(&x, text)
			if err != nil {
				t.Fatal(err)
			}
			if c.Prompt != len(p.Tokens) || !slices.Equal(c.Tokens[:c.Prompt], p.Tokens) {
				t.Errorf("the completion begins with %q, the prompt is %q", e.tokenizer.Decode(c.Tokens[:c.Prompt]), e.tokenizer.Decode(p.Tokens))
			}
			if n := len(c.Tokens) - c.Prompt; c.Learned() != n {
				t.Errorf("%d of %d tokens are learned", c.Learned(), n)
			}
		}
	}
}

func TestAPromptIsAllBeforeTheLastTurn(t *testing.T) {
	e := encoder(t, chatML, Options{})
	got, err := e.Prompt(&example.Example{Messages: say("user", "U", "assistant", "A", "user", "V", "assistant", "B")})
	if err != nil {
		t.Fatal(err)
	}
	if want := "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n"; show(e, got) != want {
		t.Errorf("got %q", show(e, got))
	}
}

func TestStepsEndWhereTheirSeparatorDoes(t *testing.T) {
	e := encoder(t, "", Options{Separator: ";"})
	got, err := e.Whole(&example.Example{Prompt: example.Plain("q"), Steps: []string{"one", "two"}, StepLabels: []bool{true, false}})
	if err != nil {
		t.Fatal(err)
	}
	var ends []string
	for _, at := range got.Ends {
		ends = append(ends, e.tokenizer.Decode(got.Tokens[:at+1]))
	}
	if d := cmp.Diff([]string{"[BOS]qone;", "[BOS]qone;two;"}, ends); d != "" {
		t.Error(d)
	}
}

func TestImagesAreTokensOfTheModel(t *testing.T) {
	part := []example.Part{{Type: "image"}, {Type: "text", Text: "?"}}
	typed := "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'image' %}(<image>){% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %}[EOS]{% endfor %}"
	picture := [][]byte{[]byte("png")}
	for _, c := range []struct {
		name, template, want string
		row                  example.Example
	}{
		{"where the template shows them", typed, "(<image><image><image>)?[EOS]{A[EOS]}", example.Example{Messages: []example.Message{{Role: "user", Content: part}, example.Say("assistant", "A")}, Pictures: picture}},
		{"where the message does", chatML, "<|im_start|>user\n<image><image><image>?<|im_end|>\n<|im_start|>assistant\n{A<|im_end|>}", example.Example{Messages: []example.Message{{Role: "user", Content: part}, example.Say("assistant", "A")}, Pictures: picture}},
		{"first in plain rows", "", "[BOS]<image><image><image>q{a[EOS]}", example.Example{Prompt: example.Plain("q"), Completion: example.Plain("a"), Pictures: picture}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := encoder(t, c.template, Options{ImageTokens: 3})
			got, err := e.Whole(&c.row)
			if err != nil {
				t.Fatal(err)
			}
			if show(e, got) != c.want || len(got.Images) != 1 || got.Tokens[got.Images[0]] != e.options.Special.Image {
				t.Errorf("got %q with images at %v", show(e, got), got.Images)
			}
			if first := slices.Index(got.Learn, true); first != got.Prompt {
				t.Errorf("the prompt ends at %d, learning begins at %d", got.Prompt, first)
			}
		})
	}
}

func TestToolsAndCallsReachTheTemplate(t *testing.T) {
	template := "{{ tools | tojson }}{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}{{ m.content }}[EOS]{% endfor %}"
	e := encoder(t, template, Options{Learn: All})
	got, err := e.Whole(&example.Example{
		Tools:    json.RawMessage(`[{"b": 1, "a": 2}]`),
		Messages: []example.Message{{Role: "assistant", ToolCalls: json.RawMessage(`[{"function": {"name": "f", "arguments": "{\"y\": 1, \"x\": 2}"}}]`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := e.tokenizer.Decode(got.Tokens); text != `[{"b": 1, "a": 2}]{"y": 1, "x": 2}[EOS]` {
		t.Errorf("got %q", text)
	}
}

func TestWhatCannotBeEncodedNamesTheRow(t *testing.T) {
	talk := say("user", "U", "assistant", "A")
	for _, c := range []struct {
		name, template, want string
		options              Options
		row                  example.Example
	}{
		{"messages without a template", "", "row r (f.jsonl#3): it has messages, and the model has no chat template", Options{}, example.Example{Messages: talk}},
		{"a template that refuses the row", "{% for m in messages %}\n{{ raise_exception('no ' + m.role) }}{% endfor %}", "row r (f.jsonl#3): template line 2: no user", Options{}, example.Example{Messages: talk}},
		{"a template that never ends", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "row r (f.jsonl#3): template line 1: calls are more than 200 deep", Options{}, example.Example{Messages: talk}},
		{"turns that are written otherwise later", counting, "writes the first 3 messages otherwise when more follow (at byte 0 \"4[user]U", Options{Learn: Assistant}, example.Example{Messages: []example.Message{talk[0], talk[0], talk[0], talk[1]}}},
		{"nobody answers", chatML, "there is nothing to learn", Options{}, example.Example{Messages: talk[:1]}},
		{"images for a model that sees none", "", "it has 1 images, and the model sees none", Options{}, example.Example{Prompt: example.Plain("p"), Completion: example.Plain("c"), Images: []string{"x"}, Pictures: [][]byte{nil}}},
		{"a preference as a whole", "", `a row of form "preference" has nothing to learn as a whole`, Options{}, example.Example{Prompt: example.Plain("p"), Chosen: example.Plain("c"), Rejected: example.Plain("d")}},
		{"a string that is answered by messages", chatML, "its prompt is a string and its completion messages", Options{}, example.Example{Prompt: example.Plain("p"), Completion: example.Chat(talk[1])}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := encoder(t, c.template, c.options)
			c.row.ID, c.row.Source = "r", "f.jsonl#3"
			if _, err := e.Whole(&c.row); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRowsMayBeTooLong(t *testing.T) {
	e := encoder(t, "", Options{Longest: 4})
	_, err := e.Whole(&example.Example{ID: "r", Prompt: example.Plain("12"), Completion: example.Plain("34")})
	var long *LongError
	if !errors.As(err, &long) || long.Tokens != 6 {
		t.Errorf("got %v", err)
	}
}

func TestOptionsAreCheckedAtOnce(t *testing.T) {
	_, err := New(words(t), "", Options{Learn: "some", Longest: -1, Special: Special{EOS: 9999, Image: 4}})
	for _, want := range []string{`learn is "some"`, "longest row is -1", "special token 9999", "give image tokens"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := New(words(t), "\n{% for %}", Options{}); err == nil || !strings.Contains(err.Error(), "chat template: template line 2") {
		t.Errorf("got %v", err)
	}
}
