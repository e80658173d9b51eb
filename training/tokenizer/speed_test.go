package tokenizer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// books reads the texts of $TEXT_DIR: real language for benchmarks.
func books(b *testing.B) []string {
	b.Helper()
	dir := os.Getenv("TEXT_DIR")
	if dir == "" {
		b.Skip("TEXT_DIR is not set: name a folder of *.txt to encode real text")
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(paths) == 0 {
		b.Fatalf("%s has no *.txt: %v", dir, err)
	}
	var texts []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	return texts
}

// BenchmarkEncodeBooks encodes $TEXT_DIR with every tokenizer of $TOKENIZER_DIR.
func BenchmarkEncodeBooks(b *testing.B) {
	text := strings.Join(books(b), "\n")
	paths, err := filepath.Glob(filepath.Join(os.Getenv("TOKENIZER_DIR"), "*", "tokenizer.json"))
	if err != nil || len(paths) == 0 {
		b.Skip("TOKENIZER_DIR has no folders with a tokenizer.json")
	}
	for _, path := range paths {
		b.Run(filepath.Base(filepath.Dir(path)), func(b *testing.B) {
			tok := readTokenizer(b, path)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Encode(text)
			}
		})
	}
}

// BenchmarkTrainBooks learns 8192 tokens of $TEXT_DIR.
func BenchmarkTrainBooks(b *testing.B) {
	texts := books(b)
	n := 0
	for _, text := range texts {
		n += len(text)
	}
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Train(slices.Values(texts), TrainOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse reads every tokenizer of $TOKENIZER_DIR.
func BenchmarkParse(b *testing.B) {
	paths, err := filepath.Glob(filepath.Join(os.Getenv("TOKENIZER_DIR"), "*", "tokenizer.json"))
	if err != nil || len(paths) == 0 {
		b.Skip("TOKENIZER_DIR has no folders with a tokenizer.json")
	}
	for _, path := range paths {
		b.Run(filepath.Base(filepath.Dir(path)), func(b *testing.B) {
			data, err := os.ReadFile(path)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
