package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training/tokenizer"
)

// A task of sums has a vocabulary of its characters and tags.
func TestTheVocabularyOfATaskIsItsCharacters(t *testing.T) {
	store := mem.New()
	rows, err := madeExamples(t, store, `{"count": 200}`)
	require.NoError(t, err)
	res, err := runKind(t, store, tokenizerKind(), `{"alphabet": "seen", "special": ["<think>", "</think>", "<answer>", "</answer>"]}`, rows.Outputs["examples"])
	require.NoError(t, err)
	tok, _, err := loadTokenizer(t.Context(), store, res.Outputs["tokenizer"])
	require.NoError(t, err)
	require.Less(t, tok.Size(), 40)
	think, ok := tok.ID("<think>")
	require.True(t, ok)
	for _, e := range loadRows(t, store, rows.Outputs["examples"]) {
		text := e.Prompt.Plain + e.Completion.Plain
		ids := tok.EncodePiece(tokenizer.Piece{Text: text, Added: tokenizer.VisibleAdded})
		require.Equal(t, text, tok.DecodePlain(ids))
		require.Contains(t, ids, think)
	}
}

// A chat template that a tokenizer has goes with the models that are made of it, and
// with those that are trained from them, and encodes their rows.
func TestAChatTemplateTravelsWithTheModel(t *testing.T) {
	store := mem.New()
	rows, err := madeExamples(t, store, `{"count": 50, "params": {"chat": true}}`)
	require.NoError(t, err)
	res, err := runKind(t, store, tokenizerKind(), `{"alphabet": "seen", "special": ["<think>", "</think>", "<answer>", "</answer>"], "chat_template": "chatml"}`, rows.Outputs["examples"])
	require.NoError(t, err)
	w := &workshop{t, store}
	model := w.output(execution{kind: initModel(), params: `{"model": {"width": 16, "text_layers": 1, "heads": 2, "context": 128}}`, inputs: ports{"tokenizer": {res.Outputs["tokenizer"]}}}, "model")
	tuned := w.output(execution{kind: sft(), params: `{"epochs": 1, "batch": 4}`, inputs: ports{"model": {model}, "data": {rows.Outputs["examples"]}}, threads: 1}, "model")
	m, err := artifact.LoadManifest(t.Context(), store, tuned)
	require.NoError(t, err)
	loaded, err := loadModel(t.Context(), &Task{Store: store, Scratch: t.TempDir()}, tuned)
	require.NoError(t, err)
	e, err := ChatEncoder(t.Context(), store, m, loaded.weights.Config, chat.Options{})
	require.NoError(t, err)
	require.True(t, e.HasTemplate())
	for _, x := range loadRows(t, store, rows.Outputs["examples"]) {
		require.NotEmpty(t, x.Prompt.Messages)
		got, err := e.Whole(x)
		require.NoError(t, err)
		text := loaded.tokenizer.Decode(got.Tokens)
		require.Contains(t, text, "<|im_start|>user\n")
		require.Regexp(t, `<\|im_end\|>$`, text)
		require.NotContains(t, text, "[UNK]")
		answer, err := e.Completion(x, example.Plain(x.Completion.String()))
		require.NoError(t, err)
		require.Equal(t, got.Tokens, answer.Tokens)
	}
}

func TestWrongTokenizers(t *testing.T) {
	_, err := tokenizerKind().Check([]byte(`{"chat_template": "{% for %}"}`))
	require.ErrorContains(t, err, "template line 1")
	store := mem.New()
	rows, err := madeExamples(t, store, `{"count": 5}`)
	require.NoError(t, err)
	_, err = runKind(t, store, tokenizerKind(), `{"special": ["[EOS]"]}`, rows.Outputs["examples"])
	require.ErrorContains(t, err, "is there twice")
}
