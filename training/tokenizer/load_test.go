package tokenizer

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func folder(t *testing.T, more map[string]string) fstest.MapFS {
	t.Helper()
	data, err := os.ReadFile("testdata/small/llama3.tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{tokenizerFile: {Data: data}}
	for name, content := range more {
		files[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return files
}

func TestLoadReadsWhatAFolderSays(t *testing.T) {
	tok, got, err := Load(folder(t, map[string]string{
		"special_tokens_map.json": `{"bos_token": "<|eot_id|>", "pad_token": {"content": "<|eot_id|>", "lstrip": false}}`,
		"tokenizer_config.json": `{"bos_token": "<|begin_of_text|>", "eos_token": null, "add_bos_token": true, "model_max_length": 1e30,
			"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]}`,
		"generation_config.json": `{"eos_token_id": 1, "temperature": 0.6}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	bos, _ := tok.ID("<|begin_of_text|>")
	pad, _ := tok.ID("<|eot_id|>")
	yes := true
	want := Settings{
		BOS: &Named{"<|begin_of_text|>", bos}, Pad: &Named{"<|eot_id|>", pad}, AddBOS: &yes, Stop: []int32{1},
		ChatTemplate: "a", ChatTemplates: map[string]string{"tool_use": "b"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestLoadNeedsTokenizerJSONOnly(t *testing.T) {
	_, got, err := Load(folder(t, nil))
	if err != nil || !reflect.DeepEqual(got, Settings{}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	_, got, err = Load(folder(t, map[string]string{
		"tokenizer_config.json":  `{"chat_template": "old", "model_max_length": 2048}`,
		"chat_template.jinja":    "new",
		"generation_config.json": `{"eos_token_id": [1, 2]}`,
	}))
	if err != nil || got.ChatTemplate != "new" || got.MaxLength != 2048 || len(got.Stop) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestFoldersThatContradictThemselves(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"tokens that are not there", map[string]string{"tokenizer_config.json": `{"eos_token": "<e>", "pad_token": "<p>"}`}, []string{
			`tokenizer_config.json: eos_token is "<e>"`, `pad_token is "<p>"`,
		}},
		{"an id that is not there", map[string]string{"generation_config.json": `{"eos_token_id": [1, 99999]}`}, []string{"generation_config.json: eos_token_id has 99999"}},
		{"a cut file", map[string]string{"special_tokens_map.json": `{"eos`}, []string{"special_tokens_map.json: unexpected end"}},
		{"a template that is a number", map[string]string{"tokenizer_config.json": `{"chat_template": 3}`}, []string{"chat_template: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Load(folder(t, c.files))
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, want %s", err, want)
				}
			}
		})
	}
	if _, _, err := Load(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "save_pretrained") {
		t.Fatalf("got %v", err)
	}
}
