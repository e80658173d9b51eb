package activities

import (
	"context"
	"fmt"
	"io/fs"

	"tempera/datagen/chat"
	"tempera/infra/artifact"
	"tempera/training/model"
	"tempera/training/tokenizer"
)

// ChatEncoder makes the encoder of rows for a model: its tokenizer, its chat
// template and its special tokens, of the files of its artifact. Of the options the
// special tokens are filled in, and for a model that sees images how many tokens an
// image is.
func ChatEncoder(ctx context.Context, s artifact.Blobs, files *artifact.Manifest, c model.Config, o chat.Options) (*chat.Encoder, error) {
	tok, settings, err := tokenizer.Load(manifestFS{ctx, s, files})
	if err != nil {
		return nil, folderError(fmt.Errorf("the model's tokenizer: %w", err))
	}
	ids := c.Text.Special
	o.Special = chat.Special{BOS: ids.BOS, EOS: ids.EOS, Pad: ids.Pad, Stop: settings.Stop, Image: ids.Image}
	if ids.Image > 0 && o.ImageTokens == 0 {
		o.ImageTokens = c.ImageTokens()
	}
	e, err := chat.New(tok, settings.ChatTemplate, o)
	return e, Invalid(err)
}

// manifestFS is the files of an artifact as a file system, for what reads small
// ones whole.
type manifestFS struct {
	ctx   context.Context
	blobs artifact.Blobs
	files *artifact.Manifest
}

// maxSmallFile bounds what ReadFile holds in memory.
const maxSmallFile = 256 << 20

// Open is there for the interface: files are read whole.
func (m manifestFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
}

// ReadFile reads a file, verified.
func (m manifestFS) ReadFile(name string) ([]byte, error) {
	f, err := m.files.Find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return artifact.ReadAll(m.ctx, m.blobs, f.Digest, maxSmallFile)
}
