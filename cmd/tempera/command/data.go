package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tempera/activities"
	"tempera/datagen/chat"
	"tempera/datagen/example"
	"tempera/datagen/sample"
	"tempera/datagen/source/rows"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/tokenizer"
)

func dataCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "data",
		Short: "Look at rows for post-training as a model sees them",
	}
	c.AddCommand(dataShowCommand(a))
	return c
}

// dataView is what is to be seen of which rows.
type dataView struct {
	rows  rows.Params
	ref   string // an artifact, in place of rows
	model string
	html  string
	count int
	skip  int
	learn string
}

func dataShowCommand(a *app) *cobra.Command {
	var v dataView
	var style string
	c := &cobra.Command{
		Use:   "show <file, folder, store:<prefix> or examples@sha256:...> ...",
		Short: "Print rows token by token, with what is learned of them in colour",
		Long: `Rows are read of files in the formats that the kind examples reads, or of an artifact
of examples. With --model they are shown in its tokens, as its chat template writes
them: tokens that are learned are green, or in braces without colours. A model is a
folder with tokenizer.json, or one of the store: <name>@<version or alias>, or
model@sha256:.... Without a model the texts are shown.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v.rows.From, v.rows.Style = args, rows.Style(style)
			if len(args) == 1 && strings.Contains(args[0], "sha256:") {
				v.ref = args[0]
			}
			shown, err := a.showData(cmd.Context(), v)
			if err != nil {
				return err
			}
			if v.html != "" {
				if err := writeHTML(v.html, shown); err != nil {
					return err
				}
				a.say("%d rows are in %s", len(shown), v.html)
				return nil
			}
			return a.print(shown, func(w io.Writer) { printRows(w, shown, a.live(w)) })
		},
	}
	f := c.Flags()
	f.StringVar(&v.model, "model", "", "whose tokens and chat template: a folder, <name>@<version or alias>, or model@sha256:...")
	f.StringVar(&v.html, "html", "", "write a page to this file instead")
	f.IntVarP(&v.count, "number", "n", 3, "rows to show")
	f.IntVar(&v.skip, "skip", 0, "rows to leave out before")
	f.StringVar(&v.learn, "learn", string(chat.Assistant), "what is learned: completion, assistant or all")
	f.StringVar(&v.rows.Format, "format", "", "of the files; left out, the first rows decide")
	f.StringToStringVar(&v.rows.Fields, "fields", nil, "which key is which field, e.g. prompt=question,completion=reply")
	f.StringVar(&style, "style", "as_is", "texts as_is, plain or chat")
	return c
}

// shownRow is a row as it is shown.
type shownRow struct {
	ID     string       `json:"id"`
	Source string       `json:"source,omitempty"`
	Form   example.Form `json:"form"`
	Fault  string       `json:"fault,omitempty"` // why it cannot be used, or encoded
	Texts  []shownText  `json:"texts,omitempty"`
}

// shownText is one of a row's texts in tokens, or without a model as it is.
type shownText struct {
	Name    string       `json:"name"` // whole, chosen, rejected, steps; or a role
	Tokens  []shownToken `json:"tokens,omitempty"`
	Learned int          `json:"learned"`
	Text    string       `json:"text,omitempty"`
}

// shownToken is a token and whether it is learned.
type shownToken struct {
	ID    int32  `json:"id"`
	Text  string `json:"text"`
	Learn bool   `json:"learn"`
	Image bool   `json:"image,omitempty"`
}

// showData reads and encodes the rows.
func (a *app) showData(ctx context.Context, v dataView) (shown []shownRow, err error) {
	if v.count < 1 || v.skip < 0 {
		return nil, wrong(fmt.Errorf("--number is %d and --skip is %d: use 1 or more, and 0 or more", v.count, v.skip))
	}
	stream, err := a.dataStream(ctx, v)
	if err != nil {
		return nil, err
	}
	var e *encoding
	if v.model != "" {
		if e, err = a.encoding(ctx, v); err != nil {
			return nil, err
		}
	}
	n := 0
	for x, err := range stream {
		var fault *sample.Fault
		if err != nil && !errors.As(err, &fault) {
			return nil, inputFault(err)
		}
		if n++; n <= v.skip {
			continue
		}
		if fault != nil {
			shown = append(shown, shownRow{ID: fault.Item, Fault: fault.Why()})
		} else {
			shown = append(shown, showRow(x, e))
		}
		if len(shown) == v.count {
			break
		}
	}
	if len(shown) == 0 {
		return nil, wrong(fmt.Errorf("there are %d rows: none to show", n))
	}
	return shown, nil
}

// dataStream opens the rows; the store is asked for only where they are in it.
func (a *app) dataStream(ctx context.Context, v dataView) (example.Stream, error) {
	if v.ref != "" {
		s, err := a.store(ctx)
		if err != nil {
			return nil, err
		}
		f, err := resolve(ctx, s, v.ref)
		if err != nil {
			return nil, err
		}
		return example.All(ctx, s, f.Artifact), nil
	}
	env := rows.Env{Scratch: os.TempDir()}
	for _, from := range v.rows.From {
		if strings.HasPrefix(from, "store:") {
			s, err := a.store(ctx)
			if err != nil {
				return nil, err
			}
			env.Names = s
			break
		}
	}
	stream, _, err := rows.Open(ctx, env, v.rows)
	return stream, wrong(err)
}

// encoding is a model's way with rows.
type encoding struct {
	encoder *chat.Encoder
	image   int32 // its token; 0: none
}

func (a *app) encoding(ctx context.Context, v dataView) (*encoding, error) {
	o := chat.Options{Learn: chat.Learn(v.learn)}
	if info, err := os.Stat(v.model); err == nil && info.IsDir() {
		return folderEncoding(v.model, o)
	}
	s, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	from, _, err := exportedModel(ctx, s, v.model)
	if err != nil {
		return nil, err
	}
	m, err := artifact.LoadManifest(ctx, s, from)
	if err != nil {
		return nil, inputFault(err)
	}
	f, err := m.Find("config.json")
	if err != nil {
		return nil, wrong(err)
	}
	raw, err := artifact.ReadAll(ctx, s, f.Digest, 16<<20)
	if err != nil {
		return nil, inputFault(err)
	}
	c, err := model.ParseConfig(raw)
	if err != nil {
		return nil, wrong(err)
	}
	encoder, err := activities.ChatEncoder(ctx, s, m, c, o)
	if err != nil {
		return nil, inputFault(err)
	}
	return &encoding{encoder, c.Text.Special.Image}, nil
}

// folderEncoding is that of a folder of transformers. Where it does not name a
// token, the end stands in for it.
func folderEncoding(folder string, o chat.Options) (*encoding, error) {
	tok, settings, err := tokenizer.Load(os.DirFS(folder))
	if err != nil {
		return nil, wrong(fmt.Errorf("%s: %w", folder, err))
	}
	if settings.EOS == nil {
		return nil, wrong(fmt.Errorf("%s does not say which token ends a text (eos_token)", filepath.Join(folder, "tokenizer_config.json")))
	}
	o.Special = chat.Special{BOS: settings.EOS.ID, EOS: settings.EOS.ID, Pad: settings.EOS.ID, Stop: settings.Stop}
	if settings.BOS != nil {
		o.Special.BOS = settings.BOS.ID
	}
	e, err := chat.New(tok, settings.ChatTemplate, o)
	return &encoding{encoder: e}, wrong(err)
}

// showRow encodes a row; what cannot be encoded says why.
func showRow(x *example.Example, e *encoding) shownRow {
	row := shownRow{ID: x.ID, Source: x.Source, Form: x.Form()}
	if e == nil {
		row.Texts = plainTexts(x)
		return row
	}
	add := func(name string, encoded chat.Encoded, err error) {
		if err != nil {
			row.Fault = err.Error()
			return
		}
		row.Texts = append(row.Texts, e.text(name, encoded))
	}
	switch x.Form() {
	case example.Preference:
		for _, t := range []struct {
			name string
			text *example.Text
		}{{"chosen", x.Chosen}, {"rejected", x.Rejected}} {
			encoded, err := e.encoder.Completion(x, t.text)
			add(t.name, encoded, err)
		}
	case example.Task, example.Question, example.Choice:
		encoded, err := e.encoder.Prompt(x)
		add("prompt", encoded, err)
	case example.Stepwise:
		encoded, err := e.encoder.Steps(x)
		add("steps", encoded, err)
	default:
		encoded, err := e.encoder.Whole(x)
		add("whole", encoded, err)
	}
	return row
}

// text is a text token by token. Bytes of a character that several tokens share are
// shown with the last of them.
func (e *encoding) text(name string, x chat.Encoded) shownText {
	t := shownText{Name: name, Learned: x.Learned()}
	stream := e.encoder.Tokenizer().DecodeStream()
	for i, id := range x.Tokens {
		t.Tokens = append(t.Tokens, shownToken{ID: id, Text: stream.Next(id), Learn: x.Learn[i], Image: e.image != 0 && id == e.image})
	}
	if rest := stream.End(); rest != "" && len(t.Tokens) > 0 {
		t.Tokens[len(t.Tokens)-1].Text += rest
	}
	return t
}

// plainTexts are the texts of a row where there is no model.
func plainTexts(x *example.Example) []shownText {
	var texts []shownText
	add := func(name, text string) { texts = append(texts, shownText{Name: name, Text: text}) }
	messages := func(of string, list []example.Message) {
		for _, m := range list {
			text := m.Reasoning
			for _, p := range m.Content {
				if p.Type == "image" {
					text += "<image>"
				}
				text += p.Text
			}
			add(of+m.Role, text+string(m.ToolCalls))
		}
	}
	messages("", x.Messages)
	for _, t := range []struct {
		name string
		text *example.Text
	}{{"prompt", x.Prompt}, {"completion", x.Completion}, {"chosen", x.Chosen}, {"rejected", x.Rejected}} {
		switch {
		case t.text == nil:
		case t.text.Messages != nil:
			messages(t.name+" ", t.text.Messages)
		default:
			add(t.name, t.text.Plain)
		}
	}
	for i, s := range x.Steps {
		add(fmt.Sprintf("step %d, %t", i, x.StepLabels[i]), s)
	}
	if x.Problem != nil {
		add("answer ("+x.Problem.Task+")", x.Problem.Answer)
	}
	return texts
}
