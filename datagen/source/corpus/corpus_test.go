package corpus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/document"
	"tempera/datagen/sample"
	"tempera/infra/artifact/mem"
)

// collect returns the documents of a stream and its faults, and fails on other errors.
func collect(t *testing.T, s document.Stream) (docs []document.Document, faults []string) {
	t.Helper()
	for d, err := range s {
		var fault *sample.Fault
		if errors.As(err, &fault) {
			faults = append(faults, fault.Item+": "+fault.Reason)
			continue
		}
		require.NoError(t, err)
		docs = append(docs, d)
	}
	return docs, faults
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func TestAFolderOfDocuments(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b", "two.md"), "second")
	write(t, filepath.Join(dir, "a.txt"), "first")
	write(t, filepath.Join(dir, "c.jsonl"), "{\"id\":\"x\",\"text\":\"third\"}\n\n{\"text\":\"fourth\"}\n{\"body\":\"no\"}\nnot json\n")
	write(t, filepath.Join(dir, "blank.txt"), " \n")
	write(t, filepath.Join(dir, "binary.txt"), "a\x00b")
	write(t, filepath.Join(dir, "picture.png"), "left alone")
	require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(dir, "link.txt")))
	stream, _, err := Open(t.Context(), Env{}, Params{Source: Files, From: []string{dir}})
	require.NoError(t, err)
	docs, faults := collect(t, stream)
	require.Equal(t, []document.Document{
		{ID: "a.txt", Text: "first", Source: Files},
		{ID: "b/two.md", Text: "second", Source: Files},
		{ID: "x", Text: "third", Source: Files},
		{ID: "c.jsonl#3", Text: "fourth", Source: Files},
	}, docs)
	require.Equal(t, []string{
		"binary.txt: not UTF-8 text", "blank.txt: no text", "c.jsonl#4: no text under the key", "c.jsonl#5: facts are not JSON",
		"link.txt: unreadable",
	}, faults)
}

func TestDocumentsInTheStore(t *testing.T) {
	store := mem.New()
	for name, text := range map[string]string{"books/a.txt": "one two", "books/b.bin": "x", "other/c.txt": "no"} {
		require.NoError(t, store.Write(t.Context(), name, strings.NewReader(text), int64(len(text))))
	}
	stream, _, err := Open(t.Context(), Env{Names: store}, Params{Source: Files, From: []string{"store:books/"}})
	require.NoError(t, err)
	docs, _ := collect(t, stream)
	require.Len(t, docs, 1)
	stream, _, err = Open(t.Context(), Env{Names: store}, Params{Source: Files, From: []string{"store:none/"}})
	require.NoError(t, err)
	for _, err := range stream {
		require.ErrorIs(t, err, ErrNothing)
	}
}

func TestLongFilesAreCutWhereTheyCanBe(t *testing.T) {
	for _, c := range []struct {
		name, text string
		limit      int
		want       []string
	}{
		{"short ones are whole", "abc", 10, []string{"abc"}},
		{"at blank lines", "aaaa\n\nbbbb\nb\n\ncc", 13, []string{"aaaa\n\n", "bbbb\nb\n\ncc"}},
		{"at line ends", "aaaa\nbbbb\ncccc", 11, []string{"aaaa\nbbbb\n", "cccc"}},
		{"at spaces", "aaaa bbbb cccc", 11, []string{"aaaa bbbb ", "cccc"}},
		{"between characters", "äöüäöü", 5, []string{"äö", "üä", "öü"}},
		{"white space makes no document", "aaaaa\n\n\n\n\n\n\n", 7, []string{"aaaaa\n\n\n\n\n\n\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Cut(c.text, c.limit)
			require.Equal(t, c.want, got)
			require.Equal(t, c.text, strings.Join(got, ""))
		})
	}
}

func TestWordNetEntries(t *testing.T) {
	dir := t.TempDir()
	for _, p := range partsOfSpeech {
		write(t, filepath.Join(dir, p.file), "  1 a licence\n")
	}
	write(t, filepath.Join(dir, "data.adj"), "  1 a licence\n"+
		"00014358 00 s 02 galore(ip) 0 a_gogo 0 001 & 00013887 a 0000 | in great numbers; \"daffodils galore\"  \n")
	docs, _ := collect(t, readWordNet(context.Background(), dir))
	require.Equal(t, []document.Document{{
		ID: "adjective-00014358", Text: "galore, a gogo (adjective): in great numbers; \"daffodils galore\"", Source: "wordnet",
	}}, docs)
	write(t, filepath.Join(dir, "data.noun"), "00001740 03 n 01 entity\n")
	for _, err := range readWordNet(context.Background(), dir) {
		require.ErrorContains(t, err, "data.noun: a line is no entry")
		break
	}
}

func TestBrownWithoutTags(t *testing.T) {
	require.Equal(t, "Say \"yes\" (now), he said/wrote.\n\nNext.",
		untag("\n\n\tSay/vb ``/`` yes/uh ''/'' (/( now/rb )/) ,/, he/pps said/wrote/vbd ./.\n\n\n\tNext/ap ./.\n"))
}

func TestWrongParametersOfText(t *testing.T) {
	for _, c := range []struct {
		name, want string
		p          Params
	}{
		{"an unknown source is told with the known ones", "use files, wordnet, brown", Params{Source: "wiki"}},
		{"files need a place", "from is empty", Params{Source: Files}},
		{"a corpus takes no place", "use source: files", Params{Source: "wordnet", From: []string{"x"}}},
		{"addresses are not read", "use a path, or store:<prefix>", Params{Source: Files, From: []string{"s3://x"}}},
	} {
		t.Run(c.name, func(t *testing.T) { require.ErrorContains(t, c.p.Validate(), c.want) })
	}
}
