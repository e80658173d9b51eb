package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"tempera/infra/artifact"
	"tempera/training/hf"
	"tempera/training/tokenizer"
	"tempera/training/tokenizer/jinja"
	"tempera/workflows/stage"
)

type tokenizerParams struct {
	Alphabet     string   `json:"alphabet" doc:"What tokens are made of: bytes, merged pair by pair; or, for small vocabularies of small tasks, what the data has and nothing else: its characters (seen), or its words (words)." enum:"bytes,seen,words"`
	VocabSize    int      `json:"vocab_size" doc:"bytes: tokens in all, the 256 bytes and the special ones included." min:"270" max:"200000"`
	MinFrequency int      `json:"min_frequency" doc:"bytes: how often a pair must occur to become a token." min:"1"`
	Lowercase    bool     `json:"lowercase" doc:"bytes: text is lower-cased; what is decoded is then lower-cased too."`
	PrefixSpace  bool     `json:"prefix_space" doc:"bytes: a space is put before a text that does not begin with one, so that its first word is like others."`
	Special      []string `json:"special,omitempty" doc:"Further tokens that are found in texts as a whole and stay in what is decoded, such as <think>."`
	ChatTemplate string   `json:"chat_template,omitempty" doc:"How messages are written down, which becomes part of the models: chatml, or a template in Jinja; absent: strings only."`
}

// Validate reports what no tag can say.
func (p tokenizerParams) Validate() error {
	if p.ChatTemplate == "" || p.ChatTemplate == chatMLName {
		return nil
	}
	if _, err := jinja.Parse(p.ChatTemplate); err != nil {
		return fmt.Errorf("chat_template: %w (or give %s)", err, chatMLName)
	}
	return nil
}

// tokenizerKind trains a tokenizer on captions, documents or rows.
func tokenizerKind() Kind {
	return define(stage.Descriptor{
		Name: "tokenizer", Version: 2, Queue: stage.CPU,
		Summary: "Train a tokenizer on captions, documents or rows",
		Inputs: []stage.Port{{
			Name: "data", Type: artifact.TypeDataset + "|" + artifact.TypeText + "|" + artifact.TypeExamples, Many: true,
			Doc: "Data sets whose captions, documents that, and rows whose texts are the corpus.",
		}},
		Outputs: []stage.Port{{Name: "tokenizer", Type: artifact.TypeTokenizer, Doc: "tokenizer.json in Hugging Face's format, with a chat template where one is given."}},
	}, tokenizerParams{Alphabet: "bytes", VocabSize: 1024, MinFrequency: 2, Lowercase: true, PrefixSpace: true}, trainTokenizer)
}

// captionTokens is the room for a caption where no corpus of captions is known, and
// the most where one is.
const captionTokens = 64

// tokenizerMeta is what a tokenizer's manifest says beside the file.
type tokenizerMeta struct {
	Longest int `json:"longest"` // tokens of the longest caption, its ends included; 0 where there were documents only
	Vocab   int `json:"vocab"`
}

const (
	tokenizerFile = "tokenizer.json"
	templateFile  = "chat_template.jinja"
)

// tokenizerPort takes a tokenizer, or that of a model.
func tokenizerPort(doc string) stage.Port {
	return stage.Port{Name: "tokenizer", Type: artifact.TypeTokenizer + "|" + artifact.TypeModel, Doc: doc + " Of a model, it is the model's."}
}

func trainTokenizer(ctx context.Context, t *Task, p tokenizerParams) error {
	var failed error
	corpus := func(yield func(string) bool) {
		if more := p.written(); more != "" && !yield(more) {
			return
		}
		for text, err := range texts(ctx, t) {
			if failed = err; err != nil || !yield(text) {
				return
			}
		}
	}
	tok, err := p.train(corpus)
	switch {
	case failed != nil: // what training says of the captions before it is no news
		return failed
	case err != nil: // of the corpus, or of the tokens that are asked for
		return Invalid(err)
	}
	meta := tokenizerMeta{Vocab: tok.Size()}
	if meta.Longest, err = longestCaption(ctx, t, tok); err != nil {
		return err
	}
	data, err := tok.JSON()
	if err != nil {
		return fmt.Errorf("encode the tokenizer: %w", err)
	}
	files, err := p.beside(tok)
	if err != nil {
		return err
	}
	m := &artifact.Manifest{Type: artifact.TypeTokenizer}
	for _, f := range append([]text{{tokenizerFile, data}}, files...) {
		ref, err := artifact.PutBytes(ctx, t.Store, f.data)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, artifact.File{Path: f.path, Ref: ref})
	}
	if m.Meta, err = json.Marshal(meta); err != nil {
		return err
	}
	a, err := artifact.PutManifest(ctx, t.Store, m)
	if err != nil {
		return err
	}
	t.Output("tokenizer", a)
	t.Metric("vocabulary", float64(meta.Vocab))
	t.Metric("longest", float64(meta.Longest))
	return nil
}

// chatMLName is the template that needs no writing.
const chatMLName = "chatml"

// chatML writes each message between two tokens, as OpenAI's format has it.
const chatML = `{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}` +
	`{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// chatMLEnd ends a turn.
const chatMLEnd = "<|im_end|>"

// written is what the template writes besides what is said.
func (p tokenizerParams) written() string {
	if p.ChatTemplate == chatMLName {
		return "system\nuser\nassistant\ntool\n"
	}
	return p.ChatTemplate
}

// special are the tokens of the template.
func (p tokenizerParams) special() []string {
	if p.ChatTemplate == chatMLName {
		return []string{"<|im_start|>", chatMLEnd}
	}
	return nil
}

func (p tokenizerParams) train(corpus iter.Seq[string]) (*tokenizer.Tokenizer, error) {
	ends := []string{"[BOS]", "$A", "[EOS]"}
	of := tokenizer.CharacterOptions{Extra: p.special(), Tags: p.Special, Template: ends}
	switch p.Alphabet {
	case "seen":
		return tokenizer.Characters(corpus, of)
	case "words":
		return tokenizer.Words(corpus, of)
	}
	return tokenizer.Train(corpus, tokenizer.TrainOptions{
		VocabSize: p.VocabSize, MinFrequency: p.MinFrequency, Lowercase: p.Lowercase, PrefixSpace: p.PrefixSpace,
		Extra: p.special(), Tags: p.Special, Template: ends,
	})
}

// beside are the files that models take over with the tokenizer: the chat template,
// and which tokens end what a model writes.
func (p tokenizerParams) beside(tok *tokenizer.Tokenizer) ([]text, error) {
	switch p.ChatTemplate {
	case "":
		return nil, nil
	case chatMLName:
		eos, _ := tok.ID("[EOS]")
		end, _ := tok.ID(chatMLEnd)
		stops, err := json.Marshal(map[string][]int32{"eos_token_id": {eos, end}})
		return []text{{templateFile, []byte(chatML)}, {hf.GenerationFile, stops}}, err
	}
	return []text{{templateFile, []byte(p.ChatTemplate)}}, nil
}

// longestCaption is the longest one in tokens, its ends included. Documents are
// cut into rows, so their length does not matter.
func longestCaption(ctx context.Context, t *Task, tok *tokenizer.Tokenizer) (longest int, err error) {
	for _, a := range t.Inputs["data"] {
		if a.Type != artifact.TypeDataset {
			continue
		}
		captionsOf(ctx, t, a, func(caption string, failed error) bool {
			err = failed
			longest = max(longest, len(tok.Wrap(tok.EncodePlain(caption))))
			return failed == nil
		})
		if err != nil {
			return 0, err
		}
	}
	return longest, nil
}

// loadTokenizer reads a tokenizer artifact, or the tokenizer of a model, of whose
// captions nothing is known.
func loadTokenizer(ctx context.Context, s artifact.Blobs, a artifact.Artifact) (*tokenizer.Tokenizer, tokenizerMeta, error) {
	var meta tokenizerMeta
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return nil, meta, err
	}
	if a.Type == artifact.TypeTokenizer {
		if err := json.Unmarshal(m.Meta, &meta); err != nil {
			return nil, meta, Invalid(fmt.Errorf("tokenizer %s: %w", a.Digest.Short(), err))
		}
	} else {
		meta.Longest = captionTokens
	}
	tok, err := readTokenizer(ctx, s, m)
	return tok, meta, err
}

// readTokenizer reads tokenizer.json of a tokenizer's or a model's manifest.
func readTokenizer(ctx context.Context, s artifact.Blobs, m *artifact.Manifest) (*tokenizer.Tokenizer, error) {
	f, err := m.Find(tokenizerFile)
	if err != nil {
		return nil, Invalid(err)
	}
	data, err := artifact.ReadAll(ctx, s, f.Digest, 256<<20)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Parse(data)
	if err != nil {
		return nil, Invalid(fmt.Errorf("tokenizer %s: %w", f.Digest, err))
	}
	return tok, nil
}

// putStream stores what write produces without holding it in memory.
func putStream(ctx context.Context, s artifact.Blobs, write func(io.Writer) error) (artifact.Ref, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	ref, err := s.Put(ctx, r)
	r.CloseWithError(err) // lets the writer end where Put has given up
	return ref, err
}
